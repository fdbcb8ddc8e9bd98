# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The zip archive that Ansible sends to a managed host, with a module and everything it imports."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import ansible

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = "ansible_collections/imagestore/lxd"

_EMPTY = """\
from ansible.module_utils.basic import AnsibleModule
AnsibleModule({}).exit_json()
"""
EMPTY = "empty"
"""The name of a module that does nothing, which is in the archive too."""


def build(path: Path) -> Path:
    """Write the archive, with all modules of the collection in it."""
    members = dict(_members())
    for name in list(members):
        for parent in Path(name).parents[:-1]:
            members.setdefault(f"{parent}/__init__.py", "")
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in sorted(members.items()):
            archive.writestr(name, content)
    return path


def _members() -> Iterator[tuple[str, str]]:
    core = Path(ansible.__file__).parent
    for source in (core / "module_utils").rglob("*.py"):
        yield f"ansible/{source.relative_to(core)}", source.read_text()
    for folder in ("modules", "module_utils"):
        for source in (ROOT / "plugins" / folder).rglob("*.py"):
            yield f"{COLLECTION}/{source.relative_to(ROOT)}", source.read_text()
    # The version of Ansible, which modules import.
    yield "ansible/release.py", (core / "release.py").read_text()
    yield "ansible/__init__.py", "from ansible.release import __version__\n"
    yield f"{EMPTY}.py", _EMPTY

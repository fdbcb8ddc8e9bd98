# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the environments of nox are made from: for noxfile.py, which makes them, and steps.py, which keeps them."""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from pathlib import Path

import pythons

ROOT = Path(__file__).resolve().parents[2]

#: Session (without a version at its end) → its files of requirements. All others are antsibull-nox's.
REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "bench": ("integration/requirements",),
    "changelog": (),
    "check": ("requirements/check",),
    "demo": ("integration/requirements",),
    "dev": ("requirements/dev", "requirements/system", "unit/requirements"),
    "docs": ("requirements/docs",),
    "fuzz": ("unit/requirements",),
    "integration": ("integration/requirements",),
    "page": ("requirements/page",),
    "pictures": ("requirements/system",),
    "release": ("requirements/release",),
    "repository": ("requirements/repository",),
    "sanity": (),
    "system": ("requirements/system",),
    "units": ("unit/requirements", "requirements/requests-oldest"),
}


def requirements(session: str) -> list[Path]:
    """The requirements files of a session that is not antsibull-nox's."""
    return [ROOT / f"tests/{name}.txt" for name in REQUIREMENTS[_kind(session)]]


def _kind(session: str) -> str:
    """The name without a version: units-3.8 is one of the units."""
    return re.sub(r"-[\d.]+$", "", session)


def definition(session: str) -> str:
    """A digest of all that the environment of a session follows from.

    That is also the place of the checkout, since environments know their own path, and the Pythons of this machine.
    """
    facts = [session, str(ROOT), (ROOT / ".venv/made-from").read_text(), str(pythons.CORES)]
    found = filter(None, map(pythons.find, pythons.VERSIONS))
    facts += [f"{path} {os.stat(path).st_mtime_ns}" for path in found]
    if _kind(session) in REQUIREMENTS:
        files = requirements(session)
    else:
        settings = tomllib.loads((ROOT / "antsibull-nox.toml").read_text())["sessions"]
        facts += [
            f"{name} {value}"
            for settings_of_one in settings.values()
            for name, value in settings_of_one.items()
            if name.endswith(("_package", "_deps"))
        ]
        files = [ROOT / "tests/requirements/typing.txt", ROOT / "tests/unit/requirements.txt"]
    facts += [file.read_text() for file in (*files, ROOT / "tests/requirements/constraints.txt")]
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()

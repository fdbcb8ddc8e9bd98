# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find this machine's Pythons, wherever they are installed.

``python3 tests/tools/pythons.py 3.13 3.12`` prints the interpreter of the first of these versions that is there.
It runs before anything is set up, on whatever Python 3 there is: standard library only.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

#: What module code has to run on.
VERSIONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13")

#: ansible-core → the Pythons that its controller runs on here, the one to choose first at the front.
CORES = {
    "2.16": ("3.10", "3.11", "3.12"),
    "2.18": ("3.11", "3.12", "3.13"),
    "2.19": ("3.11", "3.12", "3.13"),
    "2.20": ("3.12", "3.13"),
    "2.21": ("3.13", "3.12"),
}

#: Family of servers → the ansible-core whose integration targets meet it. So every target meets each family, and every
#: line of ansible-core named here; not each with each, which would tell nothing more.
CORE_OF_FAMILY = {"lxd": "2.16", "incus6": "2.18", "incus7": "2.21"}

# An environment can be made with it, and it is the version that its name says. pyenv's shims for instance answer to
# the names of versions that they then cannot run; sys.executable is what a shim or a link leads to.
_PROBE = """
import ctypes, ensurepip, os, ssl, sys, venv
print("%d.%d" % sys.version_info[:2], os.path.realpath(sys.executable))
"""


def _folders() -> Iterator[Path]:
    """Where to look: what is on PATH first, then where pyenv and others put them."""
    roots = [os.environ.get("PYENV_ROOT", ""), os.path.expanduser("~/.pyenv")]
    for entry in os.environ.get("PATH", "").split(os.pathsep):
        if Path(entry).name == "shims":
            roots.append(str(Path(entry).parent))
        elif entry:
            yield Path(entry)
    for root in filter(None, roots):
        # The newest release of a version first.
        found = (Path(root) / "versions").glob("3.*")
        yield from (path / "bin" for path in sorted(found, key=_numbers, reverse=True))
    yield from map(Path, ("/usr/bin", "/usr/local/bin"))


def _numbers(path: Path) -> list[int]:
    return [int(part) for part in path.name.split(".") if part.isdigit()]


@cache
def find(version: str) -> str | None:
    """The real path of a usable interpreter of this version (as "3.11"), or None."""
    tried = set()
    for folder in _folders():
        candidate = folder / f"python{version}"
        if candidate in tried or not os.access(candidate, os.X_OK):
            continue
        tried.add(candidate)
        answer = subprocess.run(
            [str(candidate), "-I", "-c", _PROBE],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        words = answer.stdout.split(None, 1)
        if answer.returncode == 0 and words[0] == version:
            return words[1].strip()
    return None


def first(versions: tuple[str, ...]) -> str | None:
    """The first of these versions that is there (the version, not its path)."""
    return next((version for version in versions if find(version)), None)


if __name__ == "__main__":
    chosen = first(tuple(sys.argv[1:]))
    if chosen is None:
        sys.exit(1)
    print(find(chosen))

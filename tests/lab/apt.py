# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Debian's archives: the ones this machine installs from, and others for one purpose only."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .errors import LabError

_PATIENCE = 120  # seconds to wait for another apt
_MIRROR = "http://deb.debian.org/debian"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def run(command: str, *arguments: str, options: Sequence[str] = (), cwd: Path | None = None) -> str:
    """Run ``apt-get`` or ``apt-cache`` and return what it prints; ``LabError`` when it fails.

    Held locks are waited for: apt does that itself only for dpkg's own.
    """
    end = time.monotonic() + _PATIENCE
    waiting = ["-o", f"DPkg::Lock::Timeout={_PATIENCE}"]
    while True:
        done = subprocess.run(
            [command, "-q", *waiting, *options, *arguments],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return done.stdout
        if "Could not get lock" not in done.stderr or time.monotonic() > end:
            raise LabError(f"{command} {' '.join(arguments)}: {done.stderr.strip()}")
        time.sleep(1)


@contextmanager
def archive(*suites: str, alone: bool = False) -> Iterator[list[str]]:
    """The options with which apt knows these suites of Debian only, with their packages' lists.

    The machine's own settings stay as they are. With ``alone`` nothing counts as installed.
    """
    with tempfile.TemporaryDirectory(prefix="lab-apt-") as name:
        folder = Path(name)
        (folder / "lists" / "partial").mkdir(parents=True)
        sources = [f"deb [signed-by={_KEYRING}] {_MIRROR} {suite} main\n" for suite in suites]
        (folder / "sources.list").write_text("".join(sources))
        (folder / "status").touch()
        settings = {
            "Dir::Etc::sourcelist": f"{folder}/sources.list",
            "Dir::Etc::sourceparts": "-",
            "Dir::State::lists": f"{folder}/lists",
            "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "",
            "Acquire::Languages": "none",
            "Acquire::Check-Valid-Until": "false",
            "APT::Sandbox::User": "root",
        }
        if alone:
            settings["Dir::State::status"] = f"{folder}/status"
        options = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
        run("apt-get", "update", options=options)
        yield options

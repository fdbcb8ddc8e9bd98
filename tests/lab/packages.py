# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Install Debian packages, quickly when they are there already, and start no services."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from . import apt
from .errors import LabError

POLICY = Path("/usr/sbin/policy-rc.d")
LOCK = Path("/run/imagestore-lxd-lab-install.lock")


def missing(packages: Iterable[str]) -> list[str]:
    """Those of the packages that are not installed."""
    wanted = sorted(set(packages))
    try:
        answer = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *wanted],
            capture_output=True,
            text=True,
            check=False,  # it fails when one of them is unknown
        )
    except FileNotFoundError:
        raise LabError("there is no dpkg-query: the lab runs on Debian 12") from None
    there = {line.split()[0] for line in answer.stdout.splitlines() if line.endswith(" installed")}
    return [package for package in wanted if package not in there]


def install(packages: Iterable[str], *suites: str) -> list[str]:
    """Install what is missing and return it: from these suites of Debian, where any are given.

    The last one of them is preferred. Nothing that is installed is upgraded or replaced.
    """
    packages = list(packages)
    if not missing(packages):
        return []
    with _alone(), _no_services():
        wanted = missing(packages)
        command = ["install", "-y", "--no-install-recommends", "--no-remove", *wanted]
        if wanted and suites:
            with apt.archive(*suites) as options:
                apt.run("apt-get", "-t", suites[-1], *command, options=options)
        elif wanted:
            try:
                apt.run("apt-get", *command)
            except LabError:
                apt.run("apt-get", "update")  # the lists of packages were missing, or old
                apt.run("apt-get", *command)
    return wanted


def unpack(
    packages: Iterable[str], suite: str, folder: Path, finish: Callable[[Path, Path], None]
) -> list[str]:
    """Unpack packages of a suite, and the libraries they need, into a folder; say which.

    Nothing of it is installed. ``finish`` gets the path where it was unpacked, and the one that it
    will have. A folder that is there already is complete, and is left alone.
    """
    if folder.exists():
        return []
    with _alone():
        if folder.exists():
            return []
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            with apt.archive(suite, alone=True) as options:
                wanted = _with_libraries(packages, options)
                apt.run("apt-get", "download", *wanted, options=options, cwd=made)
            for package in made.glob("*.deb"):
                subprocess.run(["dpkg-deb", "-x", package, made], check=True)
                package.unlink()
            finish(made, folder)
            made.chmod(0o755)
            made.rename(folder)
        except subprocess.CalledProcessError as error:
            raise LabError(f"cannot make {folder}: {' '.join(map(str, error.cmd))}") from error
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return wanted


def _with_libraries(packages: Iterable[str], options: list[str]) -> list[str]:
    """The packages, and all packages of libraries that they depend on, directly or not."""
    found = set(packages)
    new = found
    while new:
        answer = apt.run("apt-cache", "depends", "--important", *sorted(new), options=options)
        needed = re.findall(r"^ *\|?Depends: (lib[a-z0-9.+-]+)$", answer, re.MULTILINE)
        new = {name for name in needed if not name.endswith("-common")} - found
        found |= new
    return sorted(found)


@contextmanager
def _alone() -> Iterator[None]:
    """One installation of the lab at a time, by root."""
    if os.geteuid() != 0:
        raise LabError("only root can install packages")
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _no_services() -> Iterator[None]:
    """Keep packages from starting their services, unless this machine has a rule for that."""
    try:
        with POLICY.open("x") as policy:
            policy.write("#!/bin/sh\nexit 101\n")
    except FileExistsError:
        yield
        return
    try:
        POLICY.chmod(0o755)
        yield
    finally:
        POLICY.unlink(missing_ok=True)

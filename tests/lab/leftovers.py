# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a daemon leaves behind: processes of containers, mounts, control groups, files."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from . import processes
from .errors import LabError
from .families import Family
from .processes import Process


def clean(directory: Path, family: Family) -> None:
    """End all processes of the daemon's folder and unmount all that is mounted below it."""
    for process in _processes(directory, family):
        for child in processes.children(process):
            child.end(0)
        process.end(1)
    for point in _mounts(directory):
        subprocess.run(["umount", "--lazy", point], capture_output=True, check=False)


def remove(folder: Path) -> None:
    """Remove a folder, but nothing while something is mounted below it."""
    if points := _mounts(folder):
        raise LabError(f"{folder} is not removed: {points[0]} is still mounted")
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        shutil.rmtree(folder, ignore_errors=True)  # a process was still writing
    if folder.exists():
        raise LabError(f"{folder} cannot be removed")


def _processes(directory: Path, family: Family) -> list[Process]:
    """The daemon, its helpers, and the monitors of its containers."""
    ours = f"{family.directory}={directory}"
    daemon = str(Path(family.daemon[0]).resolve())
    found = []
    for process in processes.everyone():
        line = processes.command_line(process)
        monitor = line[:1] and line[0].startswith(f"[lxc monitor] {directory}/")
        helper = processes.program(process) == daemon
        if monitor or (helper and ours in processes.environment(process)):
            found.append(process)
    return found


def _mounts(folder: Path) -> list[str]:
    """The mount points below a folder, innermost first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), line.split()[4])
        if Path(point).is_relative_to(folder):
            found.append(point)
    return sorted(found, key=len, reverse=True)

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is written down about each server, so that any later process can find and stop it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .errors import LabError
from .processes import Process, ancestors, command_line, known, me

#: One symbolic link a server, to its folder. What is in here is known to ``sweep``.
REGISTRY = Path("/run/imagestore-lxd-lab")
_RECORD = "record.json"
_OURS = ".lab"  # marks a lab folder that the lab itself has made


@dataclass
class Record:
    """One server: how it is started, its daemon's process, and the process it belongs to."""

    name: str
    family: str
    owner: Process
    address: str | None
    debug: bool
    arguments: list[str]
    environment: dict[str, str]
    daemon: Process | None = None
    clustered: bool = False

    def save(self, folder: Path) -> None:
        """Write the record into the server's folder, and the folder into the registry."""
        _write(folder / _RECORD, json.dumps(asdict(self), indent=1))
        REGISTRY.mkdir(mode=0o700, exist_ok=True)
        with suppress(FileExistsError):
            _link(folder).symlink_to(folder)

    @classmethod
    def load(cls, folder: Path) -> Record:
        """The record in a server's folder."""
        try:
            values: dict[str, Any] = json.loads((folder / _RECORD).read_text())
        except (OSError, ValueError) as error:
            raise LabError(f"{folder} is not the folder of a server of the lab: {error}") from error
        values["owner"] = Process(**values["owner"])
        values["daemon"] = values["daemon"] and Process(**values["daemon"])
        return cls(**values)


def owner() -> Process:
    """Who owns the servers of this process: ``LAB_OWNER``, else this process itself."""
    text = os.environ.get("LAB_OWNER")
    if not text:
        return me()
    process = Process.find(int(text)) if text.isdigit() else None
    if process is None:
        raise LabError(f"LAB_OWNER must be the id of a running process, not {text!r}")
    return process


def parent() -> Process:
    """Who owns the servers that a command starts: ``LAB_OWNER``, else the parent process.

    Ansible starts each command from a process of its own, so for Ansible it is the outermost
    process of Ansible that the command was started from.
    """
    if os.environ.get("LAB_OWNER"):
        return owner()
    found = known(os.getppid())
    for process in ancestors():
        words = command_line(process)[:2]  # the interpreter may come first
        if any(Path(word).name.startswith("ansible") for word in words):
            found = process
    return found


def lab_folder(path: Path | None = None) -> Path:
    """A folder for servers: the one given, made where it is missing, or a new temporary one."""
    if path is None:
        base = tempfile.gettempdir()
        # A Unix socket's path has at most 107 characters, and servers make some below this one.
        made = Path(tempfile.mkdtemp(prefix="lab-", dir=base if len(base) <= 40 else "/tmp"))
    else:
        made = path.absolute()
        if len(str(made)) > 60:
            raise LabError(f"{made}: the path is too long for the sockets of servers below it")
        try:
            make_folder(made)
        except FileExistsError:
            return made
        except OSError as error:
            raise LabError(f"cannot make the lab folder: {error}") from error
    made.chmod(0o711)
    (made / _OURS).touch()
    return made


def make_folder(path: Path) -> None:
    """Make a folder that everybody may pass through: containers reach their files that way."""
    path.mkdir()
    path.chmod(0o711)  # whatever the umask is


def is_ours(lab: Path) -> bool:
    """Whether the lab made this folder, and so may remove it with all that is in it."""
    return (lab / _OURS).is_file()


def in_lab(lab: Path) -> list[Path]:
    """The folders of the servers of one lab folder."""
    return sorted(record.parent for record in lab.glob(f"*/{_RECORD}"))


def registered() -> Iterator[Path]:
    """The folders of all servers of this machine; links to what is gone are removed."""
    for link in sorted(REGISTRY.glob("*")) if REGISTRY.is_dir() else ():
        if (link / _RECORD).is_file():
            yield link.readlink()
        elif not link.exists():
            link.unlink(missing_ok=True)


def forget(folder: Path) -> None:
    """Take a server's folder out of the registry."""
    _link(folder).unlink(missing_ok=True)


def _link(folder: Path) -> Path:
    return REGISTRY / str(folder).strip("/").replace("/", "-")


def _write(path: Path, text: str) -> None:
    """Write a file in one step: a reader finds the old or the new text, never half of it."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes of this machine, told apart from later ones that got the same number."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 120  # seconds for a daemon to become ready, which a busy machine may need


@dataclass(frozen=True)
class Process:
    """A process: its id, and its start time in clock ticks after boot."""

    pid: int
    started: int

    @classmethod
    def find(cls, pid: int) -> Process | None:
        """The process that has this id now; ``None`` where there is none, or only a zombie."""
        with suppress(OSError, ValueError):
            # The name in parentheses may hold spaces and parentheses itself.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            if fields[0] not in "ZX":
                return cls(pid, int(fields[19]))
        return None

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return Process.find(self.pid) == self

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens where the process is gone."""
        with self._handle() as handle, suppress(ProcessLookupError):
            if handle is not None:
                signal.pidfd_send_signal(handle, number)

    def wait(self, seconds: float) -> bool:
        """Wait until the process has ended; ``False`` when it had not after so many seconds."""
        with self._handle() as handle:
            if handle is None:
                return True
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            return bool(poll.poll(seconds * 1000))

    def end(self, grace: float) -> None:
        """SIGTERM, and SIGKILL after ``grace`` seconds; returns when the process has ended."""
        self.send(signal.SIGTERM)
        if not self.wait(grace):
            self.send(signal.SIGKILL)
            self.wait(10)

    @contextmanager
    def _handle(self) -> Iterator[int | None]:
        """A file descriptor of this very process, ``None`` where it is gone."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            yield None
            return
        try:
            yield handle if self.alive else None
        finally:
            os.close(handle)


def me() -> Process:
    """The process that runs this code."""
    return known(os.getpid())


def known(pid: int) -> Process:
    """The process with this id, or one that is long gone."""
    return Process.find(pid) or Process(pid, 0)


def everyone() -> Iterator[Process]:
    """All processes of this machine."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (process := Process.find(int(entry.name))):
            yield process


def command_line(process: Process) -> list[str]:
    """The arguments of a process; none where they cannot be read."""
    with suppress(OSError):
        return Path(f"/proc/{process.pid}/cmdline").read_text(errors="replace").split("\0")[:-1]
    return []


def program(process: Process) -> str:
    """The path of the executable of a process; empty where it cannot be read."""
    with suppress(OSError):
        return str(Path(f"/proc/{process.pid}/exe").readlink())
    return ""


def environment(process: Process) -> set[str]:
    """The ``NAME=value`` pairs that a process was started with; none where they cannot be read."""
    with suppress(OSError):
        return set(Path(f"/proc/{process.pid}/environ").read_text(errors="replace").split("\0"))
    return set()


def ancestors() -> Iterator[Process]:
    """The parent of this process, its parent, and so on."""
    pid = os.getppid()
    while pid > 1:
        process = known(pid)
        yield process
        with suppress(OSError, ValueError, IndexError):
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            continue
        return


def children(process: Process) -> Iterator[Process]:
    """The children of a process, and theirs, deepest first."""
    with suppress(OSError):
        for task in Path(f"/proc/{process.pid}/task").iterdir():
            for pid in (task / "children").read_text().split():
                if child := Process.find(int(pid)):
                    yield from children(child)
                    yield child

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the top level of a squashfs with unsquashfs 4.5 or later."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Mapping

from .decompression import CannotUnpack, Output, find_program, run_program

if TYPE_CHECKING:
    from ..deadline import Deadline

MAX_LISTING_BYTES = 1 << 20
MAX_SECONDS = 30

# The default queues take hundreds of MiB.
_LOW_MEMORY = ("-processors", "1", "-data-queue", "8", "-frag-queue", "8")
_ENTRY = re.compile(r"([-a-z])[-a-zA-Z]{9} .* \d\d:\d\d /([^/]+?)(?: -> .*)?$")
_KINDS = {
    "l": "a symbolic link",
    "d": "a directory",
    "p": "a named pipe",
    "b": "a device",
    "c": "a device",
}


@dataclass(frozen=True)
class SquashfsFile:
    """A squashfs. Methods raise CannotUnpack and TimedOut."""

    file: IO[bytes]
    deadline: Deadline

    def top(self) -> Mapping[str, str]:
        """The names at its top level, each with its kind (see ``TarMember``)."""
        listed = self._run("-lln", "-max-depth", "1", "-d", "", limit=MAX_LISTING_BYTES)
        entries = map(_ENTRY.match, listed.output.decode(errors="replace").splitlines())
        return {
            entry[2]: _KINDS.get(entry[1], "" if entry[1] == "-" else "a special file")
            for entry in entries
            if entry
        }

    def content(self, name: str, limit: int) -> bytes:
        """The content of a file, at most ``limit`` bytes."""
        return self._run("-cat", limit=limit, name=name).output[:limit]

    def _run(self, *arguments: str, limit: int, name: str = "") -> Output:
        program = find_program("unsquashfs", "squashfs-tools")
        command = [program, *_LOW_MEMORY, *arguments, f"/proc/self/fd/{self.file.fileno()}"]
        done = run_program(
            [*command, name] if name else command, [self.file], self.deadline, MAX_SECONDS, limit
        )
        if done.status == 0 or len(done.output) > limit:
            return done
        reason = " ".join(done.errors.split())[:200]
        if done.status is None:
            reason = f"it takes unsquashfs more than {MAX_SECONDS} seconds"
        raise CannotUnpack(
            f"unsquashfs cannot read it: {reason}",
            "It may be damaged, or need unsquashfs 4.5 or later.",
        )

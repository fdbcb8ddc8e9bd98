# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the readers of disk formats have in common: bytes of a file within bounds, and the reasons to refuse one."""

from __future__ import annotations

from typing import Iterable, Protocol

MAX_TABLE_BYTES = 16 << 20
"""The tables that map the content of a disk to its file. Only the beginning of larger ones is checked."""

_ELSEWHERE_HINT = (
    "Only a disk that is complete in one file can be imported. Convert it where all its files are:"
    " qemu-img convert -O qcow2 DISK complete.qcow2"
)


class RefusedDisk(Exception):
    """The file cannot be imported as a disk. ``reason`` continues a sentence that begins with the file's name."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason, hint)
        self.reason = reason
        self.hint = hint


class Incomplete(Exception):
    """The bytes are not known, because only the beginning of the file is available."""


class DiskBytes(Protocol):
    """The bytes of a file, perhaps of its beginning only."""

    @property
    def size(self) -> int:
        """The size of the file. Raises Incomplete if it is not known."""

    def at(self, offset: int, size: int) -> bytes:
        """Bytes of the file. Raises RefusedDisk if it ends before, and Incomplete."""


class HeadBytes:
    """The beginning of a file whose rest is unknown."""

    def __init__(self, head: bytes) -> None:
        self._head = head

    @property
    def size(self) -> int:
        raise Incomplete

    def at(self, offset: int, size: int) -> bytes:
        found = self._head[offset : offset + size]
        if len(found) < size:
            raise Incomplete
        return found


def number(content: bytes, offset: int, size: int, order: str = "little") -> int:
    """The unsigned number in these bytes."""
    field = content[offset : offset + size]
    return int.from_bytes(field, "big" if order == "big" else "little")


def leads_elsewhere(what: str) -> RefusedDisk:
    """The reason to refuse a disk that has part of its content in another file."""
    return RefusedDisk(what, _ELSEWHERE_HINT)


def truncated() -> RefusedDisk:
    """The reason to refuse a disk that is not complete."""
    return RefusedDisk(
        "is truncated: its headers refer to content after its end", "Get the file again."
    )


def require_within(ends: Iterable[int], size: int) -> None:
    """Raises RefusedDisk if the file is shorter than the greatest of these offsets."""
    if max(ends, default=0) > size:
        raise truncated()

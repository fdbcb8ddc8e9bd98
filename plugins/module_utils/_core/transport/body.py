# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is sent: bytes and files of known length, or a stream that comes from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Iterable, Iterator, Sequence

from ..errors import FileError
from . import BLOCK


@dataclass(frozen=True)
class Segment:
    """``size`` bytes of an open file, from its beginning."""

    file: IO[bytes]
    size: int

    def blocks(self) -> Iterator[bytes]:
        """The bytes, a block at a time. Raises FileError if the file has become shorter."""
        left = self.size
        self.file.seek(0)
        while left:
            block = self.file.read(min(BLOCK, left))
            if not block:
                raise self.shrunk()
            left -= len(block)
            yield block

    def shrunk(self) -> FileError:
        """What to raise when fewer bytes come out of the file than it had."""
        return FileError(
            f"{getattr(self.file, 'name', 'the file')} became shorter while it was being read"
        )


class Body:
    """A request body of known length: bytes and parts of files, one after the other.

    Its length is ``len``, where requests looks for it. Over a Unix socket its ``parts`` are sent as they are.
    """

    def __init__(self, parts: Sequence[bytes | Segment], content_type: str) -> None:
        self.parts = parts
        self.content_type = content_type
        self.len = sum(part.size if isinstance(part, Segment) else len(part) for part in parts)

    def __iter__(self) -> Iterator[bytes]:
        for part in self.parts:
            if isinstance(part, Segment):
                yield from part.blocks()
            else:
                yield part


class Stream:
    """A request body that comes from elsewhere, in ``blocks``; requests finds its ``len`` only if that is known.

    Raises FileError if then more bytes come, or fewer.
    """

    def __init__(
        self, blocks: Iterable[bytes], content_type: str, length: int | None, frame: int = 0
    ) -> None:
        self._blocks = blocks
        self._frame = frame
        self._sent = 0
        self.content_type = content_type
        if length is not None:
            self.len = length

    @property
    def content(self) -> int:
        """Bytes sent up to now, without the ``frame`` of a form around them."""
        return max(0, self._sent - self._frame)

    def __iter__(self) -> Iterator[bytes]:
        announced = getattr(self, "len", None)
        for block in self._blocks:
            self._sent += len(block)
            if announced is not None and self._sent > announced:
                raise FileError(f"received more than the announced {announced} bytes")
            yield block
        if announced is not None and self._sent < announced:
            raise FileError(f"received {self._sent} bytes instead of the announced {announced}")

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is sent: bytes and files of known length, or a stream that comes from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Callable, Iterable, Iterator, Sequence

from ..errors import FileError
from . import BLOCK


@dataclass(frozen=True)
class Segment:
    """``size`` bytes of an open file, from ``start`` on."""

    file: IO[bytes]
    size: int
    start: int = 0

    def blocks(self) -> Iterator[bytes]:
        """The bytes, a block at a time. Raises FileError if the file has become shorter."""
        left = self.size
        self.file.seek(self.start)
        while left:
            block = self.file.read(min(BLOCK, left))
            if not block:
                raise self.shrunk()
            left -= len(block)
            yield block

    def pieces(self) -> Iterator[Segment]:
        """The same as segments that are no larger than a block."""
        for offset in range(0, self.size, BLOCK):
            yield Segment(self.file, min(BLOCK, self.size - offset), self.start + offset)

    def shrunk(self) -> FileError:
        """What to raise when fewer bytes come out of the file than it had."""
        return FileError(
            f"{getattr(self.file, 'name', 'the file')} became shorter while it was being read"
        )


class Body:
    """A request body of known length: bytes and parts of files, one after the other.

    Its length is ``len``, where requests looks for it. Over a Unix socket its ``pieces`` are sent. ``on_sent`` is
    called when all of it has been handed on, before the server answers.
    """

    def __init__(
        self,
        parts: Sequence[bytes | Segment],
        content_type: str,
        on_sent: Callable[[], object] = lambda: None,
    ) -> None:
        self.parts = parts
        self.content_type = content_type
        self._on_sent = on_sent
        self.sent = 0
        """Bytes read so far."""
        self.len = sum(part.size if isinstance(part, Segment) else len(part) for part in parts)

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces():
            if isinstance(piece, Segment):
                yield from piece.blocks()
            else:
                yield piece

    def pieces(self) -> Iterator[bytes | Segment]:
        """The same for a connection that sends parts of files by itself."""
        for part in self.parts:
            if isinstance(part, Segment):
                for piece in part.pieces():
                    yield piece
                    self.sent += piece.size
            else:
                yield part
                self.sent += len(part)
        self._on_sent()


class Stream:
    """A request body that comes from elsewhere, in ``blocks``; requests finds its ``len`` only if that is known.

    Raises FileError if then more bytes come, or fewer.
    """

    def __init__(
        self, blocks: Iterable[bytes], content_type: str, length: int | None, frame: int = 0
    ) -> None:
        self._blocks = blocks
        self._frame = frame
        self.sent = 0
        self.content_type = content_type
        if length is not None:
            self.len = length

    @property
    def content(self) -> int:
        """Bytes sent up to now, without the ``frame`` of a form around them."""
        return max(0, self.sent - self._frame)

    def __iter__(self) -> Iterator[bytes]:
        announced = getattr(self, "len", None)
        for block in self._blocks:
            self.sent += len(block)
            if announced is not None and self.sent > announced:
                raise FileError(f"received more than the announced {announced} bytes")
            yield block
        if announced is not None and self.sent < announced:
            raise FileError(f"received {self.sent} bytes instead of the announced {announced}")

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the members of an untrusted tar archive: names, types and sizes, and the content of small files.

Not by ``tarfile``, which reads headers of any length into memory, goes on seeking after the end of a stream, and raises
all kinds of exceptions for malformed headers. This reader accepts what servers' ``archive/tar`` does, with its limits.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Iterator, Mapping

from . import ArchiveError, Readable

SECTOR = 512
MAX_EXTENSION_BYTES = 1 << 20
"""Of the headers that hold long names and attributes (``archive/tar``, maxSpecialFileSize)."""

_SKIPPED_BLOCK = 1 << 18

_REGULAR = (b"0", b"\0", b"7")
_SPARSE = b"S"
_PAX, _PAX_GLOBAL = b"x", b"g"
_LONG_NAME, _LONG_LINK = b"L", b"K"
_WITHOUT_CONTENT = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"5": "a directory",
    b"6": "a named pipe",
}


@dataclass(frozen=True)
class TarMember:
    """One member; ``kind`` describes what it is (``a symbolic link``), and is empty for a regular file."""

    name: str
    size: int
    kind: str = ""


class TarReader:
    """Iterates the members of a stream. Raises ArchiveError, and whatever the stream raises."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[TarMember]:
        extension: dict[str, str] = {}
        first = True
        while True:
            self._skip()
            header = self._header(first)
            if header is None:
                return
            first = False
            kind, size = header[156:157], _number(header[124:136])
            if kind in (_PAX, _LONG_NAME, _LONG_LINK):
                extension.update(self._extension(kind, size))
                continue
            if kind == _PAX_GLOBAL:
                # Ignored, as servers do.
                self._begin(size)
                continue
            yield self._member(header, kind, size, extension)
            extension = {}

    def content(self, limit: int) -> bytes:
        """The content of the current member, at most ``limit`` bytes."""
        return self._exactly(min(limit, self._left))

    def _member(
        self, header: bytes, kind: bytes, size: int, extension: Mapping[str, str]
    ) -> TarMember:
        if kind == _SPARSE:
            self._skip_sparse_map(header)
        if extension.get("size", "").isdigit() and len(extension["size"]) < 20:
            size = int(extension["size"])
        words = _WITHOUT_CONTENT.get(kind, "" if kind in _REGULAR else "a special file")
        is_sparse = kind == _SPARSE or any(key.startswith("GNU.sparse.") for key in extension)
        self._begin(0 if kind in _WITHOUT_CONTENT else size)
        name = extension.get("GNU.sparse.name") or extension.get("path") or _name(header)
        return TarMember(name, self._left, "a sparse file" if is_sparse else words)

    def _header(self, first: bool) -> bytes | None:
        """The next header; None at the end of the archive."""
        header = self._up_to(SECTOR)
        if not header.strip(b"\0"):
            if first and not header:
                raise ArchiveError("it is empty")
            return None
        if len(header) < SECTOR:
            raise ArchiveError("it ends within a header")
        if not _has_right_sum(header):
            raise ArchiveError(
                "it is not a tar archive" if first else "a header has a wrong checksum"
            )
        return header

    def _extension(self, kind: bytes, size: int) -> Mapping[str, str]:
        """The fields of an extended header, which describe the next member."""
        if size > MAX_EXTENSION_BYTES:
            raise ArchiveError(f"a header of {size} bytes is longer than {MAX_EXTENSION_BYTES}")
        self._begin(size)
        content = self._exactly(size)
        if kind == _PAX:
            return dict(_pax_records(content))
        return {"path": _text(content)} if kind == _LONG_NAME else {}

    def _skip_sparse_map(self, header: bytes) -> None:
        more = header[482:483]
        while more.strip(b"\0"):
            sector = self._up_to(SECTOR)
            if len(sector) < SECTOR:
                raise ArchiveError("it ends within a header")
            more = sector[504:505]

    def _begin(self, size: int) -> None:
        self._left, self._padding = size, -size % SECTOR

    def _skip(self) -> None:
        """Go on to the next header."""
        left = self._left + self._padding
        self._begin(0)
        while left:
            block = self._stream.read(min(left, _SKIPPED_BLOCK))
            if not block:
                raise ArchiveError("it ends within a member")
            left -= len(block)

    def _exactly(self, size: int) -> bytes:
        content = self._up_to(size)
        self._left -= len(content)
        if len(content) < size:
            raise ArchiveError("it ends within a member")
        return content

    def _up_to(self, size: int) -> bytes:
        """This number of bytes, or fewer at the end of the stream."""
        blocks = []
        while size:
            block = self._stream.read(size)
            if not block:
                break
            blocks.append(block)
            size -= len(block)
        return b"".join(blocks)


def _has_right_sum(header: bytes) -> bool:
    """The sum is of the header with spaces in place of the sum; some programs add signed bytes."""
    summed = header[:148] + b" " * 8 + header[156:]
    signed = sum(summed) - 256 * sum(byte > 127 for byte in summed)
    try:
        return _number(header[148:156]) in (sum(summed), signed)
    except ArchiveError:
        return False


def _number(field: bytes) -> int:
    """A number of a header: octal digits, or binary where the first bit is set."""
    if field[0] & 0x80:
        number = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        if field[0] & 0x40 or number >= 1 << 63:
            raise ArchiveError("a header has a negative or impossible number")
        return number
    digits = field.split(b"\0", 1)[0].strip(b" ")
    if digits.strip(b"01234567"):
        raise ArchiveError("a header has an invalid number")
    return int(digits or b"0", 8)


def _name(header: bytes) -> str:
    name, prefix = _text(header[:100]), _text(header[345:500])
    # GNU tar has other things in the place of the prefix, and another magic number.
    return f"{prefix}/{name}" if prefix and header[257:263] == b"ustar\0" else name


def _text(field: bytes) -> str:
    return os.fsdecode(field.split(b"\0", 1)[0])


def _pax_records(content: bytes) -> Iterator[tuple[str, str]]:
    """Keys and values of the records ``LENGTH KEY=VALUE``."""
    start = 0
    while start < len(content):
        digits, space, _rest = content[start : start + 20].partition(b" ")
        length = int(digits) if digits.isdigit() and space else 0
        record = content[start + len(digits) + 1 : start + length]
        if length <= len(digits) + 1 or not record.endswith(b"\n") or b"=" not in record:
            raise ArchiveError("an extended header is malformed")
        key, _equals, value = record[:-1].partition(b"=")
        yield os.fsdecode(key), os.fsdecode(value)
        start += length

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Zip files with one member, as some vendors pack disks."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Iterator

from ..archives import ArchiveError, Readable
from .disk_bytes import RefusedDisk

if TYPE_CHECKING:
    from ..deadline import Deadline

MAX_DIRECTORY_BYTES = 1 << 17
"""Of the directory at the end, which ``zipfile`` reads as a whole."""

_ENCRYPTED = 1


@contextmanager
def zip_member(file: IO[bytes], deadline: Deadline) -> Iterator[Readable]:
    """The content of the only file in a zip file. Reads raise ArchiveError if it is damaged, and TimedOut.

    Raises RefusedDisk if it is encrypted, in a compression that is not usual, or not the only one.
    """
    import zipfile

    source = _Source(file, deadline)
    try:
        archive = zipfile.ZipFile(source)
        members = [member for member in archive.infolist() if not member.is_dir()]
    except _damage() as error:
        # It begins as one, whatever ``zipfile`` says.
        lost = "File is not a zip file" in str(error)
        reason = "its directory, which is at the end, is missing" if lost else error
        raise RefusedDisk(f"is a damaged zip file: {reason}", "Get the file again.") from error
    if len(members) != 1:
        raise RefusedDisk(
            f"is a zip file with {len(members) or 'no'} files", "Unpack it, and use the disk in it."
        )
    if members[0].flag_bits & _ENCRYPTED:
        raise RefusedDisk("is an encrypted zip file", "Unpack it, and use the disk in it.")
    if members[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise RefusedDisk(
            "is a zip file in an unusual compression", "Unpack it, and use the disk in it."
        )
    source.limit = None
    try:
        with archive.open(members[0]) as stream:
            yield _Member(stream)
    except _damage() as error:
        raise ArchiveError(str(error)) from error


def _damage() -> tuple[type[Exception], ...]:
    """What ``zipfile`` raises for a damaged file."""
    import struct
    import zipfile
    import zlib

    return (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        OSError,
        NotImplementedError,
        ValueError,
        UnicodeDecodeError,
    )


class _Member:
    """The content of a member, whose errors are ArchiveError."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except _damage() as error:
            raise ArchiveError(str(error)) from error


class _Source:
    """The file as ``zipfile`` wants it, with a position of its own. No read may be longer than ``limit``."""

    def __init__(self, file: IO[bytes], deadline: Deadline) -> None:
        self._number = file.fileno()
        self._size = os.fstat(self._number).st_size
        self._deadline = deadline
        self._offset = 0
        self.limit: int | None = MAX_DIRECTORY_BYTES

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._offset

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._offset, os.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError("it refers to content before its beginning")
        self._offset = start + offset
        return self._offset

    def read(self, size: int = -1) -> bytes:
        self._deadline.left()
        wanted = size if size >= 0 else max(0, self._size - self._offset)
        if self.limit is not None and wanted > self.limit:
            raise OSError("its directory is too long")
        block = os.pread(self._number, wanted, self._offset)
        self._offset += len(block)
        return block

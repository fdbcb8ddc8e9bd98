# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Temporary files without a name, which disappear when the process ends, even if it is killed."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Iterator

from ..errors import FileError, ImageStoreError

if TYPE_CHECKING:
    from ..archives import Readable
    from ..deadline import Deadline

KEPT_FREE = 64 << 20
"""Bytes of the file system that always remain free."""

_BLOCK = 1 << 20
_SPARSE_BLOCK = 1 << 16
_CHECK_EVERY = 64 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Workspace:
    """A directory for temporary files."""

    directory: str

    @contextmanager
    def file(self) -> Iterator[IO[bytes]]:
        """A new file, which is deleted at the end of the context or of the process. Raises FileError."""
        try:
            file = tempfile.TemporaryFile(dir=self.directory, buffering=0)  # noqa: SIM115  # closed below
        except OSError as error:
            raise FileError(
                f"cannot use the directory {self.directory} for temporary files: {error.strerror}"
            ) from error
        with file:
            yield file

    def require(self, size: int, purpose: str) -> None:
        """Raises FileError if there is not enough room for this number of bytes."""
        if self.spare < size:
            raise self._too_small(f"{purpose} takes {_mib(size)} MiB")

    @property
    def spare(self) -> int:
        """Bytes that temporary files may still take."""
        status = os.statvfs(self.directory)
        return max(0, status.f_bavail * status.f_frsize - KEPT_FREE)

    def full(self, purpose: str) -> FileError:
        """The error for something that takes more room than there is."""
        return self._too_small(f"{purpose} takes more room than there is")

    def _too_small(self, what: str) -> FileError:
        return FileError(
            f"{what}, and the directory {self.directory} has {self.spare >> 20} MiB to spare",
            "Free some space there, or set Ansible's remote_tmp to a directory with more.",
        )

    def fill(self, target: IO[bytes], content: bytes, purpose: str) -> None:
        """Write all of a new file. Raises FileError, also if the file system is full."""
        left = memoryview(content)
        try:
            while left:
                left = left[target.write(left) :]
        except OSError as error:
            raise self.error(error, purpose) from error

    def write(self, source: Readable, target: IO[bytes], purpose: str, deadline: Deadline) -> int:
        """Write a stream to a file as a sparse file. Returns the number of bytes of the stream.

        Raises FileError before the file system is full. Raises whatever the stream raises, and
        TimedOut.
        """
        size, unchecked = 0, 0
        try:
            while True:
                deadline.left()
                if not unchecked:
                    if not self.spare:
                        raise self.full(purpose)
                    unchecked = _CHECK_EVERY
                block = source.read(_BLOCK)
                if not block:
                    os.truncate(target.fileno(), size)
                    return size
                unchecked = max(0, unchecked - _write_sparsely(target, block, size))
                size += len(block)
        except OSError as error:
            raise self.error(error, purpose) from error

    def error(self, error: OSError, purpose: str) -> ImageStoreError:
        """What to raise for an error of the file system."""
        if error.errno in _FULL:
            return self.full(purpose)
        return FileError(f"cannot write to {self.directory}: {error.strerror}")


def discard_after(reader: threading.Thread | None, file: IO[bytes]) -> None:
    """Free the space of a temporary file in the background, when a thread has ended that reads it.

    To free a GiB takes a tenth of a second, for which nobody has to wait while a server is at work.
    """
    # Of its own: the file may be closed meanwhile, and another get its number.
    number = os.dup(file.fileno())

    def run() -> None:
        if reader:
            reader.join()
        os.ftruncate(number, 0)
        os.close(number)

    threading.Thread(target=run, daemon=True).start()


def _write_sparsely(target: IO[bytes], block: bytes, offset: int) -> int:
    """Write a block, except pieces that are all zeros. Returns the number of bytes written."""
    written = 0
    view = memoryview(block)
    for start in range(0, len(block), _SPARSE_BLOCK):
        piece = view[start : start + _SPARSE_BLOCK]
        if piece == _ZEROS[: len(piece)]:
            continue
        done = 0
        while done < len(piece):
            done += os.pwrite(target.fileno(), piece[done:], offset + start + done)
        written += done
    return written


_ZEROS = bytes(_SPARSE_BLOCK)


def _mib(size: int) -> int:
    return -(-size // (1 << 20))

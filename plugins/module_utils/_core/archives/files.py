# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The open file or files of one image, and their fingerprint."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from typing import IO, TYPE_CHECKING, Sequence

from ..errors import FileError

if TYPE_CHECKING:
    from ..deadline import Deadline

BLOCK = 1 << 20


class ImageFiles:
    """The open file or files of one image: a unified one, or metadata and rootfs. A context manager.

    They stay the same files if their paths are replaced. All reading ends with ``deadline``. Raises FileError and
    TimedOut.
    """

    def __init__(self, *paths: str, deadline: Deadline) -> None:
        self.paths = paths
        self.deadline = deadline
        self.files: list[IO[bytes]] = []
        try:
            deadline.call(self._open)
        except BaseException:
            self.close()
            raise
        self.sizes = tuple(os.fstat(file.fileno()).st_size for file in self.files)

    @classmethod
    def of_open(
        cls, names: tuple[str, ...], files: Sequence[IO[bytes]], deadline: Deadline
    ) -> ImageFiles:
        """Of files that are open already, with their names in messages and in what is sent."""
        opened = cls(deadline=deadline)
        opened.paths = names
        opened.files = list(files)
        opened.sizes = tuple(os.fstat(file.fileno()).st_size for file in files)
        return opened

    def _open(self) -> None:
        for path in self.paths:
            self.files.append(_opened(path))

    def __str__(self) -> str:
        return " and ".join(self.paths)

    def __enter__(self) -> ImageFiles:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close them."""
        for file in self.files:
            file.close()

    @property
    def size(self) -> int:
        """The total number of bytes, which is what LXD calls an image's size."""
        return sum(self.sizes)

    def digest(self) -> str:
        """The image's fingerprint: the SHA-256 of the unified file, or of metadata and then rootfs."""
        return Digest(self).result()


class Digest(threading.Thread):
    """Computes the fingerprint in a thread, while others may read the files.

    With ``number``, it is the digest of only that file; with ``algorithm``, another than SHA-256. It begins when
    ``after`` has ended, so that both take one processor.
    """

    def __init__(
        self,
        files: ImageFiles,
        number: int | None = None,
        algorithm: str = "sha256",
        after: Digest | None = None,
    ) -> None:
        super().__init__(daemon=True)
        self._after = after
        self._files = files
        self._read = slice(None) if number is None else slice(number, number + 1)
        self._hash = hashlib.new(algorithm)
        self._error: OSError | None = None
        self.start()

    def run(self) -> None:
        """Read the files once. (Called by the thread.)"""
        files = self._files
        if self._after:
            self._after.join()
        buffer = memoryview(bytearray(BLOCK))
        try:
            for file, size in zip(files.files[self._read], files.sizes[self._read]):
                offset = 0
                while offset < size and not files.deadline.passed:
                    # Positioned reads do not move the offset of the file, which may be being sent.
                    count = os.preadv(file.fileno(), [buffer[: size - offset]], offset)
                    if not count:
                        raise OSError("it became shorter while it was being read")
                    self._hash.update(buffer[:count])
                    offset += count
                if os.fstat(file.fileno()).st_size != size:
                    raise OSError("it became longer while it was being read")
        except OSError as error:
            self._error = error
        except ValueError:
            # Another error has ended the task, and the fingerprint is not needed.
            self._error = OSError("it was closed while it was being read")

    def result(self) -> str:
        """Wait for the fingerprint. Raises FileError and TimedOut."""
        deadline = self._files.deadline
        deadline.join(self)
        if self._error:
            raise FileError(
                f"cannot read {self._files}: {self._error.strerror or self._error}"
            ) from self._error
        # The thread stops reading when the time is over.
        deadline.left()
        return self._hash.hexdigest()


def _opened(path: str) -> IO[bytes]:
    try:
        # Checked before it is opened, because opening a device may have side effects.
        _require_content(path, os.stat(path))
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        hint = "Files with remote_src are those of the managed host."
        raise FileError(
            f"cannot read {path}: {error.strerror}",
            hint if isinstance(error, FileNotFoundError) else "",
        ) from error
    except ValueError as error:
        raise FileError(f"cannot read {path!r}: it is not a valid file name") from error
    try:
        _require_content(path, os.fstat(number))
    except FileError:
        os.close(number)
        raise
    return os.fdopen(number, "rb", buffering=0)


def _require_content(path: str, state: os.stat_result) -> None:
    """Raises FileError unless it is a regular file that is not empty."""
    if not stat.S_ISREG(state.st_mode):
        kind = "a directory" if stat.S_ISDIR(state.st_mode) else "not a regular file"
        raise FileError(f"{path} is {kind}", "Use an image file.")
    if not state.st_size:
        raise FileError(f"{path} is empty", "Use an image file.")

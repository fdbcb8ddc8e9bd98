# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file or files of one image, held open, and their fingerprint."""

from __future__ import annotations

import os
import stat
import threading
from hashlib import sha256
from typing import IO

from ..errors import FileError

BLOCK = 1 << 20


class ImageFiles:
    """The open file or files of one image: a unified one, or metadata and rootfs. A context manager.

    What is open stays the same file, whatever becomes of its path. Raises FileError.
    """

    def __init__(self, *paths: str) -> None:
        self.paths = paths
        self.files: list[IO[bytes]] = []
        try:
            for path in paths:
                self.files.append(_opened(path))
        except FileError:
            self.close()
            raise
        self.sizes = tuple(os.fstat(file.fileno()).st_size for file in self.files)

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
        """Bytes in all, which is what LXD calls an image's size."""
        return sum(self.sizes)

    def digest(self) -> str:
        """The image's fingerprint: the SHA-256 of the unified file, or of metadata and then rootfs."""
        return Digest(self).result()


class Digest(threading.Thread):
    """Takes the fingerprint in a thread of its own, beside whatever else reads the files.

    With ``number`` it is the SHA-256 of that one of the files alone.
    """

    def __init__(self, files: ImageFiles, number: int | None = None) -> None:
        super().__init__(daemon=True)
        self._files = files
        self._read = slice(None) if number is None else slice(number, number + 1)
        self._hash = sha256()
        self._error: OSError | None = None
        self.start()

    def run(self) -> None:
        """Read the files once. (Called by the thread.)"""
        buffer = memoryview(bytearray(BLOCK))
        try:
            for file, size in zip(self._files.files[self._read], self._files.sizes[self._read]):
                offset = 0
                while offset < size:
                    # Positioned reads leave the file's own position to who sends it meanwhile.
                    count = os.preadv(file.fileno(), [buffer[: size - offset]], offset)
                    if not count:
                        raise OSError("it became shorter while it was read")
                    self._hash.update(buffer[:count])
                    offset += count
        except OSError as error:
            self._error = error
        except ValueError:
            # Something else went wrong, and nobody wants the fingerprint any more.
            self._error = OSError("it was closed while it was read")

    def result(self) -> str:
        """The fingerprint, once all is read. Raises FileError."""
        self.join()
        if self._error:
            raise FileError(
                f"cannot read {self._files}: {self._error.strerror or self._error}"
            ) from self._error
        return self._hash.hexdigest()


def _opened(path: str) -> IO[bytes]:
    try:
        # Without waiting, should it be a pipe.
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise FileError(
            f"cannot read {path}: {error.strerror}", "It must be on the managed host."
        ) from error
    state = os.fstat(number)
    if stat.S_ISREG(state.st_mode) and state.st_size:
        return os.fdopen(number, "rb", buffering=0)
    os.close(number)
    if stat.S_ISREG(state.st_mode):
        raise FileError(f"{path} is empty", "Give an image file.")
    kind = "a directory" if stat.S_ISDIR(state.st_mode) else "not a regular file"
    raise FileError(f"{path} is {kind}", "Give an image file.")

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An image as a directory, packed into an archive that is the same for the same tree on every machine.

Names are sorted, owners are numbers, times are those of the last change in whole seconds; hard and symbolic links,
devices and extended attributes are kept. Names are bytes throughout, so that the locale does not matter. LXD unpacks
such archives with GNU tar (``shared/archive.go``).
"""

from __future__ import annotations

import errno
import os
import stat
from hashlib import sha256
from typing import Iterator

from ..errors import FileError
from .archive_scan import MAX_METADATA_BYTES, check_metadata
from .tar_headers import END, HARD_LINK, header, padding, type_of

BLOCK = 1 << 20
_METADATA, _ROOTFS, _TEMPLATES = _MEMBERS = (b"metadata.yaml", b"rootfs", b"templates")


class ImageDirectory:
    """A directory with an image in it: ``metadata.yaml``, ``rootfs/`` and perhaps ``templates/``.

    Raises FileError if it is no such directory.
    """

    def __init__(self, path: str) -> None:
        self.path = path.rstrip("/") or "/"
        self._left_out: list[str] = []
        self._root = os.fsencode(self.path)
        self._check_metadata()
        if not self._has_directory(_ROOTFS):
            raise FileError(f"{path} is a directory without rootfs/", _HINT)
        self._has_directory(_TEMPLATES)

    def __str__(self) -> str:
        return self.path

    def archive(self) -> Iterator[bytes]:
        """The tree as an archive that is not compressed, in blocks. Raises FileError if it cannot be read."""
        return _in_blocks(self._pieces())

    def digest(self) -> str:
        """The SHA-256 of that archive, by which the same tree is known again."""
        digest = sha256()
        for block in self.archive():
            digest.update(block)
        return digest.hexdigest()

    @property
    def remark(self) -> str:
        """What has to be said of the archive, once it was read; mostly nothing."""
        if not self._left_out:
            return ""
        more = len(self._left_out) - _SHOWN
        names = ", ".join(self._left_out[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
        return f"Sockets in {self} are left out, since no archive can hold them: {names}."

    def _pieces(self) -> Iterator[bytes]:
        self._left_out = []
        links: dict[tuple[int, int], bytes] = {}
        # The next one is the last. No recursion: a tree may be deeper than Python's stack.
        waiting = [name for name in reversed(_MEMBERS) if os.path.lexists(self._place(name))]
        while waiting:
            name = waiting.pop()
            place = self._place(name)
            try:
                state = os.lstat(place)
                yield from self._member(name, place, state, links)
                if stat.S_ISDIR(state.st_mode):
                    below = sorted(os.listdir(place), reverse=True)
                    waiting += [name + b"/" + entry for entry in below]
            except OSError as error:
                hint = (
                    "Run the task as root (become: true)."
                    if isinstance(error, PermissionError)
                    else ""
                )
                raise FileError(
                    f"cannot pack {os.fsdecode(place)}: {error.strerror}", hint
                ) from error
        yield END

    def _member(
        self,
        name: bytes,
        place: bytes,
        state: os.stat_result,
        links: dict[tuple[int, int], bytes],
    ) -> Iterator[bytes]:
        """One entry, without what is below it."""
        kind = type_of(state)
        if kind is None:
            self._left_out.append(os.fsdecode(name))
            return
        if stat.S_ISDIR(state.st_mode):
            yield header(name + b"/", kind, state, attributes=_extended_attributes(place))
            return
        if state.st_nlink > 1:
            first = links.setdefault((state.st_dev, state.st_ino), name)
            if first != name:
                yield header(name, HARD_LINK, state, target=first)
                return
        is_file = stat.S_ISREG(state.st_mode)
        size = state.st_size if is_file else 0
        target = os.readlink(place) if stat.S_ISLNK(state.st_mode) else b""
        yield header(name, kind, state, size, target, _extended_attributes(place))
        if is_file:
            yield from _content(place, state)

    def _place(self, name: bytes) -> bytes:
        return self._root + b"/" + name

    def _has_directory(self, name: bytes) -> bool:
        """Whether there is a directory of this name. Raises FileError if it is something else."""
        try:
            mode = os.lstat(self._place(name)).st_mode
        except OSError:
            return False
        if not stat.S_ISDIR(mode):
            raise FileError(f"{os.fsdecode(self._place(name))} is not a directory", _HINT)
        return True

    def _check_metadata(self) -> None:
        place = self._place(_METADATA)
        path = os.fsdecode(place)
        try:
            state = os.lstat(place)
            if not stat.S_ISREG(state.st_mode):
                raise FileError(f"{path} is not a regular file", _HINT)
            if state.st_size > MAX_METADATA_BYTES:
                raise FileError(f"{path} has {state.st_size} bytes, which is too much", _HINT)
            content = b"".join(_content(place, state))[: state.st_size]
        except FileNotFoundError as error:
            raise FileError(f"{self.path} is a directory without metadata.yaml", _HINT) from error
        except OSError as error:
            raise FileError(f"cannot read {path}: {error.strerror}") from error
        check_metadata(self.path, content)


_HINT = (
    "A directory with an image holds metadata.yaml and rootfs/, and templates/ if there are any."
)

_SHOWN = 5

_OF_THE_PLACE = (b"security.selinux",)
"""Extended attributes that a file has for where it lies, by the rules of its machine, and not for what it is."""


def _extended_attributes(place: bytes) -> dict[bytes, bytes]:
    try:
        names = map(os.fsencode, os.listxattr(place, follow_symlinks=False))
        return {
            name: os.getxattr(place, name, follow_symlinks=False)
            for name in names
            if name not in _OF_THE_PLACE
        }
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return {}
        raise


def _in_blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in blocks of some size: a tree of small files comes in a great many pieces."""
    gathered: list[bytes] = []
    size = 0
    for piece in pieces:
        gathered.append(piece)
        size += len(piece)
        if size >= BLOCK:
            yield b"".join(gathered)
            gathered, size = [], 0
    yield b"".join(gathered)


def _content(place: bytes, state: os.stat_result) -> Iterator[bytes]:
    """The content of a file, padded as archives have it.

    Raises FileError if it is no longer as it was: then the archive would hold something that never was in the tree.
    """
    left = state.st_size
    # What was a file a moment ago may be a link or a pipe by now.
    number = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        while left:
            block = os.read(number, min(BLOCK, left))
            if not block:
                break
            left -= len(block)
            yield block
        if left or _version(os.fstat(number)) != _version(state):
            raise FileError(
                f"{os.fsdecode(place)} changed while it was packed",
                "Run the task again when nobody writes there.",
            )
    finally:
        os.close(number)
    yield padding(state.st_size)


def _version(state: os.stat_result) -> tuple[int, ...]:
    """What differs if another file is there, or another content."""
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns

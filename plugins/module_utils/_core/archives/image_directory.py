# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An image as a directory, packed into an archive that is the same for the same tree on every machine.

Names are sorted, owners are numbers, times are those of the last change in whole seconds; hard and symbolic links,
devices and extended attributes are kept. Names are bytes throughout, so that the locale does not matter. LXD unpacks
them with GNU tar (``shared/archive.go``).

The directory may belong to a user who changes it while root reads it. So everything is opened relative to the
descriptor of its directory, and no symbolic link is followed.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Iterator

from ..errors import FileError
from ..yaml_reader import MAX_BYTES
from .archive_scan import check_metadata
from .tar_headers import END, HARD_LINK, header, padding, type_of

if TYPE_CHECKING:
    from ..deadline import Deadline

BLOCK = 1 << 20
_METADATA, _ROOTFS, _TEMPLATES = _MEMBERS = (b"metadata.yaml", b"rootfs", b"templates")

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class ImageDirectory:
    """A directory with an image in it: ``metadata.yaml``, ``rootfs/`` and perhaps ``templates/``.

    All reading ends with ``deadline``. Raises FileError if it is no such directory, and TimedOut.
    """

    def __init__(self, path: str, deadline: Deadline) -> None:
        self.path = path.rstrip("/") or "/"
        self._deadline = deadline
        self._sockets: list[str] = []
        deadline.call(self._check)

    def __str__(self) -> str:
        return self.path

    def archive(self) -> Iterator[bytes]:
        """The tree as an archive without compression, in blocks. Raises FileError if it cannot be read, TimedOut."""
        return self._deadline.iterate(_in_blocks(self._pieces()))

    def digest(self) -> str:
        """The SHA-256 of that archive, by which an unchanged directory is recognized."""
        digest = sha256()
        for block in self.archive():
            digest.update(block)
        return digest.hexdigest()

    @property
    def warning(self) -> str:
        """A warning about what the archive lacks, known once it has been read; usually empty."""
        if not self._sockets:
            return ""
        more = len(self._sockets) - _SHOWN
        names = ", ".join(self._sockets[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
        return f"Sockets in {self} are left out, since no archive can hold them: {names}."

    def _check(self) -> None:
        """Raises FileError if metadata.yaml or rootfs/ is missing or wrong."""
        with self._opened() as root:
            self._check_metadata(root)
            if not self._has_directory(root, _ROOTFS):
                raise FileError(f"{self} is a directory without rootfs/", _HINT)
            self._has_directory(root, _TEMPLATES)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The descriptor of the directory itself, whose path may be a symbolic link. Raises FileError."""
        try:
            root = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _cannot("read", self.path, error) from error
        try:
            yield root
        finally:
            os.close(root)

    def _pieces(self) -> Iterator[bytes]:
        self._sockets = []
        links: dict[tuple[int, int], bytes] = {}
        with self._opened() as root:
            walk = _Walk(self.path, root, [name for name in _MEMBERS if _is_in(root, name)])
            try:
                for entry in walk.entries():
                    try:
                        yield from self._member(walk, entry, links)
                    except OSError as error:
                        raise _cannot("pack", _path(self.path, entry.name), error) from error
            finally:
                walk.close()
        yield END

    def _member(
        self, walk: _Walk, entry: _Entry, links: dict[tuple[int, int], bytes]
    ) -> Iterator[bytes]:
        """The archive's bytes for one entry. The content of a directory comes in the next entries."""
        state, name = entry.state, entry.name
        kind = type_of(state)
        if kind is None:
            self._sockets.append(os.fsdecode(name))
        elif stat.S_ISDIR(state.st_mode):
            descriptor = walk.enter(entry)
            yield header(name + b"/", kind, state, attributes=_extended_attributes(descriptor))
        elif state.st_nlink > 1 and links.setdefault(_identity(state), name) != name:
            yield header(name, HARD_LINK, state, target=links[_identity(state)])
        elif stat.S_ISREG(state.st_mode):
            yield from self._file(kind, entry)
        else:
            is_link = stat.S_ISLNK(state.st_mode)
            target = os.readlink(entry.base, dir_fd=entry.folder) if is_link else b""
            # These cannot be opened. This path leads through the descriptor of their directory, so it is as safe.
            place = b"/proc/self/fd/%d/%b" % (entry.folder, entry.base)
            yield header(name, kind, state, target=target, attributes=_extended_attributes(place))

    def _file(self, kind: bytes, entry: _Entry) -> Iterator[bytes]:
        """A file's header and content, padded as archives have it.

        Raises FileError if the file has changed: the archive would have a content that the file never had.
        """
        state, left = entry.state, entry.state.st_size
        descriptor = os.open(entry.base, _FILE, dir_fd=entry.folder)
        try:
            self._require_unchanged(entry, os.fstat(descriptor))
            attributes = _extended_attributes(descriptor)
            yield header(entry.name, kind, state, left, attributes=attributes)
            while left:
                block = os.read(descriptor, min(BLOCK, left))
                if not block:
                    break
                left -= len(block)
                yield block
            self._require_unchanged(entry, os.fstat(descriptor), left)
        finally:
            os.close(descriptor)
        yield padding(state.st_size)

    def _require_unchanged(self, entry: _Entry, state: os.stat_result, left: int = 0) -> None:
        if left or _version(state) != _version(entry.state):
            raise _changed(self.path, entry.name)

    def _has_directory(self, root: int, name: bytes) -> bool:
        """Whether there is a directory of this name. Raises FileError if it is anything else."""
        if not _is_in(root, name):
            return False
        if not stat.S_ISDIR(os.stat(name, dir_fd=root, follow_symlinks=False).st_mode):
            raise FileError(f"{_path(self.path, name)} is not a directory", _HINT)
        return True

    def _check_metadata(self, root: int) -> None:
        path = _path(self.path, _METADATA)
        try:
            state = os.stat(_METADATA, dir_fd=root, follow_symlinks=False)
            if not stat.S_ISREG(state.st_mode):
                kind = "a symbolic link" if stat.S_ISLNK(state.st_mode) else "something else"
                raise FileError(f"{path} is {kind}, not a regular file", _HINT)
            if state.st_size > MAX_BYTES:
                raise FileError(f"{path} has {state.st_size} bytes, more than {MAX_BYTES}", _HINT)
            with open(os.open(_METADATA, _FILE, dir_fd=root), "rb") as file:
                content = file.read(MAX_BYTES)
        except FileNotFoundError as error:
            raise FileError(f"{self.path} is a directory without metadata.yaml", _HINT) from error
        except OSError as error:
            raise _cannot("read", path, error) from error
        check_metadata(self.path, content)


@dataclass(frozen=True)
class _Entry:
    """One name in the tree: ``name`` is its path from the top, ``base`` its name in the directory ``folder``."""

    name: bytes
    base: bytes
    folder: int
    state: os.stat_result


@dataclass
class _Folder:
    """The current directory or a parent; ``waiting`` has the names not visited yet, the next one last."""

    name: bytes
    waiting: list[bytes]
    identity: tuple[int, int]


class _Walk:
    """Visits a tree, each directory before its content, with at most two open descriptors and no recursion.

    A tree may have more levels than a process may have descriptors. So a parent is opened as ``..`` again, and has to
    be the directory that was left for the child.
    """

    def __init__(self, path: str, root: int, names: list[bytes]) -> None:
        self._path = path
        self._current = os.dup(root)
        self._way = [_Folder(b"", names[::-1], _identity(os.fstat(root)))]

    def close(self) -> None:
        """Close the descriptor of the current directory."""
        os.close(self._current)

    def entries(self) -> Iterator[_Entry]:
        """All entries. The content of a directory is visited only if it was entered. Raises FileError."""
        while True:
            folder = self._way[-1]
            name = folder.name
            try:
                if folder.waiting:
                    base = folder.waiting.pop()
                    name = folder.name + b"/" + base if folder.name else base
                    state = os.stat(base, dir_fd=self._current, follow_symlinks=False)
                    yield _Entry(name, base, self._current, state)
                elif len(self._way) > 1:
                    self._way.pop()
                    self._move(b"..", self._way[-1].identity, name)
                else:
                    return
            except OSError as error:
                raise _cannot("pack", _path(self._path, name), error) from error

    def enter(self, entry: _Entry) -> int:
        """Visit the content of a directory next; its descriptor."""
        self._move(entry.base, _identity(entry.state), entry.name)
        below = sorted(map(os.fsencode, os.listdir(self._current)), reverse=True)
        self._way.append(_Folder(entry.name, below, _identity(entry.state)))
        return self._current

    def _move(self, base: bytes, identity: tuple[int, int], name: bytes) -> None:
        descriptor = os.open(base, _DIRECTORY, dir_fd=self._current)
        os.close(self._current)
        self._current = descriptor
        if _identity(os.fstat(descriptor)) != identity:
            raise _changed(self._path, name)


_HINT = (
    "A directory with an image holds metadata.yaml and rootfs/, and templates/ if there are any."
)

_SHOWN = 5

_LOCATION_ATTRIBUTES = (b"security.selinux",)
"""Extended attributes that depend on the location of a file, not on the file."""


def _path(root: str, name: bytes) -> str:
    return f"{root}/{os.fsdecode(name)}" if name else root


def _cannot(verb: str, path: str, error: OSError) -> FileError:
    hint = "Run the task as root (become: true)." if isinstance(error, PermissionError) else ""
    return FileError(f"cannot {verb} {path}: {error.strerror}", hint)


def _changed(root: str, name: bytes) -> FileError:
    return FileError(
        f"{_path(root, name)} changed while it was being packed",
        "Run the task again when nothing writes to the directory.",
    )


def _is_in(folder: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True


def _identity(state: os.stat_result) -> tuple[int, int]:
    return state.st_dev, state.st_ino


def _version(state: os.stat_result) -> tuple[int, ...]:
    """Facts of which one differs if the file has been replaced or written to."""
    return state.st_dev, state.st_ino, state.st_mode, state.st_size, state.st_mtime_ns


def _extended_attributes(place: int | bytes) -> dict[bytes, bytes]:
    follow = isinstance(place, int)
    try:
        names = map(os.fsencode, os.listxattr(place, follow_symlinks=follow))
        return {
            name: os.getxattr(place, name, follow_symlinks=follow)
            for name in names
            if name not in _LOCATION_ATTRIBUTES
        }
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return {}
        raise


def _in_blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in blocks of at least BLOCK bytes: small files come in many small pieces."""
    gathered: list[bytes] = []
    size = 0
    for piece in pieces:
        gathered.append(piece)
        size += len(piece)
        if size >= BLOCK:
            yield b"".join(gathered)
            gathered, size = [], 0
    yield b"".join(gathered)

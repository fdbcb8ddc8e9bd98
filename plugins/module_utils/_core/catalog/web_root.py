# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tree of files that a web server serves. A file under its final name is complete, whenever it is read.

files/<sha256>.<ending>   image files, never rewritten
streams/v1/…              what LXD and Incus read
index.html                what people read
catalog.json              the record, from which the others are generated
.catalog/                 for the publisher alone: a lock, what it remembers of files that it has read, unfinished files
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
import time
from contextlib import contextmanager
from hashlib import sha256
from typing import IO, Any, Callable, Iterable, Iterator, Mapping

from ..archives.image_info import ImageInfo
from ..deadline import Deadline
from ..errors import FileError, TimedOut
from .record import Catalog, Part
from .record_reader import MAX_RECORD_BYTES, parse_record
from .source_cache import MAX_CACHE_BYTES, cache_text, parse_cache

RECORD = "catalog.json"
PAGE = "index.html"

_OWN = ".catalog"
_CACHE = "sources.json"
_FILES = "files"
_BLOCK = 1 << 20
_LOCK_POLL_SECONDS = 0.1


class WebRoot:
    """The tree below ``root``, which need not exist yet. The paths that it takes and returns are relative to that.

    Whatever cannot be read or written raises FileError; what takes longer than the deadline raises TimedOut.
    """

    def __init__(self, root: str, deadline: Deadline) -> None:
        self.root = root.rstrip("/") or "/"
        self._deadline = deadline

    def __str__(self) -> str:
        return self.root

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other tasks from publishing here; unfinished files of killed tasks are removed."""
        with self._explain("publish into"):
            for folder in ("", _FILES, "streams", "streams/v1", _OWN):
                _make_folder(self._path(folder))
            lock = os.open(self._path(_OWN, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._wait_for(lock)
            with self._explain("publish into"):
                self._clear(self._path(_OWN), "new-")
            yield
        finally:
            os.close(lock)

    def _wait_for(self, lock: int) -> None:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError as error:
                if self._deadline.passed:
                    raise TimedOut(
                        f"timed out after {self._deadline.seconds:g} seconds: another task was publishing into {self}",
                        "Wait until it has ended, or raise timeout.",
                    ) from error
                time.sleep(_LOCK_POLL_SECONDS)

    def record(self) -> Catalog:
        """What is published; nothing where there is no record."""
        path = self._path(RECORD)
        content = self._read(path, MAX_RECORD_BYTES + 1)
        if content is None:
            return Catalog()
        if len(content) > MAX_RECORD_BYTES:
            raise FileError(
                f"{path} is larger than {MAX_RECORD_BYTES >> 20} MiB, too large for a record of a catalog",
                "Repair it, or move it away.",
            )
        return parse_record(content, path)

    def has_document(self, path: str, text: str) -> bool:
        """Whether a document has this content. An absolute path may lead outside of the tree."""
        expected = text.encode()
        return self._read(os.path.join(self.root, path), len(expected) + 1) == expected

    def files(self) -> dict[str, int]:
        """The image files that exist, with their sizes in bytes."""
        with self._explain("list the files of"):
            try:
                with os.scandir(self._path(_FILES)) as entries:
                    return {
                        f"{_FILES}/{entry.name}": entry.stat().st_size
                        for entry in entries
                        # No record can hold a name that is not UTF-8, and no publisher makes one.
                        if entry.is_file() and _is_unicode(entry.name)
                    }
            except (FileNotFoundError, NotADirectoryError):
                return {}

    def remembered(self) -> dict[str, ImageInfo]:
        """What files contained when they were read, by their stamps."""
        try:
            content = self._read(self._path(_OWN, _CACHE), MAX_CACHE_BYTES)
        except FileError:
            return {}
        return parse_cache(content or b"")

    def remember(self, known: Mapping[str, ImageInfo]) -> None:
        """Remember what files contain. Where that fails, they are read again by the next task."""
        try:
            with self.prepared({f"{_OWN}/{_CACHE}": cache_text(known)}) as replace:
                replace()
        except FileError:
            return

    def place(self, part: Part, source: str, changed: FileError) -> None:
        """Put a file into the tree, copied from ``source``. Raises ``changed`` if its content is another."""
        digest = sha256()
        with self._explain(f"copy {source} into"):
            with _opened(source) as content, self._new(self._path(_OWN)) as file:
                for block in self._blocks(content):
                    digest.update(block)
                    file.write(block)
                if digest.hexdigest() != part.sha256:
                    raise changed
                self._finish(file)
                os.rename(file.name, self._path(part.path))

    def adopt(self, part: Part, source: str) -> None:
        """Put a file into the tree that was verified at the path ``source``, in the publisher's own directory."""
        with self._explain(f"move {source} into"):
            os.chmod(source, 0o644)
            os.rename(source, self._path(part.path))

    def own_folder(self, name: str) -> str:
        """The path of a directory for the publisher alone, which is made if it does not exist."""
        with self._explain("publish into"):
            _make_folder(self._path(_OWN))
            path = self._path(_OWN, name)
            os.makedirs(path, 0o700, exist_ok=True)
        return path

    def missing(self, parts: Mapping[str, Part]) -> set[str]:
        """The paths of those files that do not exist with the size that they should have."""
        files = self.files()
        return {path for path, part in parts.items() if files.get(path) != part.size}

    def absolute(self, part: Part) -> str:
        """The path of a file on this host."""
        return self._path(part.path)

    @contextmanager
    def prepared(self, documents: Mapping[str, str]) -> Iterator[Callable[[], None]]:
        """Write documents under temporary names; the result replaces the old ones, in order.

        Readers find the old or the new document, complete. An absolute path may lead outside of the tree.
        """
        unfinished: list[tuple[str, str]] = []

        def replace() -> None:
            for name, target in unfinished:
                with self._explain(f"write {target} for"):
                    os.rename(name, target)

        try:
            for path, text in documents.items():
                target = os.path.join(self.root, path)
                with self._explain(f"write {path} {'for' if os.path.isabs(path) else 'of'}"):
                    unfinished.append((self._write_unfinished(path, text), target))
            yield replace
        finally:
            for name, _target in unfinished:
                if os.path.lexists(name):
                    os.unlink(name)

    def _write_unfinished(self, path: str, text: str) -> str:
        """Write the content of a document to a file that is to be renamed; its path."""
        folder, prefix = self._path(_OWN), "new-"
        if os.path.isabs(path):
            folder, prefix = os.path.dirname(path), f".{os.path.basename(path)}.new-"
            self._clear(folder, prefix)
        with self._new(folder, prefix) as file:
            file.write(text.encode())
            self._finish(file)
            return str(file.name)

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files, if they exist."""
        with self._explain("remove files of"):
            for path in paths:
                try:
                    os.unlink(self._path(path))
                except FileNotFoundError:
                    continue

    def damaged(self, parts: Mapping[str, Part]) -> list[str]:
        """The paths of those files that exist with another content than they should have."""
        found: list[str] = []
        for path, part in parts.items():
            digest = sha256()
            with self._explain("read the files of"):
                try:
                    with _opened(self._path(path)) as file:
                        for block in self._blocks(file):
                            digest.update(block)
                except FileNotFoundError:
                    continue
            if digest.hexdigest() != part.sha256:
                found.append(path)
        return found

    def _path(self, *parts: str) -> str:
        return os.path.join(self.root, *parts)

    def _read(self, path: str, max_bytes: int) -> bytes | None:
        """The content of a document, or its first bytes; None if it does not exist."""
        try:
            with _opened(path) as file:
                return b"".join(self._blocks(file, max_bytes))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise FileError(f"cannot read {path}: {error.strerror}") from error

    def _blocks(self, file: IO[bytes], max_bytes: int | None = None) -> Iterator[bytes]:
        """The content of a file, or its first bytes, within the deadline."""
        while max_bytes is None or max_bytes > 0:
            self._deadline.left()
            block = file.read(_BLOCK if max_bytes is None else min(_BLOCK, max_bytes))
            if not block:
                return
            if max_bytes is not None:
                max_bytes -= len(block)
            yield block

    @contextmanager
    def _explain(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            raise FileError(f"cannot {verb} {self}: {error.strerror}{where}") from error

    @contextmanager
    def _new(self, folder: str, prefix: str = "new-") -> Iterator[Any]:
        """An unfinished file, which is removed if something fails."""
        with tempfile.NamedTemporaryFile(dir=folder, prefix=prefix, delete=False) as file:
            try:
                yield file
            except BaseException:
                os.unlink(file.name)
                raise

    @staticmethod
    def _finish(file: Any) -> None:
        """Make a file complete on disk, and readable for web servers."""
        file.flush()
        os.fchmod(file.fileno(), 0o644)
        os.fsync(file.fileno())

    @staticmethod
    def _clear(folder: str, prefix: str) -> None:
        for name in os.listdir(folder):
            if name.startswith(prefix):
                os.unlink(os.path.join(folder, name))


def require_folder(path: str) -> None:
    """Raises FileError unless the folder of this file exists."""
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise FileError(
            f"cannot write {path}: the directory {folder} does not exist", "Create it first."
        )
    if os.path.isdir(path):
        raise FileError(f"cannot write {path}: it is a directory", "Name a file.")


def _opened(path: str) -> IO[bytes]:
    """A regular file, opened for reading. Raises OSError; never waits for a writer of a pipe."""
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(None, "it is not a regular file", path)
    return os.fdopen(number, "rb", buffering=0)


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _make_folder(path: str) -> None:
    """Make a directory and its missing parents, readable for web servers whatever the umask is."""
    if os.path.isdir(path):
        return
    if os.path.dirname(path) != path:
        _make_folder(os.path.dirname(path))
    try:
        os.mkdir(path)
    except FileExistsError:
        # By another task, perhaps; if it is no directory, using it fails.
        return
    os.chmod(path, 0o755)

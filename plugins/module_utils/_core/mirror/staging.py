# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What mirrors keep in the publisher's own directory of a tree: unfinished downloads, and documents of their sources.

A download has the name of the file that it becomes. It is locked while a task works on it, and remains when the task is
killed or fails, so that the next one goes on. Nothing is trusted: everything that is read is verified.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import IO, Any, Collection, ContextManager, Iterator, Mapping, Sequence

from ..catalog.record import Part
from ..catalog.web_root import WebRoot
from ..deadline import Deadline
from ..errors import FileError
from ..json_reader import parse_json
from ..simplestreams.reading import MAX_DOCUMENT_BYTES
from . import StagedFile

DAYS_KEPT = 7
"""How long an unfinished download is kept."""

_POLL_SECONDS = 0.1
_MAX_HEAD_BYTES = 64 << 10
_CONDITIONS = ("If-None-Match", "If-Modified-Since")


@dataclass(frozen=True)
class KeptDocument:
    """A document as last received, and the headers of a conditional request for it."""

    content: bytes
    condition: Mapping[str, str]


class Staging:
    """The downloads and documents of mirrors in the tree at ``tree``. Raises FileError, TimedOut."""

    def __init__(self, tree: WebRoot, deadline: Deadline) -> None:
        self._tree = tree
        self._deadline = deadline

    def path(self, name: str) -> str:
        """The path of a download."""
        return os.path.join(self._tree.own_folder("downloads"), name)

    def download(self, part: Part) -> ContextManager[IO[bytes]]:
        """The download of a file, open for reading and writing, and locked until the end of the context."""
        return self.locked(self.path_of(part))

    def path_of(self, part: Part) -> str:
        """The path of the download of a file."""
        return self.path(os.path.basename(part.path))

    def complete(self, part: Part, file: IO[bytes]) -> StagedFile:
        """The download that this open file is, once it is complete and verified."""
        state = os.fstat(file.fileno())
        return StagedFile(part, (state.st_dev, state.st_ino))

    def has(self, staged: StagedFile) -> bool:
        """Whether this download is still there, and not in the tree yet."""
        try:
            state = os.stat(self.path_of(staged.part))
        except FileNotFoundError:
            return False
        return (state.st_dev, state.st_ino) == staged.identity

    @contextmanager
    def locked(self, path: str) -> Iterator[IO[bytes]]:
        """A download by its path, as in ``download``."""
        while True:
            with self._explain(path):
                number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(number, "r+b", buffering=0) as file:
                self._wait_for(number)
                if _is_at(path, number):
                    yield file
                    return
            # Another task has finished or removed it meanwhile.

    def _wait_for(self, number: int) -> None:
        while True:
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(min(_POLL_SECONDS, self._deadline.left()))

    def remove(self, path: str) -> None:
        """Remove a download, if it exists."""
        with suppress(FileNotFoundError), self._explain(path):
            os.unlink(path)

    def remove_abandoned(self) -> None:
        """Remove downloads that no task has resumed for some days."""
        folder = self._tree.own_folder("downloads")
        with self._explain(folder):
            names = os.listdir(folder)
        for name in names:
            path = os.path.join(folder, name)
            with suppress(OSError):
                if time.time() - os.stat(path).st_mtime > DAYS_KEPT * 86_400:
                    os.unlink(path)

    def document(self, source: str, path: str) -> KeptDocument | None:
        """A document of a source as it came last; None if it is unknown or damaged."""
        try:
            with open(self._document_path(source, path), "rb") as file:
                head = parse_json(file.readline(_MAX_HEAD_BYTES), 100)
                content = file.read(MAX_DOCUMENT_BYTES + 1)
            condition = {name: str(head["condition"][name]) for name in head["condition"]}
            if sha256(content).hexdigest() == head["sha256"] and set(condition) <= set(_CONDITIONS):
                return KeptDocument(content, condition)
        except (AttributeError, KeyError, OSError, TypeError, ValueError):
            # It is then requested without conditions.
            return None
        return None

    def keep_document(
        self, source: str, path: str, content: bytes | bytearray, validators: Sequence[str | None]
    ) -> None:
        """Keep a document, for ``document``. ``validators`` are its headers ETag and Last-Modified."""
        condition = {
            name: value
            for name, value in zip(_CONDITIONS, validators)
            if value and value.isprintable()
        }
        target = self._document_path(source, path)
        folder = os.path.dirname(target)
        with self._documents_locked(), self._explain(target):
            os.makedirs(folder, 0o700, exist_ok=True)
            head = {"condition": condition, "sha256": sha256(content).hexdigest()}
            with tempfile.NamedTemporaryFile(dir=folder, prefix="new-", delete=False) as file:
                try:
                    file.write(json.dumps(head).encode() + b"\n")
                    file.write(content)
                    file.close()
                    os.rename(file.name, target)
                except BaseException:
                    os.unlink(file.name)
                    raise

    def forget_documents(self, source: str, kept: Collection[str] = ()) -> None:
        """Remove the documents of a source, except those at the paths ``kept``."""
        folder = os.path.dirname(self._document_path(source, ""))
        names = {os.path.basename(self._document_path(source, path)) for path in kept}
        with self._documents_locked(), suppress(FileNotFoundError), self._explain(folder):
            for name in os.listdir(folder):
                if name not in names:
                    os.unlink(os.path.join(folder, name))

    def _documents_locked(self) -> ContextManager[Any]:
        """Locks the documents, so that an unfinished one can only be that of a task that was killed."""
        return self.locked(os.path.join(self._tree.own_folder("documents"), "lock"))

    def _document_path(self, source: str, path: str) -> str:
        folder = os.path.join(self._tree.root, ".catalog", "documents", _digest(source))
        return os.path.join(folder, _digest(path))

    @contextmanager
    def _explain(self, path: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise disk_error(path, error) from error


def disk_error(path: str, error: OSError) -> FileError:
    """What to raise where a file of the tree cannot be read or written."""
    import errno

    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    hint = "Free some space there, or select fewer images." if full else ""
    return FileError(f"cannot write {path}: {error.strerror}", hint)


def _is_at(path: str, number: int) -> bool:
    """Whether an open file is still the one at this path."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(number))
    except FileNotFoundError:
        return False


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def read_blocks(file: IO[bytes], deadline: Deadline, size: int = 1 << 20) -> Iterator[Any]:
    """The rest of a file, within the deadline."""
    while True:
        deadline.left()
        block = file.read(size)
        if not block:
            return
        yield block

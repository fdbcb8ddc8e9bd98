# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tree of files that a web server serves. A file under its final name is whole, whenever it is read.

files/<sha256>.<ending>   image files, never rewritten
streams/v1/…              what LXD and Incus read
index.html                what people read
catalog.json              the record, from which the others are made
.catalog/                 for the publisher alone: a lock, what it knows of files it has read, files in the making
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import time
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, Iterable, Iterator, Mapping

from ..archives.image_info import ImageInfo
from ..errors import FileError, OptionError, TimedOut
from .record import Catalog, Part

RECORD = "catalog.json"
PAGE = "index.html"

LOCK_SECONDS = 1800
"""How long to wait for another task that publishes into the same tree."""

_OWN = ".catalog"
_CACHE = "sources.json"
_FILES = "files"
_BLOCK = 1 << 20


class WebRoot:
    """The tree below ``root``, which may not be there yet. All paths that it takes and gives are below that.

    Whatever cannot be read or written raises FileError.
    """

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/") or "/"

    def __str__(self) -> str:
        return self.root

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other tasks from publishing here; what a killed one had in the making is removed.

        Raises TimedOut if another is at work for too long.
        """
        with self._said("publish into"):
            for folder in ("", _FILES, "streams", "streams/v1", _OWN):
                _make_folder(self._path(folder))
            lock = os.open(self._path(_OWN, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._wait_for(lock)
            with self._said("publish into"):
                self._clear(self._path(_OWN), "new-")
            yield
        finally:
            os.close(lock)

    def _wait_for(self, lock: int) -> None:
        end = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError as error:
                if time.monotonic() > end:
                    raise TimedOut(
                        f"another task has been publishing into {self} for {LOCK_SECONDS} seconds",
                        "Wait for its end.",
                    ) from error
                time.sleep(0.1)

    def record(self) -> Catalog:
        """What is published; nothing where there is no record."""
        text = self.read(RECORD)
        return Catalog() if text is None else Catalog.parse(text, self._path(RECORD))

    def read(self, path: str) -> str | None:
        """The text of a document, or of one that stands elsewhere if the path is absolute; None if there is none."""
        whole = os.path.join(self.root, path)
        try:
            with open(whole, encoding="utf-8") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise FileError(f"cannot read {whole}: {reason}") from error

    def files(self) -> dict[str, int]:
        """The image files that there are, with their sizes in bytes."""
        with self._said("list the files of"):
            try:
                with os.scandir(self._path(_FILES)) as entries:
                    return {
                        f"{_FILES}/{entry.name}": entry.stat().st_size
                        for entry in entries
                        if entry.is_file()
                    }
            except (FileNotFoundError, NotADirectoryError):
                return {}

    def known(self) -> dict[str, ImageInfo]:
        """What files were when they were read, by their stamps. What cannot be understood is not known."""
        try:
            raw = json.loads(self.read(f"{_OWN}/{_CACHE}") or "{}")
            return {stamp: ImageInfo.parse(one) for stamp, one in raw.items()}
        except (AttributeError, KeyError, TypeError, ValueError):
            return {}

    def remember(self, known: Mapping[str, ImageInfo]) -> None:
        """Keep what is known of files."""
        raw = {stamp: one.plain for stamp, one in sorted(known.items())}
        self.write(f"{_OWN}/{_CACHE}", json.dumps(raw) + "\n")

    def place(self, part: Part, source: str) -> None:
        """Put a file into the tree, copied from ``source``. Raises FileError if that is not what it was."""
        digest = sha256()
        with self._said(f"copy {source} into"):
            with open(source, "rb", buffering=0) as read, self._new(self._path(_OWN)) as file:
                while True:
                    block = read.read(_BLOCK)
                    if not block:
                        break
                    digest.update(block)
                    file.write(block)
                if digest.hexdigest() != part.sha256:
                    raise FileError(f"{source} changed while it was copied", "Run the task again.")
                self._finish(file, self._path(part.path))

    def write(self, path: str, text: str) -> None:
        """Write a document whole: its readers find the old one or the new one. An absolute path may lead elsewhere."""
        target = os.path.join(self.root, path)
        elsewhere = os.path.isabs(path)
        folder = os.path.dirname(target) if elsewhere else self._path(_OWN)
        with self._said(f"write {path} of" if not elsewhere else f"write {path} for"):
            if elsewhere:
                self._clear(folder, _hidden(target))
            with self._new(folder, _hidden(target) if elsewhere else "new-") as file:
                file.write(text.encode())
                self._finish(file, target)

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files; it is fine if they are gone."""
        with self._said("remove files of"):
            for path in paths:
                try:
                    os.unlink(self._path(path))
                except FileNotFoundError:
                    continue

    def damaged(self, parts: Mapping[str, Part]) -> list[str]:
        """Those of the files whose content is not what it has to be; those that are missing are none of them."""
        found: list[str] = []
        for path, part in parts.items():
            digest = sha256()
            with self._said("read the files of"):
                try:
                    with open(self._path(path), "rb", buffering=0) as file:
                        for block in iter(lambda: file.read(_BLOCK), b""):
                            digest.update(block)
                except FileNotFoundError:
                    continue
            if digest.hexdigest() != part.sha256:
                found.append(path)
        return found

    def _path(self, *parts: str) -> str:
        return os.path.join(self.root, *parts)

    @contextmanager
    def _said(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            raise FileError(f"cannot {verb} {self}: {error.strerror}{where}") from error

    @contextmanager
    def _new(self, folder: str, prefix: str = "new-") -> Iterator[Any]:
        """A file in the making, to be finished; it is gone if that fails."""
        with tempfile.NamedTemporaryFile(dir=folder, prefix=prefix, delete=False) as file:
            try:
                yield file
            except BaseException:
                os.unlink(file.name)
                raise

    @staticmethod
    def _finish(file: Any, target: str) -> None:
        """Give a file its final name, once it is whole and on disk."""
        file.flush()
        os.fchmod(file.fileno(), 0o644)
        os.fsync(file.fileno())
        os.rename(file.name, target)

    @staticmethod
    def _clear(folder: str, prefix: str) -> None:
        for name in os.listdir(folder):
            if name.startswith(prefix):
                os.unlink(os.path.join(folder, name))


def require_outside(header_map: str, root: str) -> None:
    """Raises OptionError unless the map for nginx is elsewhere than what it serves, in a folder that there is."""
    if not os.path.isabs(header_map):
        raise OptionError(f"header_map is {header_map}", "It takes an absolute path.")
    place, tree = os.path.realpath(header_map), os.path.realpath(root)
    if os.path.commonpath([place, tree]) == tree:
        raise OptionError(
            f"header_map is {header_map}, which is below the root {root}",
            "It is configuration, not for clients: give it a path elsewhere.",
        )


def _hidden(target: str) -> str:
    """How the names of files in the making begin, beside a document outside the tree."""
    return f".{os.path.basename(target)}.new-"


def _make_folder(path: str) -> None:
    if not os.path.isdir(path):
        os.makedirs(path, exist_ok=True)
        os.chmod(path, 0o755)

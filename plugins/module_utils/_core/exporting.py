# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An image of the store as files: under the names that the reference client gives them, and whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import IO, Any, Iterator, Mapping, NamedTuple

from .archives.files import ImageFiles
from .convergence import Progress
from .downloads import Download, OpenResponse, Retries
from .errors import ConnectionFailed, FileError, ImageNotFound, ImageStoreError, OptionError
from .images import Image
from .store import Store

RETRIES = 3
"""How often a broken transfer is taken up again."""

TEMPORARY = ".lxd_image_export-"
"""How the name of a file begins while it is being written."""


class ExportPart(NamedTuple):
    """One file of an export: the option that an import has for it, its name, and its content."""

    key: str
    name: str
    blocks: Iterator[bytes]


@dataclass(frozen=True)
class Export:
    """What became of an export. ``files`` are paths, by the names that the import's options have for them.

    ``before`` are those that were there and right, ``files`` those that are there now (or would be).
    """

    image: Image
    before: dict[str, str]
    files: dict[str, str]


def require_directory(dest: str) -> None:
    """Check that there is a folder for the files. Raises OptionError."""
    if not os.path.isdir(dest):
        raise OptionError(f"dest is {dest or 'empty'}, which is no directory", "Make it first.")


def export(
    store: Store, name: str, dest: str, progress: Progress, check_mode: bool = False
) -> Export:
    """Have the files of an image in the folder ``dest``, which is there.

    Raises ImageNotFound, and FileError if what came is not the image or cannot be written. A file under its final
    name is whole.
    """
    image = store.contents().resolve(name)
    if image is None:
        missing = ImageNotFound(
            f"there is no image {name}", "Give an alias, or 12 and more digits."
        )
        raise store.with_visibility_hint(missing)
    present = _matching_files(dest, image)
    if present:
        return Export(image, present, present)
    if not os.access(dest, os.W_OK | os.X_OK):
        raise FileError(f"this task may not write to {dest}")
    retries = Retries(RETRIES, store.server.transport.deadline)
    while True:
        try:
            files = _fetched(store, image, dest, retries, check_mode)
            break
        except ConnectionFailed as error:
            retries.use(error)
    progress.actions.append("export")
    progress.transferred += 0 if check_mode else image.size
    return Export(image, {}, files)


def _matching_files(dest: str, image: Image) -> dict[str, str]:
    """The files of an image that are in a folder already; none if any of them is missing or not right."""
    fingerprint = image.fingerprint
    try:
        names = sorted(os.listdir(dest))
    except OSError as error:
        raise FileError(f"cannot read {dest}: {error.strerror}") from error
    roots = [name for name in names if name.startswith(f"{fingerprint}.")] + [fingerprint]
    heads = [name for name in names if name.startswith(f"meta-{fingerprint}.")]
    candidates = [{"src": root} for root in roots]
    candidates += [{"metadata": head, "rootfs": root} for head in heads for root in roots]
    for candidate in candidates:
        paths = {key: os.path.join(dest, name) for key, name in candidate.items()}
        try:
            with ImageFiles(*paths.values()) as files:
                if files.size == image.size and files.digest() == fingerprint:
                    return paths
        except FileError:
            # Not there, or no file: it will be written.
            continue
    return {}


def _fetched(
    store: Store, image: Image, dest: str, retries: Retries, check_mode: bool
) -> dict[str, str]:
    """Fetch the files; their paths. In check mode only so much as tells their names."""

    def open_at(headers: Mapping[str, str]) -> OpenResponse:
        plain = {"Accept-Encoding": "identity", **headers}
        return OpenResponse(store.server.transport, store.export(image.fingerprint, plain))

    download = Download(open_at, retries)
    response = download.opened.response
    try:
        if check_mode:
            return {key: _path(dest, name) for key, name, _blocks in _parts(download)}
        return _written(_parts(download), image, dest)
    finally:
        response.close()


def _written(parts: Iterator[ExportPart], image: Image, dest: str) -> dict[str, str]:
    """Write the parts under temporary names, and rename them once they are known to be the image."""
    digest = sha256()
    paths: dict[str, str] = {}
    temporary: dict[str, str] = {}
    try:
        _remove_abandoned(dest)
        # Open to the end: what is closed is no longer locked.
        with ExitStack() as files:
            for key, name, blocks in parts:
                paths[key] = _path(dest, name)
                file = files.enter_context(_temporary(dest))
                temporary[key] = file.name
                for block in blocks:
                    digest.update(block)
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
            if digest.hexdigest() != image.fingerprint:
                raise FileError(
                    f"what came is {digest.hexdigest()}, not the image {image.fingerprint}",
                    "Nothing was written. Run the task again.",
                )
            for key, path in paths.items():
                os.chmod(temporary[key], 0o666 & ~_umask())
                os.rename(temporary[key], path)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = f"It takes {image.size} bytes in {dest}." if full else ""
        raise FileError(f"cannot write to {dest}: {error.strerror}", hint) from error
    finally:
        for name in temporary.values():
            if os.path.exists(name):
                os.unlink(name)
    return paths


def _path(dest: str, name: str) -> str:
    """Where a file of this name goes. Raises FileError if a directory is there."""
    path = os.path.join(dest, name)
    if os.path.isdir(path):
        raise FileError(
            f"{path} is a directory, where the image's file has to go", "Move it away first."
        )
    return path


def _temporary(dest: str) -> IO[Any]:
    """A new file under a temporary name, locked for as long as it is open."""
    while True:
        file = tempfile.NamedTemporaryFile(  # noqa: SIM115  # who asked for it closes it
            dir=dest, prefix=TEMPORARY, delete=False
        )
        with suppress(OSError):
            # Where nobody can lock, nobody takes a file for abandoned either.
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        # Another task took it for abandoned, in the moment before it was locked.
        file.close()


def _remove_abandoned(dest: str) -> None:
    """Remove what exports have left in a folder that were killed: temporary files that nobody has locked."""
    for name in os.listdir(dest):
        if name.startswith(TEMPORARY):
            path = os.path.join(dest, name)
            with suppress(OSError), open(path, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(path)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _parts(download: Download) -> Iterator[ExportPart]:
    """The files in an export, each to be read before the next.

    A unified image is the body itself, a split one a form with two parts (``client/lxd_images.go``, GetImageFile).
    """
    headers = download.opened.response.headers
    content_type = headers.get("Content-Type", "")
    if not content_type.startswith("multipart/"):
        yield ExportPart("src", _name(headers.get("Content-Disposition", "")), iter(download))
        return
    boundary = re.search(r'boundary="?([^";]+)', content_type)
    if not boundary:
        raise ImageStoreError("the server sent a form without a boundary")
    form = _FormReader(iter(download), boundary[1].encode())
    for key in ("metadata", "rootfs"):
        yield ExportPart(key, _name(form.next_part()), form.content())


def _name(disposition: str) -> str:
    """The name that a server gives a file. It is not to lead anywhere else."""
    found = re.search(r'filename="?([^";]+)', disposition)
    name = os.path.basename(found[1].strip()) if found else ""
    if not name or name.startswith("."):
        raise ImageStoreError(f"the server names a file {disposition!r}, which is no name for one")
    return name


class _FormReader:
    """A form with files in it, read as it comes."""

    def __init__(self, blocks: Iterator[bytes], boundary: bytes) -> None:
        self._blocks = blocks
        self._mark = b"\r\n--" + boundary
        # So that the first boundary looks as all others do.
        self._buffer = b"\r\n"

    def next_part(self) -> str:
        """Go to the next part; what its head says of it (Content-Disposition)."""
        for _block in self.content():
            # Passed over, if nobody has read it.
            pass
        self._read_to(self._mark)
        head = self._read_to(b"\r\n\r\n").decode("utf-8", "replace")
        for line in head.splitlines():
            name, _colon, value = line.partition(":")
            if name.lower() == "content-disposition":
                return value.strip()
        raise ImageStoreError("the server sent a form in which a file is missing")

    def content(self) -> Iterator[bytes]:
        """The content of this part, in blocks."""
        kept = len(self._mark) - 1
        while True:
            end = self._buffer.find(self._mark)
            if end >= 0:
                yield self._buffer[:end]
                self._buffer = self._buffer[end:]
                return
            if len(self._buffer) > kept:
                yield self._buffer[:-kept]
                self._buffer = self._buffer[-kept:]
            self._fill()

    def _read_to(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._fill()
        before, _mark, self._buffer = self._buffer.partition(mark)
        return before

    def _fill(self) -> None:
        block = next(self._blocks, b"")
        if not block:
            raise ConnectionFailed("the export broke off in the middle of its form")
        self._buffer += block

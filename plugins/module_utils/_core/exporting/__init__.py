# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Exports an image to files: under the names that the reference client gives them, complete or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import IO, TYPE_CHECKING, Any, Generator, Iterator, NamedTuple, Protocol

from ..archives.files import ImageFiles
from ..convergence import Progress
from ..deadline import Deadline
from ..downloads import Retries
from ..errors import ConnectionFailed, FileError, OptionError
from ..images import Image

if TYPE_CHECKING:
    from ..transfer_progress import Transfer

RETRIES = 3
"""How often an interrupted transfer is resumed."""

TEMPORARY = ".lxd_image_export-"
"""The prefix of a file's name while it is written."""


class ExportPart(NamedTuple):
    """One file of an export: the option of ``lxd_image_import`` for it, its name, and its content."""

    key: str
    name: str
    blocks: Iterator[bytes]


class ExportSource(Protocol):
    """An image whose files a server sends."""

    image: Image

    def parts(self, retries: Retries) -> Generator[ExportPart, None, None]:
        """Its files, each to be read before the next. Raises FileError if they cannot be those of the image."""


@dataclass(frozen=True)
class Export:
    """The result of an export: paths by the options of ``lxd_image_import`` for them.

    ``before`` are the files that were there already and correct, ``files`` those that are there now (or would be).
    """

    image: Image
    before: dict[str, str]
    files: dict[str, str]


def require_directory(dest: str) -> None:
    """Raises OptionError unless ``dest`` is a directory."""
    if not os.path.isdir(dest):
        raise OptionError(
            f"dest is {dest or 'empty'}, which is not a directory", "Create it first."
        )


def export(
    source: ExportSource,
    dest: str,
    deadline: Deadline,
    progress: Progress,
    check_mode: bool = False,
) -> Export:
    """Export an image to the existing directory ``dest``, unless its files are there already.

    Raises FileError if the received data is not the image or cannot be written. A file with its final name is always
    complete.
    """
    image = source.image
    present = _matching_files(dest, image, deadline)
    if present:
        return Export(image, present, present)
    if not os.access(dest, os.W_OK | os.X_OK):
        raise FileError(f"no permission to write to {dest}")
    retries = Retries(RETRIES, deadline)
    with progress.recorded(image.size) as transfer:
        while True:
            try:
                files = _fetch(source, dest, retries, check_mode, transfer)
                break
            except ConnectionFailed as error:
                retries.use(error)
    progress.actions.append("export")
    progress.transferred += 0 if check_mode else image.size
    return Export(image, {}, files)


def _matching_files(dest: str, image: Image, deadline: Deadline) -> dict[str, str]:
    """The files of an image that are in a directory already; empty if one of them is missing or differs."""
    fingerprint = image.fingerprint
    try:
        names = sorted(os.listdir(dest))
    except OSError as error:
        raise FileError(f"cannot read {dest}: {error.strerror}") from error
    roots, heads = (
        [name for name in names if name == stem or name.startswith(f"{stem}.")]
        for stem in (fingerprint, f"meta-{fingerprint}")
    )
    candidates = [{"src": root} for root in roots]
    candidates += [{"metadata": head, "rootfs": root} for head in heads for root in roots]
    for candidate in candidates:
        paths = {key: os.path.join(dest, name) for key, name in candidate.items()}
        try:
            with ImageFiles(*paths.values(), deadline=deadline) as files:
                if files.size == image.size and files.digest() == fingerprint:
                    return paths
        except FileError:
            # It is missing or not a regular file, and will be written.
            continue
    return {}


def _fetch(
    source: ExportSource, dest: str, retries: Retries, check_mode: bool, transfer: Transfer | None
) -> dict[str, str]:
    """Download the files; their paths. In check mode, only as much as needed to know their names."""
    with closing(source.parts(retries)) as parts:
        if check_mode:
            return {key: _path(dest, name) for key, name, _blocks in parts}
        return _write(parts, source.image, dest, transfer)


def _write(
    parts: Iterator[ExportPart], image: Image, dest: str, transfer: Transfer | None
) -> dict[str, str]:
    """Write the parts under temporary names, and rename them when the fingerprint is verified."""
    digest, received = sha256(), 0
    paths: dict[str, str] = {}
    temporary: dict[str, str] = {}
    try:
        _remove_abandoned(dest)
        # Keep them open until the end: a closed file is no longer locked.
        with ExitStack() as files:
            for key, name, blocks in parts:
                paths[key] = _path(dest, name)
                file = files.enter_context(_temporary(dest))
                temporary[key] = file.name
                for block in blocks:
                    digest.update(block)
                    file.write(block)
                    received += len(block)
                    if transfer:
                        transfer.moved = received
                file.flush()
                os.fsync(file.fileno())
            if digest.hexdigest() != image.fingerprint:
                raise FileError(
                    f"the server sent {digest.hexdigest()}, not the image {image.fingerprint}",
                    "Nothing was written. Run the task again.",
                )
            for key, path in paths.items():
                os.chmod(temporary[key], 0o666 & ~_umask())
                os.rename(temporary[key], path)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = f"{dest} needs {image.size} bytes of free space." if full else ""
        raise FileError(f"cannot write to {dest}: {error.strerror}", hint) from error
    finally:
        for name in temporary.values():
            if os.path.exists(name):
                os.unlink(name)
    return paths


def _path(dest: str, name: str) -> str:
    """The path of a file with this name. Raises FileError if it is a directory."""
    path = os.path.join(dest, name)
    if os.path.isdir(path):
        raise FileError(
            f"{path} is a directory, but the image's file has that name", "Move the directory away."
        )
    return path


def _temporary(dest: str) -> IO[Any]:
    """A new file with a temporary name, locked while it is open."""
    while True:
        file = tempfile.NamedTemporaryFile(  # noqa: SIM115  # closed by the caller
            dir=dest, prefix=TEMPORARY, delete=False
        )
        with suppress(OSError):
            # On file systems without locks, no file is considered abandoned either.
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        # Another task considered it abandoned and deleted it just before it was locked.
        file.close()


def _remove_abandoned(dest: str) -> None:
    """Delete the temporary files that killed exports left in a directory: those that are not locked."""
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

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Exports an image to files: under the names that the reference client gives them, complete or not at all."""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack, closing
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from typing import (
    IO,
    TYPE_CHECKING,
    Any,
    Callable,
    Generator,
    Iterable,
    Iterator,
    NamedTuple,
    Protocol,
)

from ..archives.files import BLOCK, ImageFiles
from ..convergence import Progress
from ..deadline import Deadline
from ..downloads import Retries
from ..errors import ApiError, ConnectionFailed, FileError, OptionError, TimedOut
from ..images import Image
from ..simplestreams import File
from .temporary import TemporaryFile, open_temporary, remove_abandoned

if TYPE_CHECKING:
    from ..transfer_progress import Transfer

RETRIES = 3
"""How often an interrupted transfer is resumed."""


class Content(NamedTuple):
    """The rest of a file, from the byte ``start`` on."""

    start: int
    blocks: Iterable[bytes]


class ExportPart(NamedTuple):
    """One file of an export: the option of ``lxd_image_import`` for it, its name, and its content.

    ``open`` requests the content, of which so many bytes are there already. ``expected`` is what is known of the file
    before; only then can another run go on with what an interrupted one has received.
    """

    key: str
    name: str
    open: Callable[[int], Content]
    expected: File | None = None


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
            return {part.key: _path(dest, part.name) for part in parts}
        return _write(parts, source.image, dest, retries.deadline, transfer)


def _write(
    parts: Iterator[ExportPart],
    image: Image,
    dest: str,
    deadline: Deadline,
    transfer: Transfer | None,
) -> dict[str, str]:
    """Write the parts under temporary names, and rename them when the fingerprint is verified."""
    digest = sha256()
    if transfer:
        # Of another attempt.
        transfer.moved = 0
    paths: dict[str, str] = {}
    temporary: dict[str, TemporaryFile] = {}
    kept: set[str] = set()
    try:
        remove_abandoned(dest)
        # Keep them open until the end: a closed file is no longer locked.
        with ExitStack() as files:
            for part in parts:
                paths[part.key] = _path(dest, part.name)
                file = files.enter_context(open_temporary(dest, part.expected))
                temporary[part.key] = file
                try:
                    digest = _receive(part, file.content, digest, deadline, transfer)
                except (ConnectionFailed, TimedOut):
                    kept = {one.path for one in temporary.values() if one.is_resumable}
                    raise
                file.content.flush()
                os.fsync(file.content.fileno())
            if digest.hexdigest() != image.fingerprint:
                raise FileError(
                    f"the server sent {digest.hexdigest()}, not the image {image.fingerprint}",
                    "Nothing was written. Run the task again.",
                )
            for key, path in paths.items():
                os.chmod(temporary[key].path, 0o666 & ~_umask())
                os.rename(temporary[key].path, path)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = f"{dest} needs {image.size} bytes of free space." if full else ""
        raise FileError(f"cannot write to {dest}: {error.strerror}", hint) from error
    finally:
        for file in temporary.values():
            if file.path not in kept and os.path.exists(file.path):
                os.unlink(file.path)
    return paths


def _receive(
    part: ExportPart,
    file: IO[bytes],
    before: Any,
    deadline: Deadline,
    transfer: Transfer | None,
) -> Any:
    """Complete a file; the digest of all that came ``before`` and of it. Raises FileError if it is not as expected."""
    content = _request(part, file)
    digest, own, size = before.copy(), sha256(), 0
    begun = (transfer.moved or 0) if transfer else 0
    file.truncate(content.start)
    file.seek(0)
    for block in chain(iter(lambda: file.read(BLOCK), b""), content.blocks):
        digest.update(block)
        own.update(block)
        size += len(block)
        deadline.left()
        if part.expected and size > part.expected.size:
            raise _wrong(part.expected, f"has more than the {part.expected.size} bytes")
        if size > content.start:
            file.write(block)
        if transfer:
            transfer.moved = begun + size
    problem = _problem(part.expected, size, own.hexdigest()) if part.expected else ""
    if problem and content.start:
        # The existing beginning may be damaged.
        file.truncate(0)
        return _receive(part, file, before, deadline, transfer)
    if part.expected and problem:
        raise _wrong(part.expected, problem)
    return digest


def _request(part: ExportPart, file: IO[bytes]) -> Content:
    """The content that a file lacks."""
    have = os.fstat(file.fileno()).st_size
    if part.expected and have == part.expected.size:
        return Content(have, ())
    try:
        return part.open(have)
    except ApiError:
        if not have:
            raise
        # A server may have no such part of the file.
        return part.open(0)


def _problem(expected: File, size: int, digest: str) -> str:
    """What is wrong with a file that was received; empty if nothing."""
    if size != expected.size:
        return f"has {size} bytes, not the {expected.size}"
    if expected.sha256 and digest != expected.sha256:
        return f"has the SHA-256 {digest}, not the {expected.sha256}"
    return ""


def _wrong(expected: File, what: str) -> FileError:
    return FileError(
        f"{expected.path} {what} that the index gives",
        "Nothing was written. Run the task again; if that does not help, fix this on the image server.",
    )


def _path(dest: str, name: str) -> str:
    """The path of a file with this name. Raises FileError if it is a directory."""
    path = os.path.join(dest, name)
    if os.path.isdir(path):
        raise FileError(
            f"{path} is a directory, but the image's file has that name", "Move the directory away."
        )
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether files are an image, of which type, and with which ``metadata.yaml``: by their first bytes and members."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING

from ..errors import FileError, MissingLibrary
from ..images import CONTAINER, VIRTUAL_MACHINE
from ..yaml_reader import MAX_BYTES
from . import ArchiveError, Readable
from .decompression import CannotUnpack, unpacked
from .file_kinds import ARCHIVES, WORDS, file_kind
from .files import ImageFiles
from .metadata import parse_metadata
from .squashfs import SquashfsFile
from .tar_reader import TarReader

if TYPE_CHECKING:
    from ..deadline import Deadline

SCAN_LIMIT = 8 << 20
"""Unpacked bytes of an archive that an import reads. The server checks the rest."""

_UNIFIED = "A unified image is a tar archive or a squashfs with metadata.yaml and rootfs/ (or rootfs.img) in it."
_ROOTFS = "Set rootfs instead of src. Without the option metadata, the metadata is generated."


@dataclass(frozen=True)
class Findings:
    """What was found in an archive.

    ``metadata`` is the content of its ``metadata.yaml``, ``type`` the image type that its members show, ``root_names``
    are the names at its top that root file systems have, ``first_names`` those of its first members. If ``complete``,
    what is None or empty here is missing in the archive. ``obstacle`` is why this host cannot read the archive, if it
    cannot.
    """

    metadata: bytes | None = None
    type: str | None = None
    root_names: frozenset[str] = frozenset()
    first_names: tuple[str, ...] = ()
    complete: bool = False
    obstacle: CannotUnpack | None = None

    @property
    def like_a_root(self) -> bool:
        """Whether it is probably a root file system without metadata."""
        return not self.type and len(self.root_names) > 2


def detect_image_type(image: ImageFiles) -> str | None:
    """The type of the image in these files, by their beginnings; None if it is unknown.

    Raises FileError if they are not an image, saying what they seem to be instead, and TimedOut.
    """
    return scan_image(image, SCAN_LIMIT).type


def scan_image(image: ImageFiles, limit: int | None = None) -> Findings:
    """What is found in the files, perhaps within ``limit`` unpacked bytes. Raises FileError and TimedOut."""
    inspect = _inspect_split if len(image.files) == 2 else _inspect_unified
    return image.deadline.call(lambda: inspect(image, limit))


def _inspect_unified(image: ImageFiles, limit: int | None) -> Findings:
    path, file = image.paths[0], image.files[0]
    kind = file_kind(_head(file))
    if kind not in ARCHIVES:
        hint = _ROOTFS if kind in ("qcow2", "zip") else _UNIFIED
        raise FileError(f"{path} is {WORDS[kind]}, not a unified image", hint)
    found = scan_archive(path, file, kind, image.deadline, limit)
    if found.metadata is not None:
        check_metadata(path, found.metadata)
        if found.complete and not found.type:
            raise FileError(
                f"{path} has a metadata.yaml, but neither rootfs/ nor rootfs.img",
                "For a split image, set both metadata and rootfs.",
            )
    elif found.like_a_root:
        raise FileError(
            f"{path} looks like a bare root file system",
            _ROOTFS,
        )
    elif found.complete:
        raise FileError(f"{path} does not contain metadata.yaml", _UNIFIED)
    return found


def _inspect_split(image: ImageFiles, limit: int | None) -> Findings:
    (metadata, rootfs), (metadata_file, rootfs_file) = image.paths, image.files
    kind = file_kind(_head(metadata_file))
    if kind not in ARCHIVES:
        raise FileError(
            f"{metadata}, given as metadata, is {WORDS[kind]}",
            "Use an archive that contains metadata.yaml.",
        )
    found = scan_archive(metadata, metadata_file, kind, image.deadline, limit)
    if found.metadata is not None:
        check_metadata(metadata, found.metadata)
    elif found.complete or found.like_a_root:
        raise FileError(
            f"{metadata}, given as metadata, does not contain metadata.yaml",
            "Have the two files been swapped?",
        )
    kind = file_kind(_head(rootfs_file))
    if kind not in ARCHIVES and kind not in ("qcow2", "unknown"):
        raise FileError(
            f"{rootfs}, given as rootfs, is {WORDS[kind]}",
            "Use a squashfs, a tar archive or a qcow2 disk.",
        )
    # The reference client decides by the same bytes (lxc/image.go, cmdImageImport).
    return replace(found, type=VIRTUAL_MACHINE if kind == "qcow2" else CONTAINER)


def check_metadata(path: str, content: bytes) -> None:
    """Raises FileError if LXD would refuse this ``metadata.yaml``."""
    try:
        parse_metadata(path, content)
    except MissingLibrary:
        # Not required for an import: without the library, only the server checks the metadata.
        return


def _head(file: IO[bytes]) -> bytes:
    return os.pread(file.fileno(), 512, 0)


def scan_archive(
    path: str, file: IO[bytes], kind: str, deadline: Deadline, limit: int | None
) -> Findings:
    """Find the metadata and the root file system in an archive of this kind. Raises FileError if it is damaged."""
    try:
        if kind == "squashfs":
            return _scan_squashfs(path, SquashfsFile(file, deadline))
        with unpacked(file, kind, deadline) as stream:
            return _scan_tar(path, stream if limit is None else _Limited(stream, limit))
    except CannotUnpack as obstacle:
        return Findings(obstacle=obstacle)
    except ArchiveError as error:
        raise FileError(f"{path} is damaged, or not an image: {error}") from error


def _scan_tar(path: str, stream: Readable) -> Findings:
    metadata: bytes | None = None
    image_type: str | None = None
    root_names: set[str] = set()
    first_names: list[str] = []
    complete = False
    reader = TarReader(stream)
    try:
        for member in reader:
            name = os.path.normpath(member.name)
            if len(first_names) < _FIRST_NAMES:
                first_names.append(name)
            root_names |= _ROOT_NAMES & {name.split("/", 1)[0]}
            image_type = image_type or _type_by(name)
            if name == _METADATA and metadata is None:
                _require_regular(path, member.kind)
                metadata = reader.content(_METADATA_LIMIT)
            if metadata is not None and image_type:
                break
        complete = True
    except _LimitReached:
        # What comes later is checked by the server.
        complete = False
    return Findings(metadata, image_type, frozenset(root_names), tuple(first_names), complete)


def _scan_squashfs(path: str, squashfs: SquashfsFile) -> Findings:
    entries = squashfs.top()
    metadata: bytes | None = None
    if _METADATA in entries:
        _require_regular(path, entries[_METADATA])
        metadata = squashfs.content(_METADATA, _METADATA_LIMIT)
    image_type = next((shown for shown in map(_type_by, sorted(entries)) if shown), None)
    first_names = tuple(sorted(entries)[:_FIRST_NAMES])
    return Findings(metadata, image_type, _ROOT_NAMES & set(entries), first_names, complete=True)


class _LimitReached(Exception):
    """Raised by a read when the limit of unpacked bytes is reached."""


class _Limited:
    """Reads up to ``limit`` bytes from a stream, or a few more."""

    def __init__(self, stream: Readable, limit: int) -> None:
        self._stream = stream
        self._left = limit

    def read(self, size: int) -> bytes:
        if self._left <= 0:
            raise _LimitReached
        block = self._stream.read(size)
        self._left -= len(block)
        return block


_METADATA = "metadata.yaml"
_METADATA_LIMIT = MAX_BYTES + 1
"""One byte more than the YAML reader accepts, so that it reports what is too long."""

_FIRST_NAMES = 32

_ROOT_NAMES = frozenset({"bin", "dev", "etc", "lib", "proc", "sbin", "usr", "var"})


def _require_regular(path: str, kind: str) -> None:
    """Raises FileError if the metadata is not a regular file but of this kind (see ``TarMember``)."""
    if kind == "a sparse file":
        raise CannotUnpack(f"its {_METADATA} is {kind}", "Pack it without the option --sparse.")
    if kind:
        raise FileError(
            f"{_METADATA} in {path} is {kind}, not a regular file", "Servers do not follow it."
        )


def _type_by(member: str) -> str | None:
    """The image type that a member of an archive shows (``lxd/images.go``, getImageMetadata)."""
    if member == "rootfs.img":
        return VIRTUAL_MACHINE
    return CONTAINER if member == "rootfs" or member.startswith("rootfs/") else None

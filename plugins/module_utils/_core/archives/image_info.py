# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The facts about an image's files that are published: digests, sizes, type, and what their metadata says."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Mapping, Sequence

from ..architectures import architecture_name
from ..errors import FileError
from .archive_scan import scan_image
from .file_kinds import file_kind
from .files import Digest, ImageFiles
from .metadata import parse_metadata

if TYPE_CHECKING:
    from ..deadline import Deadline

_ENDINGS = {
    "tar": "tar",
    "gzip": "tar.gz",
    "xz": "tar.xz",
    "zstd": "tar.zst",
    "bzip2": "tar.bz2",
    "lzma": "tar.lzma",
    "squashfs": "squashfs",
    "qcow2": "qcow2",
}
PART_ENDINGS = frozenset(_ENDINGS.values())
"""What the names of published files can end with."""


PROPERTIES = ("os", "release", "variant", "description")
"""Of ``metadata.yaml``, those that a catalog has."""


@dataclass(frozen=True)
class ImageInfo:
    """The facts about an image's files.

    ``parts`` has the SHA-256, the size in bytes and the file name extension (``tar.xz``) of each file. ``architecture``
    is LXD's name of it. ``created`` is the creation date in seconds since 1970, of any year from 0 to 9999, so perhaps
    negative or in the future. Properties that ``metadata.yaml`` does not have are empty.
    """

    fingerprint: str
    parts: tuple[tuple[str, int, str], ...]
    type: str
    architecture: str
    created: int
    os: str = ""
    release: str = ""
    variant: str = ""
    description: str = ""

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> ImageInfo:
        """From ``plain``, perhaps by way of JSON. Raises KeyError, TypeError, ValueError if it is anything else."""
        try:
            parts = tuple(
                (str(digest), int(size), str(ending)) for digest, size, ending in raw["parts"]
            )
        except OverflowError as error:  # an infinite size
            raise ValueError(str(error)) from error
        return cls(**{**raw, "parts": parts})

    @property
    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def read_image_info(*paths: str, deadline: Deadline) -> ImageInfo:
    """Read the file or files of an image. Raises as ``image_info`` does."""
    with ImageFiles(*paths, deadline=deadline) as files:
        return image_info(files)


def image_info(files: ImageFiles) -> ImageInfo:
    """The facts about open files. Raises FileError if they are not an image, MissingLibrary, TimedOut."""
    paths = files.paths
    found = scan_image(files)
    if found.obstacle:
        raise FileError(f"cannot read {paths[0]}: {found.obstacle.message}", found.obstacle.hint)
    if found.metadata is None or found.type is None:
        raise FileError(f"{paths[0]} is not an image: it lacks metadata.yaml or a root file system")
    metadata = parse_metadata(paths[0], found.metadata)
    endings = [
        part_ending(path, os.pread(file.fileno(), 512, 0)) for path, file in zip(paths, files.files)
    ]
    whole = Digest(files)
    alone = [Digest(files, number) for number in range(len(paths))] if len(paths) > 1 else [whole]
    digests = [one.result() for one in alone]
    return ImageInfo(
        fingerprint=whole.result(),
        parts=tuple(zip(digests, files.sizes, endings)),
        type=found.type,
        architecture=architecture_name(metadata.architecture) or metadata.architecture,
        created=metadata.creation_date,
        **{name: metadata.properties.get(name, "") for name in PROPERTIES},
    )


def part_ending(path: str, head: bytes) -> str:
    """What the name of a published file ends with, by its first 512 bytes. Raises FileError if it cannot be one."""
    kind = file_kind(head)
    if kind not in _ENDINGS:
        raise FileError(
            f"{path} is in a format that image servers do not use",
            "A rootfs is a squashfs, a tar archive or a qcow2.",
        )
    return _ENDINGS[kind]


def change_stamp(paths: Sequence[str]) -> str:
    """A text that changes whenever the files do, made without reading them. Raises FileError if one is missing.

    It is made of path, size, modification and change times and inode: writing to a file changes one of them.
    """
    digest = sha256()
    for path in paths:
        try:
            state = os.stat(path)
        except OSError as error:
            raise FileError(f"cannot read {path}: {error.strerror}") from error
        facts = (state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino, state.st_dev)
        digest.update(os.fsencode(path) + b"\0" + repr(facts).encode() + b"\0")
    return digest.hexdigest()

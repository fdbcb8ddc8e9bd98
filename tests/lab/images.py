# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small real images, the same on every run for the same kind and parameters.

A container image boots to BusyBox in under a second; ``/etc/version`` in it holds its version. A
virtual machine's disk is there to be stored, not to boot.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import cache, content
from .content import STANDARD, Recipe
from .errors import LabError
from .packing import PACKERS, Member, qcow2, tar, unpack

CONTAINER = "container"
VIRTUAL_MACHINE = "virtual-machine"


@dataclass(frozen=True)
class Image:
    """An image in one or two files.

    ``metadata`` is the file with the metadata, which holds the root too where ``rootfs`` is
    ``None``. ``type`` is ``container`` or ``virtual-machine``; ``fingerprint`` is what a server
    will call the image.
    """

    kind: str
    type: str
    metadata: Path
    rootfs: Path | None
    fingerprint: str
    size: int

    @property
    def paths(self) -> tuple[Path, ...]:
        """Its one or two files, in the order in which a client names them."""
        return (self.metadata,) if self.rootfs is None else (self.metadata, self.rootfs)


@dataclass(frozen=True)
class _Kind:
    """How a kind of image is built: the files' names below ``NAME-VERSION``, and their bytes."""

    type: str
    names: tuple[str, ...]
    make: Callable[[Recipe], tuple[bytes, ...]]


def _unified(packing: str) -> _Kind:
    def make(recipe: Recipe) -> tuple[bytes, ...]:
        return (PACKERS[packing](tar([*recipe.members, *_below(recipe)])),)

    return _Kind(CONTAINER, (f".{packing}",), make)


def _split(meta: str, root: str) -> _Kind:
    def make(recipe: Recipe) -> tuple[bytes, ...]:
        packing = root.partition(".")[2]
        return (
            PACKERS[meta](tar(recipe.members)),
            PACKERS[packing](tar(content.root(recipe.version))),
        )

    return _Kind(CONTAINER, (f"-split/meta.{meta}", f"-split/{root}"), make)


def _vm(recipe: Recipe) -> tuple[bytes, ...]:
    return PACKERS["tar.gz"](tar(recipe.members)), qcow2(content.disk(recipe.version))


def _vm_unified(recipe: Recipe) -> tuple[bytes, ...]:
    disk = Member("rootfs.img", qcow2(content.disk(recipe.version)))
    return (PACKERS["tar.gz"](tar([*recipe.members, disk])),)


def _below(recipe: Recipe) -> list[Member]:
    return [Member("rootfs"), *(member.below("rootfs") for member in content.root(recipe.version))]


#: The kinds of images, with the names that the command line and ``build_image`` take.
KINDS: dict[str, _Kind] = {
    **{packing: _unified(packing) for packing in PACKERS},
    "split": _split("tar.gz", "root.squashfs"),
    "split-xz": _split("tar.xz", "root.squashfs"),
    "split-tar": _split("tar.gz", "rootfs.tar.gz"),
    "vm": _Kind(VIRTUAL_MACHINE, ("-vm/meta.tar.gz", "-vm/disk.qcow2"), _vm),
    "vm-unified": _Kind(VIRTUAL_MACHINE, ("-vm.tar.gz",), _vm_unified),
}


def build_image(
    kind: str,
    folder: Path,
    *,
    version: str = "1",
    name: str = "busybox",
    properties: Mapping[str, str] | None = STANDARD,
    architecture: str = platform.machine(),
    creation_date: int = 1_700_000_000,
    expiry_date: int | None = None,
) -> Image:
    """Build an image of one of the ``KINDS`` in a folder, which is made where it is missing.

    ``version`` changes the content and so the fingerprint; ``name`` is used for the files.
    ``properties`` of ``None`` leave that key out of ``metadata.yaml``. A file that is there with
    other content is not replaced: ``LabError``.
    """
    if kind not in KINDS:
        raise LabError(f"there is no kind of image {kind!r}, only {', '.join(KINDS)}")
    if properties is STANDARD:
        properties = content.standard_properties(version, architecture)
    recipe = Recipe(version, name, properties, architecture, creation_date, expiry_date)
    how = KINDS[kind]
    parts = cache.fetch((kind, recipe), len(how.names), lambda: how.make(recipe))
    paths = [Path(folder).absolute() / f"{name}-{version}{ending}" for ending in how.names]
    for path, part in zip(paths, parts, strict=True):
        place(path, part)
    digest = hashlib.sha256(b"".join(parts)).hexdigest()
    rootfs = paths[1] if len(paths) > 1 else None
    return Image(kind, how.type, paths[0], rootfs, digest, sum(map(len, parts)))


def build_directory(
    folder: Path,
    *,
    version: str = "1",
    name: str = "busybox",
    properties: Mapping[str, str] | None = STANDARD,
) -> Path:
    """Build an image as a directory (``metadata.yaml``, ``rootfs``, ``templates``), new each time.

    It has no fingerprint until somebody packs it.
    """
    if properties is STANDARD:
        properties = content.standard_properties(version, platform.machine())
    path = Path(folder).absolute() / f"{name}-{version}-directory"
    if path.exists():
        raise LabError(f"{path} is there already: give another name or folder")
    path.mkdir(parents=True)
    recipe = Recipe(version, name, properties)
    unpack([*recipe.members, *_below(recipe)], path)
    return path


def place(path: Path, data: bytes) -> None:
    """Write a file, unless it is there with just these bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        if path.read_bytes() != data:
            raise LabError(f"{path} is another image: give another name or folder") from None

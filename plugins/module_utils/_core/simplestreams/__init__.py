# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Simplestreams documents: the index and the product lists that image servers publish.

They are read as LXD and Incus read them (``shared/simplestreams/products.go`` and ``simplestreams.go`` of both), so
that a task sees the same images as a server that pulls from the same address.
"""

from __future__ import annotations

from dataclasses import dataclass

INDEX = "streams/v1/index.json"

ROOTS = {
    "squashfs": ("combined_squashfs_sha256",),
    "root.tar.xz": ("combined_rootxz_sha256", "combined_sha256"),
    "disk-kvm.img": ("combined_disk-kvm-img_sha256",),
    "uefi1.img": ("combined_uefi1-img_sha256",),
    "disk1.img": ("combined_disk1-img_sha256",),
}
"""Types of rootfs items, the preferred first, and the fields of the metadata item that have the fingerprint."""

DISKS = frozenset(["disk-kvm.img", "uefi1.img", "disk1.img"])
"""Types of rootfs items that make a virtual machine."""


@dataclass(frozen=True)
class Reader:
    """The kind of server on whose behalf documents are read.

    ``family`` is ``lxd`` or ``incus``: each has item types of its own. ``description`` is how that server words the
    description of an image: ``classic``, ``short`` or ``incus``. ``fallback`` reads what this one has no item for.
    """

    family: str = "lxd"
    description: str = "classic"
    fallback: Reader | None = None

    @property
    def chain(self) -> tuple[Reader, ...]:
        """This reader and its fallbacks, the preferred first."""
        return (self, *(self.fallback.chain if self.fallback else ()))

    @property
    def families(self) -> tuple[str, ...]:
        """The families that are read, the preferred first."""
        return tuple(reader.family for reader in self.chain)

    @property
    def metadata(self) -> str:
        """The type of metadata items, of split images."""
        return f"{self.family}.tar.xz"

    @property
    def combined(self) -> str:
        """The type of unified image items."""
        return f"{self.family}_combined.tar.gz"

    @property
    def reads_combined_type(self) -> bool:
        """Whether the field ``combined_type`` of unified image items counts, as for Incus 7.0.1 and later."""
        return self.family == "incus"


EVERY_FAMILY = Reader(fallback=Reader("incus", "incus"))
"""Reads all images: as those of LXD, or those of Incus where a version has no such image for LXD."""


@dataclass(frozen=True)
class File:
    """One file of an image: its path below the server's address, its size in bytes and its SHA-256 (empty: unknown)."""

    path: str
    sha256: str
    size: int

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Headers of qcow2 disks (``docs/interop/qcow2.txt`` of QEMU)."""

from __future__ import annotations

import sys
from array import array
from typing import Iterator

from .disk_bytes import (
    MAX_TABLE_BYTES,
    DiskBytes,
    RefusedDisk,
    leads_elsewhere,
    number,
    require_within,
    truncated,
)

MAGIC = b"QFI\xfb"

_HEADER_BYTES = 104
_DIRTY, _CORRUPT, _EXTERNAL_DATA, _COMPRESSION, _EXTENDED_L2 = (1 << bit for bit in range(5))
_KNOWN_FEATURES = _DIRTY | _CORRUPT | _EXTERNAL_DATA | _COMPRESSION | _EXTENDED_L2
_DATA_FILE_NAME = 0x44415441
_ENCRYPTION = 0x0537BE77
_MAX_L1_BYTES = 32 << 20
_MAX_EXTENSIONS = 100
_OFFSET = 0x00FF_FFFF_FFFF_FE00
_COMPRESSED = 1 << 62


def check(disk: DiskBytes) -> None:
    """Raises RefusedDisk if it is not complete in itself, encrypted, truncated or damaged, and Incomplete."""
    header = disk.at(0, _HEADER_BYTES)
    version = number(header, 4, 4, "big")
    if version not in (2, 3):
        raise RefusedDisk(
            f"is a qcow disk of version {version}", "Convert it: qemu-img convert -O qcow2"
        )
    cluster_bits = number(header, 20, 4, "big")
    if not 9 <= cluster_bits <= 21:
        raise RefusedDisk("is a damaged qcow2 disk: its cluster size is impossible")
    features = number(header, 72, 8, "big") if version == 3 else 0
    _check_features(header, features)
    extensions = 72 if version == 2 else number(header, 100, 4, "big")
    for kind in _extensions(disk, extensions, 1 << cluster_bits):
        if kind == _DATA_FILE_NAME:
            raise leads_elsewhere("is a qcow2 disk with an external data file")
        if kind == _ENCRYPTION:
            raise _encrypted()
    if not number(header, 24, 8, "big"):
        raise RefusedDisk("is a qcow2 disk of no size", "Use a disk with content.")
    _check_tables(disk, header, cluster_bits, 16 if features & _EXTENDED_L2 else 8)


def _check_features(header: bytes, features: int) -> None:
    if number(header, 8, 8, "big") or number(header, 16, 4, "big"):
        raise leads_elsewhere("is a qcow2 disk with a backing file")
    if features & _EXTERNAL_DATA:
        raise leads_elsewhere("is a qcow2 disk with an external data file")
    if number(header, 32, 4, "big"):
        raise _encrypted()
    if features & _CORRUPT:
        raise RefusedDisk("is a qcow2 disk that is marked as corrupt", "Check it: qemu-img check")
    if features & ~_KNOWN_FEATURES:
        raise RefusedDisk(
            "is a qcow2 disk with unknown features", "Convert it: qemu-img convert -O qcow2"
        )


def _encrypted() -> RefusedDisk:
    return RefusedDisk(
        "is an encrypted qcow2 disk", "Servers cannot use it. Convert it to one without encryption."
    )


def _extensions(disk: DiskBytes, offset: int, end: int) -> Iterator[int]:
    """The types of the header extensions."""
    for _number in range(_MAX_EXTENSIONS):
        if offset + 8 > end:
            return
        head = disk.at(offset, 8)
        kind, length = number(head, 0, 4, "big"), number(head, 4, 4, "big")
        if not kind:
            return
        yield kind
        offset += 8 + length + -length % 8
    raise RefusedDisk("is a damaged qcow2 disk: it has too many header extensions")


def _check_tables(disk: DiskBytes, header: bytes, cluster_bits: int, entry_bytes: int) -> None:
    """Raises RefusedDisk if the tables refer to clusters after the end of the file."""
    size = disk.size
    l1_bytes, l1_offset = 8 * number(header, 36, 4, "big"), number(header, 40, 8, "big")
    refcounts = number(header, 56, 4, "big") << cluster_bits
    if l1_bytes > _MAX_L1_BYTES:
        raise RefusedDisk("is a damaged qcow2 disk: its table of clusters is impossible")
    require_within((l1_offset + l1_bytes, number(header, 48, 8, "big") + refcounts), size)
    left = MAX_TABLE_BYTES
    for entry in _entries(disk.at(l1_offset, l1_bytes)):
        l2_offset = entry & _OFFSET
        if not l2_offset:
            continue
        require_within([l2_offset + (1 << cluster_bits)], size)
        left -= 1 << cluster_bits
        if left < 0:
            return
        table = _entries(disk.at(l2_offset, 1 << cluster_bits))
        _check_clusters(table[:: entry_bytes // 8], size, cluster_bits)


def _check_clusters(table: array[int], size: int, cluster_bits: int) -> None:
    """The last cluster may end after the file: what is missing in it counts as zeros."""
    compressed_offset = (1 << (62 - (cluster_bits - 8))) - 1
    for entry in table:
        mask = compressed_offset if entry & _COMPRESSED else _OFFSET
        if entry & mask >= size:
            raise truncated()


def _entries(table: bytes) -> array[int]:
    entries = array("Q", table)
    if sys.byteorder == "little":
        entries.byteswap()
    return entries

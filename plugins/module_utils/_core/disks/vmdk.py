# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Headers of VMDK disks in one file (VMware's "Virtual Disk Format 5.0", and ``block/vmdk.c`` of QEMU)."""

from __future__ import annotations

import re
import sys
from array import array

from .disk_bytes import (
    MAX_TABLE_BYTES,
    DiskBytes,
    RefusedDisk,
    leads_elsewhere,
    number,
    require_within,
    truncated,
)

MAGIC = b"KDMV"
DESCRIPTOR = b"# Disk DescriptorFile"
ESX = b"COWD"

_SECTOR = 512
_HEADER_BYTES = 512
_AT_END = (1 << 64) - 1
_MAX_DESCRIPTOR_BYTES = 1 << 16
_QEMUS_DESCRIPTOR_BYTES = 20 * _SECTOR
"""QEMU looks for a parent here, right after the header, wherever the header says that the descriptor is."""

_TYPES = (b"monolithicSparse", b"streamOptimized")
_EXTENT = re.compile(rb"^[ \t]*(?:RW|RDONLY|NOACCESS)[ \t]+\d+[ \t]+(\w+)", re.MULTILINE)
_TYPE = re.compile(rb'^[ \t]*createType[ \t]*=[ \t]*"?(\w*)', re.MULTILINE)
_PARENT = re.compile(rb"parentFileNameHint|^[ \t]*parentCID[ \t]*=[ \t]*(?!f{8})", re.M | re.I)


def check(disk: DiskBytes) -> None:
    """Raises RefusedDisk if part of its content is elsewhere or missing, and Incomplete."""
    header = disk.at(0, _HEADER_BYTES)
    descriptor_sector, descriptor_size = number(header, 28, 8), number(header, 36, 8)
    if not number(header, 12, 8) or not descriptor_sector:
        raise leads_elsewhere("is one file of a VMDK disk that has several")
    if descriptor_size * _SECTOR > _MAX_DESCRIPTOR_BYTES:
        raise RefusedDisk("is a damaged VMDK disk: its descriptor is too long")
    descriptor = disk.at(descriptor_sector * _SECTOR, descriptor_size * _SECTOR)
    extents, types = _EXTENT.findall(descriptor), _TYPE.findall(descriptor)
    if _PARENT.search(descriptor) or _PARENT.search(_after_header(disk)):
        raise leads_elsewhere("is a VMDK disk with a parent")
    if extents != [b"SPARSE"] or any(found not in _TYPES for found in types):
        raise leads_elsewhere("is a VMDK disk with content in other files")
    directory = number(header, 56, 8)
    if directory == _AT_END:
        footer = _footer(disk)
        directory = number(footer, 56, 8)
        if not number(footer, 12, 8):
            raise leads_elsewhere("is one file of a VMDK disk that has several")
    _check_tables(disk, header, directory)


def _after_header(disk: DiskBytes) -> bytes:
    """What QEMU reads as the descriptor when it looks for a parent; the file may be shorter."""
    try:
        return disk.at(_HEADER_BYTES, _QEMUS_DESCRIPTOR_BYTES)
    except RefusedDisk:
        return disk.at(_HEADER_BYTES, max(0, disk.size - _HEADER_BYTES))


def _footer(disk: DiskBytes) -> bytes:
    """The header at the end of a file that was written as a stream."""
    if disk.size < 3 * _SECTOR:
        raise truncated()
    footer = disk.at(disk.size - 2 * _SECTOR, _HEADER_BYTES)
    if not footer.startswith(MAGIC):
        raise truncated()
    return footer


def _check_tables(disk: DiskBytes, header: bytes, directory: int) -> None:
    """Raises RefusedDisk if the tables refer to content after the end of the file."""
    size = disk.size
    capacity, grain = number(header, 12, 8), number(header, 20, 8)
    entries = number(header, 44, 4)
    if not 0 < entries <= 512 or not 0 < grain <= 1 << 16:
        raise RefusedDisk("is a damaged VMDK disk: its tables are impossible")
    tables = -(-capacity // (entries * grain))
    if tables * 4 > MAX_TABLE_BYTES:
        raise RefusedDisk("is a damaged VMDK disk: its size is impossible")
    left = MAX_TABLE_BYTES
    for sector in _sectors(disk.at(directory * _SECTOR, tables * 4)):
        if not sector:
            continue
        left -= entries * 4
        if left < 0:
            return
        grains = _sectors(disk.at(sector * _SECTOR, entries * 4))
        require_within([max(grains) * _SECTOR], size - 1)


def _sectors(table: bytes) -> array[int]:
    sectors = array("I", table)
    if sys.byteorder == "big":
        sectors.byteswap()
    return sectors

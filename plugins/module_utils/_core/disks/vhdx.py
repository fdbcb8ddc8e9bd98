# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Headers of VHDX disks, those of Hyper-V (the specification MS-VHDX)."""

from __future__ import annotations

import sys
from array import array
from typing import Iterator
from uuid import UUID

from .disk_bytes import MAX_TABLE_BYTES, DiskBytes, RefusedDisk, leads_elsewhere, number, truncated

MAGIC = b"vhdxfile"

_REGION_TABLES = (192 << 10, 256 << 10)
_TABLE_BYTES = 64 << 10
_MAX_ENTRIES = 2047
_ENTRY_BYTES = 32

_ALLOCATION = UUID("2dc27766-f623-4200-9d64-115e9bfd4a08").bytes_le
_METADATA = UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
_FILE_PARAMETERS = UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b").bytes_le
_PARENT_LOCATOR = UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c").bytes_le
_HAS_PARENT = 2
_PRESENT = (6, 7)
"""The states of blocks that have content in the file."""


def check(disk: DiskBytes) -> None:
    """Raises RefusedDisk if it has a parent or is truncated, and Incomplete."""
    regions = [region for table in _REGION_TABLES for region in _regions(disk, table)]
    if not {_ALLOCATION, _METADATA} <= {name for name, _offset, _length in regions}:
        raise RefusedDisk("is a damaged VHDX disk: it lacks its tables")
    for name, offset, length in regions:
        if name == _METADATA:
            _check_metadata(disk, offset)
        elif name == _ALLOCATION:
            _check_allocation(disk, offset, length)


def _regions(disk: DiskBytes, offset: int) -> Iterator[tuple[bytes, int, int]]:
    """The regions of one of the two tables: name, offset, length. A table that is not valid has none."""
    table = disk.at(offset, _TABLE_BYTES)
    count = number(table, 8, 4)
    if not table.startswith(b"regi") or count > _MAX_ENTRIES:
        return
    for start in range(16, 16 + count * _ENTRY_BYTES, _ENTRY_BYTES):
        yield table[start : start + 16], number(table, start + 16, 8), number(table, start + 24, 4)


def _check_metadata(disk: DiskBytes, region: int) -> None:
    table = disk.at(region, _TABLE_BYTES)
    count = number(table, 10, 2)
    if not table.startswith(b"metadata") or count > _MAX_ENTRIES:
        raise RefusedDisk("is a damaged VHDX disk: its metadata cannot be read")
    for start in range(32, 32 + count * _ENTRY_BYTES, _ENTRY_BYTES):
        item, offset = table[start : start + 16], number(table, start + 16, 4)
        if item == _PARENT_LOCATOR:
            raise leads_elsewhere("is a VHDX disk with a parent")
        if item == _FILE_PARAMETERS and number(disk.at(region + offset, 8), 4, 4) & _HAS_PARENT:
            raise leads_elsewhere("is a VHDX disk with a parent")


def _check_allocation(disk: DiskBytes, offset: int, length: int) -> None:
    """Raises RefusedDisk if the table refers to content after the end of the file."""
    length = min(length, MAX_TABLE_BYTES) // 8 * 8
    table = array("Q", disk.at(offset, length))
    if sys.byteorder == "big":
        table.byteswap()
    size = disk.size
    if any(entry & 7 in _PRESENT and entry >> 20 << 20 >= size for entry in table):
        raise truncated()

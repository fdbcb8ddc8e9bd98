# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Headers of VDI disks, those of VirtualBox (``block/vdi.c`` of QEMU)."""

from __future__ import annotations

import sys
from array import array

from .disk_bytes import MAX_TABLE_BYTES, DiskBytes, RefusedDisk, leads_elsewhere, number, truncated

MAGIC_OFFSET = 64
MAGIC = b"\x7f\x10\xda\xbe"

_HEADER_BYTES = 512
_DYNAMIC, _STATIC = 1, 2
_UNALLOCATED = 0xFFFFFFFE
"""From this number on, a block has no content."""


def check(disk: DiskBytes) -> None:
    """Raises RefusedDisk if it has a parent or is truncated, and Incomplete."""
    header = disk.at(0, _HEADER_BYTES)
    linked, parent = header[0x1A8:0x1B8], header[0x1B8:0x1C8]
    if number(header, 0x4C, 4) not in (_DYNAMIC, _STATIC) or linked.strip(b"\0") + parent.strip(
        b"\0"
    ):
        raise leads_elsewhere("is a VDI disk with a parent")
    blocks = number(header, 0x180, 4)
    if 4 * blocks > MAX_TABLE_BYTES:
        raise RefusedDisk("is a damaged VDI disk, or one of more than 4 TiB")
    table = array("I", disk.at(number(header, 0x154, 4), 4 * blocks))
    if sys.byteorder == "big":
        table.byteswap()
    last = max((block for block in table if block < _UNALLOCATED), default=None)
    block_bytes = number(header, 0x178, 4)
    if last is not None and number(header, 0x158, 4) + (last + 1) * block_bytes > disk.size:
        raise truncated()

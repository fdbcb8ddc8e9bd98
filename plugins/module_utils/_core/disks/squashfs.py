# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The superblock of a squashfs (``Documentation/filesystems/squashfs.rst`` and ``squashfs_fs.h`` of Linux)."""

from __future__ import annotations

from .disk_bytes import RefusedDisk, number, require_within

SUPERBLOCK_BYTES = 96

_VERSION, _OLD_VERSIONS = 4, range(1, 4)
_COMPRESSIONS = range(1, 7)
_BLOCK_BITS = range(12, 21)
_TABLES = (48, 64, 72)
"""Where the superblock has the offsets of the tables that each squashfs has: of owners, inodes and directories."""


def check(head: bytes, size: int | None) -> None:
    """Raises RefusedDisk if it is damaged or, with the ``size`` of the file, truncated."""
    version = number(head, 28, 2)
    if version in _OLD_VERSIONS:
        raise RefusedDisk(
            f"is a squashfs of version {version}, which servers do not know",
            "Get the file again, or make it with mksquashfs 4 or later.",
        )
    block_bits, used = number(head, 22, 2), number(head, 40, 8)
    tables = [number(head, offset, 8) for offset in _TABLES]
    if (
        version != _VERSION
        or block_bits not in _BLOCK_BITS
        or number(head, 12, 4) != 1 << block_bits
        or number(head, 20, 2) not in _COMPRESSIONS
        or not all(SUPERBLOCK_BYTES <= table < used for table in tables)
    ):
        raise RefusedDisk(
            "is a damaged squashfs: its superblock is impossible", "Get the file again."
        )
    if size is not None:
        require_within([used], size)

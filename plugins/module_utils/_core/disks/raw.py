# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Raw disks: known by their partition table or boot sector (UEFI specification, section 5)."""

from __future__ import annotations

from typing import Iterator

from .disk_bytes import DiskBytes, Incomplete, RefusedDisk, number, require_within, truncated

_SECTOR = 512
_BOOT_SIGNATURE = b"\x55\xaa"
_GPT = b"EFI PART"
_PROTECTIVE = 0xEE
_ISO_OFFSET, _ISO = 32769, b"CD001"

_FILE_SYSTEMS = (
    (1080, b"\x53\xef", "ext4"),
    (0, b"XFSB", "XFS"),
    (65600, b"_BHRfS_M", "Btrfs"),
)


def check(disk: DiskBytes) -> None:
    """Raises RefusedDisk if it is not a disk that can boot, or truncated, and Incomplete."""
    if _found(disk, _ISO_OFFSET, _ISO):
        raise RefusedDisk(
            "is an ISO image, which is a medium for an installation and not a disk",
            "Use a disk on which a system is installed already.",
        )
    has_gpt = _found(disk, _SECTOR, _GPT)
    if not has_gpt and not _found(disk, _SECTOR - len(_BOOT_SIGNATURE), _BOOT_SIGNATURE):
        for offset, magic, name in _FILE_SYSTEMS:
            if _found(disk, offset, magic):
                raise RefusedDisk(
                    f"is a file system ({name}) without a partition table or boot sector",
                    "A virtual machine needs a whole disk. For a container, pack the files with tar.",
                )
        raise RefusedDisk(
            "is not a disk: it has neither a known format nor a partition table or boot sector",
            "Use a disk (qcow2, raw, vmdk, vhdx, vdi), or a tar archive or squashfs of a root file system.",
        )
    start, size = disk.at(0, 2 * _SECTOR), disk.size
    tail = disk.at(size - _SECTOR, _SECTOR) if size >= _SECTOR else b""
    if tail.startswith(b"conectix"):
        raise RefusedDisk("is a VHD disk", "Convert it: qemu-img convert -f vpc -O qcow2")
    if size % _SECTOR:
        raise truncated()
    if has_gpt:
        # The copy of the table is in the last sector, or before it if the disk was enlarged.
        require_within([(number(start, _SECTOR + 32, 8) + 1) * _SECTOR], size)
    else:
        require_within(_partition_ends(start), size)


def _partition_ends(start: bytes) -> Iterator[int]:
    """Where the partitions of a master boot record end; none if the sector is that of a file system."""
    entries = [start[offset : offset + 16] for offset in range(446, 510, 16)]
    if any(entry[0] not in (0, 0x80) for entry in entries):
        return
    for entry in entries:
        if entry[4] and entry[4] != _PROTECTIVE:
            yield (number(entry, 8, 4) + number(entry, 12, 4)) * _SECTOR


def _found(disk: DiskBytes, offset: int, magic: bytes) -> bool:
    try:
        return disk.at(offset, len(magic)) == magic
    except (RefusedDisk, Incomplete):
        return False

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a bare file is: a disk, perhaps compressed, or a root file system; and whether an image can be made of it.

QEMU follows what a disk's headers refer to. So they are read here, within bounds, before ``qemu-img`` sees the file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from ..archives import ArchiveError
from ..archives.file_kinds import WORDS, file_kind
from ..errors import FileError
from ..images import CONTAINER, VIRTUAL_MACHINE
from . import qcow2, raw, squashfs, vdi, vhdx, vmdk
from .disk_bytes import (
    DiskBytes,
    HeadBytes,
    Incomplete,
    RefusedDisk,
    truncated,
)

if TYPE_CHECKING:
    from ..deadline import Deadline

HEAD_BYTES = 1 << 20
"""What is read of the beginning of a file, or of what is in a compressed one."""

PACKINGS = frozenset({"gzip", "xz", "zstd", "bzip2", "lzma", "zip"})

_CHECKS = {
    "qcow2": qcow2.check,
    "vmdk": vmdk.check,
    "vhdx": vhdx.check,
    "vdi": vdi.check,
    "raw": raw.check,
}

_OTHERS = (
    (vmdk.DESCRIPTOR, "is a VMDK descriptor, whose content is in other files"),
    (vmdk.ESX, "is a VMDK disk of ESX"),
    (b"conectix", "is a VHD disk"),
    (b"QED\0", "is a QED disk"),
    (b"LUKS\xba\xbe", "is an encrypted disk (LUKS)"),
    (b"WithoutFreeSpace", "is a Parallels disk"),
    (b"WithouFreSpacExt", "is a Parallels disk"),
)
_CONVERT = "Convert it: qemu-img convert -O qcow2"


@dataclass(frozen=True)
class Recognized:
    """What a file is: its ``format`` (qcow2, raw, vmdk, vhdx, vdi, tar, squashfs) and for a disk the ``packing``.

    ``packing`` is gzip, xz, zstd, bzip2, lzma or zip, or empty; always empty for root file systems, which are sent as
    they are.
    """

    format: str
    packing: str = ""

    @property
    def type(self) -> str:
        """The type of an image that is made of it."""
        return CONTAINER if self.format in ("tar", "squashfs") else VIRTUAL_MACHINE

    @property
    def is_sent_unchanged(self) -> bool:
        """Whether the file itself becomes the image's root file system."""
        return not self.packing and self.format in ("qcow2", "tar", "squashfs")


def recognize(name: str, file: IO[bytes], deadline: Deadline, is_head: bool = False) -> Recognized:
    """What a file is, which is called ``name`` in messages. Its position stays as it is.

    Of a compressed disk only the beginning is checked: what is unpacked has to be recognized again. With ``is_head``,
    the file is the beginning of one, of which only that is checked (of a zip file, nothing). Raises FileError if no
    image can be made of it, saying what it is, CannotUnpack if this host cannot read it, and TimedOut.
    """
    try:
        return deadline.call(lambda: _recognized(name, file, deadline, is_head))
    except RefusedDisk as refused:
        raise FileError(f"{name} {refused.reason}", refused.hint) from refused
    except ArchiveError as error:
        raise FileError(f"{name} is damaged: {error}", "Get the file again.") from error
    except OSError as error:
        raise FileError(f"cannot read {name}: {error.strerror}") from error


def _recognized(name: str, file: IO[bytes], deadline: Deadline, is_head: bool) -> Recognized:
    head = os.pread(file.fileno(), HEAD_BYTES, 0)
    size = os.fstat(file.fileno()).st_size
    kind = file_kind(head[:512])
    if kind in PACKINGS:
        return _recognized_packed(name, file, kind, deadline, is_head)
    if kind in ("tar", "squashfs"):
        if kind == "squashfs":
            squashfs.check(head, None if is_head else size)
        if kind == "tar" or not is_head:
            # Imported late, as all that only some files need.
            from .root_contents import check_root

            check_root(name, file, kind, deadline, is_head)
        return Recognized(kind)
    disk = HeadBytes(head) if is_head else FileBytes(file, size)
    return Recognized(_checked_disk(head, disk))


def _recognized_packed(
    name: str, file: IO[bytes], packing: str, deadline: Deadline, is_head: bool
) -> Recognized:
    if packing == "zip" and is_head:
        # Its directory is at its end.
        return Recognized("raw", packing)
    from .packed import first_bytes, unpacked_disk

    with unpacked_disk(file, packing, deadline) as stream:
        head = first_bytes(stream, HEAD_BYTES, is_head)
    kind = file_kind(head[:512])
    if kind == "tar" and packing != "zip":
        from .root_contents import check_root

        check_root(name, file, packing, deadline, is_head)
        return Recognized("tar")
    if kind in PACKINGS or kind in ("tar", "squashfs"):
        raise RefusedDisk(f"has {WORDS[kind]} in it", "Unpack it once.")
    try:
        return Recognized(_checked_disk(head, HeadBytes(head)), packing)
    except RefusedDisk as refused:
        raise FileError(f"{name}, unpacked, {refused.reason}", refused.hint) from refused


def _checked_disk(head: bytes, disk: DiskBytes) -> str:
    """The format of a disk, after its headers were checked as far as they are available."""
    format_name = _disk_format(head)
    try:
        _CHECKS[format_name](disk)
    except Incomplete:
        return format_name
    return format_name


def _disk_format(head: bytes) -> str:
    for magic, reason in _OTHERS:
        if head.startswith(magic):
            raise RefusedDisk(reason, _CONVERT)
    if head.startswith(qcow2.MAGIC):
        return "qcow2"
    if head.startswith(vmdk.MAGIC):
        return "vmdk"
    if head.startswith(vhdx.MAGIC):
        return "vhdx"
    if head[vdi.MAGIC_OFFSET :].startswith(vdi.MAGIC):
        return "vdi"
    kind = file_kind(head[:512])
    if kind in ("html", "text", "program", "vault") and head[510:512] != b"\x55\xaa":
        raise RefusedDisk(
            f"is {WORDS[kind]}",
            "Use a disk, or a tar archive or squashfs of a root file system.",
        )
    return "raw"


class FileBytes:
    """The bytes of a whole file."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._number = file.fileno()
        self.size = size

    def at(self, offset: int, size: int) -> bytes:
        if offset + size > self.size:
            raise truncated()
        found = b""
        while len(found) < size:
            block = os.pread(self._number, size - len(found), offset + len(found))
            if not block:
                raise truncated()
            found += block
        return found

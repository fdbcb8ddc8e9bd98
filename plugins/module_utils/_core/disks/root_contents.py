# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether an archive or squashfs contains a root file system."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING

from ..archives.archive_scan import SCAN_LIMIT, Findings, scan_archive
from ..errors import FileError
from .disk_bytes import RefusedDisk

if TYPE_CHECKING:
    from ..deadline import Deadline

_DISK_SUFFIXES = (".raw", ".img", ".qcow2", ".vmdk", ".vdi", ".vhd", ".vhdx")


def check_root(
    name: str, file: IO[bytes], kind: str, deadline: Deadline, is_head: bool = False
) -> None:
    """Raises RefusedDisk if a file, called ``name`` in messages, does not contain a root file system.

    It is read as far as this host can. ``kind`` is tar, squashfs, or the compression of a tar archive. With
    ``is_head``, the file is the beginning of one. Raises FileError and TimedOut.
    """
    _require_root(_scanned(name, file, kind, deadline, is_head))


def _scanned(name: str, file: IO[bytes], kind: str, deadline: Deadline, is_head: bool) -> Findings:
    """What is in a root file system, as far as this host can read it."""
    size = os.fstat(file.fileno()).st_size
    limit = min(SCAN_LIMIT, size // 2) if is_head else SCAN_LIMIT
    try:
        return scan_archive(name, file, kind, deadline, limit)
    except FileError:
        # The beginning of an archive ends where it does.
        if is_head:
            return Findings()
        raise


def _require_root(found: Findings) -> None:
    """Raises RefusedDisk if what was found in an archive is not a root file system."""
    if found.obstacle:
        # The server may be able to read it.
        return
    names = found.first_names
    if found.metadata is not None and not found.type and found.complete:
        raise RefusedDisk(
            "is the metadata of a split image", "Set metadata to it, and rootfs to the other file."
        )
    if found.metadata is not None or found.type:
        raise RefusedDisk("is a complete image, with its metadata", "Use src instead of rootfs.")
    if any(name.lower().endswith(".ovf") for name in names):
        raise RefusedDisk(
            "is an OVA, an appliance with a description and disks", "Unpack it, and use its disk."
        )
    if {"manifest.json", "oci-layout"} & set(names):
        raise RefusedDisk(
            "is a container image of Docker or OCI, which consists of layers",
            "Use a root file system.",
        )
    disk = next((name for name in names if name.lower().endswith(_DISK_SUFFIXES)), "")
    if disk and not found.root_names:
        raise RefusedDisk(
            f"is an archive with the disk {disk} in it", "Unpack it, and use its disk."
        )
    if not found.root_names and found.complete:
        shown = f" It contains {', '.join(names[:3])}." if names else ""
        raise RefusedDisk(
            "does not contain a root file system",
            f"The directories etc, usr and so on have to be at its top.{shown}",
        )

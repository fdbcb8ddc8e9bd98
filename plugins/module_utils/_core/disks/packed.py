# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compressed disks: gzip, xz, zstd, bzip2, lzma, and zip with one file in it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Iterator

from ..archives import ArchiveError, Readable
from ..archives.decompression import unpacked
from .disk_bytes import RefusedDisk
from .zip_file import zip_member

if TYPE_CHECKING:
    from ..deadline import Deadline

_PIECE = 1 << 12


@contextmanager
def unpacked_disk(file: IO[bytes], packing: str, deadline: Deadline) -> Iterator[Readable]:
    """The content of a compressed disk. Raises as ``unpacked`` and ``zip_member`` do."""
    opened = zip_member(file, deadline) if packing == "zip" else unpacked(file, packing, deadline)
    with opened as stream:
        yield stream


def first_bytes(stream: Readable, size: int, is_head: bool) -> bytes:
    """The first ``size`` bytes of what is unpacked. With ``is_head``, the file ends early, and so may its content."""
    head = b""
    try:
        while len(head) < size:
            # In small pieces: a stream that ends early gives nothing of the piece in which it does.
            block = stream.read(_PIECE)
            if not block:
                break
            head += block
    except ArchiveError:
        if not is_head or len(head) < 512:
            raise
    if not head:
        raise RefusedDisk("has nothing in it", "Use a file with content.")
    return head

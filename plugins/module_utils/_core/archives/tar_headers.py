# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Headers of a tar archive (``pax`` in POSIX.1), with names and attributes as bytes.

Not by ``tarfile``, whose bytes differ between versions of Python and between locales: every directory would be uploaded
again after an upgrade.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Mapping, Protocol

SECTOR = 512
END = bytes(2 * SECTOR)
HARD_LINK = b"1"

_TYPES = {
    stat.S_IFREG: b"0",
    stat.S_IFLNK: b"2",
    stat.S_IFCHR: b"3",
    stat.S_IFBLK: b"4",
    stat.S_IFDIR: b"5",
    stat.S_IFIFO: b"6",
}
_LONGEST_NAME = 100


class FileStatus(Protocol):
    """What a header takes from the status of a file, as in ``os.stat_result``."""

    @property
    def st_mode(self) -> int:
        """Type and permissions."""

    @property
    def st_uid(self) -> int:
        """The owner."""

    @property
    def st_gid(self) -> int:
        """The group."""

    @property
    def st_mtime_ns(self) -> int:
        """The modification time in nanoseconds since 1970."""

    @property
    def st_rdev(self) -> int:
        """The number of a device."""


@dataclass(frozen=True)
class MemberStatus:
    """The status of a member that is no file: by default it belongs to root and was modified in 1970."""

    st_mode: int
    st_uid: int = 0
    st_gid: int = 0
    st_mtime_ns: int = 0
    st_rdev: int = 0


def type_of(state: os.stat_result) -> bytes | None:
    """The type of the member for a file with this status; None for a socket, which archives cannot contain."""
    return _TYPES.get(stat.S_IFMT(state.st_mode))


def header(
    name: bytes,
    kind: bytes,
    state: FileStatus,
    size: int = 0,
    target: bytes = b"",
    attributes: Mapping[bytes, bytes] | None = None,
) -> bytes:
    """The header of one member, with numeric owners and the modification time in whole seconds.

    ``size`` is the number of bytes that follow, ``target`` that of a link, ``attributes`` are the extended attributes.
    """
    more = {b"SCHILY.xattr." + _quoted(key): value for key, value in (attributes or {}).items()}
    fields = {
        "uid": (state.st_uid, 8),
        "gid": (state.st_gid, 8),
        "size": (size, 12),
        # Not st_mtime, a float, which may be rounded up, and before 1970 would be truncated upwards.
        "mtime": (state.st_mtime_ns // 10**9, 12),
    }
    digits = {}
    for field, (number, width) in fields.items():
        fits = 0 <= number < 8 ** (width - 1)
        digits[field] = _octal(number if fits else 0, width)
        if not fits:
            more[field.encode()] = b"%d" % number
    for field, text in (("path", name), ("linkpath", target)):
        if len(text) > _LONGEST_NAME:
            more[field.encode()] = text
    is_device = kind in (_TYPES[stat.S_IFCHR], _TYPES[stat.S_IFBLK])
    device = state.st_rdev if is_device else 0
    plain = _sector(
        name,
        _octal(stat.S_IMODE(state.st_mode), 8) + digits["uid"] + digits["gid"],
        digits["size"] + digits["mtime"],
        kind,
        target,
        _octal(os.major(device), 8) + _octal(os.minor(device), 8),
    )
    return _extension(more) + plain if more else plain


def padding(size: int) -> bytes:
    """The zeros between ``size`` bytes of content and the next header."""
    return bytes(-size % SECTOR)


def _extension(more: Mapping[bytes, bytes]) -> bytes:
    """An extended header, for what does not fit into the header of the member."""
    content = b"".join(_record(key, more[key]) for key in sorted(more))
    owner = _octal(0, 8) * 3
    plain = _sector(
        b"././@PaxHeader",
        owner,
        _octal(len(content), 12) + _octal(0, 12),
        b"x",
        b"",
        _octal(0, 8) * 2,
    )
    return plain + content + padding(len(content))


def _record(key: bytes, value: bytes) -> bytes:
    """One record of an extended header, which begins with its own length."""
    rest = b" %b=%b\n" % (key, value)
    length = len(rest) + len(str(len(rest)))
    return b"%d%b" % (len(rest) + len(str(length)), rest)


def _quoted(key: bytes) -> bytes:
    """The name of an extended attribute as GNU tar writes it: the first equals sign would end it."""
    return key.replace(b"%", b"%25").replace(b"=", b"%3D")


def _octal(number: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, number)


def _sector(
    name: bytes, owner: bytes, sizes: bytes, kind: bytes, target: bytes, device: bytes
) -> bytes:
    """The 512 bytes of a header, with the checksum."""
    name, target = name[:_LONGEST_NAME], target[:_LONGEST_NAME]
    before = name.ljust(100, b"\0") + owner + sizes
    after = kind + target.ljust(100, b"\0") + b"ustar\x0000" + bytes(64) + device
    total = sum(before) + sum(after) + sum(b" " * 8)
    return (before + b"%06o\0 " % total + after).ljust(SECTOR, b"\0")

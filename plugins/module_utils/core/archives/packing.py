# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An image as a directory, packed into an archive that is the same for the same tree on every machine.

Names are sorted, owners are numbers, times are those of the last change in whole seconds; hard and symbolic links,
devices and extended attributes are kept. LXD unpacks such archives with GNU tar (``shared/archive.go``).
"""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from hashlib import sha256
from typing import Iterator

from ..errors import WrongFile
from .looking import check_metadata

BLOCK = 1 << 20
_MEMBERS = ("metadata.yaml", "rootfs", "templates")
_END = bytes(2 * tarfile.BLOCKSIZE)


class Tree:
    """A directory with an image in it: ``metadata.yaml``, ``rootfs/`` and perhaps ``templates/``.

    Raises WrongFile if it is none.
    """

    def __init__(self, path: str) -> None:
        self.path = path.rstrip("/") or "/"
        self._check_metadata()
        if not os.path.isdir(os.path.join(path, "rootfs")):
            raise WrongFile(f"{path} is a directory without rootfs/", _HINT)

    def __str__(self) -> str:
        return self.path

    def archive(self) -> Iterator[bytes]:
        """The tree as an archive that is not compressed, in blocks. Raises WrongFile if it cannot be read."""
        return _in_blocks(self._pieces())

    def digest(self) -> str:
        """The SHA-256 of that archive, by which the same tree is known again."""
        digest = sha256()
        for block in self.archive():
            digest.update(block)
        return digest.hexdigest()

    def _pieces(self) -> Iterator[bytes]:
        links: dict[tuple[int, int], str] = {}
        for name in _MEMBERS:
            if os.path.lexists(os.path.join(self.path, name)):
                yield from self._member(name, links)
        yield _END

    def _check_metadata(self) -> None:
        path = os.path.join(self.path, "metadata.yaml")
        try:
            with open(path, "rb") as file:
                content = file.read()
        except FileNotFoundError as error:
            raise WrongFile(f"{self.path} is a directory without metadata.yaml", _HINT) from error
        except OSError as error:
            raise WrongFile(f"cannot read {path}: {error.strerror}") from error
        check_metadata(self.path, content)

    def _member(self, name: str, links: dict[tuple[int, int], str]) -> Iterator[bytes]:
        """One entry, and what is below it."""
        path = os.path.join(self.path, name)
        try:
            state = os.lstat(path)
            member = self._described(path, name, state, links)
            if member is None:
                return
            yield member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
            if member.isreg():
                yield from _content(path, member.size)
            if member.isdir():
                for entry in sorted(os.listdir(path), key=os.fsencode):
                    yield from self._member(f"{name}/{entry}", links)
        except OSError as error:
            hint = (
                "Run the task as root (become: true)." if isinstance(error, PermissionError) else ""
            )
            raise WrongFile(f"cannot pack {path}: {error.strerror}", hint) from error

    def _described(
        self, path: str, name: str, state: os.stat_result, links: dict[tuple[int, int], str]
    ) -> tarfile.TarInfo | None:
        """The header of one entry; None for a socket, which no archive can hold."""
        member = tarfile.TarInfo(name)
        member.mode = stat.S_IMODE(state.st_mode)
        member.uid, member.gid, member.mtime = state.st_uid, state.st_gid, int(state.st_mtime)
        kind = _TYPES.get(stat.S_IFMT(state.st_mode))
        if kind is None:
            return None
        member.type = kind
        if kind == tarfile.REGTYPE:
            first = (
                links.setdefault((state.st_dev, state.st_ino), name) if state.st_nlink > 1 else name
            )
            if first != name:
                member.type, member.linkname = tarfile.LNKTYPE, first
                return member
            member.size = state.st_size
        elif kind == tarfile.SYMTYPE:
            member.linkname = os.readlink(path)
        elif kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
            member.devmajor, member.devminor = os.major(state.st_rdev), os.minor(state.st_rdev)
        member.pax_headers = _extended_attributes(path)
        return member


_HINT = (
    "A directory with an image holds metadata.yaml and rootfs/, and templates/ if there are any."
)

_TYPES = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
}


def _extended_attributes(path: str) -> dict[str, str]:
    """As headers, under the names that GNU tar gives them."""
    try:
        names = sorted(os.listxattr(path, follow_symlinks=False))
        return {
            f"SCHILY.xattr.{name}": os.fsdecode(os.getxattr(path, name, follow_symlinks=False))
            for name in names
        }
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.ENODATA):
            return {}
        raise


def _in_blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in blocks of some size: a tree of small files comes in a great many pieces."""
    gathered: list[bytes] = []
    size = 0
    for piece in pieces:
        gathered.append(piece)
        size += len(piece)
        if size >= BLOCK:
            yield b"".join(gathered)
            gathered, size = [], 0
    yield b"".join(gathered)


def _content(path: str, size: int) -> Iterator[bytes]:
    """The content of a file, padded as archives have it. Raises WrongFile if it has become shorter."""
    left = size
    with open(path, "rb", buffering=0) as file:
        while left:
            block = file.read(min(BLOCK, left))
            if not block:
                raise WrongFile(f"{path} became shorter while it was packed")
            left -= len(block)
            yield block
    if size % tarfile.BLOCKSIZE:
        yield bytes(tarfile.BLOCKSIZE - size % tarfile.BLOCKSIZE)

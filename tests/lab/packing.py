# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tarballs, squashfs and qcow2 files that come out the same, byte by byte, on every run."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from .errors import LabError

TIME = 1_700_000_000  # of all that is packed


@dataclass(frozen=True)
class Member:
    """A file (with ``content``), a symbolic link (with ``link``), or a folder."""

    name: str
    content: bytes | None = None
    link: str | None = None
    mode: int | None = None

    def below(self, folder: str) -> Member:
        """The same in a folder."""
        return Member(f"{folder}/{self.name}", self.content, self.link, self.mode)

    @property
    def header(self) -> tarfile.TarInfo:
        """Its header in a tarball; it belongs to root."""
        info = tarfile.TarInfo(self.name)
        info.mtime = TIME
        if self.content is not None:
            info.size, info.mode = len(self.content), 0o644
        elif self.link is not None:
            info.type, info.linkname, info.mode = tarfile.SYMTYPE, self.link, 0o777
        else:
            info.type, info.mode = tarfile.DIRTYPE, 0o755
        if self.mode is not None:
            info.mode = self.mode
        return info


def tar(members: Iterable[Member]) -> bytes:
    """A tarball, not compressed, of these members in this order."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for member in members:
            archive.addfile(member.header, io.BytesIO(member.content or b""))
    return stream.getvalue()


def unpack(members: Iterable[Member], folder: Path) -> None:
    """Write members into a folder."""
    with tarfile.open(fileobj=io.BytesIO(tar(members))) as archive:
        if hasattr(tarfile, "tar_filter"):  # else this is an older Python, which asks for none
            archive.extraction_filter = tarfile.tar_filter
        archive.extractall(folder)


def squashfs(archive: bytes, *options: str) -> bytes:
    """The squashfs file of what is in a tarball."""
    with tempfile.TemporaryDirectory(prefix="lab-squashfs-") as folder:
        path = Path(folder) / "root.squashfs"
        command = ["sqfstar", "-quiet", "-no-progress", "-processors", "1"]
        times = ["-mkfs-time", str(TIME), "-all-time", str(TIME)]
        tool([*command, *times, *options, str(path)], archive)
        return path.read_bytes()


def qcow2(disk: bytes) -> bytes:
    """The qcow2 file of a raw disk."""
    with tempfile.TemporaryDirectory(prefix="lab-qcow2-") as folder:
        raw, path = Path(folder) / "disk", Path(folder) / "disk.qcow2"
        raw.write_bytes(disk)
        tool(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(path)])
        return path.read_bytes()


def tool(command: list[str], given: bytes = b"") -> bytes:
    """Run a program on these bytes and return its standard output."""
    # squashfs-tools refuse their own options for times beside this variable.
    environment = {key: value for key, value in os.environ.items() if key != "SOURCE_DATE_EPOCH"}
    try:
        done = subprocess.run(
            command, input=given, env=environment, capture_output=True, check=False
        )
    except FileNotFoundError:
        raise LabError(f"{command[0]} is not installed; run: python3 tests/lab install") from None
    if done.returncode != 0:
        raise LabError(f"{' '.join(command)}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


#: How a tarball is packed, by the ending of its name.
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "tar": lambda archive: archive,
    "tar.gz": lambda archive: gzip.compress(archive, compresslevel=6, mtime=0),
    "tar.xz": lambda archive: lzma.compress(archive, preset=1),
    "tar.bz2": bz2.compress,
    "tar.zst": lambda archive: tool(["zstd", "-q", "-c", "-"], archive),
    "squashfs": squashfs,
}

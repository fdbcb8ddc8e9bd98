# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images of any size, made of bytes that no compression makes smaller, in seconds."""

from __future__ import annotations

import fcntl
import hashlib
import io
import platform
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from . import content
from .content import Recipe
from .errors import LabError
from .images import CONTAINER, Image
from .packages import install
from .packing import PACKERS, TIME, Member, tar, tool

_BLOCK = 1 << 20


class _Counted:
    """A stream to write to that knows how much was written; ``tarfile`` needs no more."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.size = 0
        self._stream = stream

    def write(self, data: bytes) -> int:
        self.size += len(data)
        self._stream.write(data)
        return len(data)

    def tell(self) -> int:
        return self.size


class _Hashed(_Counted):
    """The same, and it knows the SHA-256 of what was written."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(stream)
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return super().write(data)


def build_large(
    folder: Path, size: int, *, split: bool = False, version: str = "1", name: str = "large"
) -> Image:
    """Build a container image with ``size`` random bytes in ``/data``; it boots, too.

    Unified it is a tarball that is not compressed, split it has a squashfs that is not. The same
    parameters give the same bytes. It is never kept in the cache.
    """
    content.tools()
    folder = Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    properties = content.standard_properties(version, platform.machine())
    recipe = Recipe(version, name, properties)
    stem = folder / f"{name}-{version}-{size}"
    return _split(recipe, stem, size) if split else _unified(recipe, stem, size)


def build_large_disk(folder: Path, size: int, *, version: str = "1", name: str = "disk") -> Path:
    """Build a raw disk of ``size`` random bytes below a partition table; the same bytes each time."""
    install(("fdisk",))
    content.tools()
    path = Path(folder).absolute() / f"{name}-{version}-{size}.raw"
    path.parent.mkdir(parents=True, exist_ok=True)
    with _in_one_step(path) as file:
        with _noise(version) as noise:
            for _block in range(size // _BLOCK):
                file.write(noise.read(_BLOCK))
        file.flush()
        label = f"label: dos\nlabel-id: 0x{size & 0xFFFFFFFF:08x}\nstart=2048, type=83\n"
        tool(["sfdisk", "--quiet", "--wipe=never", file.name], label.encode())
    return path


def _unified(recipe: Recipe, stem: Path, size: int) -> Image:
    path = stem.with_name(f"{stem.name}.tar")
    with _in_one_step(path) as file:
        hashed = _Hashed(file)
        root = [Member("rootfs"), *(one.below("rootfs") for one in content.root(recipe.version))]
        _pack(hashed, [*recipe.members, *root], "rootfs/data", recipe.version, size)
    return Image("large", CONTAINER, path, None, hashed.digest.hexdigest(), hashed.size)


def _split(recipe: Recipe, stem: Path, size: int) -> Image:
    path = stem.with_name(f"{stem.name}-split")
    path.mkdir(exist_ok=True)
    meta, root = path / "meta.tar.gz", path / "root.squashfs"
    packed = PACKERS["tar.gz"](tar(recipe.members))
    meta.write_bytes(packed)
    with tempfile.TemporaryDirectory(prefix=".large-", dir=path) as temporary:
        made = Path(temporary) / root.name
        stored = ["-noI", "-noD", "-noF", "-noX"]
        times = ["-mkfs-time", str(TIME), "-all-time", str(TIME)]
        command = ["sqfstar", "-quiet", "-no-progress", *stored, *times, str(made)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdin is not None and process.stderr is not None
            _pack(
                _Counted(process.stdin), content.root(recipe.version), "data", recipe.version, size
            )
            process.stdin.close()
            complaint = process.stderr.read().decode(errors="replace").strip()
        if process.returncode != 0:
            raise LabError(f"sqfstar: {complaint}")
        made.replace(root)
    digest = hashlib.sha256(packed)
    with root.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    total = len(packed) + root.stat().st_size
    return Image("large", CONTAINER, meta, root, digest.hexdigest(), total)


def _pack(stream: _Counted, members: list[Member], name: str, version: str, size: int) -> None:
    """Write a tarball of these members, and of a file of so many random bytes at its end."""
    with tarfile.TarFile(
        fileobj=cast(IO[bytes], stream), mode="w", format=tarfile.GNU_FORMAT, copybufsize=_BLOCK
    ) as archive:
        for member in members:
            archive.addfile(member.header, io.BytesIO(member.content or b""))
        header = Member(name, b"").header
        header.size = size
        with _noise(version) as noise:
            archive.addfile(header, noise)


@contextmanager
def _noise(version: str) -> Iterator[IO[bytes]]:
    """An endless stream of bytes that look random and are the same for the same version."""
    key = hashlib.sha256(version.encode()).hexdigest()[:32]
    command = ["openssl", "enc", "-aes-128-ctr", "-K", key, "-iv", "0" * 32, "-in", "/dev/zero"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, _BLOCK)
    try:
        yield process.stdout
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


@contextmanager
def _in_one_step(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears under its name when it is complete."""
    with tempfile.TemporaryDirectory(prefix=".large-", dir=path.parent) as temporary:
        made = Path(temporary) / path.name
        with made.open("wb") as file:
            yield file
        made.replace(path)

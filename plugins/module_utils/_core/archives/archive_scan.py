# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What files are: a look at their first bytes, and into archives for the image's metadata and type."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import IO, Iterator

from ..errors import FileError, MissingLibrary
from ..images import CONTAINER, VIRTUAL_MACHINE
from .file_kinds import ARCHIVES, WORDS, file_kind
from .files import ImageFiles
from .metadata import parse_metadata

SCAN_LIMIT = 8 << 20
"""How many unpacked bytes of an archive an import looks through. What lies behind them the server will judge."""

MAX_METADATA_BYTES = 1 << 20

LISTING_SECONDS = 30

_UNIFIED = "A unified image is a tar archive or a squashfs with metadata.yaml and rootfs/ (or rootfs.img) in it."


@dataclass(frozen=True)
class Findings:
    """What a look into an archive found.

    ``metadata`` is the content of its metadata.yaml, ``type`` the image type that its members show, ``names`` the
    first names in it. ``complete`` tells whether the look went as far as it had to, so that what is missing here is
    missing there.
    """

    metadata: bytes | None = None
    type: str | None = None
    names: frozenset[str] = frozenset()
    complete: bool = False

    @property
    def like_a_root(self) -> bool:
        """Whether it looks like a root file system alone."""
        return (
            not self.type
            and len(self.names & {"bin", "dev", "etc", "lib", "proc", "sbin", "usr", "var"}) > 2
        )


def detect_image_type(image: ImageFiles) -> str | None:
    """Check that the files are an image, as far as a look at their beginnings tells; returns its type.

    None is: it could not be told. Raises FileError, saying what they look like instead.
    """
    return scan_image(image, SCAN_LIMIT).type


def scan_image(image: ImageFiles, limit: int | None = None) -> Findings:
    """The same, with the content of metadata.yaml; looks through ``limit`` unpacked bytes, or as far as it takes."""
    parts = list(zip(image.paths, image.files))
    if len(parts) == 2:
        return _inspect_split(*parts[0], *parts[1], limit)
    return _inspect_unified(*parts[0], limit)


def _inspect_unified(path: str, file: IO[bytes], limit: int | None) -> Findings:
    kind = file_kind(_head(file))
    if kind not in ARCHIVES:
        hint = "Give it as rootfs, together with its metadata." if kind == "qcow2" else _UNIFIED
        raise FileError(f"{path} is {WORDS[kind]}, not a unified image", hint)
    found = scan(path, file, kind, limit)
    if found.metadata is not None:
        check_metadata(path, found.metadata)
        if found.complete and not found.type:
            raise FileError(
                f"{path} has a metadata.yaml, but neither rootfs/ nor rootfs.img",
                "The metadata of a split image goes with its rootfs: give both, as metadata and rootfs.",
            )
    elif found.like_a_root:
        raise FileError(
            f"{path} looks like a root file system alone",
            f"{_UNIFIED} Otherwise give it as rootfs, together with its metadata.",
        )
    elif found.complete:
        raise FileError(f"{path} has no metadata.yaml in it", _UNIFIED)
    return found


def _inspect_split(
    metadata: str,
    metadata_file: IO[bytes],
    rootfs: str,
    rootfs_file: IO[bytes],
    limit: int | None,
) -> Findings:
    kind = file_kind(_head(metadata_file))
    if kind not in ARCHIVES:
        raise FileError(
            f"{metadata}, given as metadata, is {WORDS[kind]}",
            "It takes an archive with metadata.yaml in it.",
        )
    found = scan(metadata, metadata_file, kind, limit)
    if found.metadata is not None:
        check_metadata(metadata, found.metadata)
    elif found.complete or found.like_a_root:
        raise FileError(
            f"{metadata}, given as metadata, has no metadata.yaml in it",
            "Were the two files swapped?",
        )
    kind = file_kind(_head(rootfs_file))
    if kind not in ARCHIVES and kind not in ("qcow2", "unknown"):
        raise FileError(
            f"{rootfs}, given as rootfs, is {WORDS[kind]}",
            "It takes a squashfs, a tar archive or a qcow2.",
        )
    # The reference client decides by the same bytes (lxc/image.go, cmdImageImport).
    return replace(found, type=VIRTUAL_MACHINE if kind == "qcow2" else CONTAINER)


def check_metadata(path: str, content: bytes) -> None:
    """Raises FileError if LXD would refuse this ``metadata.yaml``."""
    try:
        parse_metadata(path, content)
    except MissingLibrary:
        # An import needs no YAML of its own: without the library the server alone checks the metadata.
        return


def _head(file: IO[bytes]) -> bytes:
    return os.pread(file.fileno(), 512, 0)


class _Enough(Exception):
    """Comes out of a read once as much was unpacked as we care to."""


class _Limited(io.RawIOBase):
    """Reads up to ``limit`` bytes from a stream."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream = stream
        self._left = limit

    def read(self, size: int = -1) -> bytes:
        if self._left <= 0:
            raise _Enough
        block = self._stream.read(size)
        self._left -= len(block)
        return block


def scan(path: str, file: IO[bytes], kind: str, limit: int | None = SCAN_LIMIT) -> Findings:
    """Look for the metadata and the root file system in an archive of this kind. Raises FileError if it is damaged.

    Unpacks ``limit`` bytes, or all that it takes. Finds nothing where this host lacks a program to read the format.
    """
    if kind == "squashfs":
        return _look_into_squashfs(file)
    import tarfile
    from lzma import LZMAError
    from zlib import error as zlib_error

    metadata: bytes | None = None
    image_type: str | None = None
    names: set[str] = set()
    complete = False
    try:
        with _unpacked(file, kind) as stream:
            if stream is None:
                return Findings()
            source = stream if limit is None else _Limited(stream, limit)
            with tarfile.open(fileobj=source, mode="r|") as tar:
                for member in tar:
                    name = os.path.normpath(member.name)
                    names.add(name.split("/")[0])
                    image_type = image_type or _type_by(name)
                    if name == "metadata.yaml" and metadata is None:
                        content = tar.extractfile(member)
                        metadata = content.read(MAX_METADATA_BYTES) if content else b""
                    if metadata is not None and image_type:
                        break
                complete = True
    except _Enough:
        # The server reads on to the end; what was found so far is all that is known here.
        complete = False
    except (tarfile.TarError, LZMAError, zlib_error, EOFError, OSError) as error:
        raise FileError(
            f"{path} is damaged, or has no tar archive in its {kind} data: {error}"
        ) from error
    return Findings(metadata, image_type, frozenset(names), complete)


def _type_by(member: str) -> str | None:
    """The image type that a member of an archive shows (``lxd/images.go``, getImageMetadata)."""
    if member == "rootfs.img":
        return VIRTUAL_MACHINE
    return CONTAINER if member == "rootfs" or member.startswith("rootfs/") else None


@contextmanager
def _unpacked(file: IO[bytes], kind: str) -> Iterator[IO[bytes] | None]:
    """The content of a compressed file as a stream; None where this host has no program for it."""
    with open(os.dup(file.fileno()), "rb") as own:
        own.seek(0)
        if kind == "tar":
            yield own
        elif kind == "gzip":
            import gzip

            with gzip.open(own) as stream:
                yield stream  # type: ignore[misc]  # typeshed: what it reads is no IO[bytes], but it reads as one
        elif kind == "bzip2":
            import bz2

            with bz2.open(own) as stream:
                yield stream
        elif kind == "zstd":
            # The standard library has it from Python 3.14 on; LXD itself calls the program.
            with _run("zstd", own, "-dcq") as output:
                yield output
        else:
            import lzma

            with lzma.open(own) as stream:
                yield stream


@contextmanager
def _run(program: str, stdin: IO[bytes], *arguments: str) -> Iterator[IO[bytes] | None]:
    """The output of a program that is fed a file; None where this host does not have it."""
    path = shutil.which(program)
    if not path:
        yield None
        return
    # run_command is not for streams, nor for the controller.
    # pylint: disable-next=ansible-bad-function
    with subprocess.Popen(
        [path, *arguments], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process.stdout
        finally:
            process.kill()


def _look_into_squashfs(file: IO[bytes]) -> Findings:
    """By unsquashfs, from 4.5 on, which is where the packages of LXD and Incus need it too."""
    program = shutil.which("unsquashfs")
    if not program:
        return Findings()
    path = f"/proc/self/fd/{file.fileno()}"

    def output(*arguments: str) -> bytes | None:
        try:
            # pylint: disable-next=ansible-bad-function
            done = subprocess.run(
                [program, *arguments],
                pass_fds=[file.fileno()],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=LISTING_SECONDS,
                check=True,
            )
        except subprocess.SubprocessError:
            # An older program, or a damaged file: the server will tell.
            return None
        return done.stdout

    listing = output("-l", "-max-depth", "1", "-d", "", path)
    if listing is None:
        return Findings()
    names = frozenset(
        os.fsdecode(line).strip("/") for line in listing.splitlines() if line.startswith(b"/")
    )
    metadata = output("-cat", path, "metadata.yaml") if "metadata.yaml" in names else None
    image_type = next((shown for shown in map(_type_by, sorted(names)) if shown), None)
    return Findings(metadata, image_type, names, complete=True)

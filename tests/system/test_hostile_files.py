# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files made to exhaust, stall or mislead whoever reads them: an error says so in time, and nothing has changed.

Each is given to the two modules that look into files, in processes with limits.
"""

from __future__ import annotations

import gzip
import lzma
import os
import stat
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab import Server
from lab.packing import PACKERS, Member, squashfs, tar
from runner import Modules, Outcome

METADATA = b"architecture: x86_64\ncreation_date: 1700000000\n"
IMAGE = [Member("metadata.yaml", METADATA), Member("rootfs"), Member("rootfs/etc")]


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE, linkname: str = "") -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = size, kind, linkname
    return member.tobuf(tarfile.GNU_FORMAT)


def of_zeros(head: bytes, size: int) -> bytes:
    """An xz of these bytes and then zeros."""
    packer = lzma.LZMACompressor(preset=0)
    packed = [packer.compress(head)]
    packed += [packer.compress(bytes(1 << 20)) for _block in range(size >> 20)]
    return b"".join([*packed, packer.flush()])


def with_metadata(metadata: bytes) -> bytes:
    return tar([Member("metadata.yaml", metadata), *IMAGE[1:]])


def nested_aliases() -> bytes:
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    return METADATA + "\n".join([*lines, "properties: {os: *a11}"]).encode()


def pax(key: bytes, value: bytes) -> bytes:
    record = b" %b=%b\n" % (key, value)
    record = b"%d%b" % (len(record) + 2, record)
    return header("pax", len(record), tarfile.XHDTYPE) + record + bytes(-len(record) % 512)


#: Names of files, what makes them, and what is said of them.
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "member-of-2^62.tar": (lambda: header("x", 1 << 62) + bytes(2048), "ends within a member"),
    "pax-of-1GiB.tar.xz": (
        lambda: of_zeros(header("pax", 1 << 30, tarfile.XHDTYPE), 64 << 20),
        "a header of 1073741824 bytes is longer than",
    ),
    "name-of-1GiB.tar.xz": (
        lambda: of_zeros(header("name", 1 << 30, tarfile.GNUTYPE_LONGNAME), 64 << 20),
        "a header of 1073741824 bytes is longer than",
    ),
    "aliases.tar": (lambda: with_metadata(nested_aliases()), "the limit of 10000 values"),
    "nested.tar": (lambda: with_metadata(METADATA + b"a: " + b"[" * 2000), "levels|nesting depth"),
    "tagged.tar": (
        lambda: with_metadata(METADATA + b"properties: {os: !!timestamp x}"),
        "which is not a !!timestamp",
    ),
    "large-metadata.tar.gz": (
        lambda: gzip.compress(with_metadata(METADATA + b"#" * (64 << 20))),
        "the limit of 1 MiB",
    ),
    "large-metadata.squashfs": (
        lambda: squashfs(with_metadata(METADATA + b"#" * (256 << 20))),
        "the limit of 1 MiB",
    ),
    "linked-metadata.squashfs": (
        lambda: squashfs(tar([Member("metadata.yaml", link="x"), *IMAGE[1:]])),
        "is a symbolic link, not a regular file",
    ),
}  # fmt: skip


@pytest.fixture
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path: Path = tmp_path / request.param
    path.write_bytes(HOSTILE[request.param][0]())
    return path


def publish(modules: Modules, folder: Path, path: Path, **options: Any) -> Outcome:
    images = [{"name": "a", "src": str(path)}]
    tree = {"root": str(folder / "root"), "base_url": "https://images.example.com"}
    return modules.run("lxd_image_catalog", **tree, images=images, remote_src=True, **options)


@pytest.mark.parametrize("path", HOSTILE, indirect=True)
def test_it_is_refused_with_a_reason(
    lxd: Server, modules: Modules, tmp_path: Path, path: Path
) -> None:
    said = HOSTILE[path.name][1].split("|")
    mark = lxd.mark()
    message = modules.limited().import_fails(path)
    assert any(reason in message for reason in said), message
    assert lxd.writes(mark) == []
    outcome = publish(Modules().limited(), tmp_path, path)
    assert outcome.failed
    assert any(reason in outcome["msg"] for reason in said), outcome["msg"]
    assert not (tmp_path / "root/catalog.json").exists()


def lzma_with_a_dictionary_of_2_gib() -> bytes:
    packed = lzma.compress(tar(IMAGE), lzma.FORMAT_ALONE)
    return packed[:1] + b"\0\0\0\x80" + packed[5:]


def xz_with_a_dictionary_of_4_gib() -> bytes:
    packed = lzma.compress(tar(IMAGE))
    # Behind the stream's header: the block's, with the size of its dictionary, and its own CRC.
    end = 12 + (packed[12] + 1) * 4 - 4
    block = packed[12:16] + bytes([40]) + packed[17:end]
    return packed[:12] + block + zlib.crc32(block).to_bytes(4, "little") + packed[end + 4 :]


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("dictionary.tar.lzma", lzma_with_a_dictionary_of_2_gib, "more than 80 MiB of memory"),
        ("dictionary.tar.xz", xz_with_a_dictionary_of_4_gib, "more than 80 MiB of memory"),
        ("damaged.squashfs", lambda: b"hsqs" + os.urandom(4092), "unsquashfs cannot read it"),
        (
            "sparse.tar",
            lambda: pax(b"GNU.sparse.map", b"a,b") + tar(IMAGE),
            "its metadata.yaml is a sparse file",
        ),
    ],
)  # fmt: skip
def test_what_this_host_cannot_look_into_the_server_judges(
    lxd: Server, modules: Modules, tmp_path: Path, name: str, make: Callable[[], bytes], said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(make())
    modules.limited().run("lxd_image_import", src=str(path), remote_src=True)
    outcome = publish(Modules().limited(), tmp_path, path)
    assert outcome.failed
    assert said in outcome["msg"]


def test_without_the_program_its_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    for ending, package in (("tar.zst", "zstd"), ("squashfs", "squashfs-tools")):
        path = tmp_path / f"image.{ending}"
        path.write_bytes(packed(ending))
        outcome = publish(Modules(), tmp_path, path)
        assert outcome.failed
        assert f"Install the package {package} there" in outcome["msg"]


def packed(ending: str) -> bytes:
    path = os.environ["PATH"]
    os.environ["PATH"] = os.defpath
    try:
        return PACKERS[ending](tar(IMAGE))
    finally:
        os.environ["PATH"] = path


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """An image whose file takes hours to read, and no room."""
    path = tmp_path / "endless.tar"
    path.write_bytes(tar(IMAGE))
    os.truncate(path, 1 << 42)
    return path


def test_a_file_is_read_for_no_longer_than_the_timeout(modules: Modules, endless: Path) -> None:
    message = modules.limited().import_fails(endless, check=True, timeout=2)
    assert "2 seconds" in message


def test_a_file_is_published_for_no_longer_than_the_timeout(tmp_path: Path, endless: Path) -> None:
    outcome = publish(Modules().limited(), tmp_path, endless, timeout=2)
    assert outcome.failed
    assert "2 seconds" in outcome["msg"]


def test_a_directory_is_read_for_no_longer_than_the_timeout(
    lxd: Server, modules: Modules, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    (tree / "rootfs").mkdir(parents=True)
    (tree / "metadata.yaml").write_bytes(METADATA)
    (tree / "rootfs/large").touch()
    os.truncate(tree / "rootfs/large", 1 << 42)
    message = modules.limited().import_fails(tree, timeout=2)
    assert "2 seconds" in message
    assert lxd.images() == {}


@pytest.mark.parametrize("option", ["src", "metadata", "rootfs"])
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (os.mkfifo, "is not a regular file"),
        (lambda path: os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5)), "is not a regular file"),
        (lambda path: None, "No such file or directory"),
    ],
    ids=["pipe", "device", "nothing"],
)  # fmt: skip
def test_what_is_no_file_is_an_error_at_once(
    modules: Modules, tmp_path: Path, option: str, make: Callable[[Path], None], said: str
) -> None:
    make(tmp_path / "odd")
    (tmp_path / "image").write_bytes(tar(IMAGE))
    files = {"metadata": str(tmp_path / "image"), "rootfs": str(tmp_path / "image")}
    files = (
        {"src": str(tmp_path / "odd")}
        if option == "src"
        else {**files, option: str(tmp_path / "odd")}
    )
    message = modules.limited().fails("lxd_image_import", **files, remote_src=True)
    assert f"{tmp_path}/odd" in message
    assert said in message


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_name_that_no_file_can_have(modules: Modules, tmp_path: Path, name: str) -> None:
    path = f"{tmp_path}/{name}.tar"
    message = modules.fails("lxd_image_import", src=path, remote_src=True)
    assert "it is not a valid file name" in message


def test_a_name_that_is_no_text(lxd: Server, modules: Modules, tmp_path: Path) -> None:
    path = f"{tmp_path}/\udcff.tar"
    Path(path).write_bytes(tar(IMAGE))
    modules.done("lxd_image_import", src=path, remote_src=True)
    assert len(lxd.images()) == 1


def test_a_split_image_may_have_odd_names(lxd: Server, modules: Modules, tmp_path: Path) -> None:
    files = {"metadata": f"{tmp_path}/\udcff.tar", "rootfs": f"{tmp_path}/\udcfe.squashfs"}
    Path(files["metadata"]).write_bytes(tar(IMAGE[:1]))
    Path(files["rootfs"]).write_bytes(squashfs(tar(IMAGE[2:])))
    modules.done("lxd_image_import", **files, remote_src=True)
    assert len(lxd.images()) == 1

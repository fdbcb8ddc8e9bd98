# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disks that would lead to other files of the host, as qemu-img makes them, are rejected before it reads them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import Image, Server, build_bad, build_disk
from runner import Modules

pytestmark = pytest.mark.families("lxd")

MIB = 1 << 20


def qemu_img(*words: str | Path) -> None:
    subprocess.run(["qemu-img", *words], check=True, stdout=subprocess.DEVNULL)


def with_backing_file(folder: Path, secret: Path) -> Path:
    path = folder / "disk.qcow2"
    qemu_img("create", "-f", "qcow2", "-b", secret, "-F", "raw", path)
    return path


def with_data_file(folder: Path, secret: Path) -> Path:
    path = folder / "disk.qcow2"
    options = f"data_file={folder}/data,data_file_raw=on"
    qemu_img("create", "-f", "qcow2", "-o", options, path, "1M")
    qemu_img("amend", "-f", "qcow2", "-o", f"data_file={secret}", path)
    return path


def encrypted(folder: Path, _secret: Path) -> Path:
    path = folder / "disk.qcow2"
    secret = ["--object", "secret,id=s,data=abc"]
    options = "encrypt.format=aes,encrypt.key-secret=s"
    qemu_img("create", *secret, "-f", "qcow2", "-o", options, path, "1M")
    return path


def flat_vmdk(folder: Path, secret: Path) -> Path:
    path = folder / "disk.vmdk"
    path.write_text(
        '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\n'
        f'RW 2048 FLAT "{secret}" 0\n' + "#" * 512
    )
    return path


def vmdk_with_parent(folder: Path, _secret: Path) -> Path:
    parent, path = folder / "parent.vmdk", folder / "disk.vmdk"
    qemu_img("create", "-f", "vmdk", parent, "1M")
    qemu_img("create", "-f", "vmdk", "-b", parent, "-F", "vmdk", path)
    return path


def vmdk_with_extents(folder: Path, _secret: Path) -> Path:
    path = folder / "disk.vmdk"
    qemu_img("create", "-f", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", path, "1M")
    return path


def extent_of_vmdk(folder: Path, secret: Path) -> Path:
    vmdk_with_extents(folder, secret)
    return folder / "disk-s001.vmdk"


MAKERS: list[tuple[Callable[[Path, Path], Path], str]] = [
    (with_backing_file, "is a qcow2 disk with a backing file"),
    (with_data_file, "is a qcow2 disk with an external data file"),
    (encrypted, "is an encrypted qcow2 disk"),
    (flat_vmdk, "is a VMDK descriptor, whose content is in other files"),
    (vmdk_with_parent, "is a VMDK disk with a parent"),
    (vmdk_with_extents, "is a VMDK descriptor, whose content is in other files"),
    (extent_of_vmdk, "is a VMDK disk with content in other files"),
]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_bytes(b"secret" * 100_000)
    return path


@pytest.mark.parametrize(("make", "said"), MAKERS, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("packing", ["", "gz", "zip"])
def test_a_disk_that_is_not_complete_in_itself(
    lxd: Server,
    modules: Modules,
    tmp_path: Path,
    secret: Path,
    make: Callable[[Path, Path], Path],
    said: str,
    packing: str,
) -> None:
    path = make(tmp_path, secret)
    if packing:
        program = ["gzip", "-k"] if packing == "gz" else ["zip", "-qj", f"{path}.zip"]
        subprocess.run([*program, path], check=True)
        path = path.with_name(f"{path.name}.{packing}")
    msg = modules.fails("lxd_image_import", rootfs=str(path), remote_src=True)
    assert said in msg
    assert lxd.images() == {}


@pytest.mark.parametrize("name", ["nbd:127.0.0.1:1", 'json:{"driver":"nbd"}', "a,b=c", "-f"])
def test_the_name_of_a_file_means_nothing(
    lxd: Server, modules: Modules, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    qemu_img("convert", "-O", "raw", build_disk(tmp_path), f"{tmp_path}/raw")
    os.rename(tmp_path / "raw", path)
    assert modules.done("lxd_image_import", rootfs=str(path), remote_src=True)["changed"]


def test_a_vmdk_that_others_can_write_to_is_copied_before_it_is_checked(
    lxd: Server, modules: Modules, tmp_path: Path
) -> None:
    path = tmp_path / "disk.vmdk"
    qemu_img("convert", "-O", "vmdk", build_disk(tmp_path), path)
    private = modules.done("lxd_image_import", rootfs=str(path), remote_src=True)
    lxd.operation("DELETE", f"/1.0/images/{private['fingerprint']}")
    path.chmod(0o666)
    shared = modules.done("lxd_image_import", rootfs=str(path), remote_src=True)
    assert shared["fingerprint"] == private["fingerprint"]


@pytest.mark.parametrize(
    ("sort", "said"),
    [("empty", "is empty"), ("html", "is an HTML page"), ("zip", "unpacked, is plain text")],
)
def test_a_file_that_is_no_disk(
    lxd: Server, modules: Modules, tmp_path: Path, sort: str, said: str
) -> None:
    path = build_bad(sort, tmp_path)
    assert said in modules.fails("lxd_image_import", rootfs=str(path), remote_src=True)
    assert lxd.images() == {}


def test_a_complete_image_is_not_a_root_file_system(
    lxd: Server, modules: Modules, tmp_path: Path, build: Callable[..., Image]
) -> None:
    for kind in ("tar.xz", "squashfs"):
        image = build(kind)
        msg = modules.fails("lxd_image_import", rootfs=str(image.metadata), remote_src=True)
        assert "is a complete image, with its metadata. Use src instead of rootfs." in msg


def test_a_bomb_is_stopped_when_the_file_system_is_full(
    lxd: Server, modules: Modules, tmp_path: Path
) -> None:
    # Unpacked, it has no zeros, so that it takes room.
    bomb = tmp_path / "bomb.gz"
    disk = bytearray(b"\xff" * MIB)
    disk[510:512] = b"\x55\xaa"
    packed = subprocess.run(
        ["gzip", "-c"], input=bytes(disk) * 200, capture_output=True, check=True
    )
    bomb.write_bytes(packed.stdout)
    temporary = tmp_path / "remote_tmp"
    temporary.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "none", temporary], check=True)
    try:
        msg = modules.fails(
            "lxd_image_import",
            rootfs=str(bomb),
            remote_src=True,
            _ansible_remote_tmp=str(temporary),
        )
    finally:
        subprocess.run(["umount", "-l", temporary], check=True)
    assert "bomb.gz, unpacked, takes" in msg
    assert f"the directory {temporary} has" in msg
    assert lxd.images() == {}


@pytest.mark.parametrize(
    ("form", "program", "package"),
    [("vdi", "qemu-img", "qemu-utils"), ("qcow2.zst", "zstd", "zstd")],
)
def test_a_missing_program_is_named_with_its_package(
    lxd: Server,
    modules: Modules,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
    program: str,
    package: str,
) -> None:
    path = build_disk(tmp_path)
    if program == "zstd":
        subprocess.run(["zstd", "-q", path], check=True)
        path = path.with_name(f"{path.name}.zst")
    else:
        qemu_img("convert", "-O", form, path, tmp_path / "disk.vdi")
        path = tmp_path / "disk.vdi"
    (tmp_path / "bin").mkdir()
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path / "bin"))
        msg = modules.fails("lxd_image_import", rootfs=str(path), remote_src=True)
    assert f"this host lacks the program {program}. Install the package {package} there." in msg

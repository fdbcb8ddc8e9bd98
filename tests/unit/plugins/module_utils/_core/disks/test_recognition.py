# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import struct
import tarfile
import zipfile
from uuid import UUID

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.deadline import Deadline
from ansible_collections.imagestore.lxd.plugins.module_utils._core.disks.recognition import (
    recognize,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import FileError

ROOT = ["./bin/sh", "./etc/passwd", "./usr/bin/env"]
CLUSTER = 1 << 16


def placed(size, *pieces):
    """Bytes of this size, with pieces at offsets."""
    content = bytearray(size)
    for offset, piece in pieces:
        content[offset : offset + len(piece)] = piece
    return bytes(content)


def qcow2(version=3, features=0, backing=0, encryption=0, extensions=b"", size=1 << 30, data=3):
    """A qcow2 of four clusters: header, table of tables, table, and data, to which the table refers."""
    header = struct.pack(
        ">4sIQIIQIIQQIIQQQQII",
        b"QFI\xfb",
        version,
        backing,
        8 if backing else 0,
        16,
        size,
        encryption,
        1,
        CLUSTER,
        CLUSTER,
        1,
        0,
        0,
        features,
        0,
        0,
        4,
        104,
    )
    return placed(
        4 * CLUSTER,
        (0, header),
        (104, extensions),
        (CLUSTER, struct.pack(">Q", 2 * CLUSTER | 1 << 63)),
        (2 * CLUSTER, struct.pack(">Q", data * CLUSTER | 1 << 63)),
    )


def vmdk(extent='RW 2048 SPARSE "x.vmdk"', more="", capacity=2048, kind="monolithicSparse", end=0):
    descriptor = (
        f'# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="{kind}"\n'
        f"{more}\n{extent}\n"
    ).encode()
    header = struct.pack("<4sIIQQQQIQQQ", b"KDMV", 1, 3, capacity, 128, 1, 20, 512, 0, 21, 128)
    return placed(
        (1 << 20) - end,
        (0, header),
        (512, descriptor),
        (21 * 512, struct.pack("<I", 22)),
        (22 * 512, struct.pack("<I", 1920)),
    )


def vdi(kind=1, parent=b"", end=0):
    return placed(
        (3 << 20) - end,
        (0, b"<<< Oracle VM VirtualBox Disk Image >>>\n"),
        (64, b"\x7f\x10\xda\xbe"),
        (0x4C, struct.pack("<I", kind)),
        (0x154, struct.pack("<II", 512, 1 << 20)),
        (0x178, struct.pack("<IIII", 1 << 20, 0, 2, 2)),
        (0x1B8, parent),
        (512, struct.pack("<II", 1, 0)),
    )


def vhdx(flags=0, locator=False, block=(3 << 20) | 6):
    def region(name, offset):
        return UUID(name).bytes_le + struct.pack("<QII", offset, 1 << 20, 1)

    regions = (
        b"regi"
        + struct.pack("<III", 0, 2, 0)
        + region("2dc27766-f623-4200-9d64-115e9bfd4a08", 1 << 20)
        + region("8b7ca206-4790-4b9a-b8fe-575f050f886e", 2 << 20)
    )
    items = UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b").bytes_le + struct.pack(
        "<IIII", 65536, 8, 4, 0
    )
    if locator:
        items += UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c").bytes_le + bytes(16)
    return placed(
        4 << 20,
        (0, b"vhdxfile"),
        (192 << 10, regions),
        (256 << 10, regions),
        (1 << 20, struct.pack("<Q", block)),
        (2 << 20, b"metadata" + struct.pack("<HH", 0, 1 + locator)),
        ((2 << 20) + 32, items),
        ((2 << 20) + 65536, struct.pack("<II", 1 << 20, flags)),
    )


def raw(size=1 << 20, start=64, sectors=1900, signature=b"\x55\xaa", pieces=()):
    """A disk with a partition table of one partition."""
    entry = struct.pack("<BBBBBBBBII", 0x80, 0, 0, 0, 0x83, 0, 0, 0, start, sectors)
    return placed(size, (446, entry), (510, signature), *pieces)


def gpt(last=2047):
    return raw(pieces=[(446, bytes(16)), (512, b"EFI PART" + bytes(24) + struct.pack("<Q", last))])


def tar(names):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            content = b"architecture: x86_64\ncreation_date: 1\n" if "metadata" in name else b"x"
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def squashfs(version=4, block=1 << 17, inodes=200, used=4096, end=0):
    """The superblock of a squashfs, and zeros."""
    fields = (b"hsqs", 5, 0, block, 1, 1, 17, 0, 1, version, 0, 0, used, 300, 0, inodes, 250, 0, 0)
    superblock = struct.pack("<4sIIIIHHHHHHQQQQQQQQ", *fields)
    return placed(4096 - end, (0, superblock))


def zipped(*contents):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("disks/", b"")
        for number, content in enumerate(contents):
            archive.writestr(f"disk{number}.img", content)
    return buffer.getvalue()


@pytest.fixture
def look(tmp_path):
    """What a file with this content is recognized as: format and packing."""

    def recognized(content, is_head=False):
        path = tmp_path / "file"
        path.write_bytes(content)
        with path.open("rb") as file:
            found = recognize("file", file, Deadline(60), is_head)
        return found.format, found.packing

    return recognized


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (qcow2(), "qcow2"),
        (qcow2(version=2), "qcow2"),
        (vmdk(), "vmdk"),
        (vdi(), "vdi"),
        (vhdx(), "vhdx"),
        (raw(), "raw"),
        (gpt(), "raw"),
        (tar(ROOT), "tar"),
    ],
)
def test_recognizes_a_format_whatever_the_name_of_the_file(look, content, found):
    assert look(content) == (found, "")


@pytest.mark.parametrize(
    ("pack", "packing"),
    [
        (gzip.compress, "gzip"),
        (lzma.compress, "xz"),
        (bz2.compress, "bzip2"),
        (zipped, "zip"),
    ],
)
@pytest.mark.parametrize("disk", [qcow2, vmdk, vdi, vhdx, raw])
def test_recognizes_a_compressed_disk(look, disk, pack, packing):
    assert look(pack(disk())) == (disk.__name__, packing)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
def test_a_compressed_root_file_system_stays_as_it_is(look, pack):
    assert look(pack(tar(ROOT))) == ("tar", "")


REFUSED = {
    "backing file": (qcow2(backing=1024), "is a qcow2 disk with a backing file"),
    "data file": (qcow2(features=4), "is a qcow2 disk with an external data file"),
    "name of a data file": (
        qcow2(extensions=struct.pack(">II8s", 0x44415441, 6, b"/a/b/c")),
        "is a qcow2 disk with an external data file",
    ),
    "encrypted": (qcow2(encryption=1), "is an encrypted qcow2 disk"),
    "LUKS": (qcow2(encryption=2), "is an encrypted qcow2 disk"),
    "LUKS extension": (
        qcow2(extensions=struct.pack(">II16s", 0x0537BE77, 16, b"")),
        "is an encrypted qcow2 disk",
    ),
    "corrupt": (qcow2(features=2), "is marked as corrupt"),
    "unknown feature": (qcow2(features=1 << 20), "unknown features"),
    "old qcow": (qcow2(version=1), "is a qcow disk of version 1"),
    "no size": (qcow2(size=0), "is a qcow2 disk of no size"),
    "endless extensions": (
        qcow2(extensions=struct.pack(">II", 1, 0) * 500),
        "has too many header extensions",
    ),
    "truncated qcow2": (qcow2()[: 3 * CLUSTER], "is truncated"),
    "qcow2 without tables": (qcow2()[:CLUSTER], "is truncated"),
    "qcow2 without header": (qcow2()[:80], "is truncated"),
    "descriptor": (b"# Disk DescriptorFile\n" + bytes(600), "is a VMDK descriptor"),
    "ESX": (b"COWD" + bytes(600), "is a VMDK disk of ESX"),
    "vmdk parent": (vmdk(more='parentFileNameHint="/etc/shadow"'), "is a VMDK disk with a parent"),
    "vmdk parent's id": (vmdk(more="parentCID=12345678"), "is a VMDK disk with a parent"),
    "flat extent": (vmdk(extent='RW 1 FLAT "/etc/shadow" 0'), "with content in other files"),
    "two extents": (
        vmdk(extent='RW 1 SPARSE "a"\nRW 1 SPARSE "b"'),
        "with content in other files",
    ),
    "vmdk kind": (vmdk(kind="monolithicFlat"), "with content in other files"),
    "vmdk without capacity": (vmdk(capacity=0), "is one file of a VMDK disk that has several"),
    "truncated vmdk": (vmdk(end=100_000), "is truncated"),
    "vdi difference": (vdi(kind=4), "is a VDI disk with a parent"),
    "vdi parent": (vdi(parent=b"\1" * 16), "is a VDI disk with a parent"),
    "truncated vdi": (vdi(end=1), "is truncated"),
    "vhdx parent": (vhdx(flags=2), "is a VHDX disk with a parent"),
    "vhdx locator": (vhdx(locator=True), "is a VHDX disk with a parent"),
    "truncated vhdx": (vhdx(block=(64 << 20) | 6), "is truncated"),
    "vhdx without tables": (vhdx()[: 300 << 10], "is truncated"),
    "no boot sector": (raw(signature=b"\0\0"), "neither a known format nor a partition table"),
    "less than a sector": (bytes(range(100)), "neither a known format nor a partition table"),
    "ext4": (
        placed(1 << 20, (1080, b"\x53\xef")),
        "is a file system (ext4) without a partition table",
    ),
    "ISO": (placed(1 << 20, (32769, b"CD001")), "is an ISO image"),
    "hybrid ISO": (raw(pieces=[(32769, b"CD001")]), "is an ISO image"),
    "VHD": (raw(pieces=[((1 << 20) - 512, b"conectix")]), "is a VHD disk"),
    "dynamic VHD": (b"conectix" + bytes(2000), "is a VHD disk"),
    "encrypted raw": (b"LUKS\xba\xbe" + bytes(2000), "is an encrypted disk"),
    "truncated raw": (raw()[:-100], "is truncated"),
    "partition after the end": (raw(sectors=5000), "is truncated"),
    "truncated gpt": (gpt(last=4095), "is truncated"),
    "html": (b"<!DOCTYPE html>" + b" " * 600, "is an HTML page"),
    "text": (b"not found\n" * 100, "is plain text"),
    "image": (tar(["metadata.yaml", "rootfs/etc/passwd"]), "is a complete image"),
    "image, root first": (tar(["rootfs/etc/passwd", "metadata.yaml"]), "Use src instead of rootfs"),
    "metadata": (tar(["metadata.yaml"]), "is the metadata of a split image"),
    "OVA": (tar(["web.ovf", "web-disk1.vmdk"]), "is an OVA"),
    "compressed OVA": (gzip.compress(tar(["web.ovf", "disk.vmdk"])), "is an OVA"),
    "disk in a tar": (tar(["disk.raw"]), "is an archive with the disk disk.raw in it"),
    "other files": (
        tar(["readme.txt"]),
        "does not contain a root file system. The directories etc, usr and so on have to be at"
        " its top. It contains readme.txt",
    ),
    "docker": (tar(["manifest.json", "abc/layer.tar"]), "is a container image of Docker"),
    "two in a zip": (zipped(raw(), raw()), "is a zip file with 2 files"),
    "none in a zip": (zipped(), "is a zip file with no files"),
    "truncated squashfs": (squashfs(end=1), "is truncated"),
    "old squashfs": (squashfs(version=3), "is a squashfs of version 3, which servers"),
    "squashfs of no version": (squashfs(version=999), "is a damaged squashfs"),
    "squashfs of no blocks": (squashfs(block=0), "is a damaged squashfs"),
    "squashfs without inodes": (squashfs(inodes=5000), "is a damaged squashfs"),
    "empty zip": (b"PK\5\6" + bytes(18), "is a zip file with no files"),
    "truncated zip": (
        zipped(os.urandom(5000))[:-30],
        "its directory, which is at the end, is missing",
    ),
    "packed twice": (gzip.compress(gzip.compress(raw())), "has a gzip file in it"),
    "packed twice, with xz": (gzip.compress(lzma.compress(raw())), "has an xz file in it"),
    "tar in a zip": (zipped(tar(ROOT)), "has a tar archive in it"),
    "nothing packed": (gzip.compress(b""), "has nothing in it"),
    "damaged gzip": (gzip.compress(os.urandom(3000))[:-1000], "is damaged"),
    "packed backing file": (lzma.compress(qcow2(backing=1024)), "with a backing file"),
    "zipped descriptor": (zipped(b"# Disk DescriptorFile\n"), "is a VMDK descriptor"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_what_cannot_become_an_image_and_says_what_it_is(look, case):
    content, reason = REFUSED[case]
    with pytest.raises(FileError) as raised:
        look(content)
    assert reason in str(raised.value)
    assert str(raised.value).startswith(("file ", "file, unpacked, "))


@pytest.mark.parametrize(
    "content",
    [qcow2() + os.urandom(1 << 20), raw(4 << 20), gzip.compress(tar(ROOT) + os.urandom(1 << 20))],
)
def test_the_beginning_of_a_file_is_enough_to_know_its_format(look, content):
    assert look(content[: 1 << 17], is_head=True) == look(content)


@pytest.mark.parametrize("case", ["backing file", "hybrid ISO", "OVA", "html", "image"])
def test_the_beginning_of_a_file_is_enough_to_refuse_it(look, case):
    content, reason = REFUSED[case]
    with pytest.raises(FileError, match=reason):
        look(content + bytes(1 << 20), is_head=True)

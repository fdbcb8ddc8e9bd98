# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import subprocess
import tarfile

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.archives.archive_scan import (
    SCAN_LIMIT,
    detect_image_type,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.archives.file_kinds import (
    file_kind,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.archives.files import ImageFiles
from ansible_collections.imagestore.lxd.plugins.module_utils._core.deadline import Deadline
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import FileError

METADATA = b"architecture: x86_64\ncreation_date: 1700000000\n"
CONTAINER = {"metadata.yaml": METADATA, "rootfs/etc/hostname": b"x"}
MACHINE = {"metadata.yaml": METADATA, "rootfs.img": b"QFI"}
ROOT = {"./bin/sh": b"x", "./etc/passwd": b"x", "./usr/bin/env": b"x"}


def zstd(content):
    return subprocess.run(["zstd", "-qc"], input=content, stdout=subprocess.PIPE, check=True).stdout


PACKERS = {
    "tar": bytes,
    "gz": gzip.compress,
    "xz": lzma.compress,
    "lzma": lambda content: lzma.compress(content, lzma.FORMAT_ALONE),
    "bz2": bz2.compress,
}
if shutil.which("zstd"):
    PACKERS["zst"] = zstd


def tar(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def look(tmp_path):
    """Inspect files with these contents: one, or metadata and rootfs."""

    def inspected(*contents):
        paths = []
        for number, content in enumerate(contents):
            path = tmp_path / f"file{number}"
            path.write_bytes(content)
            paths.append(str(path))
        with ImageFiles(*paths, deadline=Deadline(60)) as files:
            return detect_image_type(files)

    return inspected


class TestUnifiedImage:
    @pytest.mark.parametrize("packed", PACKERS)
    @pytest.mark.parametrize(
        ("members", "meant"), [(CONTAINER, "container"), (MACHINE, "virtual-machine")]
    )
    def test_has_its_type_in_every_format(self, look, packed, members, meant):
        assert look(PACKERS[packed](tar(members))) == meant

    def test_can_have_names_that_begin_with_a_dot(self, look):
        dotted = {f"./{name}": content for name, content in CONTAINER.items()}
        assert look(tar(dotted)) == "container"

    def test_can_have_its_metadata_last(self, look):
        assert look(tar(dict(reversed(list(CONTAINER.items()))))) == "container"

    def test_with_its_metadata_beyond_the_limit_is_left_to_the_server(self, look):
        far = {"rootfs/large": bytes(2 * SCAN_LIMIT), "metadata.yaml": b"architecture: none"}
        assert look(tar(far)) == "container"

    @pytest.mark.parametrize(
        ("content", "seems"),
        [
            (b"<!DOCTYPE html><title>Not found</title>", "an HTML page"),
            (b"\n <html><body>", "an HTML page"),
            (b"PK\x03\x04rest", "a zip file"),
            (b"QFI\xfb\0\0\0\3", "a qcow2 disk"),
            (b"\x7fELF\2\1", "a program"),
            (b"$ANSIBLE_VAULT;1.1;AES256\n33", "encrypted with Ansible Vault"),
            (b"Not found\n", "plain text"),
            (b"\0\1\2\3", "data in a format that LXD does not know"),
        ],
    )
    def test_is_not_a_file_of_another_format(self, look, content, seems):
        with pytest.raises(FileError, match=f"is {seems}, not a unified image"):
            look(content)

    def test_is_not_a_root_file_system(self, look):
        with pytest.raises(FileError, match="looks like a bare root file system"):
            look(gzip.compress(tar(ROOT)))

    def test_is_not_a_large_root_file_system(self, look):
        with pytest.raises(FileError, match="looks like a bare root file system"):
            look(tar({**ROOT, "./var/large": bytes(SCAN_LIMIT + 1)}))

    def test_is_not_an_arbitrary_archive(self, look):
        with pytest.raises(FileError, match=r"does not contain metadata\.yaml"):
            look(tar({"readme": b"x"}))

    def test_is_not_the_metadata_file_of_a_split_image(self, look):
        with pytest.raises(FileError, match="set both metadata and rootfs"):
            look(tar({"metadata.yaml": METADATA}))

    @pytest.mark.parametrize("packed", [name for name in PACKERS if name != "tar"])
    def test_that_is_truncated_is_an_error(self, look, packed):
        whole = PACKERS[packed](tar({**CONTAINER, "metadata.yaml": METADATA + bytes(3000)}))
        with pytest.raises(FileError, match="is damaged") as raised:
            look(whole[: len(whole) // 2])
        assert "stdin" not in str(raised.value)

    def test_requires_the_metadata_that_lxd_requires(self, look):
        with pytest.raises(FileError, match=r"metadata\.yaml in .*file0 has no architecture"):
            look(tar({**CONTAINER, "metadata.yaml": b"creation_date: 1"}))


class TestSplitImage:
    def test_is_a_container_image_by_its_root_file_system(self, look):
        assert look(tar({"metadata.yaml": METADATA}), b"hsqs".ljust(600)) == "container"
        assert look(tar({"metadata.yaml": METADATA}), tar(ROOT)) == "container"

    def test_is_a_virtual_machine_image_by_its_disk(self, look):
        assert look(tar({"metadata.yaml": METADATA}), b"QFI\xfb") == "virtual-machine"

    def test_requires_an_archive_as_metadata(self, look):
        with pytest.raises(FileError, match="given as metadata, is plain text"):
            look(METADATA, tar(ROOT))

    def test_requires_metadata_in_that_archive(self, look):
        with pytest.raises(FileError, match="Have the two files been swapped"):
            look(tar(ROOT), tar({"metadata.yaml": METADATA}))

    def test_requires_a_valid_root_file_system(self, look):
        with pytest.raises(FileError, match="given as rootfs, is an HTML page"):
            look(tar({"metadata.yaml": METADATA}), b"<html>")


def test_file_formats_are_detected_by_the_first_bytes():
    assert file_kind(tar(CONTAINER)[:512]) == "tar"
    assert file_kind(b"hsqs") == "squashfs"
    assert file_kind("größer".encode()) == "text"

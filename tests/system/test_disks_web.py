# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bare disks and root file systems of web servers, also of those that send something else."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from hashlib import sha256, sha512
from pathlib import Path
from typing import Any

import pytest
from hostile import Answer, Hostile

from lab import Server, build_disk, build_rootfs
from runner import Modules

pytestmark = pytest.mark.families("lxd")


class Web:
    """Files on a web server over plain http, and imports of them into the server."""

    def __init__(self, server: Hostile, modules: Modules, folder: Path) -> None:
        self.server = server
        self.modules = modules
        self.folder = folder
        self.temporary = folder / "remote_tmp"
        self.temporary.mkdir()
        self.disk = build_disk(folder).read_bytes()

    def form(self, name: str) -> bytes:
        """The disk, or a root file system, as a vendor publishes it."""
        if name == "qcow2":
            return self.disk
        if name in ("tar.xz", "squashfs"):
            return build_rootfs(self.folder, name).read_bytes()
        source, raw = self.folder / "source.qcow2", self.folder / "disk.raw"
        source.write_bytes(self.disk)
        subprocess.run(["qemu-img", "convert", "-O", "raw", source, raw], check=True)
        return subprocess.run(["xz", "-1c", raw], check=True, capture_output=True).stdout

    def put(self, content: bytes, **answer: Any) -> str:
        self.server.answers["/web.img"] = Answer(body=content, **answer)
        return f"{self.server.url}/web.img"

    def params(self, content: bytes, **params: Any) -> dict[str, Any]:
        """The options for this content, whatever the server sends."""
        checksum = {} if "fingerprint" in params else {"checksum": f"sha256:{digest(content)}"}
        own = {"rootfs_url": f"{self.server.url}/web.img", "retries": 0}
        return {**own, **checksum, "_ansible_remote_tmp": str(self.temporary), **params}

    def add(self, content: bytes, check: bool = False, **params: Any) -> Any:
        return self.modules.done("lxd_image_import", check, **self.params(content, **params))

    def fails(self, content: bytes, check: bool = False, **params: Any) -> str:
        return self.modules.fails("lxd_image_import", check, **self.params(content, **params))


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()


@pytest.fixture
def web(modules: Modules, tmp_path: Path) -> Iterator[Web]:
    (tmp_path / "web").mkdir()
    with Hostile() as server:
        yield Web(server, modules, tmp_path / "web")


FORMS = {
    "qcow2": "virtual-machine",
    "raw.xz": "virtual-machine",
    "tar.xz": "container",
    "squashfs": "container",
}


@pytest.mark.parametrize("form", FORMS)
def test_is_downloaded_once(lxd: Server, web: Web, form: str) -> None:
    content = web.form(form)
    web.put(content)
    predicted = web.add(content, check=True, os="Debian")
    first = web.add(content, os="Debian")
    before = len(web.server.requests)
    again = web.add(content, os="Debian")

    assert predicted.actions == first.actions == ["relay"]
    assert predicted["would_transfer"] in (None, first["transferred"])
    assert first["image"]["type"] == FORMS[form]
    assert first["image"]["properties"]["os"] == "Debian"
    assert again.actions == []
    assert len(web.server.requests) == before
    assert list(web.temporary.iterdir()) == []


@pytest.mark.parametrize("form", ["qcow2", "raw.xz"])
def test_is_the_same_image_as_of_a_file(lxd: Server, web: Web, form: str) -> None:
    content = web.form(form)
    path = web.folder / "it"
    path.write_bytes(content)
    local = web.modules.done("lxd_image_import", rootfs=str(path), remote_src=True)
    assert web.add(content).actions == []
    assert web.server.requests == []
    # By this algorithm nobody has known it, so it has to be downloaded, but is not uploaded again.
    web.put(content)
    other = f"sha512:{sha512(content).hexdigest()}"
    found = web.add(content, checksum=other)
    assert (found.actions, found["fingerprint"]) == ([], local["fingerprint"])
    before = len(web.server.requests)
    assert web.add(content, checksum=other).actions == []
    assert len(web.server.requests) == before


@pytest.mark.parametrize("form", FORMS)
def test_with_another_checksum_leaves_nothing(lxd: Server, web: Web, form: str) -> None:
    content = web.form(form)
    web.put(content)
    assert "web.img has the checksum sha256:" in web.fails(b"another")
    assert lxd.images() == {}
    assert list(web.temporary.iterdir()) == []


@pytest.mark.parametrize("form", ["qcow2", "raw.xz"])
def test_can_be_verified_by_the_fingerprint_of_the_image(lxd: Server, web: Web, form: str) -> None:
    content = web.form(form)
    web.put(content)
    assert "not " + "0" * 64 in web.fails(content, fingerprint="0" * 64)
    assert lxd.images() == {}
    fingerprint = web.add(content)["fingerprint"]
    lxd.operation("DELETE", f"/1.0/images/{fingerprint}")
    assert web.add(content, fingerprint=fingerprint)["changed"]
    before = len(web.server.requests)
    assert not web.add(content, fingerprint=fingerprint)["changed"]
    assert len(web.server.requests) == before


def test_the_server_notes_the_name_of_the_file_without_secrets(lxd: Server, web: Web) -> None:
    for form in ("qcow2", "raw.xz"):
        content = web.form(form)
        url = f"{web.put(content)}?token=sesame"
        done = web.add(content, rootfs_url=url)
        assert done["image"]["filename"] == "web.img"


def test_that_ends_early_leaves_nothing(lxd: Server, web: Web) -> None:
    web.put(web.disk[:-100_000], length=len(web.disk))
    assert "closed the connection" in web.fails(web.disk)
    assert lxd.images() == {}


def test_whose_beginning_changes_is_not_sent(lxd: Server, web: Web) -> None:
    other = bytearray(web.disk)
    other[8:20] = (1000).to_bytes(8, "big") + (11).to_bytes(4, "big")
    web.server.answers["/web.img"] = [Answer(body=web.disk), Answer(body=bytes(other))]
    assert "is a qcow2 disk with a backing file" in web.fails(bytes(other))
    assert lxd.images() == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html><title>Not found</title>", "is an HTML page"),
        (bytes(32769) + b"CD001" + bytes(5000), "is an ISO image"),
        (b"", "is empty"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_that_is_no_disk_is_an_error_that_says_what_it_is(
    lxd: Server, web: Web, content: bytes, said: str, check: bool
) -> None:
    web.put(content)
    assert said in web.fails(content, check=check)
    assert lxd.images() == {}


def test_that_has_no_beginning_is_empty(lxd: Server, web: Web) -> None:
    web.put(b"", status=416)
    assert "/web.img is empty. Check the URL." in web.fails(b"")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"checksum": None}, "rootfs_url is set, but neither checksum nor fingerprint"),
        ({"mode": "pull"}, "mode=pull cannot be used with rootfs_url"),
        ({"remote_src": True}, "remote_src cannot be used with a web server"),
        ({"cloud_init": True}, "cloud_init is set, and"),
    ],
)
def test_with_an_option_that_does_not_fit(
    lxd: Server, web: Web, options: dict[str, Any], said: str
) -> None:
    web.put(web.disk)
    assert said in web.fails(web.disk, **options)
    assert lxd.images() == {}


def test_a_disk_without_any_room_is_a_clear_error(lxd: Server, web: Web, full_folder: Path) -> None:
    web.put(web.disk)
    msg = web.fails(web.disk, _ansible_remote_tmp=str(full_folder))
    assert f"the directory {full_folder} has 0 MiB to spare" in msg


def test_a_file_that_is_sent_unchanged_takes_no_room_on_the_host(lxd: Server, web: Web) -> None:
    web.put(web.disk)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", web.temporary], check=True)
    try:
        assert web.add(web.disk).actions == ["relay"]
    finally:
        subprocess.run(["umount", "-l", web.temporary], check=True)

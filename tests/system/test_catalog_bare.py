# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Publishing disks and root file systems that have no metadata."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from publications import CatalogSite, digest, find_faults, published_versions

from lab import Authority, Server, SshHost, WebServer, build_disk, build_rootfs
from lab.packing import tool
from playbooks import play
from runner import Modules, until

FACTS = {"architecture": "x86_64", "os": "Debian", "release": "trixie"}
ENTRY = {"name": "web/box", "version": "20261124", **FACTS}

once = pytest.mark.families("lxd")  # independent of the family


def raw_disk(folder: Path) -> Path:
    """A disk that has to be converted."""
    disk = folder / "disk.raw"
    tool(["qemu-img", "convert", "-O", "raw", str(build_disk(folder)), str(disk)])
    return disk


@pytest.mark.parametrize("kind", ["disk", "rootfs"])
def test_clients_get_the_same_image_as_by_an_import(
    trusting: Server, by_system: Modules, catalog_site: CatalogSite, kind: str
) -> None:
    is_disk = kind == "disk"
    file = (
        build_disk(catalog_site.folder)
        if is_disk
        else build_rootfs(catalog_site.folder, "squashfs")
    )
    catalog_site.publish({**ENTRY, "rootfs": str(file), "cloud_init": not is_disk})
    copied = by_system.done(
        "lxd_image_copy",
        image="web/box",
        image_type="virtual-machine" if is_disk else "container",
        source_server=catalog_site.server.url,
        source_protocol="simplestreams",
    )
    options = {**FACTS, "rootfs": str(file), "cloud_init": not is_disk, "remote_src": True}
    imported = by_system.done("lxd_image_import", **options)
    assert imported["fingerprint"] == copied["fingerprint"]
    assert imported["transferred"] == 0
    assert trusting.images()[copied["fingerprint"]]["properties"]["os"] == "Debian"


@once
def test_a_disk_is_converted_once(
    catalog_tree: CatalogSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    desired = {**ENTRY, "rootfs": str(raw_disk(catalog_tree.folder))}
    predicted = catalog_tree.publish(desired, check=True)
    first = catalog_tree.publish(desired)
    said = ["publish web/box (virtual-machine, x86_64) 20261124"]
    assert predicted["actions"] == first["actions"] == said
    assert predicted["versions"] == first["versions"]
    assert find_faults(catalog_tree.root) == []
    # Without qemu-img.
    monkeypatch.setenv("PATH", "/nowhere")
    assert catalog_tree.publish(desired)["changed"] is False


@once
def test_a_file_that_is_missing_in_the_tree_is_made_again(catalog_tree: CatalogSite) -> None:
    desired = {**ENTRY, "rootfs": str(raw_disk(catalog_tree.folder))}
    catalog_tree.publish(desired)
    (disk,) = (catalog_tree.root / "files").glob("*.qcow2")
    disk.unlink()
    again = catalog_tree.publish(desired)
    assert again["actions"] == [f"replace file {disk.name[:12]}"]
    assert find_faults(catalog_tree.root) == []


@once
def test_a_missing_file_that_another_qemu_img_would_make_differently_is_a_clear_error(
    catalog_tree: CatalogSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desired = {**ENTRY, "rootfs": str(raw_disk(catalog_tree.folder))}
    first = catalog_tree.publish(desired)
    (disk,) = (catalog_tree.root / "files").glob("*.qcow2")
    disk.unlink()
    programs = tmp_path / "bin"
    programs.mkdir()
    other = programs / "qemu-img"
    options = '"${@/cluster_size=65536/cluster_size=131072}"'
    other.write_text(f"#!/bin/bash\nexec {shutil.which('qemu-img')} {options}\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    said = catalog_tree.fails(desired)
    assert f"web/box 20261124: the image that is made of {desired['rootfs']} now differs" in said
    assert "The version of qemu-img has changed, or the file has." in said
    # As the message advises.
    catalog_tree.publish({"name": "web/box", "version": "20261124", "state": "absent"})
    again = catalog_tree.publish(desired)
    assert again["versions"][0]["fingerprint"] != first["versions"][0]["fingerprint"]
    assert find_faults(catalog_tree.root) == []


@once
def test_other_metadata_makes_another_image(catalog_tree: CatalogSite) -> None:
    desired = {**ENTRY, "rootfs": str(build_disk(catalog_tree.folder))}
    first = catalog_tree.publish(desired)
    message = catalog_tree.fails({**desired, "description": "Ours"})
    assert first["versions"][0]["fingerprint"] in message
    changed = catalog_tree.publish({**desired, "description": "Ours", "version": "20261125"})
    assert changed["versions"][0]["fingerprint"] != first["versions"][0]["fingerprint"]
    assert published_versions(catalog_tree.root) == {"web/box/amd64": ["20261125", "20261124"]}


@once
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"architecture": None}, "web/box: architecture and version are required"),
        ({"version": None}, "web/box: architecture and version are required"),
        ({"image_type": "container"}, "image_type of the image web/box"),
        ({"os": "two\nlines"}, "web/box: os is 'two\\nlines', which is not one line"),
        ({"cloud_init": True}, "cloud_init is set, and"),
        ({"checksum": f"sha256:{'a' * 64}"}, "has the checksum sha256:"),
        ({"url_username": "me", "url_password": "pw"}, "url_username cannot be used with files"),
    ],
)
def test_options_that_do_not_fit_are_an_error(
    catalog_tree: CatalogSite, options: dict[str, Any], said: str
) -> None:
    desired = {**ENTRY, "rootfs": str(build_disk(catalog_tree.folder)), **options}
    assert said in catalog_tree.fails({key: value for key, value in desired.items() if value})


@once
def test_options_for_the_metadata_need_a_bare_file(catalog_tree: CatalogSite) -> None:
    image = catalog_tree.small("box", "a", "20261124")
    for option, value in {
        "cloud_init": True,
        "checksum": "sha256:",
        "url_headers": {"a": "b"},
    }.items():
        said = f"the image box: {option} cannot be used with an image that has its metadata"
        assert said in catalog_tree.fails({**image, option: value})


@once
def test_a_file_that_is_neither_is_an_error(catalog_tree: CatalogSite, tmp_path: Path) -> None:
    page = tmp_path / "page"
    page.write_text("<html>Not found</html>")
    assert f"the image web/box 20261124: {page} is an HTML page" in catalog_tree.fails(
        {**ENTRY, "rootfs": str(page)}
    )


@once
def test_a_disk_of_a_web_server_is_downloaded_once(
    catalog_tree: CatalogSite, tmp_path: Path, authority: Authority
) -> None:
    vendor = tmp_path / "vendor"
    vendor.mkdir()
    disk = raw_disk(tmp_path)
    disk.rename(vendor / disk.name)
    (vendor / "SHA256SUMS").write_text(f"{digest(vendor / disk.name)}  {disk.name}\n")
    with WebServer(authority, vendor) as web:
        options = {
            "rootfs_url": f"{web.url.replace('https', 'http')}/{disk.name}",
            "checksum": f"sha256:{web.url}/SHA256SUMS",
            "url_ca_path": str(authority.certificate),
        }
        first = catalog_tree.publish({**ENTRY, **options})
        seen = len(web.requests)
        again = catalog_tree.publish({**ENTRY, **options})
        assert [one.path for one in web.requests[seen:]] == ["/SHA256SUMS"]
        (vendor / disk.name).write_bytes(b"x" * 1000)
        other = {**ENTRY, **options, "name": "other", "os": "Other"}
        assert "has the checksum" in catalog_tree.fails(other)
    assert first["actions"] == ["publish web/box (virtual-machine, x86_64) 20261124"]
    assert again["changed"] is False
    assert find_faults(catalog_tree.root) == []
    # An image of the same file is the same one.
    (vendor / disk.name).unlink()
    local = catalog_tree.publish(
        {**ENTRY, "version": "20261125", "rootfs": str(raw_disk(tmp_path))}
    )
    assert len({one["fingerprint"] for one in local["versions"]}) == 1


@once
def test_a_file_on_the_controller_is_published_and_not_left_on_the_managed_host(
    tmp_path: Path,
) -> None:
    (tmp_path / "files").mkdir()
    disk = raw_disk(tmp_path).rename(tmp_path / "files/disk.raw")
    options = {
        "root": str(tmp_path / "www"),
        "base_url": "https://images.example.com",
        "images": [{**ENTRY, "rootfs": disk.name}],
    }
    task = {"name": "it", "imagestore.lxd.lxd_image_catalog": options}
    with SshHost() as ssh:
        host = {
            **ssh.variables,
            "ansible_python_interpreter": sys.executable,
            "ansible_remote_tmp": str(ssh.home / "remote"),
        }
        predicted, first = (
            play(tmp_path, task, host=host, become=True, check=check) for check in (True, False)
        )
        assert not first.failed, first.output
        assert predicted.results["it"]["actions"] == first.results["it"]["actions"]
        assert find_faults(tmp_path / "www") == []
        until(lambda: not list((ssh.home / "remote").rglob("*.raw")))
        again = play(tmp_path, task, host=host, become=True)
        assert again.results["it"]["changed"] is False

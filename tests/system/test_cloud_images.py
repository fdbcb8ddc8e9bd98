# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images that are made of disks and root file systems work: containers boot, and disks are what they were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cloud_vendors
import pytest

from lab import Authority, Server, WebServer, build_disk, build_rootfs, debian_rootfs
from runner import Modules

containers = pytest.mark.families("lxd", "incus6")
"""Incus 7 of the lab starts no containers."""

SEED = "/var/lib/cloud/seed/nocloud-net"


def read(server: Server, path: str) -> str:
    """A file in the container c1."""
    return server.run("exec", "c1", "--", "cat", path)


@pytest.fixture(scope="module")
def debian() -> Path:
    """A root file system of Debian. It is kept in the home directory, which tests do not see."""
    return debian_rootfs()


@containers
def test_debian_boots_as_a_container_and_gets_its_cloud_init_data(
    lxd: Server, modules: Modules, debian: Path
) -> None:
    options = {"rootfs": str(debian), "remote_src": True, "cloud_init": True}
    first = modules.done("lxd_image_import", aliases=["debian/12"], **options)
    again = modules.done("lxd_image_import", aliases=["debian/12"], **options)
    assert (first["actions"], again["actions"]) == (["upload", "add alias debian/12"], [])
    configuration = ["-c", "user.user-data=#cloud-config\npackages: [vim]"]
    lxd.run("launch", "debian/12", "c1", *configuration)
    assert "systemd" in lxd.run("exec", "c1", "--", "cat", "/proc/1/comm")
    assert read(lxd, "/etc/hostname") == "c1\n"
    assert read(lxd, f"{SEED}/user-data").rstrip() == "#cloud-config\npackages: [vim]"
    assert "local-hostname: c1\n" in read(lxd, f"{SEED}/meta-data")
    assert read(lxd, f"{SEED}/vendor-data").rstrip() == "#cloud-config\n{}"
    assert "name: eth0" in read(lxd, f"{SEED}/network-config")


@containers
def test_a_squashfs_boots_as_a_container(lxd: Server, modules: Modules, tmp_path: Path) -> None:
    rootfs = build_rootfs(tmp_path, "squashfs", version="7")
    modules.done("lxd_image_import", rootfs=str(rootfs), remote_src=True, aliases=["box"])
    lxd.run("launch", "box", "c1")
    assert read(lxd, "/etc/version") == "7\n"
    assert read(lxd, "/etc/hostname") == "c1\n"


def test_a_disk_is_exported_as_it_was(lxd: Server, modules: Modules, tmp_path: Path) -> None:
    disk = build_disk(tmp_path)
    done = modules.done(
        "lxd_image_import", rootfs=str(disk), remote_src=True, aliases=["d"], os="Debian"
    )
    assert done["image"]["type"] == "virtual-machine"
    (tmp_path / "by-client").mkdir()
    lxd.run("image", "export", "d", str(tmp_path / "by-client"))
    (exported,) = (tmp_path / "by-client").glob("*.qcow2")
    assert exported.read_bytes() == disk.read_bytes()
    (tmp_path / "by-module").mkdir()
    files = modules.done("lxd_image_export", name="d", dest=str(tmp_path / "by-module"))["files"]
    assert Path(files["rootfs"]).read_bytes() == disk.read_bytes()


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "ubuntu.gpg"


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, keyring: Path
) -> Iterator[WebServer]:
    folder = tmp_path_factory.mktemp("vendors")
    cloud_vendors.publish(folder / "www", folder / "build", keyring)
    with WebServer(authority, folder / "www") as server:
        yield server


class TestVendor:
    """What distributions publish is imported from their web server, and downloaded again only if it has changed."""

    @pytest.mark.families("lxd")
    @pytest.mark.parametrize(
        ("path", "checksum", "listing"),
        [
            (cloud_vendors.DEBIAN, "sha512", "SHA512SUMS"),
            (f"{cloud_vendors.UBUNTU}.img", "sha256", "SHA256SUMS"),
            (f"{cloud_vendors.UBUNTU}.squashfs", "sha256", "SHA256SUMS"),
            (cloud_vendors.ROCKY, "sha256", f"{Path(cloud_vendors.ROCKY).name}.CHECKSUM"),
            (cloud_vendors.ALPINE, "sha512", f"{Path(cloud_vendors.ALPINE).name}.sha512"),
        ],
        ids=["debian", "ubuntu-disk", "ubuntu-rootfs", "rocky", "alpine"],
    )
    def test_is_imported_once(
        self,
        lxd: Server,
        modules: Modules,
        site: WebServer,
        authority: Authority,
        keyring: Path,
        path: str,
        checksum: str,
        listing: str,
    ) -> None:
        signed = {"checksum_keyring": str(keyring)} if "noble" in path else {}
        options = {
            "rootfs_url": f"{site.url}/{path}",
            "checksum": f"{checksum}:{site.url}/{Path(path).parent}/{listing}",
            "url_ca_path": str(authority.certificate),
            "aliases": ["it"],
            **signed,
        }
        first = modules.done("lxd_image_import", **options)
        before = len(site.requests)
        again = modules.done("lxd_image_import", **options)
        assert (first["actions"], again["actions"]) == (["relay", "add alias it"], [])
        assert again["fingerprint"] == first["fingerprint"]
        asked = {one.path for one in site.requests[before:]}
        assert f"/{path}" not in asked
        assert f"/{Path(path).parent}/{listing}" in asked

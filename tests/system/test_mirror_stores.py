# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mirrors with real servers: LXD and Incus as sources, and as clients of a mirror."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mirrors import clients
from pages import ROOT, blocks
from publications import files_of, find_faults
from published_site import PublishedSite

from lab import Authority, Image, KeyPair, Server, WebServer
from runner import Modules

Build = Callable[..., Image]

GUIDE = ROOT / "docs/docsite/rst/guide_mirror.rst"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return tmp_path / "www"


class TestAServerAsTheSource:
    """Its images are exported, under the names and with the fingerprints that they have there."""

    @pytest.fixture
    def params(self, other: Server, root: Path) -> dict[str, Any]:
        return {
            "root": str(root),
            "base_url": "https://mirror.example.com",
            "source_server": other.url,
            "source_cert": str(other.certificate),
            "select": ["*"],
        }

    def test_shows_public_images_to_anybody(
        self, other: Server, params: dict[str, Any], root: Path, build: Build
    ) -> None:
        split, unified, private = build("split"), build("tar.xz"), build("tar.gz")
        other.run("image", "import", *map(str, split.paths), "--alias", "web", "--public")
        other.run("image", "import", str(unified.metadata), "--alias", "one/file", "--public")
        other.run("image", "import", str(private.metadata), "--alias", "private")
        other.run("image", "import", str(build("tar.gz").metadata), "--public")  # without alias
        outcome = Modules().done("lxd_image_mirror", **params)
        found = {one["name"]: one["fingerprint"] for one in outcome["versions"]}
        assert found == {"web": split.fingerprint, "one/file": unified.fingerprint}
        assert outcome["transferred"] == sum(
            path.stat().st_size for image in (split, unified) for path in image.paths
        )
        assert find_faults(root) == []
        mark = other.mark()
        assert not Modules().done("lxd_image_mirror", **params)["changed"]
        assert all("/export" not in request.path for request in other.requests(mark))
        other.run("image", "delete", "web")
        assert len(Modules().done("lxd_image_mirror", **params).actions) == 1
        absent = {**params, "select": None, "state": "absent"}
        assert len(Modules().done("lxd_image_mirror", **absent).actions) == 1

    def test_shows_private_images_to_a_client_that_it_trusts(
        self, other: Server, params: dict[str, Any], root: Path, build: Build, pair: KeyPair
    ) -> None:
        image = build("vm")
        other.run("image", "import", *map(str, image.paths), "--alias", "disk")
        other.trust(pair.certificate)
        params.update(source_client_cert=str(pair.certificate), source_client_key=str(pair.key))
        check = Modules().done("lxd_image_mirror", check=True, **params)
        outcome = Modules().done("lxd_image_mirror", **params)
        assert check.actions == outcome.actions
        assert check["would_transfer"] == outcome["transferred"]
        (found,) = outcome["versions"]
        assert (found["name"], found["image_type"]) == ("disk", "virtual-machine")
        assert found["fingerprint"] == image.fingerprint
        assert find_faults(root) == []


def test_a_mirror_of_an_image_server_is_carried_to_a_site_without_a_network(
    trusting: Server,
    by_system: Modules,
    authority: Authority,
    root: Path,
    tmp_path: Path,
    build: Build,
) -> None:
    """As in the guide, while clients of the site use what it had before."""
    site, carry = tmp_path / "site", tmp_path / "carry"
    site.mkdir()
    (tmp_path / "published").mkdir()
    published = PublishedSite(tmp_path / "published", authority)
    options = {
        "root": str(root),
        "base_url": "https://mirror.example.com",
        "source_server": published.url,
        "source_protocol": "simplestreams",
        "source_cert": str(authority.certificate),
        "select": ["*"],
    }
    commands = "\n".join(block.text for block in blocks(GUIDE) if block.language == "bash")
    for path, ours in (
        ("/srv/carry/lxd-images", carry),
        ("/srv/lxd-images", root),
        ("/srv/site-images", site),
    ):
        commands = commands.replace(path, str(ours))

    def mirror_and_carry() -> None:
        Modules().done("lxd_image_mirror", **options)
        subprocess.run(["bash", "-euc", commands], check=True)

    with published.server, WebServer(authority, site) as web:
        mirror_and_carry()
        listed = [
            json.loads((tree / "streams/v1/images.json").read_text())
            for tree in (published.root, root, site)
        ]
        assert listed[0] == listed[1] == listed[2]
        with clients(web.url, authority, 3) as faults:
            image = build("tar.xz", version="carried")
            newer = {"name": "busybox", "version": "20270101", **files_of(image)}
            Modules().done(
                "lxd_image_catalog",
                root=str(published.root),
                base_url=published.url,
                remote_src=True,
                images=[newer],
            )
            mirror_and_carry()
        assert faults == []
        source = {"source_server": web.url, "source_protocol": "simplestreams"}
        copied = by_system.done("lxd_image_copy", image="busybox", **source)
        assert copied["fingerprint"] == image.fingerprint
        disk = by_system.done("lxd_image_copy", image="vm", image_type="virtual-machine", **source)
        assert disk["fingerprint"] in {one["fingerprint"] for one in trusting.images().values()}
    assert find_faults(root) == []

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copying images between LXD and Incus with every mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from copies import Copies, add_to_source, expected_attributes, running_operations

from lab import FAMILY, Image, KeyPair, Server, client_config
from runner import Modules

Build = Callable[..., Image]
OTHERS = ("lxd",) if FAMILY.startswith("incus") else ("incus6", "incus7")
KINDS = ("tar.xz", "split", "vm", "vm-unified")


@pytest.fixture(scope="module", params=OTHERS)
def other_family_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server("foreign", family=request.param) as server:
        yield server


@pytest.fixture
def other_family(other_family_server: Server) -> Server:
    """An empty server of the other family."""
    for fingerprint in other_family_server.images():
        other_family_server.operation("DELETE", f"/1.0/images/{fingerprint}")
    return other_family_server


@pytest.fixture
def copies(modules: Modules, other_family: Server, pair: KeyPair) -> Copies:
    """Copies from that server, which trusts this client."""
    if pair.fingerprint not in other_family.trusted():
        other_family.trust(pair.certificate)
    return Copies(
        modules,
        source_server=other_family.url,
        source_cert=str(other_family.certificate),
        source_client_cert=str(pair.certificate),
        source_client_key=str(pair.key),
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["pull", "relay"])
@pytest.mark.parametrize("public", [True, False])
def test_an_image_is_copied_between_families(
    lxd: Server,
    other_family: Server,
    copies: Copies,
    build: Build,
    kind: str,
    mode: str,
    public: bool,
) -> None:
    image = build(kind)
    fingerprint = add_to_source(other_family, image, "web", public=public)
    predicted = copies("web", check=True, mode=mode, aliases=["mine"])
    first = copies("web", mode=mode, aliases=["mine"])
    assert predicted.actions == first.actions == [mode, "add alias mine"]
    assert first["transferred"] == image.size
    assert expected_attributes(lxd, fingerprint) == expected_attributes(other_family, fingerprint)
    assert not copies("web", mode=mode, aliases=["mine"])["changed"]
    assert not running_operations(other_family)


def test_a_push_is_rejected_with_the_reason(
    lxd: Server, other_family: Server, copies: Copies, image: Image
) -> None:
    add_to_source(other_family, image, "web")
    msg = copies.fails("web", mode="push")
    assert "refuse each other's images. Use mode: relay" in msg
    assert lxd.images() == {}


@pytest.mark.families("lxd")
def test_lxd_can_auto_update_an_image_of_incus(
    lxd: Server, other_family: Server, copies: Copies, image: Image
) -> None:
    fingerprint = add_to_source(other_family, image, "web")
    assert copies("web", auto_update=True).actions == ["pull", "set auto_update"]
    assert lxd.images()[fingerprint]["update_source"]["alias"] == "web"


@pytest.mark.families("incus6", "incus7")
def test_incus_cannot_auto_update_an_image_of_lxd(
    lxd: Server, other_family: Server, copies: Copies, image: Image
) -> None:
    add_to_source(other_family, image, "web")
    assert "auto_update does not work" in copies.fails("web", auto_update=True)
    assert lxd.images() == {}


def test_latest_follows_an_alias_of_the_other_family(
    lxd: Server, other_family: Server, copies: Copies, build: Build
) -> None:
    desired: dict[str, Any] = {"aliases": ["mine"], "state": "latest", "delete_replaced": True}
    old, new = build(), build()
    add_to_source(other_family, old, "web")
    copies("web", **desired)
    add_to_source(other_family, new, "web")
    assert copies("web", **desired).actions == [
        "pull",
        "move alias mine",
        f"delete image {old.fingerprint[:12]}",
    ]
    assert set(lxd.images()) == {new.fingerprint}


def test_one_client_configuration_can_contain_both_families(
    lxd: Server, other_family: Server, image: Image, tmp_path: Path
) -> None:
    folder = client_config(tmp_path / "conf", [lxd]).folder
    own = (folder / "config.yml").read_text()
    client_config(tmp_path / "conf", [other_family])
    other = (folder / "config.yml").read_text().split("remotes:\n")[1].split("aliases:")[0]
    (folder / "config.yml").write_text(own.replace("aliases: {}", other))
    for remote in ("one", "foreign"):
        Modules(remote=remote, config_dir=str(folder)).import_image(image, aliases=["web"])
    assert lxd.aliases() == other_family.aliases() == {"web": image.fingerprint}


@pytest.mark.families("incus7")
def test_a_project_with_restricted_image_servers_suggests_a_relay(
    lxd: Server, other: Server, by_name: Copies, image: Image
) -> None:
    fingerprint = add_to_source(other, image, "web")
    lxd.run("project", "create", "site", "-c", "restricted=true")
    lxd.run("project", "set", "site", "restricted.images.servers=images.example.com")
    msg = by_name.fails("web", project="site")
    assert f"while it was fetching the image from {other.url}" in msg
    assert "mode: relay" in msg
    assert lxd.images("site") == {}
    assert by_name("web", project="site", mode="relay").actions == ["relay"]
    assert set(lxd.images("site")) == {fingerprint}


def test_info_lists_the_images_of_the_other_family(
    other_family: Server, copies: Copies, image: Image
) -> None:
    add_to_source(other_family, image, "web", public=False)
    listed = copies.modules.done("lxd_image_info", **copies.source)["images"]
    assert [found["fingerprint"] for found in listed] == [image.fingerprint]

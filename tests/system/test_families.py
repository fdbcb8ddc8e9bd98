# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images between LXD and Incus, by every route that there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from copies import Copies, described, offered, running

from lab import FAMILY, Image, KeyPair, Server, client_config
from runner import Modules

Build = Callable[..., Image]
OTHERS = ("lxd",) if FAMILY.startswith("incus") else ("incus6", "incus7")
KINDS = ("tar.xz", "split", "vm", "vm-unified")


@pytest.fixture(scope="module", params=OTHERS)
def foreign_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server("foreign", family=request.param) as server:
        yield server


@pytest.fixture
def foreign(foreign_server: Server) -> Server:
    """A server of the other family, with nothing in it."""
    for fingerprint in foreign_server.images():
        foreign_server.operation("DELETE", f"/1.0/images/{fingerprint}")
    return foreign_server


@pytest.fixture
def copies(modules: Modules, foreign: Server, pair: KeyPair) -> Copies:
    """Copies from there, as a client that it trusts."""
    if pair.fingerprint not in foreign.trusted():
        foreign.trust(pair.certificate)
    return Copies(
        modules,
        source_server=foreign.url,
        source_cert=str(foreign.certificate),
        source_client_cert=str(pair.certificate),
        source_client_key=str(pair.key),
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["pull", "relay"])
@pytest.mark.parametrize("public", [True, False])
def test_an_image_crosses_over(
    lxd: Server, foreign: Server, copies: Copies, build: Build, kind: str, mode: str, public: bool
) -> None:
    image = build(kind)
    fingerprint = offered(foreign, image, "web", public=public)
    foreseen = copies("web", check=True, mode=mode, aliases=["mine"])
    first = copies("web", mode=mode, aliases=["mine"])
    assert foreseen.actions == first.actions == [mode, "add alias mine"]
    assert first["transferred"] == image.size
    assert described(lxd, fingerprint) == described(foreign, fingerprint)
    assert not copies("web", mode=mode, aliases=["mine"])["changed"]
    assert not running(foreign)


def test_a_push_is_refused_and_told_why(
    lxd: Server, foreign: Server, copies: Copies, image: Image
) -> None:
    offered(foreign, image, "web")
    msg = copies.fails("web", mode="push")
    assert "refuse each other's images. Use mode: relay" in msg
    assert lxd.images() == {}


@pytest.mark.families("lxd")
def test_a_lxd_keeps_an_image_of_an_incus_up_to_date(
    lxd: Server, foreign: Server, copies: Copies, image: Image
) -> None:
    fingerprint = offered(foreign, image, "web")
    assert copies("web", auto_update=True).actions == ["pull", "set auto_update"]
    assert lxd.images()[fingerprint]["update_source"]["alias"] == "web"


@pytest.mark.families("incus6", "incus7")
def test_an_incus_cannot_keep_an_image_of_a_lxd_up_to_date_which_is_told(
    lxd: Server, foreign: Server, copies: Copies, image: Image
) -> None:
    offered(foreign, image, "web")
    assert "auto_update does not work" in copies.fails("web", auto_update=True)
    assert lxd.images() == {}


def test_latest_follows_the_alias_across(
    lxd: Server, foreign: Server, copies: Copies, build: Build
) -> None:
    wish: dict[str, Any] = {"aliases": ["mine"], "state": "latest", "delete_replaced": True}
    old, new = build(), build()
    offered(foreign, old, "web")
    copies("web", **wish)
    offered(foreign, new, "web")
    assert copies("web", **wish).actions == [
        "pull",
        "move alias mine",
        f"delete image {old.fingerprint[:12]}",
    ]
    assert set(lxd.images()) == {new.fingerprint}


def test_a_fleet_may_hold_both_in_one_client_configuration(
    lxd: Server, foreign: Server, image: Image, tmp_path: Path
) -> None:
    folder = client_config(tmp_path / "conf", [lxd]).folder
    own = (folder / "config.yml").read_text()
    client_config(tmp_path / "conf", [foreign])
    other = (folder / "config.yml").read_text().split("remotes:\n")[1].split("aliases:")[0]
    (folder / "config.yml").write_text(own.replace("aliases: {}", other))
    for remote in ("one", "foreign"):
        Modules(remote=remote, config_dir=str(folder)).import_image(image, aliases=["web"])
    assert lxd.aliases() == foreign.aliases() == {"web": image.fingerprint}


@pytest.mark.families("incus7")
def test_a_project_that_may_not_fetch_from_a_server_says_so_and_takes_a_relay(
    lxd: Server, other: Server, by_name: Copies, image: Image
) -> None:
    fingerprint = offered(other, image, "web")
    lxd.run("project", "create", "site", "-c", "restricted=true")
    lxd.run("project", "set", "site", "restricted.images.servers=images.example.com")
    msg = by_name.fails("web", project="site")
    assert f"it was to fetch the image from {other.url}" in msg
    assert "mode: relay" in msg
    assert lxd.images("site") == {}
    assert by_name("web", project="site", mode="relay").actions == ["relay"]
    assert set(lxd.images("site")) == {fingerprint}


def test_info_lists_the_images_of_the_other_family(
    foreign: Server, copies: Copies, image: Image
) -> None:
    offered(foreign, image, "web", public=False)
    listed = copies.modules.done("lxd_image_info", **copies.source)["images"]
    assert [found["fingerprint"] for found in listed] == [image.fingerprint]

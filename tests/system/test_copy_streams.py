# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copying from an image server: a simplestreams tree behind a real nginx."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from copies import Copies
from simplestreams_tree import Tree

from lab import DOWN, Authority, ConnectProxy, Image, Proxy, Server, WebServer, build_large
from runner import Modules

Build = Callable[..., Image]
MIB = 1 << 20


@pytest.fixture
def copies(modules: Modules, site: WebServer, authority: Authority) -> Copies:
    return Copies(
        modules,
        source_server=site.url,
        source_protocol="simplestreams",
        source_cert=str(authority.certificate),
    )


def attributes(server: Server, fingerprint: str) -> dict[str, Any]:
    image = server.images()[fingerprint]
    return {name: image[name] for name in ("type", "architecture", "properties", "expires_at")}


@pytest.mark.parametrize("kind", ["tar.xz", "split", "vm"])
def test_an_image_is_the_same_by_pull_and_by_relay(
    lxd: Server, tree: Tree, copies: Copies, build: Build, kind: str
) -> None:
    image = build(kind)
    tree.publish(image, "busybox,bb", variant="default")
    desired: dict[str, Any] = {"aliases": ["mine"], "image_type": image.type}
    seen = []
    for mode in ("pull", "relay"):
        predicted = copies("busybox", check=True, mode=mode, **desired)
        first = copies("busybox", mode=mode, **desired)
        assert predicted.actions == first.actions == [mode, "add alias mine"]
        assert first["fingerprint"] == image.fingerprint == predicted["fingerprint"]
        assert first["transferred"] == image.size
        assert not copies("busybox", mode=mode, **desired)["changed"]
        seen.append(attributes(lxd, image.fingerprint))
        lxd.run("image", "delete", image.fingerprint)
    assert seen[0] == seen[1]
    assert seen[0]["type"] == image.type
    assert seen[0]["expires_at"] == "2031-02-03T00:00:00Z"


def test_present_needs_no_image_server_once_the_image_is_copied(
    tree: Tree, copies: Copies, site: WebServer, build: Build
) -> None:
    tree.publish(build(), "busybox")
    copies("busybox", aliases=["mine"])
    asked = len(site.requests)
    assert not copies("busybox", aliases=["mine"])["changed"]
    assert not copies("busybox/amd64", aliases=["mine"])["changed"]
    assert not copies("busybox/x86_64", aliases=["mine"], architecture="amd64")["changed"]
    assert len(site.requests) == asked
    site.stop()
    try:
        assert not copies("busybox", aliases=["mine"])["changed"]
        assert "cannot connect to" in copies.fails("busybox", state="latest")
        assert "With image=" in copies.fails("other")
    finally:
        site.start()


def test_the_newest_version_and_the_container_image_are_preferred(
    lxd: Server, tree: Tree, copies: Copies, build: Build
) -> None:
    old, new, machine = build("split"), build("split"), build("vm")
    tree.publish(new, "busybox", serial="20240301_0000")
    tree.publish(old, "busybox", serial="20240201_0000")
    tree.publish(machine, "busybox", serial="20240401_0000")
    assert copies("busybox")["fingerprint"] == new.fingerprint
    assert copies("busybox", image_type="virtual-machine")["fingerprint"] == machine.fingerprint
    assert copies(old.fingerprint[:12])["fingerprint"] == old.fingerprint


def test_an_image_of_another_architecture_is_found_by_any_name(
    lxd: Server, tree: Tree, copies: Copies, build: Build
) -> None:
    own, foreign = build("split"), build("split", architecture="aarch64")
    tree.publish(own, "busybox")
    tree.publish(foreign, "busybox", arch="arm64")
    for name in ("arm64", "aarch64"):
        found = copies("busybox", aliases=["arm"], architecture=name)
        assert found["fingerprint"] == foreign.fingerprint
    assert copies("busybox/arm64", aliases=["arm"])["fingerprint"] == foreign.fingerprint
    assert not copies("busybox/aarch64", aliases=["arm"])["changed"]
    assert copies("busybox", aliases=["own"])["fingerprint"] == own.fingerprint
    assert lxd.images()[foreign.fingerprint]["update_source"]["alias"] == "busybox/arm64"


def test_latest_moves_the_alias_to_a_version_that_the_target_can_see(
    lxd: Server, tree: Tree, copies: Copies, build: Build
) -> None:
    old, new = build("split"), build("split")
    desired: dict[str, Any] = {"aliases": ["mine"], "state": "latest", "delete_replaced": True}
    tree.publish(old, "busybox", serial="20240201_0000")
    assert copies("busybox", **desired).actions == ["pull", "add alias mine"]
    tree.publish(new, "busybox", serial="20240301_0000")
    tree.age = 60
    tree.write()
    # Published a minute ago: the target may have cached the index before.
    assert copies("busybox", **desired).actions == [
        "relay",
        "move alias mine",
        f"delete image {old.fingerprint[:12]}",
    ]
    assert set(lxd.images()) == {new.fingerprint}
    assert not copies("busybox", **desired)["changed"]


def test_latest_by_pull_fails_if_the_cache_of_the_target_is_older(
    lxd: Server, tree: Tree, copies: Copies, build: Build
) -> None:
    old, new = build("split"), build("split")
    tree.publish(old, "busybox", serial="20240201_0000")
    copies("busybox", aliases=["mine"])
    tree.publish(new, "busybox", serial="20240301_0000")
    msg = copies.fails("busybox", aliases=["mine"], state="latest", mode="pull")
    # LXD names the image; Incus only says that it has an image with an alias.
    assert "still sees the older image" in msg or "still sees an older image" in msg
    assert "use mode: relay" in msg
    assert lxd.aliases() == {"mine": old.fingerprint}
    lxd.run("image", "delete", old.fingerprint)
    assert "still sees the older image" in copies.fails("busybox", state="latest", mode="pull")
    assert lxd.images() == {}, "what was fetched in vain is given back"
    copies.modules.import_image(old)
    msg = copies.fails("busybox", state="latest", mode="pull")
    assert f"the image {old.fingerprint[:12]} stays in project default" in msg
    assert set(lxd.images()) == {old.fingerprint}


def test_aliases_are_copied_for_the_architecture_of_the_target(
    lxd: Server, tree: Tree, copies: Copies, build: Build
) -> None:
    tree.publish(build("split"), "busybox,bb/1")
    copies("bb/1", copy_aliases=True)
    assert set(lxd.aliases()) == {"busybox", "busybox/amd64", "bb/1", "bb/1/amd64"}
    assert not copies("bb/1", copy_aliases=True)["changed"]


def test_auto_update_can_be_set(lxd: Server, tree: Tree, copies: Copies, build: Build) -> None:
    image = build("split")
    tree.publish(image, "busybox")
    assert copies("busybox", auto_update=True).actions == ["pull", "set auto_update"]
    assert lxd.images()[image.fingerprint]["update_source"]["protocol"] == "simplestreams"
    lxd.run("image", "delete", image.fingerprint)
    assert "auto_update does not work" in copies.fails("busybox", auto_update=True, mode="relay")


def test_a_relay_resumes_an_interrupted_file(
    lxd: Server, tree: Tree, copies: Copies, site: WebServer, tmp_path: Path
) -> None:
    image = build_large(tmp_path / "large", 32 * MIB, split=True)
    tree.publish(image, "large")
    with Proxy(site.url) as proxy:
        # Another port is another URL with the same certificate.
        proxy.cut(8 * MIB, DOWN, times=1)
        through = Copies(copies.modules, **{**copies.source, **pinned(site, proxy)})
        assert through("large", mode="relay").actions == ["relay"]
        assert proxy.passed[DOWN] < image.size + 4 * MIB
    assert set(lxd.images()) == {image.fingerprint}


def pinned(site: WebServer, proxy: Proxy) -> dict[str, str]:
    return {"source_server": proxy.url, "source_cert": str(site.pair.certificate)}


def test_a_file_that_does_not_match_the_index_never_becomes_an_image(
    lxd: Server, tree: Tree, copies: Copies, build: Build
) -> None:
    image = build("split")
    tree.publish(image, "busybox")
    path = max((tree.root / "files").iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[-1] ^= 0xFF
    path.write_bytes(content)
    assert "ingerprint" in copies.fails("busybox", mode="relay")
    path.write_bytes(content + b"more")
    msg = copies.fails("busybox", mode="relay")
    assert f"has {path.stat().st_size} bytes, not the " in msg
    assert "that the index gives. Run the task again" in msg
    path.unlink()
    assert "responds with the HTTP status 404" in copies.fails("busybox", mode="relay")
    assert lxd.images() == {}


@pytest.mark.parametrize(
    ("desired", "said"),
    [
        ({"image": "bb"}, "has no image bb"),
        ({"image": "busybox", "image_type": "virtual-machine"}, "only for container x86_64"),
        ({"image": "busybox", "architecture": "riscv64"}, "only for container x86_64"),
        ({"image": "0" * 12}, "no image with the alias or fingerprint 000000000000"),
        ({"image": "busybox", "mode": "push"}, "an image server cannot send images"),
        ({"image": "busybox", "source_project": "x"}, "source_project cannot be used"),
    ],
)
def test_an_unavailable_image_is_a_clear_error(
    lxd: Server, tree: Tree, copies: Copies, build: Build, desired: dict[str, str], said: str
) -> None:
    tree.publish(build("split"), "busybox")
    mark = lxd.mark()
    others = {name: value for name, value in desired.items() if name != "image"}
    assert said in copies.fails(desired["image"], **others)
    assert lxd.writes(mark) == []


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        ("index.json", "<html>", "is not valid JSON"),
        ("index.json", "[]", "is not a simplestreams index"),
        ("index.json", "[" * 100_000, "is not valid JSON"),
        ("images.json", "{}", "is not a list of simplestreams products"),
        (
            "images.json",
            '{"products": {"a": {"arch": "amd64", "versions": {"20240101": 7}}}}',
            "no image",
        ),
    ],
)
def test_invalid_documents_are_a_clear_error(
    tree: Tree, copies: Copies, build: Build, path: str, content: str, said: str
) -> None:
    tree.publish(build("split"), "busybox")
    (tree.root / "streams/v1" / path).write_text(content)
    assert said in copies.fails("busybox")


@pytest.mark.families("lxd")
def test_a_server_for_incus_only_is_a_clear_error_for_lxd(
    tree: Tree, copies: Copies, build: Build
) -> None:
    tree.publish(build("split"), "busybox", families=["incus"])
    assert "has images for incus only, none for lxd" in copies.fails("busybox")


@pytest.mark.families("incus6", "incus7")
class TestAnImageServerForLxdOnly:
    """As that of Ubuntu. Incus does not fetch its images, but takes them."""

    @pytest.mark.parametrize("kind", ["split", "vm", "tar.xz"])
    def test_is_relayed_to_incus(
        self, lxd: Server, tree: Tree, copies: Copies, build: Build, kind: str
    ) -> None:
        image = build(kind)
        tree.publish(image, "busybox", families=["lxd"], variant="default")
        desired: dict[str, Any] = {"aliases": ["mine"], "image_type": image.type}
        predicted = copies("busybox", check=True, **desired)
        done = copies("busybox", **desired)
        assert done.actions == predicted.actions == ["relay", "add alias mine"]
        assert done["fingerprint"] == image.fingerprint
        assert done["transferred"] == image.size
        held = attributes(lxd, image.fingerprint)
        assert (held["type"], held["properties"]["os"]) == (image.type, "BusyBox")
        assert held["expires_at"] == "2031-02-03T00:00:00Z"
        for state in ("present", "latest"):
            assert copies("busybox", state=state, **desired).actions == []

    def test_is_not_pulled_from(
        self, lxd: Server, tree: Tree, copies: Copies, build: Build
    ) -> None:
        tree.publish(build("split"), "busybox", families=["lxd"])
        message = copies.fails("busybox", mode="pull")
        assert "mode: pull is not possible, because" in message
        assert "has this one for LXD only. Use mode: relay." in message
        message = copies.fails("busybox", auto_update=True)
        assert "auto_update does not work with https://" in message
        assert "for LXD only. Use state: latest instead." in message
        assert lxd.images() == {}

    def test_is_the_second_choice(
        self, lxd: Server, tree: Tree, copies: Copies, build: Build
    ) -> None:
        """Incus' own image is fetched, although there is a newer one for LXD."""
        own, theirs, machine = build("split"), build("split"), build("vm")
        tree.publish(own, "busybox", families=["incus"])
        tree.publish(theirs, "busybox", serial="20240301_0000", families=["lxd"])
        tree.publish(machine, "busybox", families=["lxd"])
        done = copies("busybox", auto_update=True)
        assert done.actions == ["pull", "set auto_update"]
        assert done["fingerprint"] == own.fingerprint
        done = copies("busybox", image_type="virtual-machine")
        assert (done.actions, done["fingerprint"]) == (["relay"], machine.fingerprint)


def test_without_a_pin_a_private_authority_is_rejected(
    lxd: Server, tree: Tree, copies: Copies, build: Build
) -> None:
    tree.publish(build("split"), "busybox")
    source = {name: value for name, value in copies.source.items() if name != "source_cert"}
    mark = lxd.mark()
    assert "Set source_cert" in Copies(copies.modules, **source).fails("busybox")
    pin = {"source_cert_fingerprint": "0" * 64}
    assert "shows the certificate" in Copies(copies.modules, **source, **pin).fails("busybox")
    assert lxd.writes(mark) == []


def test_info_lists_an_image_server_without_lxd(tree: Tree, copies: Copies, build: Build) -> None:
    split, machine = build("split"), build("vm")
    tree.publish(split, "busybox")
    tree.publish(machine, "busybox", serial="20240201_0000")
    nowhere = Modules(server="unix:///nowhere")
    listed = nowhere.done("lxd_image_info", **copies.source)["images"]
    assert {image["fingerprint"] for image in listed} == {split.fingerprint, machine.fingerprint}
    found = nowhere.done("lxd_image_info", **copies.source, name="busybox", image_type="container")
    assert [image["fingerprint"] for image in found["images"]] == [split.fingerprint]


IMAGE_SERVERS = {"lxd": "images.lxd.canonical.com", "incus": "images.linuxcontainers.org"}


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ConnectProxy]:
    """A proxy that refuses all that it is asked for."""
    for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with ConnectProxy({}) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        yield proxy


def test_the_built_in_remote_images_is_the_server_for_the_family_of_the_target(
    lxd: Server, modules: Modules, proxy: ConnectProxy
) -> None:
    assert "failed" in modules.fails("lxd_image_copy", image="images:alpine/3.23")
    entry = {"image": "alpine/3.23", "source_remote": "images"}
    assert "failed" in modules.fails("lxd_image_store", images=[entry])
    assert set(proxy.asked) == {f"{IMAGE_SERVERS[lxd.family.protocol]}:443"}


@pytest.mark.families("lxd")
@pytest.mark.parametrize("client", ["lxd", "incus"])
def test_without_a_target_it_is_the_server_of_the_client_configuration(
    proxy: ConnectProxy, tmp_path: Path, client: str
) -> None:
    modules = Modules(source_remote="images", config_dir=str(tmp_path / client))
    assert "failed" in modules.fails("lxd_image_info")
    assert "failed" in modules.fails("lxd_image_export", name="alpine/3.23", dest=str(tmp_path))
    assert set(proxy.asked) == {f"{IMAGE_SERVERS[client]}:443"}

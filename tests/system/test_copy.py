# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copying images from every kind of source, with every mode."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from copies import Copies, add_to_source, expected_attributes, running_operations

from lab import DOWN, FAMILY, Image, KeyPair, Proxy, Server, build_large
from runner import Modules, until

Build = Callable[..., Image]


KINDS = ("tar.gz", "split", "vm", "vm-unified")


class TestRoutes:
    """Every mode gives the same image, with the attributes that were edited at the source."""

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("mode", ["pull", "relay", "auto"])
    @pytest.mark.parametrize("public", [True, False])
    def test_over_https(
        self,
        lxd: Server,
        other: Server,
        trusted: Copies,
        build: Build,
        kind: str,
        mode: str,
        public: bool,
    ) -> None:
        image = build(kind)
        fingerprint = add_to_source(other, image, "web", public=public)
        route = "pull" if mode == "auto" else mode
        predicted = trusted("web", check=True, mode=mode, aliases=["mine"])
        first = trusted("web", mode=mode, aliases=["mine"])
        again = trusted("web", mode=mode, aliases=["mine"])

        assert predicted.actions == first.actions == [route, "add alias mine"]
        assert not again["changed"]
        assert first["transferred"] == image.size
        assert first["image"]["fingerprint"] == fingerprint == predicted["fingerprint"]
        assert expected_attributes(lxd, fingerprint) == expected_attributes(other, fingerprint)
        assert lxd.aliases() == {"mine": fingerprint}
        assert not lxd.images()[fingerprint]["public"]
        assert not running_operations(other)

    @pytest.mark.parametrize("kind", ["tar.gz", "split", "vm-unified"])
    def test_by_push(
        self, lxd: Server, other: Server, trusted: Copies, build: Build, kind: str
    ) -> None:
        fingerprint = add_to_source(other, build(kind), "web", public=False)
        assert trusted("web", mode="push", aliases=["mine"]).actions == ["push", "add alias mine"]
        assert expected_attributes(lxd, fingerprint) == expected_attributes(other, fingerprint)
        assert not trusted("web", mode="push", aliases=["mine"])["changed"]
        assert not running_operations(lxd)

    def test_not_by_push_for_a_split_virtual_machine(
        self, lxd: Server, other: Server, trusted: Copies, build: Build
    ) -> None:
        add_to_source(other, build("vm"), "web")
        msg = trusted.fails("web", mode="push")
        assert (
            "a split virtual machine image would arrive as a container's. Use mode: relay." in msg
        )
        assert lxd.images() == {}

    @pytest.mark.parametrize("kind", KINDS)
    def test_through_a_unix_socket(
        self, lxd: Server, other: Server, by_socket: Copies, build: Build, kind: str
    ) -> None:
        fingerprint = add_to_source(other, build(kind), "web", public=False)
        assert by_socket("web").actions == ["relay"]
        assert expected_attributes(lxd, fingerprint) == expected_attributes(other, fingerprint)
        assert not by_socket("web")["changed"]

    @pytest.mark.parametrize("public", [True, False])
    @pytest.mark.parametrize("mode", ["pull", "push", "relay"])
    def test_through_a_unix_socket_of_a_server_that_also_listens(
        self, lxd: Server, other: Server, by_socket: Copies, image: Image, mode: str, public: bool
    ) -> None:
        fingerprint = add_to_source(other, image, "web", public=public)
        assert by_socket("web", mode=mode).actions == [mode]
        assert expected_attributes(lxd, fingerprint) == expected_attributes(other, fingerprint)
        assert not by_socket("web", mode=mode)["changed"]
        assert not running_operations(other)
        assert not running_operations(lxd)

    @pytest.mark.parametrize("mode", ["pull", "push", "relay"])
    def test_to_a_server_on_another_host(
        self, lxd: Server, other: Server, trusted: Copies, pair: KeyPair, image: Image, mode: str
    ) -> None:
        lxd.trust(pair.certificate)
        fingerprint = add_to_source(other, image, "web", public=False)
        target = Modules(
            server=lxd.url,
            server_cert_fingerprint=lxd.certificate_fingerprint,
            client_cert=str(pair.certificate),
            client_key=str(pair.key),
        )
        copies = Copies(target, **trusted.source)
        assert copies("web", mode=mode, aliases=["mine"]).actions == [mode, "add alias mine"]
        assert expected_attributes(lxd, fingerprint) == expected_attributes(other, fingerprint)
        assert not copies("web", mode=mode, aliases=["mine"])["changed"]
        assert not running_operations(other)
        assert not running_operations(lxd)

    @pytest.mark.parametrize("kind", ["tar.gz", "split"])
    @pytest.mark.parametrize("mode", ["push", "relay"])
    def test_from_another_project_with_each_mode(
        self, lxd: Server, modules: Modules, build: Build, kind: str, mode: str
    ) -> None:
        lxd.run("project", "create", "build")
        fingerprint = add_to_source(lxd, build(kind), "web", public=False, project="build")
        copies = Copies(modules, source_project="build", mode=mode)
        assert copies("web").actions == [mode]
        assert expected_attributes(lxd, fingerprint) == expected_attributes(
            lxd, fingerprint, "build"
        )
        assert not copies("web")["changed"]
        assert not running_operations(lxd)

    @pytest.mark.parametrize("kind", KINDS)
    def test_from_another_project(
        self, lxd: Server, modules: Modules, build: Build, kind: str
    ) -> None:
        lxd.run("project", "create", "build")
        fingerprint = add_to_source(lxd, build(kind), "web", public=False, project="build")
        copies = Copies(modules, source_project="build")
        first = copies("web", aliases=["web"])
        assert first.actions == ["pull", "add alias web"]
        assert expected_attributes(lxd, fingerprint) == expected_attributes(
            lxd, fingerprint, "build"
        )
        assert not copies("web", aliases=["web"])["changed"]
        assert not running_operations(lxd)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("mode", ["pull", "relay"])
    def test_keeps_the_name_of_the_file(
        self, lxd: Server, other: Server, trusted: Copies, build: Build, kind: str, mode: str
    ) -> None:
        image = build(kind)
        fingerprint = add_to_source(other, image, "web", public=False)
        assert other.images()[fingerprint]["filename"] == image.paths[-1].name
        trusted("web", mode=mode)
        # Incus drops it when it fetches an image by itself.
        kept = image.paths[-1].name if mode == "relay" or FAMILY == "lxd" else ""
        assert lxd.images()[fingerprint]["filename"] == kept

    def test_from_another_project_of_a_server_that_does_not_listen(self, build: Build) -> None:
        with Server("mute", https=False) as mute:
            mute.run("project", "create", "build")
            fingerprint = add_to_source(mute, build("split"), "web", public=False, project="build")
            copies = Copies(Modules().at(mute), source_project="build")
            assert copies("web").actions == ["relay"]
            assert expected_attributes(mute, fingerprint) == expected_attributes(
                mute, fingerprint, "build"
            )
            msg = copies.fails(fingerprint, state="latest", project="other")
            assert "has no project other" in msg
            mute.run("project", "create", "third")
            msg = copies.fails("web", mode="pull", project="third")
            assert "does not listen on the network" in msg
            assert "config set core.https_address :8443" in msg


class TestImageOfAnotherProject:
    """The server then downloads nothing, and would use the attributes of that project's image."""

    @pytest.fixture(autouse=True)
    def _projects(self, lxd: Server, modules: Modules, image: Image) -> None:
        lxd.run("project", "create", "build")
        lxd.run("project", "create", "dev")
        lxd.run("project", "create", "prod")
        modules.import_image(image, project="dev", aliases=["web"])
        edits = {"properties": {"env": "dev"}, "expires_at": "2031-01-01T00:00:00Z"}
        path = f"/1.0/images/{image.fingerprint}?project=dev"
        changed = {**lxd.images("dev")[image.fingerprint], **edits, "auto_update": True}
        lxd.api("PUT", path, changed)

    @pytest.mark.parametrize(("mode", "moved"), [("auto", False), ("pull", False), ("relay", True)])
    def test_has_the_attributes_of_its_source(
        self, lxd: Server, modules: Modules, image: Image, mode: str, moved: bool
    ) -> None:
        modules.import_image(image, project="build", aliases=["web"])
        copies = Copies(modules, source_project="build", project="prod", mode=mode)
        first = copies("web", aliases=["mine"], properties={"role": "web"})
        expected = expected_attributes(lxd, image.fingerprint, "build")
        expected["properties"]["role"] = "web"
        assert expected_attributes(lxd, image.fingerprint, "prod") == expected
        assert not lxd.images("prod")[image.fingerprint]["auto_update"]
        assert first["transferred"] == (image.size if moved else 0)
        before = lxd.images("prod")
        assert not copies("web", aliases=["mine"], properties={"role": "web"})["changed"]
        assert lxd.images("prod") == before

    def test_has_the_attributes_of_another_server(
        self, lxd: Server, other: Server, by_name: Copies, image: Image
    ) -> None:
        add_to_source(other, image, "web")
        assert by_name("web", project="prod")["transferred"] == 0
        assert expected_attributes(lxd, image.fingerprint, "prod") == expected_attributes(
            other, image.fingerprint
        )


class TestPresent:
    def test_needs_no_source_for_an_image_copied_by_alias(
        self, other: Server, by_name: Copies, image: Image
    ) -> None:
        add_to_source(other, image, "web")
        by_name("web", aliases=["mine"])
        other.stop()
        try:
            assert not by_name("web", aliases=["mine"])["changed"]
            assert by_name("web", aliases=["more"]).actions == ["add alias more"]
        finally:
            other.start()

    def test_needs_no_source_for_a_fingerprint_that_the_store_has(
        self, other: Server, by_name: Copies, image: Image
    ) -> None:
        fingerprint = add_to_source(other, image)
        by_name(fingerprint)
        other.stop()
        try:
            assert not by_name(fingerprint)["changed"]
            assert not by_name(fingerprint.upper(), mode="relay")["changed"]
        finally:
            other.start()

    def test_of_a_private_image_contacts_the_source_and_suggests_a_fingerprint(
        self, other: Server, trusted: Copies, image: Image
    ) -> None:
        fingerprint = add_to_source(other, image, "web", public=False)
        trusted("web", aliases=["mine"])
        other.stop()
        try:
            msg = trusted.fails("web", aliases=["mine"])
        finally:
            other.start()
        assert "Connection refused" in msg
        assert f"image={fingerprint}" in msg

    def test_is_not_satisfied_by_an_alias_that_happens_to_exist(
        self, lxd: Server, other: Server, by_name: Copies, build: Build
    ) -> None:
        mine, theirs = build(), build()
        by_name.modules.import_image(mine, aliases=["web"])
        add_to_source(other, theirs, "web")
        assert by_name("web", aliases=["web"]).actions == ["pull", "move alias web"]
        assert lxd.aliases() == {"web": theirs.fingerprint}

    def test_keeps_its_image_when_the_alias_of_the_source_moves(
        self, lxd: Server, other: Server, by_name: Copies, build: Build
    ) -> None:
        old, new = build(), build()
        add_to_source(other, old, "web")
        by_name("web", aliases=["web"])
        add_to_source(other, new, "web")
        assert not by_name("web", aliases=["web"])["changed"]
        assert set(lxd.images()) == {old.fingerprint}

    def test_does_not_confuse_two_projects_of_one_source(
        self, lxd: Server, other: Server, by_name: Copies, build: Build
    ) -> None:
        other.run("project", "create", "site")
        first, second = build(), build()
        add_to_source(other, first, "web")
        add_to_source(other, second, "web", project="site")
        for _round in range(2):
            by_name("web", aliases=["one"])
            by_name("web", aliases=["two"], source_project="site")
        assert lxd.aliases() == {"one": first.fingerprint, "two": second.fingerprint}

    def test_replaces_a_cached_image_of_that_origin(
        self, lxd: Server, other: Server, by_name: Copies, image: Image
    ) -> None:
        fingerprint = add_to_source(other, image, "web")
        pem = other.certificate.read_text()
        source = {
            "type": "image",
            "mode": "pull",
            "server": other.url,
            "protocol": other.family.protocol,
        }
        instance = {"name": "c1", "source": {**source, "certificate": pem, "alias": "web"}}
        lxd.operation("POST", "/1.0/instances", instance)
        assert lxd.images()[fingerprint]["cached"]
        first = by_name("web", aliases=["mine"])
        assert first.actions == ["replace cached image", "pull", "add alias mine"]
        assert not lxd.images()[fingerprint]["cached"]
        assert not by_name("web", aliases=["mine"])["changed"]

    def test_is_not_satisfied_by_a_concurrent_download_for_an_instance(
        self, lxd: Server, other: Server, by_name: Copies, tmp_path: Path
    ) -> None:
        image = build_large(tmp_path, 16 << 20)
        fingerprint = add_to_source(other, image, "web")
        with Proxy(other.url) as proxy:
            proxy.stall(8 << 20, DOWN)
            source = {
                "type": "image",
                "mode": "pull",
                "server": proxy.url,
                "protocol": other.family.protocol,
                "certificate": other.certificate.read_text(),
                "alias": "web",
            }
            made = lxd.api("POST", "/1.0/instances", {"name": "c1", "source": source})
            until(lambda: proxy.passed[DOWN] >= 8 << 20)
            mark = lxd.mark()
            run = by_name.modules.start(
                "lxd_image_copy", **by_name.source, image="web", aliases=["mine"]
            )
            until(lambda: any("/wait" in request.path for request in lxd.requests(mark)))
            proxy.heal()
            outcome = run.wait()
        lxd.api("GET", f"/1.0/operations/{made['id']}/wait")
        assert not outcome.failed, outcome
        assert not lxd.images()[fingerprint]["cached"]
        assert lxd.aliases() == {"mine": fingerprint}
        assert not by_name("web", aliases=["mine"])["changed"]

    def test_leaves_omitted_options_unchanged(
        self, lxd: Server, other: Server, by_name: Copies, image: Image
    ) -> None:
        fingerprint = add_to_source(other, image, "web")
        lxd.run("profile", "create", "special")
        desired: dict[str, Any] = {"public": True, "auto_update": True, "profiles": ["special"]}
        by_name("web", properties={"mine": "1"}, **desired)
        before = lxd.images()[fingerprint]
        assert not by_name("web")["changed"]
        assert by_name("web", properties={"more": "1"}).actions == ["set properties"]
        after = lxd.images()[fingerprint]
        before["properties"]["more"] = "1"
        assert after == before
        assert after["auto_update"]


class TestLatest:
    @pytest.mark.parametrize("mode", ["pull", "relay"])
    def test_follows_the_alias_of_the_source_and_keeps_one_image(
        self, lxd: Server, other: Server, by_name: Copies, build: Build, mode: str
    ) -> None:
        old, new = build(), build()
        desired: dict[str, Any] = {
            "aliases": ["mine"],
            "state": "latest",
            "delete_replaced": True,
            "mode": mode,
        }
        add_to_source(other, old, "web")
        assert by_name("web", **desired).actions == [mode, "add alias mine"]
        assert not by_name("web", **desired)["changed"]
        add_to_source(other, new, "web")
        predicted = by_name("web", check=True, **desired)
        moved = by_name("web", **desired)
        assert predicted.actions == moved.actions
        assert moved.actions == [
            mode,
            "move alias mine",
            f"delete image {old.fingerprint[:12]}",
        ]
        assert set(lxd.images()) == {new.fingerprint}
        assert not by_name("web", **desired)["changed"]

    def test_contacts_the_source_on_every_run(
        self, other: Server, by_name: Copies, image: Image
    ) -> None:
        add_to_source(other, image, "web")
        by_name("web", state="latest")
        other.stop()
        try:
            assert "Connection refused" in by_name.fails("web", state="latest")
        finally:
            other.start()


def test_the_image_that_the_target_received_is_used(
    lxd: Server, other: Server, by_name: Copies, build: Build
) -> None:
    seen, got = build(), build()
    add_to_source(other, seen, "web")
    add_to_source(other, got)
    mark = other.mark()
    with Proxy(lxd.socket) as proxy:
        pull = proxy.hold(lambda request: request.writes)
        through = Modules(server=f"unix://{proxy.socket}")
        desired = {**by_name.source, "image": "web", "aliases": ["mine"]}
        run = through.start("lxd_image_copy", **desired)
        until(lambda: pull.reached)
        # The task has resolved the alias, and the server has not requested the image yet.
        assert any(f"/images/{seen.fingerprint}" in r.path for r in other.requests(mark))
        moved = {"target": got.fingerprint, "description": ""}
        other.api("PUT", "/1.0/images/aliases/web", moved)
        proxy.heal()
        outcome = run.wait()
    assert outcome.actions == ["pull", "add alias mine"]
    assert outcome["fingerprint"] == outcome["image"]["fingerprint"] == got.fingerprint
    assert lxd.aliases() == {"mine": got.fingerprint}
    assert set(lxd.images()) == {got.fingerprint}


def test_an_unchanged_copy_asks_for_its_alias_and_the_image(
    lxd: Server, other: Server, by_name: Copies, image: Image
) -> None:
    add_to_source(other, image, "web")
    by_name("web", aliases=["mine"])
    mark = lxd.mark()
    by_name("web", aliases=["mine"])
    assert [request.path for request in lxd.requests(mark)] == [
        "/1.0/images/aliases/mine?project=default",
        f"/1.0/images/{image.fingerprint}?project=default",
    ]


def test_check_mode_writes_to_neither_server(
    lxd: Server, other: Server, trusted: Copies, image: Image
) -> None:
    add_to_source(other, image, "web", public=False)
    marks = lxd.mark(), other.mark()
    for mode in ("pull", "push", "relay"):
        outcome = trusted("web", check=True, mode=mode, aliases=["mine"], public=True)
        assert outcome.actions == [mode, "set public", "add alias mine"]
    assert lxd.writes(marks[0]) == []
    assert other.writes(marks[1]) == []


def test_info_lists_the_images_of_a_source(
    lxd: Server, other: Server, trusted: Copies, by_name: Copies, build: Build
) -> None:
    public, private = build(), build()
    add_to_source(other, public, "web")
    add_to_source(other, private, "hidden", public=False)
    mark = lxd.mark()

    def found(copies: Copies, **desired: Any) -> set[str]:
        listed = copies.modules.done("lxd_image_info", **copies.source, **desired)["images"]
        return {image["fingerprint"] for image in listed}

    assert found(by_name) == {public.fingerprint}
    assert found(trusted) == {public.fingerprint, private.fingerprint}
    assert found(trusted, name="hidden") == {private.fingerprint}
    msg = by_name.modules.fails("lxd_image_info", source_cert=str(other.certificate))
    assert "source_cert cannot be used with the images of the managed server itself" in msg
    assert lxd.requests(mark) == []

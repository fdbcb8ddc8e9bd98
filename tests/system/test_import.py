# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Importing image files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab import KINDS, Image, Server, build_large
from runner import Modules, files

Build = Callable[..., Image]


@pytest.mark.parametrize("kind", KINDS)
def test_imports_every_form_of_an_image_once(
    lxd: Server, modules: Modules, build: Build, kind: str
) -> None:
    image = build(kind)
    predicted = modules.import_image(image, check=True, aliases=["it"])
    first = modules.import_image(image, aliases=["it"])
    again = modules.import_image(image, aliases=["it"])

    assert predicted.actions == first.actions == ["upload", "add alias it"]
    assert predicted["fingerprint"] == first["fingerprint"] == image.fingerprint
    assert predicted["image"] is None
    assert first["image"] == again["image"] == lxd.images()[image.fingerprint]
    assert first["image"]["type"] == image.type
    assert (first["transferred"], again["transferred"]) == (image.size, 0)
    assert not again["changed"]
    assert lxd.aliases() == {"it": image.fingerprint}


@pytest.mark.parametrize("kind", ["tar.gz", "split", "vm"])
def test_the_server_notes_the_name_of_the_file_as_with_its_own_client(
    lxd: Server, modules: Modules, build: Build, kind: str
) -> None:
    image = build(kind)
    lxd.run("project", "create", "client")
    lxd.run("image", "import", *map(str, image.paths), "--project", "client")
    modules.import_image(image)
    name = lxd.images()[image.fingerprint]["filename"]
    assert name == lxd.images("client")[image.fingerprint]["filename"]
    assert name == image.paths[-1].name


def test_a_name_that_no_header_can_have_is_noted_without_what_is_odd_in_it(
    lxd: Server, modules: Modules, image: Image, tmp_path: Path
) -> None:
    path = tmp_path / "größe\r\nX-LXD-public: true.tar.gz"
    path.write_bytes(image.metadata.read_bytes())
    modules.done("lxd_image_import", src=str(path), remote_src=True)
    stored = lxd.images()[image.fingerprint]
    assert stored["filename"] == "gr__e__X-LXD-public: true.tar.gz"
    assert not stored["public"]


@pytest.mark.families("lxd", "incus6")
def test_a_container_starts_from_an_imported_image(
    lxd: Server, modules: Modules, image: Image
) -> None:
    modules.import_image(image, aliases=["busybox"])
    lxd.run("launch", "busybox", "c1")
    assert "hello" in lxd.run("exec", "c1", "--", "echo", "hello")


class TestAttributes:
    def test_are_set_individually_and_only_if_they_differ(
        self, lxd: Server, modules: Modules, image: Image
    ) -> None:
        lxd.run("profile", "create", "web")
        desired: dict[str, Any] = {
            "public": True,
            "properties": {"os": "mine", "label": True},
            "profiles": ["web", "default"],
            "expires_at": "2031-02-03",
        }
        first = modules.import_image(image, **desired)
        assert first.actions == [
            "upload",
            "set public",
            "set properties",
            "set profiles",
            "set expires_at",
        ]
        stored = lxd.images()[image.fingerprint]
        assert stored["public"]
        assert stored["expires_at"] == "2031-02-03T00:00:00Z"
        assert set(stored["profiles"]) == {"default", "web"}
        assert stored["properties"]["os"] == "mine"
        assert stored["properties"]["label"] == "true"
        assert stored["properties"]["release"] == "static", "what was not named is still there"
        assert not modules.import_image(image, **desired)["changed"]
        assert modules.import_image(image, **{**desired, "public": False}).actions == ["set public"]

    def test_profiles_and_expiry_survive_a_change_of_properties(
        self, lxd: Server, modules: Modules, image: Image
    ) -> None:
        modules.import_image(image, profiles=[], expires_at="2031-02-03T04:05:06Z", public=True)
        modules.import_image(image, properties={"os": "other"})
        stored = lxd.images()[image.fingerprint]
        assert stored["profiles"] == []
        assert stored["expires_at"] == "2031-02-03T04:05:06Z"
        assert stored["public"]

    def test_an_expiry_date_can_be_removed(
        self, lxd: Server, modules: Modules, image: Image
    ) -> None:
        modules.import_image(image, expires_at="2031-02-03")
        gone = modules.import_image(image, expires_at="never")
        assert gone.actions == ["set expires_at"]
        assert gone["diff"]["before"] == {"expires_at": "2031-02-03T00:00:00Z"}
        assert gone["diff"]["after"] == {"expires_at": "never"}
        assert not modules.import_image(image, expires_at="never")["changed"]

    def test_properties_are_removed_by_an_empty_value_or_by_purging(
        self, lxd: Server, modules: Modules, image: Image
    ) -> None:
        modules.import_image(image, properties={"os": "", "mine": "1"})
        assert "os" not in lxd.images()[image.fingerprint]["properties"]
        modules.import_image(image, properties={"mine": "1"}, purge_properties=True)
        assert lxd.images()[image.fingerprint]["properties"] == {"mine": "1"}

    def test_the_daemon_does_not_crash_without_properties_in_the_metadata(
        self, lxd: Server, modules: Modules, build: Build
    ) -> None:
        bare = build(properties=None)
        pid = lxd.pid
        modules.import_image(bare, properties={"os": "mine"})
        assert lxd.images()[bare.fingerprint]["properties"] == {"os": "mine"}
        assert lxd.pid == pid
        assert lxd.running


class TestAliases:
    def test_move_to_the_new_image_and_the_replaced_one_is_deleted(
        self, lxd: Server, modules: Modules, build: Build
    ) -> None:
        old, new = build(), build()
        modules.import_image(old, aliases=["web", "app"])
        moved = modules.import_image(new, aliases=["web"], delete_replaced=True)
        assert moved.actions == ["upload", "move alias web"]
        assert set(lxd.images()) == {old.fingerprint, new.fingerprint}
        moved = modules.import_image(new, aliases=["app"], delete_replaced=True)
        assert moved.actions == ["move alias app", f"delete image {old.fingerprint[:12]}"]
        assert set(lxd.images()) == {new.fingerprint}
        assert lxd.aliases() == {"web": new.fingerprint, "app": new.fingerprint}

    def test_keep_their_description_when_they_move(
        self, lxd: Server, modules: Modules, build: Build
    ) -> None:
        old, new = build(), build()
        modules.import_image(old, aliases=["web"])
        lxd.api("PUT", "/1.0/images/aliases/web", {"target": old.fingerprint, "description": "d"})
        modules.import_image(new, aliases=["web"])
        assert lxd.api("GET", "/1.0/images/aliases/web")["description"] == "d"

    @pytest.mark.families("incus7")
    @pytest.mark.parametrize("name", ["a b", "..", "a?b", "x" * 65])
    def test_that_the_server_would_reject_are_rejected_before_the_upload(
        self, lxd: Server, modules: Modules, image: Image, name: str
    ) -> None:
        mark = lxd.mark()
        assert f"does not accept the alias {name!r}" in modules.import_fails(image, aliases=[name])
        assert lxd.writes(mark) == []

    @pytest.mark.parametrize(
        "name",
        ["a/b", "größe"]
        + [
            pytest.param(odd, marks=pytest.mark.families("lxd", "incus6"))
            for odd in ("a b", "..", "a?b#c%d", "x" * 200)
        ],
    )
    def test_can_have_any_name(
        self, lxd: Server, modules: Modules, build: Build, name: str
    ) -> None:
        modules.import_image(build(), aliases=[name])
        new = build()
        assert modules.import_image(new, aliases=[name]).actions == ["upload", f"move alias {name}"]
        assert lxd.aliases() == {name: new.fingerprint}
        assert modules.import_image(new, aliases=[], purge_aliases=True).actions == [
            f"remove alias {name}"
        ]
        assert lxd.aliases() == {}

    def test_are_not_moved_with_alias_conflict_fail(
        self, lxd: Server, modules: Modules, build: Build
    ) -> None:
        old, new = build(), build()
        modules.import_image(old, aliases=["web"])
        msg = modules.import_fails(new, aliases=["web"], alias_conflict="fail")
        assert f"the alias web points to another image, {old.fingerprint[:12]}" in msg
        assert set(lxd.images()) == {old.fingerprint}

    def test_are_never_moved_from_a_virtual_machine_to_a_container(
        self, lxd: Server, modules: Modules, build: Build
    ) -> None:
        machine, container = build("vm"), build()
        modules.import_image(machine, aliases=["web"])
        msg = modules.import_fails(container, aliases=["web"])
        assert "the alias web belongs to the virtual-machine image" in msg
        assert lxd.aliases() == {"web": machine.fingerprint}
        assert set(lxd.images()) == {machine.fingerprint}


class TestFingerprint:
    def test_of_an_existing_image_avoids_reading_the_file(
        self, modules: Modules, image: Image, tmp_path: Path
    ) -> None:
        modules.import_image(image)
        image.metadata.unlink()
        image.metadata.write_bytes(b"anything")
        again = modules.import_image(image, fingerprint=image.fingerprint.upper())
        assert not again["changed"]

    @pytest.mark.parametrize("check", [True, False])
    def test_that_differs_is_an_error_and_nothing_is_kept(
        self, lxd: Server, modules: Modules, image: Image, check: bool
    ) -> None:
        msg = modules.import_fails(image, check=check, fingerprint="0" * 64)
        assert f" is {image.fingerprint}, not {'0' * 64}" in msg
        assert lxd.images() == {}

    def test_that_matches_is_imported(self, lxd: Server, modules: Modules, image: Image) -> None:
        first = modules.import_image(image, fingerprint=image.fingerprint)
        assert first.actions == ["upload"]
        assert set(lxd.images()) == {image.fingerprint}

    def test_distinguishes_images_of_the_same_size(
        self, lxd: Server, modules: Modules, tmp_path: Path
    ) -> None:
        images = [build_large(tmp_path, 1 << 20, version=version) for version in "ab"]
        assert images[0].size == images[1].size
        for image in images:
            assert modules.import_image(image).actions == ["upload"]
        assert not modules.import_image(images[0])["changed"]


class TestProjects:
    def test_have_separate_stores(self, lxd: Server, modules: Modules, image: Image) -> None:
        lxd.run("project", "create", "site")
        modules.import_image(image, aliases=["web"])
        assert modules.import_image(image, aliases=["web"], project="site").actions == [
            "upload",
            "add alias web",
        ]
        assert set(lxd.images("site")) == {image.fingerprint}

    def test_can_share_the_images_of_the_default_project(
        self, lxd: Server, modules: Modules, image: Image
    ) -> None:
        lxd.run("project", "create", "site", "-c", "features.images=false")
        modules.import_image(image)
        assert not modules.import_image(image, project="site")["changed"]


def test_info_lists_matching_images(lxd: Server, modules: Modules, build: Build) -> None:
    lxd.run("project", "create", "site")
    container, machine = build(), build("vm")
    modules.import_image(container, aliases=["web"])
    modules.import_image(machine, project="site", properties={"os": "other"})

    def found(**desired: Any) -> set[str]:
        return {
            image["fingerprint"] for image in modules.done("lxd_image_info", **desired)["images"]
        }

    mark = lxd.mark()
    assert found() == found(name="web") == {container.fingerprint}
    assert found(name=container.fingerprint[:12]) == {container.fingerprint}
    assert found(name="other") == set()
    assert found(all_projects=True) == {container.fingerprint, machine.fingerprint}
    assert found(all_projects=True, image_type="virtual-machine") == {machine.fingerprint}
    assert found(all_projects=True, properties={"os": "other"}) == {machine.fingerprint}
    assert found(all_projects=True, architecture="riscv64") == set()
    everywhere = modules.done("lxd_image_info", all_projects=True)["images"]
    assert {image["project"] for image in everywhere} == {"default", "site"}
    assert lxd.writes(mark) == []


def test_check_mode_writes_nothing(lxd: Server, modules: Modules, build: Build) -> None:
    old, new = build(), build("split")
    modules.import_image(old, aliases=["web"], properties={"a": "1"})
    before = (lxd.images(), lxd.aliases())
    mark = lxd.mark()
    for image in (old, new):
        modules.import_image(
            image,
            check=True,
            aliases=["web", "more"],
            purge_aliases=True,
            delete_replaced=True,
            public=True,
            properties={"b": "2"},
            purge_properties=True,
            profiles=[],
            expires_at="2031-01-01",
        )
    assert lxd.writes(mark) == []
    assert (lxd.images(), lxd.aliases()) == before


def test_an_unchanged_import_is_one_request(lxd: Server, modules: Modules, image: Image) -> None:
    desired: dict[str, Any] = {
        "aliases": ["web"],
        "properties": {"os": "x"},
        "public": True,
        "profiles": [],
    }
    modules.import_image(image, **desired)
    mark = lxd.mark()
    modules.import_image(image, **desired)
    assert [request.path for request in lxd.requests(mark)] == [
        f"/1.0/images/{image.fingerprint}?project=default"
    ]


def cache(lxd: Server, other: Server, image: Image, alias: str) -> None:
    """Make a server download an image from another one to create an instance."""
    Modules().at(other).import_image(image, aliases=[alias], public=True)
    pem = other.certificate.read_text()
    source = {
        "type": "image",
        "mode": "pull",
        "server": other.url,
        "protocol": other.family.protocol,
    }
    lxd.operation(
        "POST",
        "/1.0/instances",
        {"name": f"by-{alias}", "source": {**source, "certificate": pem, "alias": alias}},
    )
    assert lxd.images()[image.fingerprint]["cached"]


def test_a_cached_image_is_replaced_and_survives_pruning(
    lxd: Server, other: Server, modules: Modules, build: Build
) -> None:
    image, left = build(), build()
    cache(lxd, other, image, "web")
    cache(lxd, other, left, "left")

    desired: dict[str, Any] = {"aliases": ["mine"], "properties": {"a": "1"}}
    predicted = modules.import_image(image, check=True, **desired)
    first = modules.import_image(image, **desired)
    assert predicted.actions == first.actions
    assert first.actions == [
        "replace cached image",
        "upload",
        "set properties",
        "add alias mine",
    ]
    assert not modules.import_image(image, **desired)["changed"]

    # With this number of days, LXD's calculation overflows, and every cached image has expired (lxd/db/images.go).
    lxd.run("config", "set", "images.remote_cache_expiry=110000")
    lxd.restart()
    assert set(lxd.images()) == {image.fingerprint}
    assert lxd.aliases() == {"mine": image.fingerprint}


def test_files_of_the_controller_require_the_action_plugin(modules: Modules, image: Image) -> None:
    msg = modules.fails("lxd_image_import", **{**files(image), "remote_src": False})
    assert "Set remote_src: true for files of the managed host" in msg

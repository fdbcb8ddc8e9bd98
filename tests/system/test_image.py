# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Managing an image of a store and its aliases."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from copies import Copies

from lab import Image, KeyPair, Server
from runner import Modules, Outcome

Build = Callable[..., Image]


@pytest.fixture
def manage(modules: Modules) -> Callable[..., Outcome]:
    """Run ``lxd_image``."""

    def kept(name: str, check: bool = False, **params: Any) -> Outcome:
        return modules.done("lxd_image", check, name=name, **params)

    return kept


@pytest.fixture
def alias(modules: Modules) -> Callable[..., Outcome]:
    """Run ``lxd_image_alias``."""

    def kept(name: str, check: bool = False, **params: Any) -> Outcome:
        return modules.done("lxd_image_alias", check, name=name, **params)

    return kept


Keep = Callable[..., Outcome]

MAY_NOT = "does not let this client use the project default"


def as_client(lxd: Server, pair: KeyPair) -> Modules:
    """The modules with this client certificate."""
    keys = {"client_cert": str(pair.certificate), "client_key": str(pair.key)}
    return Modules(server=lxd.url, server_cert=str(lxd.certificate), **keys)


def twins(lxd: Server, folder: Path) -> list[str]:
    """Two images on the server whose fingerprints have the same first twelve digits.

    A server reads only the first bytes of the second file, so that any number can be appended. These two were
    found by trying some fifty million.
    """
    text = b"architecture: x86_64\ncreation_date: 1700000000\n"
    metadata, rootfs = folder / "metadata.tar", folder / "rootfs"
    with tarfile.open(metadata, "w", format=tarfile.USTAR_FORMAT) as archive:
        member = tarfile.TarInfo("metadata.yaml")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    for number in (b"000944988", b"005062638"):
        rootfs.write_bytes(b"hsqs" + number)
        lxd.run("image", "import", str(metadata), str(rootfs))
    return sorted(lxd.images())


class TestImage:
    def test_gets_attributes_by_alias_or_fingerprint(
        self, lxd: Server, modules: Modules, image: Image, manage: Keep
    ) -> None:
        modules.import_image(image, aliases=["web"])
        desired: dict[str, Any] = {
            "aliases": ["web", "www"],
            "properties": {"os": "mine", "release": ""},
            "public": True,
            "profiles": [],
            "expires_at": "2031-01-01",
        }
        predicted = manage("web", check=True, **desired)
        first = manage("web", **desired)
        assert predicted.actions == first.actions
        assert first.actions == [
            "set public",
            "set properties",
            "set profiles",
            "set expires_at",
            "add alias www",
        ]
        assert first["image"] == lxd.images()[image.fingerprint]
        assert first["transferred"] == 0
        assert not manage("www", **desired)["changed"]
        assert not manage(image.fingerprint[:12], **desired)["changed"]
        target = image.fingerprint[:12]
        assert first["diff"]["after"]["aliases"] == {"web": target, "www": target}

    def test_loses_purged_aliases_and_properties(
        self, lxd: Server, modules: Modules, image: Image, manage: Keep
    ) -> None:
        modules.import_image(image, aliases=["web", "old", "older"])
        desired: dict[str, Any] = {
            "aliases": ["web"],
            "purge_aliases": True,
            "properties": {"os": "x"},
            "purge_properties": True,
        }
        assert manage("old", **desired).actions == [
            "set properties",
            "remove alias old",
            "remove alias older",
        ]
        assert lxd.images()[image.fingerprint]["properties"] == {"os": "x"}
        assert lxd.aliases() == {"web": image.fingerprint}

    def test_can_take_an_alias_and_delete_the_replaced_image(
        self, lxd: Server, modules: Modules, build: Build, manage: Keep
    ) -> None:
        old, new = build(), build()
        modules.import_image(old, aliases=["web"])
        modules.import_image(new, aliases=["next"])
        moved = manage("next", aliases=["web"], delete_replaced=True)
        assert moved.actions == ["move alias web", f"delete image {old.fingerprint[:12]}"]
        assert set(lxd.images()) == {new.fingerprint}

    def test_check_mode_writes_nothing(
        self, lxd: Server, modules: Modules, build: Build, manage: Keep
    ) -> None:
        modules.import_image(build(), aliases=["web", "www"])
        modules.import_image(build(), aliases=["next"])
        desired: dict[str, Any] = {
            "aliases": ["web", "new", "next"],
            "purge_aliases": True,
            "delete_replaced": True,
            "properties": {"os": "x"},
            "purge_properties": True,
            "public": True,
            "profiles": [],
            "expires_at": "2031-01-01",
        }
        before = (lxd.images(), lxd.aliases())
        mark = lxd.mark()
        predicted = manage("web", check=True, **desired)
        manage("web", check=True, state="absent")
        assert lxd.writes(mark) == []
        assert (lxd.images(), lxd.aliases()) == before
        assert manage("web", **desired).actions == predicted.actions

    def test_that_does_not_exist_is_an_error(self, lxd: Server, modules: Modules) -> None:
        assert "there is no image web" in modules.fails("lxd_image", name="web", public=True)

    def test_that_is_only_cached_is_an_error(
        self, lxd: Server, other: Server, modules: Modules, image: Image
    ) -> None:
        Modules().at(other).import_image(image, aliases=["web"], public=True)
        pem = other.certificate.read_text()
        source = {
            "type": "image",
            "mode": "pull",
            "server": other.url,
            "protocol": other.family.protocol,
        }
        instance = {"name": "c1", "source": {**source, "certificate": pem, "alias": "web"}}
        lxd.operation("POST", "/1.0/instances", instance)
        name = image.fingerprint
        (found,) = modules.done("lxd_image_info")["images"]
        assert (found["fingerprint"], found["cached"]) == (name, True)
        assert "the server only caches the image" in modules.fails(
            "lxd_image", name=name, public=True
        )
        assert "the server only caches the image" in modules.fails(
            "lxd_image_alias", name="web", target=name
        )
        assert lxd.aliases() == {}
        assert modules.done("lxd_image", name=name, state="absent")["changed"]

    def test_can_be_auto_updated_only_if_its_origin_is_recorded(
        self, other: Server, modules: Modules, build: Build, by_name: Copies, manage: Keep
    ) -> None:
        pulled, uploaded = build(), build()
        Modules().at(other).import_image(pulled, aliases=["web"], public=True)
        by_name("web", aliases=["pulled"])
        modules.import_image(uploaded, aliases=["uploaded"])
        assert manage("pulled", auto_update=True).actions == ["set auto_update"]
        msg = modules.fails("lxd_image", name="uploaded", auto_update=True)
        assert "the server has not recorded its origin" in msg

    def test_that_is_hidden_from_the_client_is_not_reported_as_missing(
        self, lxd: Server, modules: Modules, image: Image, pair: KeyPair, tmp_path: Path
    ) -> None:
        modules.import_image(image, aliases=["web"])
        client = as_client(lxd, pair)
        dest = str(tmp_path)
        assert "does not trust the client" in client.fails("lxd_image", name="web", public=True)
        assert "public images only" in client.fails("lxd_image_export", name="web", dest=dest)
        lxd.run("project", "create", "site")
        lxd.trust(pair.certificate, projects="site")
        assert MAY_NOT in client.fails("lxd_image", name="web", public=True)
        assert MAY_NOT in client.fails("lxd_image_alias", name="web", target="www")
        assert MAY_NOT in client.fails("lxd_image_export", name="web", dest=dest)

    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("2031-02-03", "2031-02-03T00:00:00Z"),
            ("2031-02-03 04:05", "2031-02-03T04:05:00Z"),
            ("2031-02-03T04:05:06.123456789+02:00", "2031-02-03T02:05:06.123456Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
            ("never", "1970-01-01T00:00:00Z"),
            # The default is never.
            ("1970-01-01T01:00:00+05:00", "1970-01-01T00:00:00Z"),
        ],
    )
    def test_has_an_expiry_date_in_any_notation(
        self, modules: Modules, image: Image, manage: Keep, given: str, kept: str
    ) -> None:
        modules.import_image(image, aliases=["web"], expires_at="2030-01-01")
        assert manage("web", expires_at=given)["image"]["expires_at"] == kept
        assert not manage("web", expires_at=given)["changed"]

    def test_is_unchanged_after_an_invalid_option(
        self, lxd: Server, modules: Modules, build: Build
    ) -> None:
        modules.import_image(build(), aliases=["web"])
        modules.import_image(build(), aliases=["next"])
        modules.import_image(build("vm"), aliases=["vm"])
        before = (lxd.images(), lxd.aliases())
        entries: list[tuple[dict[str, Any], str]] = [
            ({"name": ""}, "name is empty"),
            ({"expires_at": "tomorrow"}, "'tomorrow' is not a time in ISO 8601"),
            ({"expires_at": "2031-02-30"}, "expires_at: day is out of range"),
            ({"expires_at": "9999-12-31T23:59:59-05:00"}, "is after the year 9999"),
            ({"profiles": ["default", "lost"]}, "has no profile lost. It has: default."),
            ({"properties": {"release": 1.10}}, "Quote it"),
            ({"purge_aliases": True}, "purge_aliases is set without aliases"),
            ({"purge_properties": True}, "purge_properties is set without properties"),
            ({"aliases": ["vm"]}, "the alias vm belongs to the virtual-machine image"),
            ({"aliases": ["www", "next"], "alias_conflict": "fail"}, "alias_conflict is fail"),
            ({"auto_update": True}, "the server has not recorded its origin"),
        ]
        for desired, said in entries:
            for check in (True, False):
                params = {"name": "web", "public": True, **desired}
                assert said in modules.fails("lxd_image", check, **params)
        assert (lxd.images(), lxd.aliases()) == before


class TestAbsentImage:
    @pytest.mark.parametrize("by", ["alias", "fingerprint", "prefix", "capitals"])
    def test_is_deleted_with_its_aliases_once(
        self, lxd: Server, modules: Modules, image: Image, manage: Keep, by: str
    ) -> None:
        modules.import_image(image, aliases=["web", "www"])
        name = {
            "alias": "web",
            "fingerprint": image.fingerprint,
            "prefix": image.fingerprint[:12],
            "capitals": image.fingerprint[:13].upper(),
        }[by]
        predicted = manage(name, check=True, state="absent")
        assert set(lxd.images()) == {image.fingerprint}
        gone = manage(name, state="absent")
        assert predicted.actions == gone.actions == [f"delete image {image.fingerprint[:12]}"]
        assert gone["image"]["fingerprint"] == gone["fingerprint"] == image.fingerprint
        assert list(gone["diff"]["before"]["images"]) == [image.fingerprint[:12]]
        assert gone["diff"]["before"]["images"][image.fingerprint[:12]]["aliases"] == ["web", "www"]
        assert not lxd.images() and not lxd.aliases()
        again = manage(name, state="absent")
        assert (again["changed"], again["image"], again["fingerprint"]) == (False, None, None)

    def test_must_be_unambiguous(self, lxd: Server, modules: Modules, tmp_path: Path) -> None:
        first, second = twins(lxd, tmp_path)
        assert first[:12] == second[:12]
        for check in (True, False):
            msg = modules.fails("lxd_image", check, name=first[:12], state="absent")
            assert f"{first[:12]} is the beginning of 2 fingerprints" in msg
            assert f"Give more digits: {first[:13]}, {second[:13]}." in msg
        assert set(lxd.images()) == {first, second}
        modules.done("lxd_image", name=first[:13], state="absent")
        assert set(lxd.images()) == {second}

    @pytest.mark.families("lxd", "incus6")
    def test_leaves_its_instances_unchanged(
        self, lxd: Server, modules: Modules, image: Image, manage: Keep
    ) -> None:
        modules.import_image(image, aliases=["web"])
        lxd.run("launch", "web", "c1")
        manage("web", state="absent")
        assert "hello" in lxd.run("exec", "c1", "--", "echo", "hello")

    def test_rejects_other_options(self, modules: Modules) -> None:
        for option, value in (("aliases", ["a"]), ("public", False), ("purge_aliases", True)):
            params = {"name": "web", "state": "absent", option: value}
            outcome = modules.run("lxd_image", **params)
            # Options with their default value are accepted.
            assert outcome.failed is (value is not False)

    @pytest.mark.parametrize("name", ["web", "0" * 64])
    def test_is_not_reported_as_absent_to_a_client_that_cannot_see_it(
        self, lxd: Server, modules: Modules, image: Image, pair: KeyPair, name: str
    ) -> None:
        modules.import_image(image, aliases=["web"])
        desired = {"name": name, "state": "absent"}
        client = as_client(lxd, pair)
        for module in ("lxd_image", "lxd_image_alias"):
            for check in (False, True):
                assert "does not trust the client" in client.fails(module, check, **desired)
        lxd.run("project", "create", "site")
        lxd.trust(pair.certificate, projects="site")
        for module in ("lxd_image", "lxd_image_alias"):
            assert MAY_NOT in client.fails(module, **desired)
            assert not client.done(module, project="site", **desired)["changed"]
        assert lxd.aliases() == {"web": image.fingerprint}

    def test_is_deleted_by_concurrent_tasks(
        self, lxd: Server, modules: Modules, image: Image
    ) -> None:
        modules.import_image(image, aliases=["web"])
        runs = [modules.start("lxd_image", name="web", state="absent") for _ in range(5)]
        assert [run.wait().get("msg") for run in runs] == [None] * 5
        assert lxd.images() == {}


class TestAlias:
    @pytest.mark.parametrize("name", ["web", "a/größe"])
    def test_is_created_changed_and_deleted(
        self, lxd: Server, modules: Modules, build: Build, alias: Keep, name: str
    ) -> None:
        first, second = build(), build("vm")
        for image in (first, second):
            modules.import_image(image)

        def two_aliases(*expected: str, **params: Any) -> dict[str, Any]:
            predicted = alias(name, check=True, **params)
            done = alias(name, **params)
            again = alias(name, **params)
            assert predicted.actions == done.actions == list(expected)
            assert not again["changed"]
            assert again["alias"] == done["alias"]
            return dict(done["alias"] or {})

        made = two_aliases(f"add alias {name}", target=first.fingerprint, description="d")
        assert made["target"] == first.fingerprint
        assert listed(lxd)[name] == made
        moved = two_aliases(f"move alias {name}", target=second.fingerprint[:12])
        assert (moved["type"], moved["description"]) == ("virtual-machine", "d")
        two_aliases(f"set description of alias {name}", description="größer")
        assert listed(lxd)[name]["description"] == "größer"
        two_aliases(f"rename alias {name} to new/{name}", new_name=f"new/{name}")
        assert set(listed(lxd)) == {f"new/{name}"}
        alias(f"new/{name}", new_name=name)
        two_aliases(f"remove alias {name}", state="absent")
        assert len(lxd.images()) == 2

    @pytest.mark.families("lxd")
    @pytest.mark.parametrize(
        "name", ["a b", "50%", "%2e%2e", "why?a=b&c#1", "..", "a/../b", "/a//", "n" * 300]
    )
    def test_can_have_any_name(
        self, lxd: Server, modules: Modules, image: Image, alias: Keep, name: str
    ) -> None:
        modules.import_image(image, aliases=["web"])
        assert alias(name, target="web")["changed"]
        assert not alias(name, target=name, new_name=name, description="")["changed"]
        assert alias(name, description="d")["changed"]
        (found,) = modules.done("lxd_image_info", name=name)["images"]
        assert {"name": name, "description": "d"} in found["aliases"]
        assert alias(name, new_name=f"{name}2")["changed"]
        assert set(lxd.aliases()) == {"web", f"{name}2"}
        assert alias(f"{name}2", state="absent")["changed"]
        assert set(lxd.aliases()) == {"web"}

    def test_whose_new_name_exists_gets_the_description(
        self, lxd: Server, modules: Modules, image: Image, alias: Keep
    ) -> None:
        modules.import_image(image)
        for name in ("one", "two"):
            alias(name, target=image.fingerprint, description=name)
        mark = lxd.mark()
        kept = alias("one", check=True, new_name="two", description="one")
        assert lxd.writes(mark) == []
        renamed = alias("one", new_name="two", description="one")
        assert renamed.actions == kept.actions
        assert listed(lxd) == {"two": renamed["alias"]}
        assert renamed["alias"]["description"] == "one"

    def test_moves_and_is_described_in_one_request(
        self, lxd: Server, modules: Modules, build: Build, alias: Keep
    ) -> None:
        first, second = build(), build()
        modules.import_image(first, aliases=["web"])
        modules.import_image(second, aliases=["next"])
        mark = lxd.mark()
        alias("web", target="next", description="new")
        assert [request.method for request in lxd.writes(mark)] == ["PUT"]
        assert lxd.aliases()["web"] == second.fingerprint

    def test_exists_under_one_of_its_names_while_it_is_renamed(
        self, lxd: Server, modules: Modules, image: Image, alias: Keep
    ) -> None:
        modules.import_image(image, aliases=["web"])
        run = modules.start("lxd_image_alias", name="web", new_name="www")
        while "web" in (seen := lxd.aliases()):
            assert seen["web"] == image.fingerprint
        assert lxd.aliases() == {"www": image.fingerprint}
        assert run.wait().actions == ["rename alias web to www"]

    def test_check_mode_writes_nothing(
        self, lxd: Server, modules: Modules, image: Image, alias: Keep
    ) -> None:
        modules.import_image(image, aliases=["web"])
        mark = lxd.mark()
        alias("web", check=True, new_name="www", description="x")
        alias("new", check=True, target="web")
        gone = alias("web", check=True, state="absent")
        assert gone["alias"]["name"] == "web"
        assert gone["diff"]["after"] == {}
        assert lxd.writes(mark) == []

    @pytest.mark.parametrize(
        ("params", "said"),
        [
            ({"name": "new"}, "there is no alias new. Set target"),
            ({"name": "new", "target": "nothing"}, "there is no image nothing"),
            ({"name": "web", "new_name": "vm"}, "web cannot be renamed to vm"),
            (
                {"name": "web", "state": "absent", "target": "www"},
                "cannot be used with state: absent",
            ),
            ({"name": ""}, "name is empty"),
            ({"name": "web", "new_name": ""}, "new_name is empty"),
            ({"name": "web", "target": ""}, "target is empty"),
            ({"name": "old", "new_name": "new"}, "there is no alias new. Set target"),
        ],
    )
    def test_with_invalid_options_is_an_error(
        self, lxd: Server, modules: Modules, build: Build, params: dict[str, Any], said: str
    ) -> None:
        modules.import_image(build(), aliases=["web", "www"])
        modules.import_image(build("vm"), aliases=["vm"])
        before = listed(lxd)
        for check in (True, False):
            assert said in modules.fails("lxd_image_alias", check, **params)
        assert listed(lxd) == before


def listed(lxd: Server) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in lxd.api("GET", "/1.0/images/aliases?recursion=1")}


class TestInfo:
    def test_returns_the_descriptions_of_aliases(
        self, modules: Modules, image: Image, alias: Keep
    ) -> None:
        modules.import_image(image, aliases=["web"])
        alias("web", description="for the web")
        (found,) = modules.done("lxd_image_info")["images"]
        assert found["aliases"] == [{"name": "web", "description": "for the web"}]
        assert found["cached"] is False

    @pytest.mark.parametrize("digits", [12, 64])
    def test_accepts_a_fingerprint_in_upper_case(
        self, modules: Modules, image: Image, digits: int
    ) -> None:
        modules.import_image(image)
        name = image.fingerprint[:digits].upper()
        (found,) = modules.done("lxd_image_info", name=name)["images"]
        assert found["fingerprint"] == image.fingerprint

    def test_warns_about_an_empty_list_if_the_client_lacks_permission(
        self, lxd: Server, modules: Modules, image: Image, pair: KeyPair
    ) -> None:
        modules.import_image(image)
        stranger = as_client(lxd, pair)
        msg = stranger.fails("lxd_image_info", all_projects=True)
        assert "does not trust the client certificate" in msg
        told = stranger.done("lxd_image_info")
        assert told["images"] == []
        assert "does not trust this client, which sees public images only" in str(told["warnings"])
        lxd.run("project", "create", "site")
        lxd.trust(pair.certificate, projects="site")
        told = stranger.done("lxd_image_info")
        assert told["images"] == []
        assert "public images only" in str(told["warnings"])
        assert "warnings" not in stranger.done("lxd_image_info", project="site")
        modules.import_image(image, project="site")
        seen = stranger.done("lxd_image_info", all_projects=True)["images"]
        # Incus 6.0 also shows images of other projects to it.
        assert "site" in {image["project"] for image in seen}


@pytest.mark.parametrize(
    ("module", "params"),
    [
        ("lxd_image", {"name": "wbe"}),
        ("lxd_image_alias", {"name": "new", "target": "wbe"}),
        ("lxd_image_export", {"name": "wbe", "dest": "/"}),
        ("lxd_image_copy", {"image": "wbe", "source_project": "default", "project": "other"}),
    ],
)
def test_a_name_that_is_misspelt_is_an_error_that_says_what_is_near(
    lxd: Server, modules: Modules, image: Image, module: str, params: dict[str, Any]
) -> None:
    lxd.run("project", "create", "other")
    modules.import_image(image, aliases=["web"])
    assert "no image wbe" in modules.fails(module, **params)
    assert "Did you mean web?" in modules.fails(module, **params)
    digits = {name: "1" * 13 if value == "wbe" else value for name, value in params.items()}
    msg = modules.fails(module, **digits)
    assert f"no image {'1' * 13}" in msg
    assert msg.rstrip().endswith("Known images: web.")

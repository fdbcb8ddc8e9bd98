# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The life of an image in a store, and of its aliases."""

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
def keep(modules: Modules) -> Callable[..., Outcome]:
    """Keep an image, or have it gone."""

    def kept(name: str, check: bool = False, **params: Any) -> Outcome:
        return modules.done("lxd_image", check, name=name, **params)

    return kept


@pytest.fixture
def alias(modules: Modules) -> Callable[..., Outcome]:
    """Keep an alias, or have it gone."""

    def kept(name: str, check: bool = False, **params: Any) -> Outcome:
        return modules.done("lxd_image_alias", check, name=name, **params)

    return kept


Keep = Callable[..., Outcome]

MAY_NOT = "does not let this client use the project default"


def as_client(lxd: Server, pair: KeyPair) -> Modules:
    """The modules, for whoever has this certificate."""
    keys = {"client_cert": str(pair.certificate), "client_key": str(pair.key)}
    return Modules(server=lxd.url, server_cert=str(lxd.certificate), **keys)


def twins(lxd: Server, folder: Path) -> list[str]:
    """Two images on the server whose fingerprints begin with the same twelve digits.

    A server looks at no more than the first bytes of the second file, so that any number will do. These two were
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


class TestAnImage:
    def test_gets_what_is_asked_of_it_by_alias_or_fingerprint(
        self, lxd: Server, modules: Modules, image: Image, keep: Keep
    ) -> None:
        modules.import_image(image, aliases=["web"])
        wish: dict[str, Any] = {
            "aliases": ["web", "www"],
            "properties": {"os": "mine", "release": ""},
            "public": True,
            "profiles": [],
            "expires_at": "2031-01-01",
        }
        foreseen = keep("web", check=True, **wish)
        first = keep("web", **wish)
        assert foreseen.actions == first.actions
        assert first.actions == [
            "set public",
            "set properties",
            "set profiles",
            "set expires_at",
            "add alias www",
        ]
        assert first["image"] == lxd.images()[image.fingerprint]
        assert first["transferred"] == 0
        assert not keep("www", **wish)["changed"]
        assert not keep(image.fingerprint[:12], **wish)["changed"]
        target = image.fingerprint[:12]
        assert first["diff"]["after"]["aliases"] == {"web": target, "www": target}

    def test_loses_what_is_purged(
        self, lxd: Server, modules: Modules, image: Image, keep: Keep
    ) -> None:
        modules.import_image(image, aliases=["web", "old", "older"])
        wish: dict[str, Any] = {
            "aliases": ["web"],
            "purge_aliases": True,
            "properties": {"os": "x"},
            "purge_properties": True,
        }
        assert keep("old", **wish).actions == [
            "set properties",
            "remove alias old",
            "remove alias older",
        ]
        assert lxd.images()[image.fingerprint]["properties"] == {"os": "x"}
        assert lxd.aliases() == {"web": image.fingerprint}

    def test_can_take_the_alias_of_another_which_then_goes(
        self, lxd: Server, modules: Modules, build: Build, keep: Keep
    ) -> None:
        old, new = build(), build()
        modules.import_image(old, aliases=["web"])
        modules.import_image(new, aliases=["next"])
        moved = keep("next", aliases=["web"], delete_replaced=True)
        assert moved.actions == ["move alias web", f"delete image {old.fingerprint[:12]}"]
        assert set(lxd.images()) == {new.fingerprint}

    def test_check_mode_writes_nothing(
        self, lxd: Server, modules: Modules, build: Build, keep: Keep
    ) -> None:
        modules.import_image(build(), aliases=["web", "www"])
        modules.import_image(build(), aliases=["next"])
        wish: dict[str, Any] = {
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
        foreseen = keep("web", check=True, **wish)
        keep("web", check=True, state="absent")
        assert lxd.writes(mark) == []
        assert (lxd.images(), lxd.aliases()) == before
        assert keep("web", **wish).actions == foreseen.actions

    def test_that_is_not_there_is_an_error(self, lxd: Server, modules: Modules) -> None:
        assert "there is no image web" in modules.fails("lxd_image", name="web", public=True)

    def test_that_is_merely_cached_is_an_error(
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

    def test_can_be_kept_up_to_date_only_if_its_origin_is_known(
        self, other: Server, modules: Modules, build: Build, by_name: Copies, keep: Keep
    ) -> None:
        pulled, uploaded = build(), build()
        Modules().at(other).import_image(pulled, aliases=["web"], public=True)
        by_name("web", aliases=["pulled"])
        modules.import_image(uploaded, aliases=["uploaded"])
        assert keep("pulled", auto_update=True).actions == ["set auto_update"]
        msg = modules.fails("lxd_image", name="uploaded", auto_update=True)
        assert "the server does not know where it came from" in msg

    def test_that_a_client_may_not_see_is_not_said_to_be_missing(
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
            # Before never there is nothing.
            ("1970-01-01T01:00:00+05:00", "1970-01-01T00:00:00Z"),
        ],
    )
    def test_expires_when_it_should_in_any_spelling(
        self, modules: Modules, image: Image, keep: Keep, given: str, kept: str
    ) -> None:
        modules.import_image(image, aliases=["web"], expires_at="2030-01-01")
        assert keep("web", expires_at=given)["image"]["expires_at"] == kept
        assert not keep("web", expires_at=given)["changed"]

    def test_that_cannot_be_so_stays_as_it_is(
        self, lxd: Server, modules: Modules, build: Build
    ) -> None:
        modules.import_image(build(), aliases=["web"])
        modules.import_image(build(), aliases=["next"])
        modules.import_image(build("vm"), aliases=["vm"])
        before = (lxd.images(), lxd.aliases())
        wishes: list[tuple[dict[str, Any], str]] = [
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
            ({"auto_update": True}, "the server does not know where it came from"),
        ]
        for wish, said in wishes:
            for check in (True, False):
                params = {"name": "web", "public": True, **wish}
                assert said in modules.fails("lxd_image", check, **params)
        assert (lxd.images(), lxd.aliases()) == before


class TestAnImageThatIsToBeGone:
    @pytest.mark.parametrize("by", ["alias", "fingerprint", "prefix", "capitals"])
    def test_goes_with_its_aliases_and_then_is_gone(
        self, lxd: Server, modules: Modules, image: Image, keep: Keep, by: str
    ) -> None:
        modules.import_image(image, aliases=["web", "www"])
        name = {
            "alias": "web",
            "fingerprint": image.fingerprint,
            "prefix": image.fingerprint[:12],
            "capitals": image.fingerprint[:13].upper(),
        }[by]
        foreseen = keep(name, check=True, state="absent")
        assert set(lxd.images()) == {image.fingerprint}
        gone = keep(name, state="absent")
        assert foreseen.actions == gone.actions == [f"delete image {image.fingerprint[:12]}"]
        assert gone["image"]["fingerprint"] == gone["fingerprint"] == image.fingerprint
        assert list(gone["diff"]["before"]["images"]) == [image.fingerprint[:12]]
        assert gone["diff"]["before"]["images"][image.fingerprint[:12]]["aliases"] == ["web", "www"]
        assert not lxd.images() and not lxd.aliases()
        again = keep(name, state="absent")
        assert (again["changed"], again["image"], again["fingerprint"]) == (False, None, None)

    def test_has_to_be_the_only_one_meant(
        self, lxd: Server, modules: Modules, tmp_path: Path
    ) -> None:
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
    def test_leaves_the_instances_that_were_made_of_it(
        self, lxd: Server, modules: Modules, image: Image, keep: Keep
    ) -> None:
        modules.import_image(image, aliases=["web"])
        lxd.run("launch", "web", "c1")
        keep("web", state="absent")
        assert "hello" in lxd.run("exec", "c1", "--", "echo", "hello")

    def test_needs_no_more_options(self, modules: Modules) -> None:
        for option, value in (("aliases", ["a"]), ("public", False), ("purge_aliases", True)):
            params = {"name": "web", "state": "absent", option: value}
            outcome = modules.run("lxd_image", **params)
            # A false one is what it is by default, and so is fine.
            assert outcome.failed is (value is not False)

    @pytest.mark.parametrize("name", ["web", "0" * 64])
    def test_is_not_said_to_be_gone_to_who_may_not_see_it(
        self, lxd: Server, modules: Modules, image: Image, pair: KeyPair, name: str
    ) -> None:
        modules.import_image(image, aliases=["web"])
        wish = {"name": name, "state": "absent"}
        client = as_client(lxd, pair)
        for module in ("lxd_image", "lxd_image_alias"):
            for check in (False, True):
                assert "does not trust the client" in client.fails(module, check, **wish)
        lxd.run("project", "create", "site")
        lxd.trust(pair.certificate, projects="site")
        for module in ("lxd_image", "lxd_image_alias"):
            assert MAY_NOT in client.fails(module, **wish)
            assert not client.done(module, project="site", **wish)["changed"]
        assert lxd.aliases() == {"web": image.fingerprint}

    def test_goes_for_all_who_want_it_gone(
        self, lxd: Server, modules: Modules, image: Image
    ) -> None:
        modules.import_image(image, aliases=["web"])
        runs = [modules.start("lxd_image", name="web", state="absent") for _ in range(5)]
        assert [run.wait().get("msg") for run in runs] == [None] * 5
        assert lxd.images() == {}


class TestAnAlias:
    @pytest.mark.parametrize("name", ["web", "a/größe"])
    def test_lives_and_dies(
        self, lxd: Server, modules: Modules, build: Build, alias: Keep, name: str
    ) -> None:
        first, second = build(), build("vm")
        for image in (first, second):
            modules.import_image(image)

        def twice(*expected: str, **params: Any) -> dict[str, Any]:
            foreseen = alias(name, check=True, **params)
            done = alias(name, **params)
            again = alias(name, **params)
            assert foreseen.actions == done.actions == list(expected)
            assert not again["changed"]
            assert again["alias"] == done["alias"]
            return dict(done["alias"] or {})

        made = twice(f"add alias {name}", target=first.fingerprint, description="d")
        assert made["target"] == first.fingerprint
        assert listed(lxd)[name] == made
        moved = twice(f"move alias {name}", target=second.fingerprint[:12])
        assert (moved["type"], moved["description"]) == ("virtual-machine", "d")
        twice(f"set description of alias {name}", description="größer")
        assert listed(lxd)[name]["description"] == "größer"
        twice(f"rename alias {name} to new/{name}", new_name=f"new/{name}")
        assert set(listed(lxd)) == {f"new/{name}"}
        alias(f"new/{name}", new_name=name)
        twice(f"remove alias {name}", state="absent")
        assert len(lxd.images()) == 2

    @pytest.mark.families("lxd")
    @pytest.mark.parametrize(
        "name", ["a b", "50%", "%2e%2e", "why?a=b&c#1", "..", "a/../b", "/a//", "n" * 300]
    )
    def test_may_have_any_name(
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

    def test_whose_new_name_is_there_already_is_described_as_asked(
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

    def test_is_there_under_one_name_or_the_other_while_it_is_renamed(
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
            ({"name": "new"}, "there is no alias new. Give a target"),
            ({"name": "new", "target": "nothing"}, "there is no image nothing"),
            ({"name": "web", "new_name": "vm"}, "web cannot become vm"),
            (
                {"name": "web", "state": "absent", "target": "www"},
                "cannot be used with state: absent",
            ),
            ({"name": ""}, "name is empty"),
            ({"name": "web", "new_name": ""}, "new_name is empty"),
            ({"name": "web", "target": ""}, "target is empty"),
            ({"name": "old", "new_name": "new"}, "there is no alias new. Give a target"),
        ],
    )
    def test_that_cannot_be_is_an_error(
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
    def test_tells_of_what_aliases_are_for(
        self, modules: Modules, image: Image, alias: Keep
    ) -> None:
        modules.import_image(image, aliases=["web"])
        alias("web", description="for the web")
        (found,) = modules.done("lxd_image_info")["images"]
        assert found["aliases"] == [{"name": "web", "description": "for the web"}]
        assert found["cached"] is False

    @pytest.mark.parametrize("digits", [12, 64])
    def test_takes_a_fingerprint_in_capitals(
        self, modules: Modules, image: Image, digits: int
    ) -> None:
        modules.import_image(image)
        name = image.fingerprint[:digits].upper()
        (found,) = modules.done("lxd_image_info", name=name)["images"]
        assert found["fingerprint"] == image.fingerprint

    def test_explains_an_empty_list_to_a_client_that_may_not_see_more(
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
        # Incus 6.0 shows it those of other projects besides.
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
    assert msg.rstrip().endswith("It has web.")

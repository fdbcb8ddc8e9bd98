# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The life of an image in a store, and of its aliases."""

from __future__ import annotations

from collections.abc import Callable
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
        assert first["diff"]["after"]["aliases"] == ["web", "www"]

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
        assert "merely caches" in modules.fails("lxd_image", name=name, public=True)
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


class TestAnImageThatIsToBeGone:
    @pytest.mark.parametrize("by", ["alias", "fingerprint", "prefix"])
    def test_goes_with_its_aliases_and_then_is_gone(
        self, lxd: Server, modules: Modules, image: Image, keep: Keep, by: str
    ) -> None:
        modules.import_image(image, aliases=["web", "www"])
        name = {"alias": "web", "fingerprint": image.fingerprint}.get(by, image.fingerprint[:12])
        foreseen = keep(name, check=True, state="absent")
        assert set(lxd.images()) == {image.fingerprint}
        gone = keep(name, state="absent")
        assert foreseen.actions == gone.actions == [f"delete image {image.fingerprint[:12]}"]
        assert gone["image"]["fingerprint"] == gone["fingerprint"] == image.fingerprint
        assert gone["diff"]["before"]["aliases"] == ["web", "www"]
        assert not lxd.images() and not lxd.aliases()
        again = keep(name, state="absent")
        assert (again["changed"], again["image"], again["fingerprint"]) == (False, None, None)

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
            ({"name": "web", "state": "absent", "target": "www"}, "of no use with state: absent"),
            ({"name": ""}, "name is empty"),
        ],
    )
    def test_that_cannot_be_is_an_error(
        self, modules: Modules, build: Build, params: dict[str, Any], said: str
    ) -> None:
        modules.import_image(build(), aliases=["web", "www"])
        modules.import_image(build("vm"), aliases=["vm"])
        assert said in modules.fails("lxd_image_alias", **params)


def listed(lxd: Server) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in lxd.api("GET", "/1.0/images/aliases?recursion=1")}


class TestInfo:
    def test_tells_of_cached_images_and_of_what_aliases_are_for(
        self, lxd: Server, modules: Modules, image: Image, alias: Keep
    ) -> None:
        modules.import_image(image, aliases=["web"])
        alias("web", description="for the web")
        (found,) = modules.done("lxd_image_info")["images"]
        assert found["aliases"] == [{"name": "web", "description": "for the web"}]
        assert found["cached"] is False

    def test_explains_an_empty_list_to_a_client_that_may_not_see_more(
        self, lxd: Server, modules: Modules, image: Image, pair: KeyPair
    ) -> None:
        modules.import_image(image)
        keys = {"client_cert": str(pair.certificate), "client_key": str(pair.key)}
        stranger = Modules(server=lxd.url, server_cert=str(lxd.certificate), **keys)
        told = stranger.done("lxd_image_info")
        assert told["images"] == []
        assert "does not trust this client, which sees public images only" in str(told["warnings"])
        lxd.run("project", "create", "site")
        lxd.trust(pair.certificate, projects="site")
        told = stranger.done("lxd_image_info")
        assert told["images"] == []
        assert "public images only" in str(told["warnings"])
        assert "warnings" not in stranger.done("lxd_image_info", project="site")

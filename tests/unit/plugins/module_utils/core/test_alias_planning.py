# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils.core.errors import (
    NoSuchImage,
    WrongValue,
)
from ansible_collections.imagestore.lxd.plugins.module_utils.core.images import (
    Alias,
    Contents,
    Image,
)
from ansible_collections.imagestore.lxd.plugins.module_utils.core.planning.aliases import (
    AliasWish,
    alias_settled,
)

A, B = "a" * 64, "b" * 64


def image(fingerprint, *aliases, image_type="container"):
    named = tuple(Alias(name, f"about {name}") for name in aliases)
    return Image(fingerprint, image_type, "x86_64", 1, named)


STORE = Contents((image(A, "web", "app"), image(B, "vm", image_type="virtual-machine")))


def wish(name, **params):
    unset = dict.fromkeys(("target", "description", "new_name"))
    return AliasWish.parse({"name": name, "state": "present", **unset, **params})


def says(name, **params):
    return list(alias_settled(STORE, wish(name, **params)).says)


class TestAnAlias:
    def test_that_is_as_asked_needs_nothing(self):
        assert says("web") == []
        assert says("web", target=A[:12]) == says("web", target="app") == []
        assert says("web", description="about web") == []

    def test_is_made(self):
        assert says("new", target="web") == ["add alias new"]

    def test_is_moved_even_to_another_type(self):
        assert says("web", target=B[:12]) == ["move alias web"]

    def test_is_described(self):
        assert says("web", description="x") == ["set description of alias web"]
        assert says("web", description="") == ["set description of alias web"]

    def test_is_moved_and_described_in_one_step(self):
        assert says("web", target="vm", description="x") == ["move alias web"]

    def test_is_renamed_and_then_it_has_been(self):
        assert says("web", new_name="www") == ["rename alias web to www"]
        assert says("gone", new_name="web") == []

    def test_is_renamed_and_moved(self):
        assert says("web", new_name="www", target="vm") == [
            "rename alias web to www",
            "move alias www",
        ]

    def test_is_made_under_its_new_name_if_there_is_neither(self):
        assert says("old", new_name="new", target="web") == ["add alias new"]

    def test_is_not_renamed_onto_another(self):
        with pytest.raises(WrongValue, match="web cannot become vm"):
            says("web", new_name="vm")

    def test_whose_renaming_did_not_come_to_its_end_is_renamed(self):
        assert says("web", new_name="app") == ["rename alias web to app"]

    def test_whose_new_name_is_there_already_is_described_as_that_is(self):
        plan = alias_settled(STORE, wish("web", new_name="app"))
        assert plan.after["description"] == "about app"
        assert says("web", new_name="app", description="about web") == [
            "rename alias web to app",
            "set description of alias app",
        ]

    def test_goes_and_then_is_gone(self):
        assert says("web", state="absent") == ["remove alias web"]
        assert says("gone", state="absent") == []

    def test_needs_a_target_to_come(self):
        with pytest.raises(NoSuchImage, match="Give a target"):
            says("new")

    def test_needs_a_target_that_exists(self):
        with pytest.raises(NoSuchImage, match="there is no image nothing"):
            says("new", target="nothing")

    @pytest.mark.parametrize("option", ["target", "description", "new_name"])
    def test_that_goes_needs_no_more_options(self, option):
        with pytest.raises(WrongValue, match=f"{option} is of no use with state: absent"):
            wish("web", state="absent", **{option: "x"})

    def test_needs_a_name(self):
        with pytest.raises(WrongValue, match="name is empty"):
            wish("")


def test_the_diff_shows_the_alias_as_the_server_would():
    plan = alias_settled(STORE, wish("web", target="vm", new_name="www"))
    assert plan.before == {
        "name": "web",
        "target": A,
        "type": "container",
        "description": "about web",
    }
    assert plan.after == {
        "name": "www",
        "target": B,
        "type": "virtual-machine",
        "description": "about web",
    }

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.contents import Contents
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import (
    ImageNotFound,
    OptionError,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.images import Alias, Image
from ansible_collections.imagestore.lxd.plugins.module_utils._core.planning.aliases import (
    DesiredAlias,
    plan_alias,
)

A, B = "a" * 64, "b" * 64


def image(fingerprint, *aliases, image_type="container"):
    named = tuple(Alias(name, f"about {name}") for name in aliases)
    return Image(fingerprint, image_type, "x86_64", 1, named)


STORE = Contents((image(A, "web", "app"), image(B, "vm", image_type="virtual-machine")))


def actions_for(name, **params):
    return list(plan_alias(STORE, DesiredAlias(name, **params)).actions)


class TestAlias:
    def test_that_is_as_desired_needs_no_steps(self):
        assert actions_for("web") == []
        assert actions_for("web", target=A[:12]) == actions_for("web", target="app") == []
        assert actions_for("web", description="about web") == []

    def test_is_created(self):
        assert actions_for("new", target="web") == ["add alias new"]

    def test_is_moved_even_to_another_type(self):
        assert actions_for("web", target=B[:12]) == ["move alias web"]

    def test_is_described(self):
        assert actions_for("web", description="x") == ["set description of alias web"]
        assert actions_for("web", description="") == ["set description of alias web"]

    def test_is_moved_and_described_in_a_single_step(self):
        assert actions_for("web", target="vm", description="x") == ["move alias web"]

    def test_is_renamed_once(self):
        assert actions_for("web", new_name="www") == ["rename alias web to www"]
        assert actions_for("gone", new_name="web") == []

    def test_is_renamed_and_moved(self):
        assert actions_for("web", new_name="www", target="vm") == [
            "rename alias web to www",
            "move alias www",
        ]

    def test_is_created_under_its_new_name_if_neither_exists(self):
        assert actions_for("old", new_name="new", target="web") == ["add alias new"]

    def test_is_not_renamed_to_an_existing_alias_of_another_image(self):
        with pytest.raises(OptionError, match="web cannot be renamed to vm"):
            actions_for("web", new_name="vm")

    def test_whose_renaming_was_interrupted_is_renamed(self):
        assert actions_for("web", new_name="app") == ["rename alias web to app"]

    def test_whose_new_name_exists_keeps_the_description_of_that(self):
        plan = plan_alias(STORE, DesiredAlias("web", new_name="app"))
        assert plan.after["description"] == "about app"
        assert actions_for("web", new_name="app", description="about web") == [
            "rename alias web to app",
            "set description of alias app",
        ]

    def test_is_deleted_once(self):
        assert actions_for("web", absent=True) == ["remove alias web"]
        assert actions_for("gone", absent=True) == []

    def test_requires_a_target_to_be_created(self):
        with pytest.raises(ImageNotFound, match="Set target"):
            actions_for("new")

    def test_requires_a_target_that_exists(self):
        with pytest.raises(ImageNotFound, match="there is no image nothing"):
            actions_for("new", target="nothing")


def test_the_diff_shows_the_alias_as_the_server_would():
    plan = plan_alias(STORE, DesiredAlias("web", target="vm", new_name="www"))
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

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.contents import Contents
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import OptionError
from ansible_collections.imagestore.lxd.plugins.module_utils._core.images import (
    NEVER,
    Alias,
    Image,
    Origin,
    parse_time,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.options import image as options
from ansible_collections.imagestore.lxd.plugins.module_utils._core.planning import diff
from ansible_collections.imagestore.lxd.plugins.module_utils._core.planning.desired_state import (
    DesiredState,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.planning.images import (
    plan_absent,
    plan_present,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.planning.steps import (
    DeleteReplaced,
    MoveAlias,
    SetAttributes,
)
from parameters import parameters

A, B, C = "a" * 64, "b" * 64, "c" * 64


def image(fingerprint=A, aliases=(), **more):
    given = {"type": "container", "architecture": "x86_64", "size": 10, "profiles": ("default",)}
    given.update(more)
    return Image(fingerprint=fingerprint, aliases=tuple(map(Alias, aliases)), **given)


class Upload:
    """An offer with everything that planning needs."""

    actions = ("upload",)

    def __init__(self, fingerprint=A, image_type="container", replaces=None):
        self.fingerprint = fingerprint
        self.type = image_type
        self.replaces = replaces
        self.route = "upload"
        self.size = 5
        self.records_origin = False


def desired_state(**given):
    return options.desired_state(parameters(options.image(), **given))


def actions_for(subject, desired, *others, done=()):
    images = [subject, *others] if isinstance(subject, Image) else others
    return list(plan_present(Contents(tuple(images)), subject, desired, done).actions)


class TestExistingImage:
    def test_needs_no_steps_without_options(self):
        assert actions_for(image(public=True, properties={"os": "x"}), desired_state()) == []

    def test_needs_no_steps_if_it_is_as_desired(self):
        have = image(
            aliases=["web", "old"],
            public=True,
            properties={"os": "x", "more": "y"},
            profiles=("a", "b"),
            expires_at=parse_time("2030-01-01"),
        )
        desired = desired_state(
            aliases=["web"],
            public=True,
            properties={"os": "x"},
            profiles=["b", "a"],
            expires_at="2030-01-01T01:00:00+01:00",
        )
        assert actions_for(have, desired) == []

    def test_gets_only_what_differs(self):
        desired = desired_state(
            public=True, properties={"os": "x"}, expires_at="2030-01-01", profiles=[]
        )
        have = image(public=True, properties={"os": "y"}, profiles=())
        assert actions_for(have, desired) == ["set properties", "set expires_at"]

    def test_keeps_properties_that_are_not_listed(self):
        assert desired_state(properties={"os": "x"}).changes_for(
            image(properties={"more": "y"})
        ) == {"properties": {"more": "y", "os": "x"}}

    def test_loses_a_property_with_an_empty_value(self):
        have = image(properties={"os": "x", "more": "y"})
        assert desired_state(properties={"os": ""}).changes_for(have)["properties"] == {"more": "y"}
        assert (
            actions_for(image(properties={"more": "y"}), desired_state(properties={"os": ""})) == []
        )

    def test_loses_unlisted_properties_only_with_purge(self):
        desired = desired_state(properties={"os": "x"}, purge_properties=True)
        assert desired.changes_for(image(properties={"more": "y"}))["properties"] == {"os": "x"}

    def test_keeps_reserved_properties_with_purge(self):
        desired = desired_state(properties={}, purge_properties=True)
        have = image(properties={"imagestore.archive": "1"})
        assert actions_for(have, desired) == []

    def test_can_lose_its_expiry_date(self):
        have = image(expires_at=parse_time("2030-01-01"))
        assert actions_for(have, desired_state(expires_at="never")) == ["set expires_at"]
        assert actions_for(image(expires_at=NEVER), desired_state(expires_at="never")) == []


class TestNewImage:
    def test_gets_all_options_even_if_they_might_have_that_value(self):
        desired = desired_state(
            public=False, profiles=["default"], expires_at="never", aliases=["web"]
        )
        assert actions_for(Upload(), desired) == [
            "upload",
            "set public",
            "set profiles",
            "set expires_at",
            "add alias web",
        ]

    def test_gets_nothing_without_options(self):
        assert actions_for(Upload(), desired_state(properties={})) == ["upload"]

    def test_gets_all_options_even_if_planned_again_after_the_transfer(self):
        desired = desired_state(public=False, profiles=["default"])
        have = image(A)
        plan = plan_present(Contents((have,)), have, desired, (), A)
        assert plan.actions == ("set public", "set profiles")
        done = (SetAttributes(("public", "profiles"), desired),)
        assert plan_present(Contents((have,)), have, desired, done, A).actions == ()


class TestAliases:
    def test_are_added_where_they_are_missing(self):
        assert actions_for(image(aliases=["a"]), desired_state(aliases=["a", "b"])) == [
            "add alias b"
        ]

    def test_are_moved_from_another_image_in_a_single_step(self):
        contents = Contents((image(A), image(B, ["web"])))
        plan = plan_present(contents, image(A), desired_state(aliases=["web"]))
        assert plan.steps == (MoveAlias("web", B),)

    def test_are_kept_if_they_are_not_listed(self):
        assert actions_for(image(aliases=["a", "b"]), desired_state(aliases=[])) == []

    def test_are_removed_if_they_are_not_listed_with_purge(self):
        desired = desired_state(aliases=["a"], purge_aliases=True)
        assert actions_for(image(aliases=["a", "b", "c"]), desired) == [
            "remove alias b",
            "remove alias c",
        ]

    def test_are_not_moved_from_another_image_with_alias_conflict_fail(self):
        desired = desired_state(aliases=["web"], alias_conflict="fail")
        with pytest.raises(OptionError, match="web points to another image, bbbbbbbbbbbb"):
            actions_for(Upload(), desired, image(B, ["web"]))

    @pytest.mark.parametrize("subject", [Upload(), image(A)])
    def test_are_never_moved_between_containers_and_virtual_machines(self, subject):
        with pytest.raises(OptionError, match="web belongs to the virtual-machine image"):
            actions_for(
                subject, desired_state(aliases=["web"]), image(B, ["web"], type="virtual-machine")
            )

    def test_can_move_to_an_image_of_unknown_type(self):
        other = image(B, ["web"], type="virtual-machine")
        assert actions_for(Upload(image_type=None), desired_state(aliases=["web"]), other) == [
            "upload",
            "move alias web",
        ]

    def test_are_reported_once_however_often_they_are_listed(self):
        assert desired_state(aliases=["a", "b", "a"]).aliases == ("a", "b")

    def test_are_an_empty_list_for_a_single_empty_string(self):
        assert desired_state(aliases=[""]).aliases == ()
        with pytest.raises(OptionError, match="empty name"):
            desired_state(aliases=["a", ""])


class TestReplacedImages:
    def test_are_deleted_when_they_lose_their_last_alias(self):
        desired = desired_state(aliases=["web", "app"], delete_replaced=True)
        assert actions_for(Upload(), desired, image(B, ["web"]), image(C, ["app", "more"])) == [
            "upload",
            "move alias web",
            "move alias app",
            f"delete image {B[:12]}",
        ]

    def test_are_kept_without_delete_replaced(self):
        assert actions_for(Upload(), desired_state(aliases=["web"]), image(B, ["web"])) == [
            "upload",
            "move alias web",
        ]

    def test_are_deleted_if_the_alias_was_moved_before_a_conflict(self):
        desired = desired_state(aliases=["web"], delete_replaced=True)
        done = [MoveAlias("web", B)]
        plan = plan_present(
            Contents((image(A, ["web"]), image(B))), image(A, ["web"]), desired, done
        )
        assert plan.steps == (DeleteReplaced(B),)

    def test_are_kept_if_they_have_got_another_alias(self):
        desired = desired_state(aliases=["web"], delete_replaced=True)
        assert (
            actions_for(image(A, ["web"]), desired, image(B, ["kept"]), done=[MoveAlias("web", B)])
            == []
        )

    def test_require_aliases(self):
        with pytest.raises(OptionError, match="delete_replaced"):
            desired_state(delete_replaced=True)


class TestOutdatedImages:
    """Those whose place the image takes, as an earlier one by the same name of a registry."""

    OLD = image(B, ["web", "more"], public=True, profiles=(), uploaded_at=parse_time("2030-01-02"))
    OLDER = image(C, uploaded_at=parse_time("2030-01-01"))

    def plan(self, subject=None, outdated=(OLD, OLDER), transferred=None, **given):
        desired = replace(desired_state(**given), delete_outdated=True)
        subject = subject or Upload()
        images = (subject, *outdated) if isinstance(subject, Image) else outdated
        return plan_present(Contents(images), subject, desired, (), transferred, outdated)

    def test_lose_all_aliases_and_are_deleted(self):
        plan = self.plan()
        assert list(plan.actions) == [
            "upload",
            "move alias web",
            "move alias more",
            f"delete image {B[:12]}",
            f"delete image {C[:12]}",
        ]
        assert plan.deleted == (self.OLD, self.OLDER)

    def test_lose_them_whatever_alias_conflict_is(self):
        actions = self.plan(aliases=["web"], alias_conflict="fail").actions
        assert "move alias web" in actions

    def test_are_deleted_with_the_aliases_that_are_not_wanted(self):
        plan = self.plan(outdated=(self.OLD,), aliases=["web"], purge_aliases=True)
        assert list(plan.actions) == ["upload", "move alias web", f"delete image {B[:12]}"]
        assert plan.steps[-1] == DeleteReplaced(B, frozenset(["more"]))

    def test_are_deleted_once(self):
        actions = self.plan(aliases=["web"], delete_replaced=True).actions
        assert len([action for action in actions if action.startswith("delete")]) == 2

    def test_stay_while_nothing_is_to_be_deleted(self):
        plan = plan_present(Contents((self.OLD,)), Upload(), DesiredState(), (), None, (self.OLD,))
        assert list(plan.actions) == ["upload", "move alias web", "move alias more"]

    @pytest.mark.parametrize("transferred", [None, A])
    def test_leave_their_settings_to_a_new_image(self, transferred):
        subject = image(A) if transferred else Upload()
        plan = self.plan(subject, transferred=transferred, properties={"os": "x"})
        (step,) = (step for step in plan.steps if isinstance(step, SetAttributes))
        assert step.names == ("properties",)
        assert step.desired.changes_for(image(A)) == {
            "properties": {"os": "x"},
            "public": True,
            "profiles": (),
            "auto_update": False,
        }

    def test_leave_an_image_as_it_is_that_was_there_before(self):
        steps = self.plan(image(A)).steps
        assert not any(isinstance(step, SetAttributes) for step in steps)


class TestCachedImage:
    def test_is_replaced_and_unmanaged_attributes_are_restored(self):
        cached = image(
            A, ["mine"], cached=True, public=True, properties={"os": "x"}, profiles=("special",)
        )
        offer = Upload(replaces=cached)
        plan = plan_present(
            Contents((cached,)), offer, desired_state(aliases=["web"], properties={"a": "b"})
        )
        assert plan.actions[1:] == ("set properties", "add alias web", "add alias mine")
        arrived = image(A, properties={"os": "fresh"})
        restores = plan.steps[0]
        assert isinstance(restores, SetAttributes)
        assert restores.desired.changes_for(arrived) == {
            "public": True,
            "properties": {"os": "x", "a": "b"},
            "profiles": ("special",),
            "expires_at": NEVER,
        }


class TestDiff:
    def test_shows_only_what_is_managed(self):
        have = image(aliases=["web", "other"], properties={"os": "x", "more": "y"}, public=True)
        plan = plan_present(
            Contents((have,)), have, desired_state(aliases=["web", "app"], properties={"os": "z"})
        )
        assert plan.before == {"aliases": {"web": A[:12]}, "properties": {"os": "x"}}
        assert plan.after == {
            "aliases": {"app": A[:12], "web": A[:12]},
            "properties": {"os": "z"},
        }

    def test_shows_everything_that_is_purged(self):
        have = image(aliases=["web"], properties={"os": "x", "imagestore.archive": "1"})
        desired = desired_state(
            aliases=[], purge_aliases=True, properties={}, purge_properties=True
        )
        plan = plan_present(Contents((have,)), have, desired)
        assert plan.before == {"aliases": {"web": A[:12]}, "properties": {"os": "x"}}
        assert plan.after == {"aliases": {}, "properties": {}}

    def test_shows_the_new_image_with_its_size_and_route(self):
        plan = plan_present(
            Contents(), Upload(), desired_state(aliases=["web"], expires_at="never")
        )
        assert diff([plan], A) == (
            {"aliases": {}},
            {
                "aliases": {"web": A[:12]},
                "expires_at": "never",
                "images": {A[:12]: {"size": 5, "route": "upload"}},
            },
        )

    def test_calls_an_image_new_without_a_known_fingerprint(self):
        plan = plan_present(Contents(), Upload(None), desired_state(aliases=["web"]))
        _before, after = diff([plan], None)
        assert after["aliases"] == {"web": "new image"}
        assert list(after["images"]) == ["new image"]

    def test_shows_a_fingerprint_that_became_known_with_the_transfer(self):
        plan = plan_present(Contents(), Upload(None), desired_state(aliases=["web"]))
        _before, after = diff([plan], A)
        assert after["aliases"] == {"web": A[:12]}
        assert list(after["images"]) == [A[:12]]

    def test_shows_deleted_images_with_their_aliases_and_sizes(self):
        old = image(B, ["web", "www"])
        desired = desired_state(aliases=["web", "www"], delete_replaced=True)
        before, after = diff([plan_present(Contents((old,)), Upload(), desired)], A)
        assert before == {
            "aliases": {"web": B[:12], "www": B[:12]},
            "images": {B[:12]: {"aliases": ["web", "www"], "size": 10}},
        }
        assert after["aliases"] == {"web": A[:12], "www": A[:12]}

    def test_shows_no_difference_without_changes(self):
        have = image(aliases=["web"], expires_at=parse_time("2030-01-01"))
        plan = plan_present(
            Contents((have,)), have, desired_state(aliases=["web"], expires_at="2030-01-01")
        )
        unchanged = {"aliases": {"web": A[:12]}, "expires_at": "2030-01-01T00:00:00Z"}
        assert diff([plan], A) == (unchanged, unchanged)


class TestAutoUpdate:
    def test_requires_an_image_with_an_alias_as_its_origin(self):
        origin = Origin("https://a", "lxd", "web")
        assert actions_for(image(origin=origin), DesiredState(auto_update=True)) == [
            "set auto_update"
        ]
        for have in (image(), image(origin=Origin("https://a", "lxd", A))):
            with pytest.raises(OptionError, match="the server has not recorded its origin"):
                actions_for(have, DesiredState(auto_update=True))

    def test_requires_an_offer_that_records_its_origin(self):
        offer = Upload()
        offer.route = "relay"
        with pytest.raises(OptionError, match="auto_update does not work with mode relay"):
            actions_for(offer, DesiredState(auto_update=True))
        offer.records_origin = True
        assert actions_for(offer, DesiredState(auto_update=True)) == ["upload", "set auto_update"]

    def test_can_always_be_turned_off(self):
        assert actions_for(image(auto_update=True), DesiredState(auto_update=False)) == [
            "set auto_update"
        ]


class TestAbsence:
    def test_of_a_missing_image_needs_no_steps(self):
        plan = plan_absent(None)
        assert (plan.actions, plan.before, plan.after) == ((), {}, {})

    def test_deletes_the_image_and_its_aliases(self):
        plan = plan_absent(image(A, ["web"]))
        assert plan.actions == (f"delete image {A[:12]}",)
        assert diff([plan], A) == ({"images": {A[:12]: {"aliases": ["web"], "size": 10}}}, {})

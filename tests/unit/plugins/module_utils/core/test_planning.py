# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils.core.errors import WrongValue
from ansible_collections.imagestore.lxd.plugins.module_utils.core.images import (
    NEVER,
    Alias,
    Contents,
    Image,
    Origin,
    parse_time,
)
from ansible_collections.imagestore.lxd.plugins.module_utils.core.planning.settling import (
    absent,
    settled,
)
from ansible_collections.imagestore.lxd.plugins.module_utils.core.planning.steps import (
    DeleteReplaced,
    MoveAlias,
    SetAttributes,
)
from ansible_collections.imagestore.lxd.plugins.module_utils.core.planning.wanted import Wanted

A, B, C = "a" * 64, "b" * 64, "c" * 64


def image(fingerprint=A, aliases=(), **more):
    given = {"type": "container", "architecture": "x86_64", "size": 10, "profiles": ("default",)}
    given.update(more)
    return Image(fingerprint=fingerprint, aliases=tuple(map(Alias, aliases)), **given)


class Upload:
    """An offer; planning asks no more of one than this."""

    says = ("upload",)

    def __init__(self, fingerprint=A, image_type="container", replaces=None):
        self.fingerprint = fingerprint
        self.type = image_type
        self.replaces = replaces
        self.route = "upload"
        self.records_origin = False


def wanted(**params):
    unset = dict.fromkeys(("aliases", "properties", "public", "profiles", "expires_at"))
    switches = dict.fromkeys(("purge_aliases", "delete_replaced", "purge_properties"), False)
    return Wanted.parse({**unset, **switches, "alias_conflict": "move", **params})


def says(subject, wish, *others, done=()):
    images = [subject, *others] if isinstance(subject, Image) else others
    return list(settled(Contents(tuple(images)), subject, wish, done).says)


class TestAnImageThatIsThere:
    def test_needs_nothing_if_nothing_is_asked_of_it(self):
        assert says(image(public=True, properties={"os": "x"}), wanted()) == []

    def test_needs_nothing_if_all_is_as_asked(self):
        have = image(
            aliases=["web", "old"],
            public=True,
            properties={"os": "x", "more": "y"},
            profiles=("a", "b"),
            expires_at=parse_time("2030-01-01"),
        )
        wish = wanted(
            aliases=["web"],
            public=True,
            properties={"os": "x"},
            profiles=["b", "a"],
            expires_at="2030-01-01T01:00:00+01:00",
        )
        assert says(have, wish) == []

    def test_gets_just_what_differs(self):
        wish = wanted(public=True, properties={"os": "x"}, expires_at="2030-01-01", profiles=[])
        have = image(public=True, properties={"os": "y"}, profiles=())
        assert says(have, wish) == ["set properties", "set expires_at"]

    def test_keeps_properties_that_are_not_listed(self):
        assert wanted(properties={"os": "x"}).over(image(properties={"more": "y"})) == {
            "properties": {"more": "y", "os": "x"}
        }

    def test_loses_a_property_with_an_empty_value(self):
        have = image(properties={"os": "x", "more": "y"})
        assert wanted(properties={"os": ""}).over(have)["properties"] == {"more": "y"}
        assert says(image(properties={"more": "y"}), wanted(properties={"os": ""})) == []

    def test_loses_properties_that_are_not_listed_only_on_demand(self):
        wish = wanted(properties={"os": "x"}, purge_properties=True)
        assert wish.over(image(properties={"more": "y"}))["properties"] == {"os": "x"}

    def test_keeps_this_collections_own_notes_even_then(self):
        wish = wanted(properties={}, purge_properties=True)
        have = image(properties={"imagestore.archive": "1"})
        assert says(have, wish) == []

    def test_can_lose_its_expiry(self):
        have = image(expires_at=parse_time("2030-01-01"))
        assert says(have, wanted(expires_at="never")) == ["set expires_at"]
        assert says(image(expires_at=NEVER), wanted(expires_at="never")) == []


class TestAnImageYetToCome:
    def test_has_all_set_that_is_asked_even_what_may_be_so_already(self):
        wish = wanted(public=False, profiles=["default"], expires_at="never", aliases=["web"])
        assert says(Upload(), wish) == [
            "upload",
            "set public",
            "set profiles",
            "set expires_at",
            "add alias web",
        ]

    def test_has_nothing_set_if_nothing_is_asked(self):
        assert says(Upload(), wanted(properties={})) == ["upload"]

    def test_has_it_set_even_if_the_plan_is_made_anew_after_it_came(self):
        wish = wanted(public=False, profiles=["default"])
        have = image(A)
        plan = settled(Contents((have,)), have, wish, (), A)
        assert plan.says == ("set public", "set profiles")
        done = (SetAttributes(("public", "profiles"), wish),)
        assert settled(Contents((have,)), have, wish, done, A).says == ()


class TestAliases:
    def test_are_added_where_they_are_missing(self):
        assert says(image(aliases=["a"]), wanted(aliases=["a", "b"])) == ["add alias b"]

    def test_are_moved_from_another_image_in_one_step(self):
        contents = Contents((image(A), image(B, ["web"])))
        plan = settled(contents, image(A), wanted(aliases=["web"]))
        assert plan.steps == (MoveAlias("web", B),)

    def test_stay_if_they_are_not_listed(self):
        assert says(image(aliases=["a", "b"]), wanted(aliases=[])) == []

    def test_go_if_they_are_not_listed_and_that_is_asked(self):
        wish = wanted(aliases=["a"], purge_aliases=True)
        assert says(image(aliases=["a", "b", "c"]), wish) == ["remove alias b", "remove alias c"]

    def test_are_not_taken_from_another_image_if_that_is_not_wanted(self):
        wish = wanted(aliases=["web"], alias_conflict="fail")
        with pytest.raises(WrongValue, match="web points to another image, bbbbbbbbbbbb"):
            says(Upload(), wish, image(B, ["web"]))

    @pytest.mark.parametrize("subject", [Upload(), image(A)])
    def test_are_never_moved_between_containers_and_virtual_machines(self, subject):
        with pytest.raises(WrongValue, match="web belongs to the virtual-machine image"):
            says(subject, wanted(aliases=["web"]), image(B, ["web"], type="virtual-machine"))

    def test_may_move_to_an_image_whose_type_is_not_known_yet(self):
        other = image(B, ["web"], type="virtual-machine")
        assert says(Upload(image_type=None), wanted(aliases=["web"]), other) == [
            "upload",
            "move alias web",
        ]

    def test_are_told_once_however_often_they_are_listed(self):
        assert wanted(aliases=["a", "b", "a"]).aliases == ("a", "b")

    def test_are_the_empty_list_for_a_lone_empty_string(self):
        assert wanted(aliases=[""]).aliases == ()
        with pytest.raises(WrongValue, match="empty name"):
            wanted(aliases=["a", ""])


class TestReplacedImages:
    def test_are_deleted_when_they_lose_their_last_alias(self):
        wish = wanted(aliases=["web", "app"], delete_replaced=True)
        assert says(Upload(), wish, image(B, ["web"]), image(C, ["app", "more"])) == [
            "upload",
            "move alias web",
            "move alias app",
            f"delete image {B[:12]}",
        ]

    def test_stay_if_that_is_not_asked(self):
        assert says(Upload(), wanted(aliases=["web"]), image(B, ["web"])) == [
            "upload",
            "move alias web",
        ]

    def test_are_deleted_when_the_alias_was_moved_before_the_task_was_overtaken(self):
        wish = wanted(aliases=["web"], delete_replaced=True)
        done = [MoveAlias("web", B)]
        plan = settled(Contents((image(A, ["web"]), image(B))), image(A, ["web"]), wish, done)
        assert plan.steps == (DeleteReplaced(B),)

    def test_stay_if_somebody_has_named_them_meanwhile(self):
        wish = wanted(aliases=["web"], delete_replaced=True)
        assert says(image(A, ["web"]), wish, image(B, ["kept"]), done=[MoveAlias("web", B)]) == []

    def test_need_aliases_to_be_told_by(self):
        with pytest.raises(WrongValue, match="delete_replaced"):
            wanted(delete_replaced=True)


class TestACachedImage:
    def test_makes_way_and_all_that_is_not_managed_comes_back(self):
        cached = image(
            A, ["mine"], cached=True, public=True, properties={"os": "x"}, profiles=("special",)
        )
        offer = Upload(replaces=cached)
        plan = settled(Contents((cached,)), offer, wanted(aliases=["web"], properties={"a": "b"}))
        assert plan.says[1:] == ("set properties", "add alias web", "add alias mine")
        arrived = image(A, properties={"os": "fresh"})
        restores = plan.steps[0]
        assert isinstance(restores, SetAttributes)
        assert restores.wanted.over(arrived) == {
            "public": True,
            "properties": {"os": "x", "a": "b"},
            "profiles": ("special",),
            "expires_at": NEVER,
        }


class TestTheDiff:
    def test_shows_only_what_is_managed(self):
        have = image(aliases=["web", "other"], properties={"os": "x", "more": "y"}, public=True)
        plan = settled(
            Contents((have,)), have, wanted(aliases=["web", "app"], properties={"os": "z"})
        )
        assert plan.before == {"aliases": ["web"], "properties": {"os": "x"}}
        assert plan.after == {"aliases": ["app", "web"], "properties": {"os": "z"}}

    def test_shows_everything_of_what_is_purged(self):
        have = image(aliases=["web"], properties={"os": "x", "imagestore.archive": "1"})
        wish = wanted(aliases=[], purge_aliases=True, properties={}, purge_properties=True)
        plan = settled(Contents((have,)), have, wish)
        assert plan.before == {"aliases": ["web"], "properties": {"os": "x"}}
        assert plan.after == {"aliases": [], "properties": {}}

    def test_shows_an_arrival(self):
        plan = settled(Contents(), Upload(), wanted(aliases=["web"], expires_at="never"))
        assert plan.before == {}
        assert plan.after == {"fingerprint": A, "aliases": ["web"], "expires_at": "never"}

    def test_shows_the_same_twice_when_nothing_changes(self):
        have = image(aliases=["web"], expires_at=parse_time("2030-01-01"))
        plan = settled(Contents((have,)), have, wanted(aliases=["web"], expires_at="2030-01-01"))
        assert (
            plan.before
            == plan.after
            == {
                "aliases": ["web"],
                "expires_at": "2030-01-01T00:00:00Z",
            }
        )


class TestOptions:
    def test_an_expiry_that_is_no_time_is_an_error(self):
        with pytest.raises(WrongValue, match="expires_at: 'soon'"):
            wanted(expires_at="soon")

    @pytest.mark.parametrize("what", ["aliases", "properties"])
    def test_purging_needs_the_list_of_what_stays(self, what):
        with pytest.raises(WrongValue, match=f"purge_{what} is set without {what}"):
            wanted(**{f"purge_{what}": True})

    def test_this_collections_own_notes_cannot_be_set(self):
        with pytest.raises(WrongValue, match=r"imagestore\.archive"):
            wanted(properties={"imagestore.archive": "1"})


class TestAutoUpdate:
    def test_needs_an_image_whose_origin_can_move(self):
        origin = Origin("https://a", "lxd", "web")
        assert says(image(origin=origin), Wanted(auto_update=True)) == ["set auto_update"]
        for have in (image(), image(origin=Origin("https://a", "lxd", A))):
            with pytest.raises(WrongValue, match="the server does not know where it came from"):
                says(have, Wanted(auto_update=True))

    def test_needs_an_offer_that_records_one(self):
        offer = Upload()
        offer.route = "relay"
        with pytest.raises(WrongValue, match="auto_update does not work by way of relay"):
            says(offer, Wanted(auto_update=True))
        offer.records_origin = True
        assert says(offer, Wanted(auto_update=True)) == ["upload", "set auto_update"]

    def test_can_always_be_turned_off(self):
        assert says(image(auto_update=True), Wanted(auto_update=False)) == ["set auto_update"]


class TestAbsence:
    def test_of_what_is_not_there_needs_nothing(self):
        plan = absent(None)
        assert (plan.says, plan.before, plan.after) == ((), {}, {})

    def test_takes_the_image_and_its_aliases(self):
        plan = absent(image(A, ["web"]))
        assert plan.says == (f"delete image {A[:12]}",)
        assert plan.before == {"fingerprint": A, "aliases": ["web"]}
        assert plan.after == {}

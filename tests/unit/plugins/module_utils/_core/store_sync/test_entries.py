# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.imagestore.lxd.plugins.module_utils._core.convergence import Progress
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import FileError
from ansible_collections.imagestore.lxd.plugins.module_utils._core.images import Image
from ansible_collections.imagestore.lxd.plugins.module_utils._core.planning import Plan
from ansible_collections.imagestore.lxd.plugins.module_utils._core.planning.desired_state import (
    DesiredState,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.store_sync.entries import (
    Entry,
    follow_names,
    lead,
    unfollow,
)

A, B = "a" * 64, "b" * 64


class Source:
    """Where an image comes from, with the aliases that are copied with it."""

    aliases = ()


def plan_that_tells(desired):
    """A plan that does nothing but tell for which desired state it was made."""
    return lambda _view: Plan(None, (), {"desired": desired}, {})


def entry(label, fingerprint=None, name="", absent=False, **desired):
    plan = Plan(Image(fingerprint, "container", "x86_64", 1), (), {}, {}) if fingerprint else None
    return Entry(
        label=label,
        title=label,
        attempt=f"import {label}",
        desired=None if absent else DesiredState(**desired),
        make_plan=plan_that_tells,
        progress=Progress(),
        source=None if name else Source(),
        name=name,
        plan=plan,
    )


def test_the_first_of_several_entries_about_one_image_does_the_work_of_all():
    first = entry("first", A, aliases=("a",), properties={"x": "1"})
    other = entry("other", B)
    second = entry("second", A, aliases=("b", "a"), public=True, properties={"y": "2"})
    assert lead([first, other, second]) == [first]
    assert (first.leader, other.leader, second.leader) == (None, None, first)
    assert first.desired == DesiredState(
        aliases=("a", "b"), properties={"x": "1", "y": "2"}, public=True
    )
    assert first.works
    assert not second.works
    assert second.actions == []


def test_entries_whose_image_is_not_known_are_not_merged():
    assert lead([entry("one"), entry("two")]) == []


def test_an_entry_that_has_failed_leads_nobody():
    failed, good = entry("one", A), entry("two", A)
    failed.error = FileError("bad")
    assert lead([failed, good]) == []
    assert good.works


def test_a_name_that_another_entry_brings_as_an_alias_means_its_image():
    named, brought = entry("named", name="web", public=True), entry("web", A, aliases=("web",))
    follow_names([named, brought])
    assert named.leader is brought
    assert named.fingerprint == A
    assert lead([named, brought]) == [brought]
    assert brought.desired == DesiredState(aliases=("web",), public=True)


def test_a_name_is_nobodys_alias_if_the_image_is_to_be_absent():
    named, brought = entry("named", name="web", absent=True), entry("web", A, aliases=("web",))
    follow_names([named, brought])
    assert named.leader is None


def test_a_name_stands_for_itself_if_the_entry_that_brings_it_fails():
    named, brought = entry("named", name="web"), entry("web", aliases=("web",))
    follow_names([named, brought])
    brought.error = FileError("bad")
    assert unfollow([named, brought]) == [named]
    assert named.works


def test_replaced_images_stay_until_the_end():
    one = entry("one", delete_replaced=True)
    assert one.plan_for(None).before["desired"] == DesiredState()
    deleting = DesiredState(delete_replaced=True)
    assert one.plan_with_deletions(None).before["desired"] == deleting
    assert one.deletes
    assert entry("gone", name="x", absent=True).deletes
    assert not entry("other").deletes

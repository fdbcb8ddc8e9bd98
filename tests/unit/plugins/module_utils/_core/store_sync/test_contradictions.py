# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import OptionError
from ansible_collections.imagestore.lxd.plugins.module_utils._core.images import (
    NEVER,
    Image,
    parse_time,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.planning.desired_state import (
    DesiredState,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.store_sync.contradictions import (
    Claim,
    require_consistent,
)

A, B = "a" * 64, "b" * 64


def claim(title, identity, name="", **desired):
    absent = desired.pop("absent", False)
    return Claim(title, identity, None if absent else DesiredState(**desired), name)


def held(**aliases):
    return {
        alias: Image(fingerprint, "container", "x86_64", 1)
        for alias, fingerprint in aliases.items()
    }


def contradiction(one, other, **aliases):
    """What both say, in whichever order they stand."""
    said = []
    for claims in ((one, other), (other, one)):
        with pytest.raises(OptionError) as caught:
            require_consistent(claims, held(**aliases))
        text = str(caught.value)
        assert "two entries contradict each other: " in text
        assert one.title in text
        assert other.title in text
        said.append(text.partition(" contradict each other: ")[2])
    return said[0]


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({"public": True}, {"public": False}, "different values of public"),
        ({"profiles": ("a",)}, {"profiles": ()}, "different values of profiles"),
        (
            {"expires_at": NEVER},
            {"expires_at": parse_time("2031-01-01")},
            "different values of expires_at",
        ),
        ({"auto_update": True}, {"auto_update": False}, "different values of auto_update"),
        ({"properties": {"a": "1"}}, {"properties": {"a": "2"}}, "the property a"),
        ({"aliases": ("a",), "purge_aliases": True}, {"aliases": ("b",)}, "purge aliases"),
        (
            {"properties": {"a": "1"}, "purge_properties": True},
            {"properties": {"b": "2"}},
            "purge properties",
        ),
        ({"absent": True}, {"public": True}, "present and absent"),
    ],
)
def test_one_image_cannot_be_two_things(first, second, said):
    assert said in contradiction(claim("one", A, **first), claim("two", A, **second))


def test_one_alias_cannot_point_to_two_images():
    one, two = (claim(title, image, aliases=("web",)) for title, image in (("one", A), ("two", B)))
    assert "the alias web to point to different images" in contradiction(one, two)


def test_one_alias_cannot_point_to_two_images_that_are_not_known_yet():
    one, two = (claim(title, None, aliases=("web",)) for title in ("one", "two"))
    assert "the alias web" in contradiction(one, two)


def test_one_name_cannot_be_present_and_absent():
    one, two = claim("one", None, "web", absent=True), claim("two", None, "web", public=True)
    assert "present and absent" in contradiction(one, two)


def test_an_image_cannot_go_while_its_alias_moves():
    one = claim("one", A, "a" * 12, absent=True)
    two = claim("two", B, aliases=("web",))
    assert "move its alias web to another" in contradiction(one, two, web=A)


@pytest.mark.parametrize("aliases", [{}, {"web": A}, {"web": B}])
def test_an_alias_cannot_be_wanted_and_its_image_be_absent(aliases):
    one = claim("one", aliases.get("web"), "web", absent=True)
    two = claim("two", B, aliases=("web",))
    contradiction(one, two, **aliases)


def test_a_name_cannot_mean_an_image_that_loses_it():
    one = claim("one", A, "web", public=True)
    two = claim("two", B, "db", aliases=("web",))
    assert "mean different images by web" in contradiction(one, two, web=A)


@pytest.mark.parametrize(
    "claims",
    [
        [claim("one", A, aliases=("a",)), claim("two", B, aliases=("b",))],
        [claim("one", A, aliases=("a",), public=True), claim("two", A, aliases=("a", "b"))],
        [claim("one", A, properties={"a": "1"}), claim("two", A, properties={"a": "1", "b": "2"})],
        [claim("one", A, aliases=("a",), purge_aliases=True), claim("two", A, aliases=("a",))],
        [claim("one", A, absent=True), claim("two", A, absent=True)],
        [claim("one", None, "a", absent=True), claim("two", None, "b", absent=True)],
        [claim("one", A, "a", absent=True), claim("two", B, aliases=("b",))],
    ],
)
def test_entries_that_agree_are_accepted(claims):
    require_consistent(claims, held(a=A))

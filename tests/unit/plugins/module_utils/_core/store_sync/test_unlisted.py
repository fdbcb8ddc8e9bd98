# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.contents import Contents
from ansible_collections.imagestore.lxd.plugins.module_utils._core.images import (
    Alias,
    Image,
    parse_time,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.store_sync.unlisted import (
    ENTRY_PROPERTY,
    Unlisted,
)


def image(name, *aliases, label=None, day=1, cached=False):
    return Image(
        name,
        "container",
        "x86_64",
        1,
        aliases=tuple(map(Alias, aliases)),
        properties={ENTRY_PROPERTY: label} if label else {},
        cached=cached,
        uploaded_at=parse_time(f"2030-01-0{day}"),
    )


def chosen(images, listed, **options):
    found = Unlisted(**options).choose(Contents(tuple(images)), listed)
    return [one.fingerprint for one in found]


def test_listed_and_cached_images_stay():
    images = [image("a", "web"), image("b", "old"), image("c", cached=True), image("d")]
    assert chosen(images, {"a": "web"}) == ["b", "d"]


@pytest.mark.parametrize(
    ("pattern", "stays"),
    [("site-*", True), ("*", True), ("site-db", True), ("SITE-*", False), ("site", False),
     ("site-[ab]?", False), ("site-[cd]?", True)],
)  # fmt: skip
def test_an_image_stays_if_one_of_its_aliases_is_protected(pattern, stays):
    images = [image("a", "other", "site-db")]
    assert chosen(images, {}, protect=("x", pattern)) == ([] if stays else ["a"])


def test_an_image_without_aliases_is_never_protected():
    assert chosen([image("a")], {}, protect=("*",)) == ["a"]


def test_the_newest_that_an_entry_has_replaced_are_retained():
    images = [image(name, label="web", day=day) for name, day in (("a", 2), ("b", 3), ("c", 1))]
    assert chosen(images, {"x": "web"}, retain=2) == ["c"]
    assert chosen(images, {"x": "web"}, retain=5) == []
    assert chosen(images, {"x": "web"}) == ["a", "b", "c"]


def test_each_entry_retains_its_own():
    images = [
        image("a", label="web", day=1),
        image("b", label="web", day=2),
        image("c", label="db", day=1),
        image("d", label="gone", day=9),
    ]
    assert chosen(images, {"x": "web", "y": "db"}, retain=1) == ["a", "d"]


def test_an_image_with_an_alias_has_not_been_replaced():
    images = [image("a", "kept", label="web", day=3), image("b", label="web", day=1)]
    assert chosen(images, {"x": "web"}, retain=1) == ["a"]

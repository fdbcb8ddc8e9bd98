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
from ansible_collections.imagestore.lxd.plugins.module_utils._core.images import (
    Alias,
    Image,
    Origin,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.store_view import StoreView

A, B, C = "a" * 64, "b" * 64, "c" * 64


def image(fingerprint, *aliases, **more):
    return Image(fingerprint, "container", "x86_64", 1, aliases=tuple(map(Alias, aliases)), **more)


class Store:
    """What a view asks, with a note of each question; lists end after ``listed`` images."""

    def __init__(self, *images, listed=None):
        self.images = images
        self.listed = images[:listed]
        self.asked = []

    def contents(self):
        self.asked.append("list")
        return Contents(tuple(self.listed))

    def find_image(self, digits):
        self.asked.append(digits[:1])
        found = [one for one in self.images if one.fingerprint.startswith(digits)]
        if len(found) > 1:
            raise ImageNotFound("several")
        return found[0] if found else None

    def get_alias(self, name):
        self.asked.append(name)
        for one in self.images:
            if name in one.alias_names:
                return one.fingerprint, one.type
        return None


def test_each_question_is_asked_once():
    store = Store(image(A, "web"))
    view = StoreView(store)
    for _time in range(2):
        assert view.by_alias("web").fingerprint == A
        assert view.by_fingerprint(A).fingerprint == A
        assert view.by_alias("other") is None
        assert view.by_fingerprint(B) is None
    assert store.asked == ["web", "a", "other", "b"]


def test_a_list_answers_what_it_has():
    store = Store(image(A, "web"), image(B, "db"))
    view = StoreView(store)
    view.list_all()
    assert view.by_alias("db").fingerprint == B
    assert view.by_fingerprint(A).fingerprint == A
    assert view.resolve("web").fingerprint == A
    assert store.asked == ["list"]


def test_what_a_list_lacks_is_asked_for():
    store = Store(image(A, "web"), image(B, "db"), listed=1)
    view = StoreView(store)
    view.list_all()
    assert view.by_fingerprint(B).fingerprint == B
    assert view.by_alias("db").fingerprint == B
    assert {one.fingerprint for one in view.contents().images} == {A, B}
    assert store.asked == ["list", "b", "db"] or store.asked == ["list", "b"]


def test_a_name_is_an_alias_before_it_is_a_fingerprint():
    store = Store(image(A, "b" * 12), image(B))
    assert StoreView(store).resolve("b" * 12).fingerprint == A
    assert StoreView(store).resolve("A" * 12).fingerprint == A
    assert StoreView(store).resolve("a" * 11) is None


def test_an_empty_name_is_an_error():
    with pytest.raises(OptionError, match="the name of the image is empty"):
        StoreView(Store()).resolve("")


def test_digits_of_several_images_are_an_error_that_a_list_explains():
    store = Store(image("a" * 13 + "0" * 51), image("a" * 13 + "1" * 51))
    with pytest.raises((ImageNotFound, OptionError)):
        StoreView(store).resolve("a" * 12)
    assert store.asked[-1] == "list"


def test_an_origin_is_looked_for_at_the_preferred_alias_before_all_images_are_listed():
    origin = Origin("https://o", "lxd", "web")
    store = Store(image(A, "mine", origin=origin), image(B, origin=origin))
    view = StoreView(store)

    def meant(origin, _image):
        return origin.alias == "web"

    assert view.by_origin("https://o", "lxd", meant, "mine").fingerprint == A
    assert "list" not in store.asked
    assert view.by_origin("https://o", "lxd", meant, "other") is not None
    assert store.asked[-1] == "list"


def test_nobody_knows_sizes_without_a_list():
    view = StoreView(Store(image(A)))
    assert view.may_have_size(5)
    view.list_all()
    assert view.may_have_size(1)
    assert not view.may_have_size(5)


def test_what_is_not_a_fingerprint_is_no_question():
    store = Store()
    assert StoreView(store).by_fingerprint(None) is None
    assert StoreView(store).by_fingerprint("abc") is None
    assert store.asked == []

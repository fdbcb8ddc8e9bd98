# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.contents import Contents
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import ImageNotFound
from ansible_collections.imagestore.lxd.plugins.module_utils._core.images import Image

A = "3514a500ba85" + "a" * 52
B = "3514a500ba85" + "b" * 52


def image(fingerprint=A, aliases=(), **more):
    raw = {
        "fingerprint": fingerprint,
        "type": "container",
        "architecture": "x86_64",
        "size": 10,
        "aliases": [{"name": name, "description": ""} for name in aliases],
        "expires_at": "1970-01-01T00:00:00Z",
        **more,
    }
    return Image.parse(raw)


class TestContents:
    def test_an_alias_takes_precedence_over_a_fingerprint(self):
        held = Contents((image(A), image(B, aliases=[A[:12] + "aa"])))
        assert held.resolve(A[:12] + "aa").fingerprint == B

    def test_an_ambiguous_fingerprint_is_an_error_with_longer_ones(self):
        with pytest.raises(ImageNotFound, match="3514a500ba85a, 3514a500ba85b"):
            Contents((image(A), image(B))).resolve("3514a500ba85")

    def test_a_missing_image_is_none(self):
        held = Contents((image(A, aliases=["web"]),))
        assert held.resolve("we") is None
        assert held.resolve(B) is None
        assert held.by_alias("we") is None

    def test_sizes_exclude_images(self):
        held = Contents((image(A),))
        assert held.has_size(10)
        assert not held.has_size(11)

    def test_an_instance_is_found_in_the_newest_image_that_is_no_cache(self):
        made = {"properties": {"imagestore.instance": "site c1 A B"}}
        old = image(A, uploaded_at="2026-01-01T00:00:00Z", **made)
        new = image(B, uploaded_at="2026-01-02T00:00:00Z", **made)
        cached = image("c" * 64, uploaded_at="2026-01-03T00:00:00Z", cached=True, **made)
        contents = Contents((old, new, cached))
        assert contents.by_instance("site c1 A B") is new
        assert contents.by_instance("site c1 A") is None

    def test_of_several_images_the_preferred_or_the_newest_is_used(self):
        def came(fingerprint, uploaded, **more):
            source = {"server": "https://a", "protocol": "lxd", "alias": "web"}
            return image(fingerprint, update_source=source, uploaded_at=uploaded, **more)

        old, new = (
            came(A, "2024-01-01T00:00:00Z", aliases=["mine"]),
            came(B, "2024-02-01T00:00:00Z"),
        )
        held = Contents((old, new, came("c" * 64, "2024-03-01T00:00:00Z", cached=True)))

        def any_name(origin, image):
            return True

        assert held.by_origin("https://a", "lxd", any_name) is new
        assert held.by_origin("https://a", "lxd", any_name, "mine") is old
        assert held.by_origin("https://b", "lxd", any_name) is None


def held(*names, digit="a"):
    return [
        image(digit * 12 + f"{number:052x}", (name,) if name else ())
        for number, name in enumerate(names)
    ]


@pytest.mark.parametrize(
    ("name", "images", "hint"),
    [
        ("wbe", held("web", "db"), "Did you mean web?"),
        ("Web", held("web", "db"), "Did you mean web?"),
        ("webb", held("web1", "web2", "db"), "Did you mean web2 or web1?"),
        ("aaaa", held(None), "Did you mean aaaaaaaaaaaa?"),
        ("other", held("web", "db", None), "Known images: web, db, aaaaaaaaaaaa."),
        ("other", [], "No image is visible."),
        ("1" * 13, held("web"), "Known images: web."),
        ("1" * 13, held(*"abcdefghijk"), "No fingerprint begins with these digits."),
        ("11", held(*"abcdefghijk"), "Use an alias, or at least 12 digits of a fingerprint."),
    ],
)
def test_an_unknown_name_is_an_error_with_similar_names(name, images, hint):
    error = Contents(tuple(images)).not_found(name)
    assert error.message == f"there is no image {name}"
    assert error.hint == hint


def test_very_long_names_are_neither_compared_nor_shown():
    error = Contents(tuple(held("x" * 100_000))).not_found("y" * 100_000)
    assert len(error.hint) < 200

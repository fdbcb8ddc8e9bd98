# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.catalog.page import page
from ansible_collections.imagestore.lxd.plugins.module_utils._core.catalog.record import (
    Catalog,
    Part,
    Product,
    Version,
    sorted_products,
)

SITE = "https://images.example.com"
MADE = 1795500000  # 2026-11-24T06:00:00Z
VOID = {"meta", "link", "input"}


def version(name="20261124", size=3_264_512, digit="a", created=MADE, split=False):
    root = Part(digit * 64, size, "squashfs" if split else "tar.xz")
    meta = (Part("0" * 64, 1024, "tar.xz"),) if split else ()
    return Version(name, digit * 64, created, (*meta, root))


def product(name="web", kind="container", architecture="x86_64", **more):
    return Product(name, kind, architecture, **{"versions": (version(),), **more})


class Reading(HTMLParser):
    """The content of a page as far as these tests need it. Unbalanced tags are an error."""

    def __init__(self, text):
        super().__init__()
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, attrs))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.setdefault(self._open[-1] if self._open else "", []).append(data)
        if not self._open or self._open[-1] not in ("style", "script"):
            self.text += data

    @property
    def shape(self):
        """The tags with the names of their attributes."""
        return [(tag, sorted(name for name, _value in attrs)) for tag, attrs in self.tags]

    def values(self, name):
        """All values of an attribute."""
        return [value for _tag, attrs in self.tags for key, value in attrs if key == name]


def read(*products, site=SITE):
    return Reading(page(Catalog(sorted_products(products)), site))


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style><!--",
    "$text ${style} $$",
    "&lt;b&gt;",
]


class TestHostileText:
    @pytest.mark.parametrize("hostile", HOSTILE)
    def test_are_shown_as_text(self, hostile):
        def shown(text):
            facts = {"os": text, "release": text, "variant": text, "requirements": {text: text}}
            facts["description"] = text
            arm = product(architecture="aarch64", variant=text, os=text, release=text)
            return read(product(**facts), arm)

        seen = shown(hostile)
        assert seen.shape == shown("x").shape
        assert f"{hostile} {hostile}" in seen.text
        assert f"{hostile}={hostile}" in seen.text

    @pytest.mark.parametrize("hostile", HOSTILE)
    def test_in_the_url_are_shown_as_text(self, hostile):
        site = f"{SITE}/{hostile}"
        assert read(product(), site=site).shape == read(product(), site=f"{SITE}/x").shape
        assert read(site=site).shape == read(site=SITE).shape
        assert f"Images of images.example.com/{hostile}" in read(site=site).texts["title"]


class TestContentSecurityPolicy:
    def policy(self, seen):
        return next(
            dict(attrs)["content"]
            for tag, attrs in seen.tags
            if ("http-equiv", "Content-Security-Policy") in attrs
        )

    @pytest.mark.parametrize("kind", ["style", "script"])
    def test_contains_the_digests_of_the_page(self, kind):
        seen = read(product())
        (text,) = seen.texts[kind]
        digest = b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in self.policy(seen)

    def test_allows_nothing_else(self):
        seen = read(product())
        assert self.policy(seen).startswith("default-src 'none'; ")
        assert "unsafe" not in self.policy(seen)
        assert seen.values("style") + seen.values("src") == []
        assert not [name for _tag, names in seen.shape for name in names if name.startswith("on")]

    def test_precedes_what_it_applies_to(self):
        shape = read(product()).shape
        kinds = [tag for tag, _names in shape]
        assert shape.index(("meta", ["content", "http-equiv"])) < min(
            kinds.index("style"), kinds.index("script")
        )


def test_is_reproducible():
    one = product(requirements={"a": "1", "b": "2"})
    other = replace(one, requirements={"b": "2", "a": "1"})
    assert page(Catalog((one,)), SITE) == page(Catalog((other,)), f"{SITE}/")


def test_links_refer_to_this_server_only():
    seen = read(product(versions=(version(split=True),)))
    assert seen.values("href") == [
        "data:,",
        "#web",
        f"files/{'0' * 64}.tar.xz",
        f"files/{'a' * 64}.squashfs",
        "streams/v1/index.json",
        "catalog.json",
    ]


class TestNames:
    def test_are_anchors(self):
        seen = read(product("debian/12"), product("debian/12", "virtual-machine"), product("a+b"))
        names = [dict(attrs).get("id") for tag, attrs in seen.tags if ("class", "image") in attrs]
        assert names == ["a+b", "debian/12", None]

    def test_do_not_collide_with_an_id_of_the_page(self):
        ids = read(product()).values("id")
        assert len(ids) == len(set(ids))
        assert [one for one in ids if re.fullmatch("[A-Za-z0-9._+/-]+", one)] == ["web"]

    def test_are_shown_with_all_their_products(self):
        seen = read(
            product(aliases=("www",), os="Debian", release="12", variant="cloud"),
            product(kind="virtual-machine", versions=(version("20261123_0405", digit="b"),)),
        )
        for text in ("www", "Debian 12", "cloud", "Container", "Virtual machine", "20261123_0405"):
            assert text in seen.text


class TestImages:
    def rows(self, *products):
        """The texts of the cells of each image."""
        text = page(Catalog(sorted_products(products)), SITE)
        rows = re.findall(r'class="image".*?<tr>(.*?)</tr>', text, re.DOTALL)
        return [re.findall(r">([^<>\n]+)<", row) for row in rows]

    def test_have_one_row_for_all_architectures(self):
        arm = product(architecture="aarch64", versions=(version("20261125", size=1 << 30),))
        assert self.rows(product(), arm) == [
            ["web", "Container", "aarch64, x86_64", "20261125", "1.00 GiB"]
        ]

    def test_have_the_description_of_the_image(self):
        assert self.rows(product(description="For web servers"))[0][:2] == [
            "web",
            "For web servers",
        ]

    def test_are_grouped_by_system_and_release(self):
        seen = read(
            product("c", os="Ubuntu", release="9.10"),
            product("b10", os="Ubuntu", release="24.04"),
            product("b9", os="Ubuntu", release="24.04"),
            product("a"),
        )
        titles = ["Ubuntu 9.10", "Ubuntu 24.04", "Other images"]
        assert [text for text in seen.texts["h2"] if text in titles] == titles
        anchors = [value for value in seen.values("href") if value.startswith("#")]
        assert anchors == ["#c", "#b9", "#b10", "#a"]


class TestFacts:
    def facts(self, *products):
        """The facts of the name, and those of each product."""
        text = page(Catalog(sorted_products(products)), SITE)
        head, _mark, rest = text.partition('class="panel"')[2].partition('class="versions"')
        return [re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", part) for part in (head, rest)]

    def test_that_all_share_are_shown_once(self):
        same = {"os": "Debian"}
        assert self.facts(
            product(variant="cloud", **same), product(architecture="aarch64", variant="cloud")
        ) == [[("variant", "cloud")], []]

    def test_of_one_product_are_shown_there(self):
        arm = product(architecture="aarch64", variant="cloud", requirements={"secureboot": "false"})
        assert self.facts(product(variant="cloud"), arm) == [
            [("variant", "cloud")],
            [("requires", "<code>secureboot=false</code>")],
        ]


class TestVersions:
    def test_have_a_name_with_the_time_and_a_fingerprint(self):
        seen = read(product())
        assert set(seen.texts["time"]) == {"20261124"}
        assert set(seen.values("datetime")) == {"2026-11-24T06:00:00Z"}
        assert "2026-11-24T06:00:00Z" in seen.values("title")
        assert "a" * 12 in seen.texts["code"]
        assert "a" * 64 in seen.values("title")

    @pytest.mark.parametrize("created", [0, -5, 10**18, 10**30])
    def test_with_an_impossible_date_have_no_date(self, created):
        assert read(product(versions=(version(created=created),))).values("datetime") == []

    @pytest.mark.parametrize(
        ("size", "text"),
        [
            (0, "0 B"),
            (999, "999 B"),
            (1024, "1.00 KiB"),
            (1023 * 1024, "1.00 MiB"),
            (3_264_512, "3.11 MiB"),
            (98_264_512, "93.7 MiB"),
            (999_700_000, "953 MiB"),
            (9_312_264_512, "8.67 GiB"),
            (5 << 50, "5120 TiB"),
        ],
    )
    def test_have_human_readable_sizes(self, size, text):
        assert text in read(product(versions=(version(size=size),))).texts["td"]

    def test_are_counted(self):
        two = (version("20261124"), version("20261123", digit="b"))
        assert "2 images in 3 versions, 6.23 MiB" in read(product(versions=two), product("b")).text


class TestArchitectures:
    def test_are_explained_if_there_are_two(self):
        seen = read(product("a"), product("b"), product("b", architecture="aarch64"))
        assert {"b/arm64", "architecture: arm64"} <= set(seen.texts["code"])

    def test_are_not_explained_if_there_is_one(self):
        assert "your own architecture" not in read(product("a"), product("b")).text

    def test_are_found_by_either_name(self):
        (words,) = read(product(os="Alpine", aliases=("Www",))).values("data-search")
        assert {"x86_64", "amd64", "alpine", "www", "container"} <= set(words.split())


def test_commands_can_be_copied_from_it():
    seen = read(product())
    for command in (
        "lxc remote add images.example.com https://images.example.com --protocol=simplestreams",
        "lxc launch images.example.com:web",
        "incus launch images.example.com:web",
        "incus image copy images.example.com:web local: --alias web",
        "lxc image import https://images.example.com/images/web --alias web",
        "- name: Copy web\n  imagestore.lxd.lxd_image_copy:\n    image: web\n",
    ):
        assert command in seen.text


def test_without_images_explains_how_to_publish_one():
    seen = read()
    assert "No images yet" in seen.text
    assert f"    base_url: {SITE}\n" in seen.text
    assert "remote add" not in seen.text


@pytest.mark.parametrize(
    ("access", "said"),
    [
        ("public", ""),
        ("password", "This server asks for a password"),
        ("certificate", "This server asks for a client certificate"),
    ],
)
def test_says_what_the_server_asks_for(access, said):
    seen = Reading(page(Catalog((product(),)), SITE, access))
    assert ("This server asks" in seen.text) == bool(said)
    assert said in seen.text
    assert ("remote add" in seen.text) == (access != "certificate")

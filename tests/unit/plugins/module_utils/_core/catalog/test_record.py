# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import json

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.archives.image_info import (
    ImageInfo,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.catalog.documents import (
    documents,
    require_readable,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.catalog.record import (
    Catalog,
    Part,
    Product,
    Version,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.catalog.record_reader import (
    parse_record,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.catalog.source_cache import (
    cache_text,
    parse_cache,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import (
    FileError,
    OptionError,
)
from hypothesis import given
from hypothesis import strategies as st

DIGEST, OTHER = "a" * 64, "b" * 64
CATALOG = Catalog(
    (
        Product(
            name="box",
            type="virtual-machine",
            architecture="aarch64",
            requirements={"secureboot": "false"},
            versions=(
                Version(
                    "20260101_0730", OTHER, 1, (Part(DIGEST, 1, "tar.xz"), Part(OTHER, 2, "qcow2"))
                ),
            ),
        ),
        Product(
            name="web",
            type="container",
            architecture="x86_64",
            os="Alpine",
            release="3.20",
            variant="café",
            description="A café's own",
            aliases=("w", "web/stable"),
            versions=(Version("20260101", DIGEST, -5, (Part(DIGEST, 1, "tar"),)),),
        ),
    ),
    {"files/x": 1_800_000_000},
)


def record(**changes):
    """The record of the catalog with other values at some places: ``products__1__name="x"``."""
    raw = json.loads(CATALOG.text())
    for path, value in changes.items():
        *steps, last = (int(step) if step.isdigit() else step for step in path.split("__"))
        place = raw
        for step in steps:
            place = place[step]
        place[last] = value
    return json.dumps(raw).encode()


def test_a_record_is_read_as_it_was_written():
    assert parse_record(CATALOG.text().encode(), "x") == CATALOG


def test_a_record_of_an_earlier_version_is_read():
    """It could contain versions in the distant past, and dates and strings of any length."""
    content = record(
        products__1__versions__0__name="7020615_0053",
        products__1__versions__0__created=10**30,
        products__1__os="x" * 5000,
        products__1__aliases=[f"alias-{number}" for number in range(1000)],
    )
    (_box, web) = parse_record(content, "x").products
    assert web.versions[0].name == "7020615_0053"
    assert len(web.aliases) == 1000


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"null", b"{", b"\xff", b"[" * 500_000, b"[" * 5000, b"1" * 100_000],
)
def test_an_invalid_record_is_an_error(content):
    with pytest.raises(FileError, match=r"^/srv/catalog.json is not a valid record of a catalog: "):
        parse_record(content, "/srv/catalog.json")


def test_a_record_of_another_format_is_an_error():
    with pytest.raises(FileError, match=r"has the format 'imagestore\.catalog:9'"):
        parse_record(record(format="imagestore.catalog:9"), "/srv/catalog.json")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"products": {}}, "products is not a list"),
        ({"products": [7]}, r"products\[0\]: it is not an object"),
        ({"leaving": []}, "leaving: it is not an object"),
        ({"leaving": {"files/../../etc/passwd": 0}}, "leaving: .* is not a file of a catalog"),
        ({"leaving": {"/etc/passwd": 0}}, "is not a file of a catalog"),
        ({"leaving": {"files/..": 0}}, "is not a file of a catalog"),
        ({"leaving": {"files/\ud800": 0}}, "is not text"),
        ({"leaving": {"files/x": "now"}}, "'now' is not a time"),
        ({"products__1__name": 'x" "a";}map'}, r"products\[1\]: name: .* is not a valid name"),
        ({"products__1__name": 7}, "name: 7 is not a valid name"),
        ({"products__1__name": ["x"]}, "name: list is not a valid name"),
        ({"products__1__aliases": ['x" ";x86_64=y;";']}, "aliases: .* is not a valid name"),
        ({"products__1__aliases": [{}]}, "aliases: dict is not a valid name"),
        ({"products__1__aliases": "w"}, "aliases: it is not a list"),
        ({"products__1__type": "vm"}, "type: 'vm' is none of container, virtual-machine"),
        ({"products__1__type": []}, "type: list is none of"),
        ({"products__1__architecture": "pdp11"}, "'pdp11' is not an architecture"),
        ({"products__1__architecture": "amd64"}, "'amd64' is not an architecture"),
        ({"products__1__architecture": {}}, "architecture: it is not a string"),
        ({"products__1__os": 7}, "os: 7 is not text"),
        ({"products__1__requirements": {"a": 1}}, "requirements: 1 is not text"),
        ({"products__1__versions": []}, "it has no versions"),
        ({"products__1__versions": 7}, "versions is not a list"),
        ({"products__1__versions__0__name": "2026;"}, r"versions\[0\]: '2026;' is not a version"),
        ({"products__1__versions__0__created": "x"}, "created: 'x' is not a number"),
        ({"products__1__versions__0__fingerprint": "../x"}, "'../x' is not a SHA-256"),
        ({"products__1__versions__0__parts": []}, "it has 0 files"),
        ({"products__1__versions__0__parts__0__sha256": None}, "None is not a SHA-256"),
        ({"products__1__versions__0__parts__0__ending": "tar;}"}, "'tar;}' is none of"),
        ({"products__1__versions__0__parts__0__size": -1}, "size: -1 is not a number of bytes"),
        ({"products__1__versions__0__parts__0__size": 1.5}, "size: 1.5 is not a number of bytes"),
        ({"products__1": json.loads(CATALOG.text())["products"][0]}, "is listed twice"),
    ],
)  # fmt: skip
def test_an_invalid_value_in_a_record_is_an_error(changes, said):
    with pytest.raises(FileError, match=said) as caught:
        parse_record(record(**changes), "/srv/catalog.json")
    assert str(caught.value).startswith("/srv/catalog.json is not a valid record of a catalog: ")
    assert len(str(caught.value)) < 400


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
)


@st.composite
def tampered(draw):
    """The record with another value at one place."""
    raw = json.loads(CATALOG.text())
    place = raw
    while True:
        keys = sorted(place) if isinstance(place, dict) else range(len(place))
        if not keys:
            return raw
        key = draw(st.sampled_from(keys))
        if not isinstance(place[key], (dict, list)) or draw(st.booleans()):
            place[key] = draw(VALUES)
            return raw
        place = place[key]


@given(tampered())
def test_any_record_is_an_error_or_a_catalog_with_valid_documents(raw):
    with contextlib.suppress(FileError):
        catalog = parse_record(json.dumps(raw).encode(), "x")
        texts = documents(catalog, "https://images.example.com", "/map")
        assert parse_record(texts["catalog.json"].encode(), "x") == catalog
        for text in texts.values():
            text.encode()


def test_a_catalog_that_nobody_could_read_again_is_an_error(monkeypatch):
    texts = documents(CATALOG, "https://images.example.com", None)
    require_readable(texts)
    for limit, value in (("MAX_VALUES", 20), ("MAX_DOCUMENT_BYTES", 100)):
        with monkeypatch.context() as patch:
            patch.setattr(f"{require_readable.__module__}.{limit}", value)
            with pytest.raises(OptionError, match="the catalog would be too large"):
                require_readable(texts)


class TestCache:
    FACTS = ImageInfo(DIGEST, ((DIGEST, 5, "tar"),), "container", "x86_64", 1, "Alpine")

    def test_is_read_as_it_was_written(self):
        known = {"1": self.FACTS, "2": self.FACTS}
        assert parse_cache(cache_text(known).encode()) == known

    @pytest.mark.parametrize(
        "content",
        [b"", b"{}", b"[]", b"7", b"[" * 5000, b'{"sha256": 7, "images": "{}"}', b'{"images": 1}'],
    )
    def test_that_is_damaged_is_empty(self, content):
        assert parse_cache(content) == {}

    def test_in_which_a_digit_has_changed_is_empty(self):
        text = cache_text({"1": self.FACTS}).replace(DIGEST, OTHER)
        assert OTHER in text
        assert parse_cache(text.encode()) == {}

    @pytest.mark.parametrize(
        "facts",
        [
            {"type": "x"},
            {"type": []},
            {"architecture": "z80"},
            {"os": 7},
            {"created": "1"},
            {"fingerprint": "x"},
            {"parts": ()},
            {"parts": ((DIGEST, -1, "tar"),)},
            {"parts": ((DIGEST, 10**30, "tar"),)},
            {"parts": ((DIGEST, 1, "x"),)},
            {"parts": (("x", 1, "tar"),)},
        ],
    )
    def test_with_impossible_values_is_empty(self, facts):
        text = cache_text({"1": ImageInfo(**{**vars(self.FACTS), **facts})})
        assert parse_cache(text.encode()) == {}

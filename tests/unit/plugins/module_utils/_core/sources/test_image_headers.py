# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Responses of web servers are hostile: every invalid one has its own error, and none is accepted."""

from __future__ import annotations

import string

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import FileError
from ansible_collections.imagestore.lxd.plugins.module_utils._core.sources.image_headers import (
    parse_image_headers,
)
from hypothesis import example, given
from hypothesis import strategies as st

URL = "https://user:secret@images.example.com/images/web"
HASH = "0123456789abcdef" * 4
FILE = "https://images.example.com/files/a.tar.xz"
GOOD = {"LXD-Image-Hash": [HASH], "LXD-Image-URL": [FILE]}


def image_headers_of(headers, status=200, family="LXD"):
    return parse_image_headers(URL, status, lambda name: headers.get(name, []), family)


class TestGoodHeaders:
    def test_have_hash_and_url(self):
        found = image_headers_of(GOOD)
        assert (found.fingerprint, found.location, found.obstacle) == (HASH, FILE, "")

    def test_can_be_for_both_families(self):
        both = {**GOOD, "Incus-Image-Hash": [HASH], "Incus-Image-URL": [FILE]}
        assert (
            image_headers_of(both, family="Incus").obstacle
            == image_headers_of(both, family="LXD").obstacle
            == ""
        )

    def test_of_the_other_family_require_a_relay(self):
        found = image_headers_of(GOOD, family="Incus")
        assert found.fingerprint == HASH
        assert "sends no Incus- headers" in found.obstacle

    def test_in_upper_case_require_a_relay(self):
        found = image_headers_of({**GOOD, "LXD-Image-Hash": [HASH.upper()]})
        assert found.fingerprint == HASH
        assert "in upper case" in found.obstacle

    def test_can_refer_to_plain_http(self):
        assert (
            image_headers_of({**GOOD, "LXD-Image-URL": [FILE.replace("https", "http")]}).obstacle
            == ""
        )

    def test_can_be_missing(self):
        assert image_headers_of({}) is None


class TestBadHeaders:
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"LXD-Image-Hash": []}, "sends LXD-Image-URL, but no LXD-Image-Hash"),
            ({"LXD-Image-URL": []}, "sends LXD-Image-Hash, but no LXD-Image-URL"),
            ({"LXD-Image-Hash": [HASH, "f" * 64]}, "sends the header LXD-Image-Hash 2 times"),
            ({"LXD-Image-URL": [FILE, FILE]}, "sends the header LXD-Image-URL 2 times"),
            ({"LXD-Image-Hash": [HASH[:63]]}, "is not a SHA-256"),
            ({"LXD-Image-Hash": [HASH + "0"]}, "is not a SHA-256"),
            ({"LXD-Image-Hash": ["g" * 64]}, "is not a SHA-256"),
            ({"LXD-Image-Hash": ["../../etc/passwd"]}, "is not a SHA-256"),
            ({"LXD-Image-Hash": [f"{HASH}, {HASH}"]}, "is not a SHA-256"),
            ({"LXD-Image-URL": ["/files/a"]}, "is not an absolute http(s) URL"),
            ({"LXD-Image-URL": ["files/a"]}, "is not an absolute http(s) URL"),
            ({"LXD-Image-URL": ["//a/b"]}, "is not an absolute http(s) URL"),
            ({"LXD-Image-URL": ["file:///etc/passwd"]}, "is not an absolute http(s) URL"),
            ({"LXD-Image-URL": ["ftp://a/b"]}, "is not an absolute http(s) URL"),
            ({"LXD-Image-URL": ["https://"]}, "is not an absolute http(s) URL"),
            ({"LXD-Image-URL": ["https://a:99999/"]}, "is not an absolute http(s) URL"),
            ({"LXD-Image-URL": ["https://[a/"]}, "is not an absolute http(s) URL"),
            ({"LXD-Image-URL": ["https://a/b c"]}, "is not an absolute http(s) URL"),
            ({"LXD-Image-URL": ["https://me:pw@a/b"]}, "which contains credentials"),
            ({"Incus-Image-Hash": [HASH]}, "sends Incus-Image-Hash, but no Incus-Image-URL"),
            (
                {"Incus-Image-Hash": ["f" * 64], "Incus-Image-URL": [FILE]},
                "sends different headers for LXD and for Incus",
            ),
        ],
    )
    def test_are_rejected_by_name(self, change, said):
        with pytest.raises(FileError) as caught:
            image_headers_of({**GOOD, **change})
        assert said in str(caught.value)

    def test_are_rejected_with_an_error_status_too(self):
        with pytest.raises(FileError, match="responds with the HTTP status 404"):
            image_headers_of(GOOD, status=404)

    @pytest.mark.parametrize(
        "change", [{"LXD-Image-URL": ["https://me:pw@a/b"]}, {"LXD-Image-Hash": []}]
    )
    def test_are_shown_without_credentials(self, change):
        with pytest.raises(FileError) as caught:
            image_headers_of({**GOOD, **change})
        assert "secret" not in str(caught.value)
        assert "pw" not in str(caught.value)

    def test_are_shown_truncated(self):
        with pytest.raises(FileError) as caught:
            image_headers_of({**GOOD, "LXD-Image-Hash": ["x" * 100_000]})
        assert len(str(caught.value)) < 500


HASHES = st.text(string.hexdigits, min_size=64, max_size=64)
LIKE_HASHES = st.one_of(
    HASHES,
    st.text(string.hexdigits, min_size=62, max_size=66),
    st.tuples(HASHES, st.sampled_from(["\n", "\0", ", ", "/..", "\u0663"])).map("".join),
    st.text(),
)
ADDRESSES = st.builds(
    "https://{}{}/{}".format,
    st.sampled_from(["images.example.com", "[::1]", "10.0.0.1"]),
    st.sampled_from(["", ":443", ":8443"]),
    st.text(string.ascii_letters + string.digits + "-._~%/?=&@:"),
)
LIKE_ADDRESSES = st.one_of(
    ADDRESSES,
    st.builds(
        "{}{}{}{}{}".format,
        st.sampled_from(
            ["https://", "http://", "HTTPS://", "file://", "ftp://", "//", "/", "https:/", "data:"]
        ),
        st.sampled_from(["", "me@", "me:pw1secret@", "me:pw1/secret@", "@"]),
        st.sampled_from(["a", "[::1]", "[::1", "", " ", "größe", "a\\b", "a\tb", "..", "\0"]),
        st.sampled_from(["", ":", ":0", ":99999", ":x", ":-1"]),
        st.text(),
    ),
    st.text(),
)


@given(LIKE_HASHES, LIKE_ADDRESSES)
@example(HASH, FILE)
@example(HASH + "\n", FILE)
def test_any_headers_are_rejected_or_harmless(digest, location):
    try:
        found = image_headers_of({"LXD-Image-Hash": [digest], "LXD-Image-URL": [location]})
    except FileError as error:
        assert "LXD-Image-Hash" in str(error) or "LXD-Image-URL" in str(error)
        assert len(str(error)) < 1000
        if "@" in location.partition("//")[2]:
            assert "pw1" not in str(error)
        return
    if found is None:
        assert not digest.strip()
        assert not location.strip()
        return
    assert found.fingerprint == digest.strip().lower()
    assert len(found.fingerprint) == 64
    assert set(found.fingerprint) <= set(string.hexdigits.lower())
    assert found.location == location.strip()
    assert found.location.lower().startswith(("http://", "https://"))
    assert found.location.isprintable()
    assert "@" not in found.location.replace("?", "/").replace("#", "/").split("/")[2]


@given(HASHES, ADDRESSES, st.sampled_from(["LXD", "Incus"]))
def test_valid_headers_are_always_accepted(digest, location, family):
    headers = {f"{family}-Image-Hash": [digest], f"{family}-Image-URL": [location]}
    found = image_headers_of(headers, family=family)
    assert (found.fingerprint, found.location) == (digest.lower(), location)
    assert ("in upper case" in found.obstacle) == (digest != digest.lower())


@given(HASHES, HASHES, ADDRESSES, ADDRESSES)
def test_headers_of_two_families_must_agree(one, other, here, there):
    headers = {
        "LXD-Image-Hash": [one],
        "LXD-Image-URL": [here],
        "Incus-Image-Hash": [other],
        "Incus-Image-URL": [there],
    }
    if (one.lower(), here) == (other.lower(), there):
        assert image_headers_of(headers).fingerprint == one.lower()
        return
    with pytest.raises(FileError, match="sends different headers for LXD and for Incus"):
        image_headers_of(headers)


@given(st.lists(st.text(max_size=70), max_size=3), st.lists(st.text(max_size=70), max_size=3))
def test_repeated_headers_are_always_rejected(digests, locations):
    if len(digests) < 2 and len(locations) < 2:
        return
    with pytest.raises(FileError):
        image_headers_of({"LXD-Image-Hash": digests, "LXD-Image-URL": locations})

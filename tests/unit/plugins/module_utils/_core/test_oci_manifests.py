# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import json

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.oci_registry.manifests import (
    Manifest,
    parse_tags,
    parse_token,
    platforms_of,
)

A, B, C = (f"sha256:{digit * 64}" for digit in "abc")


def platform(digest, architecture, variant="", os="linux"):
    named = {"os": os, "architecture": architecture, **({"variant": variant} if variant else {})}
    return {"digest": digest, "platform": named}


def parse(document):
    return Manifest.parse(
        document if isinstance(document, bytes) else json.dumps(document).encode()
    )


class TestManifest:
    def test_of_an_image_has_its_layers_in_order(self):
        document = {"layers": [{"digest": B, "size": 2}, {"digest": A, "size": 3}]}
        manifest = parse(document)
        assert (manifest.layers, manifest.size) == ((B, A), 5)
        assert not manifest.is_index
        content = json.dumps(document).encode()
        assert manifest.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"

    def test_of_an_index_has_the_first_image_for_each_platform(self):
        entries = [
            platform(A, "arm", "v7"),
            platform(B, "arm", "v6"),
            platform(C, "amd64"),
            platform(A, "amd64"),
            platform(A, "unknown", os="unknown"),
            {"digest": A},
        ]
        manifest = parse({"manifests": entries})
        assert manifest.is_index
        assert manifest.platforms == {"arm/v7": A, "arm/v6": B, "arm": A, "amd64": C}

    @pytest.mark.parametrize(
        "document",
        [
            b"", b"[]", b"{}", b"\xff", {"layers": 1}, {"layers": [1]}, {"layers": [{"digest": A}]},
            {"layers": [{"digest": "../a", "size": 1}]}, {"layers": [{"digest": A, "size": "b"}]},
            b'{"layers": [{"digest": "%s", "size": %s}]}' % (A.encode(), b"9" * 40),
            {"manifests": 1}, {"manifests": [1]}, {"manifests": [platform("../a", "amd64")]},
            {"manifests": [platform(A, "am d64")]}, {"manifests": [platform(A, 64)]},
        ],
    )  # fmt: skip
    def test_that_is_none_is_an_error(self, document):
        with pytest.raises(ValueError, match=r"is not|has more than"):
            parse(document)


@pytest.mark.parametrize(
    ("architecture", "platforms"),
    [
        ("x86_64", ("amd64",)),
        ("aarch64", ("arm64",)),
        ("armv6l", ("arm/v6", "arm/v5", "arm")),
        ("ppc64le", ("ppc64le",)),
    ],
)
def test_registries_have_names_of_their_own_for_architectures(architecture, platforms):
    assert platforms_of(architecture) == platforms


def test_tags_that_are_no_text_are_left_out():
    assert parse_tags(b'{"tags": ["1", 2, null]}') == ["1"]
    assert parse_tags(b'{"tags": null}') == parse_tags(b'{"tags": "1"}') == []


def test_a_token_has_one_of_two_names():
    assert parse_token(b'{"token": "a"}') == parse_token(b'{"access_token": "a"}') == "a"
    for answer in (b"{}", b'{"token": "a b"}', b'{"token": 7}'):
        with pytest.raises(ValueError, match="is not"):
            parse_token(answer)

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hostile simplestreams documents are a clear error, within bounds of time and memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hostile import Answer, Headers, Hostile

from lab import Authority
from runner import Modules

pytestmark = pytest.mark.families("lxd")  # independent of the family

INDEX, PRODUCTS = "/streams/v1/index.json", "/streams/v1/images.json"
DIGEST = "a" * 64


def index(path: Any) -> bytes:
    entry = {"datatype": "image-downloads", "path": path, "products": ["a"]}
    return json.dumps({"index": {"images": entry}}).encode()


def items(count: int = 1, **more: Any) -> dict[str, Any]:
    """``count`` metadata files and ``count`` root file systems, which make ``count`` × ``count`` images."""
    file = {"path": "file", "size": 1, "sha256": DIGEST, "combined_squashfs_sha256": DIGEST, **more}
    return {
        f"{ftype}{number}": {"ftype": ftype, **file}
        for ftype in ("lxd.tar.xz", "squashfs")
        for number in range(count)
    }


def products(aliases: str = "web", versions: int = 1, **item: Any) -> bytes:
    product = {
        "arch": "amd64",
        "aliases": aliases,
        "versions": {
            f"20240101_{number:04}": {"items": items(**item)} for number in range(versions)
        },
    }
    return json.dumps({"products": {"a": product}}).encode()


@pytest.fixture
def site(authority: Authority) -> Iterator[Hostile]:
    with Hostile(authority.issue("image-server", "127.0.0.1")) as server:
        server.answers = {
            INDEX: Answer(body=index(PRODUCTS[1:])),
            PRODUCTS: Answer(body=products()),
        }
        yield server


@pytest.fixture
def source(site: Hostile, authority: Authority) -> dict[str, str]:
    return {
        "source_server": site.url,
        "source_protocol": "simplestreams",
        "source_cert": str(authority.certificate),
    }


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        (PRODUCTS, products(count=700), "the limit is 20000 images"),
        (PRODUCTS, b"[" * (1 << 20), "has more than 400000 values"),
        (PRODUCTS, b'{"a": ' * 50_000, "is not valid JSON: it is nested too deeply"),
        (PRODUCTS, b'"' + b"a" * (25 << 20) + b'"', "is larger than 24 MiB"),
        (PRODUCTS, products(size=-1), "but none that can be used"),
        (PRODUCTS, products(path="\ud800"), "but none that can be used"),
        (PRODUCTS, products().replace(b'"size": 1', b'"size": 1e400'), "but none that can be used"),
        (INDEX, index("\ud800"), "the invalid path"),
        (INDEX, index("a" * 600_000), "the invalid path 'aaaa"),
        (INDEX, index({"a": 1}), "the invalid path"),
    ],
)
def test_an_excessive_or_invalid_document_is_an_error(
    site: Hostile, source: dict[str, str], path: str, body: bytes, said: str
) -> None:
    site.answers[path] = Answer(body=body)
    message = Modules().limited().fails("lxd_image_info", **source)
    assert said in message
    assert len(message) < 500


def test_many_versions_with_many_aliases_are_listed_within_bounds(
    site: Hostile, source: dict[str, str]
) -> None:
    aliases = ",".join(f"a{number}" for number in range(500))
    site.answers[PRODUCTS] = Answer(body=products(aliases, versions=2000))
    found = Modules().limited().done("lxd_image_info", **source)
    assert len(found["images"]) == 2000


@pytest.mark.parametrize(
    "headers",
    [
        [("Last-Modified", "Mon, 01 Jan 99999999999 00:00:00 GMT")],
        [("Last-Modified", "Mon, 01 Jan 2024 99:99:99 GMT")],
        [("Last-Modified", "")],
    ],
)
def test_an_impossible_date_is_ignored(
    site: Hostile, source: dict[str, str], headers: Headers
) -> None:
    for answer in (INDEX, PRODUCTS):
        site.answers[answer].headers = headers
    assert len(Modules().done("lxd_image_info", **source)["images"]) == 1

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.catalog.documents import (
    documents,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.catalog.mirrored import (
    shown_products,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.catalog.planning import (
    complete_plan,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.catalog.record import (
    Catalog,
    Mirror,
    MirroredProduct,
    Part,
    Product,
    Version,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.catalog.record_reader import (
    parse_record,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import (
    FileError,
    OptionError,
)

HEAD, ROOT = "a" * 64, "b" * 64
COMBINED = {"lxd": "c" * 64, "incus": "d" * 64}


def product(aliases="alpine/3.23,alpine", arch="amd64", name="alpine:3.23:amd64"):
    items = {
        f"{family}.tar.xz": {
            "ftype": f"{family}.tar.xz",
            "path": f"files/{HEAD}.tar.xz",
            "sha256": HEAD,
            "size": 10,
            "combined_squashfs_sha256": combined,
        }
        for family, combined in COMBINED.items()
    }
    root = {"ftype": "squashfs", "path": f"files/{ROOT}.squashfs", "sha256": ROOT, "size": 20}
    document = {
        "aliases": aliases,
        "arch": arch,
        "os": "Alpine",
        "requirements": {"secureboot": "false"},
        "versions": {
            "20260101_13:00": {"label": "x", "items": {**items, "root.squashfs": root}},
        },
    }
    return MirroredProduct(name, document)


def mirror(*products, address="https://images.example.com:443"):
    return Mirror(address, "simplestreams", ("alias=*",), products or (product(),))


CATALOG = Catalog(mirrors=(mirror(),))


def test_a_record_with_a_mirror_is_read_as_it_was_written():
    assert parse_record(CATALOG.text().encode(), "x") == CATALOG


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (f"files/{ROOT}.squashfs", "files/../x", "is not the path of a file of a catalog"),
        (f"files/{ROOT}.squashfs", f"files/{HEAD}.squashfs", "is not that of files/"),
        ('"size": 20', '"size": "20"', "is not a number of bytes"),
        ('"size": 20', '"size": -1', "is not a number of bytes"),
        ('"versions"', '"version"', "is not an object"),
        ('"simplestreams"', "7", r"mirrors\[0\]: protocol: 7 is not text"),
    ],
)
def test_a_record_with_a_damaged_mirror_is_an_error(old, new, said):
    text = CATALOG.text()
    assert old in text
    with pytest.raises(FileError, match=said):
        parse_record(text.replace(old, new).encode(), "x")


def test_mirrored_products_are_listed_as_they_are():
    texts = documents(CATALOG, "https://mirror.example.com", "/srv/map")
    listed = json.loads(texts["streams/v1/images.json"])["products"]
    assert listed == {"alpine:3.23:amd64": product().document}


def test_people_see_the_image_for_lxd():
    (shown,) = shown_products(CATALOG)
    assert shown == Product(
        name="alpine/3.23",
        type="container",
        architecture="x86_64",
        os="Alpine",
        aliases=("alpine",),
        requirements={"secureboot": "false"},
        versions=(
            Version(
                "20260101_13:00",
                COMBINED["lxd"],
                1767225600,
                (Part(HEAD, 10, "tar.xz"), Part(ROOT, 20, "squashfs")),
            ),
        ),
    )


def test_names_that_could_break_out_of_configuration_are_only_in_the_index():
    hostile = product(aliases='x" ";return 200,../x,ok')
    catalog = Catalog(mirrors=(mirror(hostile),))
    assert [one.names for one in shown_products(catalog)] == [("ok",)]
    texts = documents(catalog, "https://mirror.example.com", "/srv/map")
    assert "return 200" not in texts["/srv/map"]
    assert "return 200" not in texts["index.html"]
    only = Catalog(mirrors=(mirror(product(aliases="a b")),))
    assert shown_products(only) == ()


def test_the_header_map_has_each_name_once_whatever_its_case():
    one = product(aliases="Alpine,alpine,ALPINE")
    text = documents(Catalog(mirrors=(mirror(one),)), "https://x.example.com", "/srv/map")[
        "/srv/map"
    ]
    for variable in ("choices", "page"):
        entries = text.split(f"map $lxd_image_name $lxd_image_{variable} {{")[1].split("}")[0]
        assert entries.lower().count('"alpine" ') == 1


OWN = Product(
    "alpine",
    "container",
    "x86_64",
    versions=(Version("20260101", ROOT, 1, (Part(ROOT, 20, "squashfs"),)),),
)


@pytest.mark.parametrize(
    "after",
    [
        Catalog((OWN,), mirrors=(mirror(),)),
        Catalog(mirrors=(mirror(), mirror(address="https://other.example.com:443"))),
        Catalog(
            mirrors=(
                mirror(),
                mirror(product(name="another"), address="https://other.example.com:443"),
            )
        ),
    ],
)
def test_a_name_of_two_origins_is_an_error(after):
    with pytest.raises(OptionError, match="is wanted by both"):
        complete_plan(Catalog(), after, 0, {}, 0)


def test_a_name_may_be_of_several_origins_for_several_architectures():
    arm = product(name="alpine:3.23:arm64", arch="arm64")
    after = Catalog((OWN,), mirrors=(mirror(arm),))
    assert complete_plan(Catalog(), after, 0, {}, 0).after.products == (OWN,)

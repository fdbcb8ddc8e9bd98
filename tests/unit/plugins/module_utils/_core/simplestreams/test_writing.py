# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.simplestreams import (
    EVERY_FAMILY,
    File,
    Reader,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.simplestreams.listing import (
    Listing,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.simplestreams.reading import (
    ProductReader,
    parse_index,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.simplestreams.writing import (
    PRODUCTS,
    index_text,
    items,
    product,
    products_text,
)

SITE = "https://images.example.com"
META = File("files/m.tar.gz", "a" * 64, 10)
ROOTS = {
    "squashfs": File("files/r.squashfs", "b" * 64, 100),
    "root.tar.xz": File("files/r.tar.gz", "b" * 64, 100),
    "disk-kvm.img": File("files/r.qcow2", "b" * 64, 100),
}


def read(products, reader):
    found = ProductReader(reader, SITE)
    found.read(products_text(products).encode(), "x")
    return found.images


def written(files, image_type="container", fingerprint="f" * 64, **more):
    options = {
        "architecture": "x86_64",
        "aliases": ["web", "w"],
        "properties": {"os": "Alpine", "release": "3.20"},
        "requirements": {},
        **more,
    }
    return {"web": product(**options, versions={"20261124": items(fingerprint, files, image_type)})}


@pytest.mark.parametrize("family", ["lxd", "incus"])
class TestEitherFamily:
    @pytest.mark.parametrize("kind", ROOTS)
    def test_reads_a_split_image(self, family, kind):
        files = (META, ROOTS[kind])
        image_type = "virtual-machine" if kind == "disk-kvm.img" else "container"
        (found,) = read(written(files, image_type), Reader(family))
        assert found.image.fingerprint == "f" * 64
        assert found.image.type == image_type
        assert found.image.size == 110
        assert found.files == files

    def test_reads_a_unified_image(self, family):
        (found,) = read(written([File("files/u.tar.zst", "f" * 64, 7)]), Reader(family))
        assert found.image.fingerprint == "f" * 64
        assert found.files[0].path == "files/u.tar.zst"

    def test_reads_the_requirements(self, family):
        (found,) = read(written([META], requirements={"secureboot": "false"}), Reader(family))
        assert found.image.properties["requirements.secureboot"] == "false"

    def test_finds_an_image_by_its_aliases(self, family):
        listing = Listing(SITE, read(written([META]), Reader(family)), "x86_64")
        assert listing.images()[0].alias_names == {"web", "w", "web/amd64", "w/amd64"}


class TestAUnifiedVirtualMachineImage:
    document = written([File("files/u.tar.xz", "f" * 64, 7)], "virtual-machine")

    def test_is_one_for_incus(self):
        (found,) = read(self.document, Reader("incus"))
        assert (found.type, found.image.type, found.is_unified) == (*["virtual-machine"] * 2, True)
        listing = Listing(SITE, [found], "x86_64")
        assert listing.find("web", "virtual-machine") is found

    def test_is_nothing_for_lxd(self):
        assert read(self.document, Reader("lxd")) == []

    def test_is_found_by_who_reads_for_both(self):
        (found,) = read(self.document, EVERY_FAMILY)
        assert found.type == "virtual-machine"


def test_who_reads_for_both_gets_each_image_once_and_as_lxd():
    (found,) = read(written([META, ROOTS["squashfs"]]), EVERY_FAMILY)
    assert found.reader.description == "classic"


def test_the_index_lists_the_products():
    assert parse_index(index_text(written([META])).encode(), "x") == [PRODUCTS]


def test_an_index_without_products_lists_nothing():
    assert parse_index(index_text({}).encode(), "x") == []

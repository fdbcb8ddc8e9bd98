# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import (
    FileError,
    ImageNotFound,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.simplestreams import (
    Listing,
    Reader,
    families_of,
    product_paths,
    published_images,
)

SITE = "https://images.example.com"


def digest(character):
    return character * 64


def split(character, ftype="squashfs", family="lxd"):
    combined = f"combined_{ftype.replace('.', '-').replace('root-tar-xz', 'rootxz')}_sha256"
    metadata = f"{family}.tar.xz"
    return {
        metadata: {
            "ftype": metadata,
            "path": "a/meta",
            "sha256": "m",
            "size": 1,
            combined: digest(character),
        },
        ftype: {"ftype": ftype, "path": "a/root", "sha256": "r", "size": 10},
    }


def hashed(given):
    items = split("b")
    items["lxd.tar.xz"]["combined_squashfs_sha256"] = given
    return items


def sized(given):
    items = split("b")
    items["squashfs"]["size"] = given
    return items


def product(versions, aliases="web", arch="amd64", **more):
    return {
        "aliases": aliases,
        "arch": arch,
        "os": "Alpine",
        "release": "3.20",
        "release_title": "3.20",
        "versions": {serial: {"items": items} for serial, items in versions.items()},
        **more,
    }


def listing(*products, reader=None, server=SITE, native="x86_64"):
    document = {"products": {str(number): one for number, one in enumerate(products)}}
    return Listing(server, published_images(document, reader or Reader(), server, "x"), native)


class TestFinding:
    def test_the_newest_version_has_the_alias(self):
        found = listing(
            product({"20240101": split("a"), "20240301_0815": split("b"), "20240201": split("c")})
        )
        assert found.find("web", None).image.fingerprint == digest("b")

    def test_the_container_comes_before_the_virtual_machine(self):
        found = listing(
            product({"20240101": split("a", "disk-kvm.img")}), product({"20230101": split("b")})
        )
        assert found.find("web", None).image.type == "container"
        assert found.find("web", "virtual-machine").image.fingerprint == digest("a")

    def test_squashfs_comes_before_a_root_archive(self):
        items = {**split("a", "root.tar.xz"), **split("b")}
        items["lxd.tar.xz"]["combined_rootxz_sha256"] = digest("a")
        found = listing(product({"20240101": items}))
        assert found.find("web", None).image.fingerprint == digest("b")
        assert len(found.images()) == 2

    @pytest.mark.parametrize("name", ["web/arm64", "web/aarch64"])
    def test_an_alias_may_end_in_any_name_of_an_architecture(self, name):
        found = listing(
            product({"20240101": split("a")}), product({"20240101": split("b")}, arch="arm64")
        )
        assert found.find(name, None).image.fingerprint == digest("b")
        assert found.find("web", None).image.fingerprint == digest("a")

    def test_an_alias_with_slashes_is_no_architecture(self):
        found = listing(product({"20240101": split("a")}, aliases="alpine/3.20,alpine/edge/cloud"))
        assert found.find("alpine/edge/cloud", None).image.fingerprint == digest("a")

    def test_twelve_digits_are_enough(self):
        assert listing(product({"20240101": split("a")})).find("a" * 12, None)

    @pytest.mark.parametrize(
        ("name", "image_type", "said"),
        [
            ("wab", None, "has no image wab"),
            ("web", "virtual-machine", "only for container aarch64"),
            ("web", None, "only for container aarch64"),
            ("c" * 12, None, "no image with the fingerprint"),
            ("b" * 12, "virtual-machine", "is a container's"),
        ],
    )
    def test_what_is_not_there_is_told_with_what_is(self, name, image_type, said):
        found = listing(product({"20240101": split("b")}, arch="arm64"))
        with pytest.raises(ImageNotFound, match=said):
            found.find(name, image_type)

    def test_digits_that_fit_two_images_are_an_error(self):
        pair = [split("a"), split("a")]
        pair[1]["lxd.tar.xz"]["combined_squashfs_sha256"] = "a" * 63 + "b"
        found = listing(product({"20240101": pair[0], "20240102": pair[1]}))
        with pytest.raises(ImageNotFound, match="Give more digits"):
            found.find("a" * 12, None)


class TestAliases:
    def test_are_short_for_the_native_architecture_only(self):
        found = listing(
            product({"20240101": split("a")}, aliases="web,www"),
            product({"20240101": split("b")}, arch="arm64"),
        )
        names = {image.fingerprint: image.alias_names for image in found.images()}
        assert names[digest("a")] == {"web", "web/amd64", "www", "www/amd64"}
        assert names[digest("b")] == {"web/arm64"}

    def test_are_not_given_to_older_versions(self):
        found = listing(product({"20240101": split("a"), "20240301": split("b")}))
        names = {image.fingerprint: image.alias_names for image in found.images()}
        assert names[digest("a")] == frozenset()

    def test_of_ubuntus_server_lose_the_name_of_the_system(self):
        server = "https://cloud-images.ubuntu.com/releases"
        found = listing(product({"20240101": split("a")}, aliases="ubuntu/24.04,n"), server=server)
        assert found.find("24.04", None)


class TestDescribing:
    def test_an_image_has_what_lxd_would_say_of_it(self):
        one = product(
            {"20240101_0815": split("a")},
            variant="cloud",
            support_eol="2031-02-03",
            lxd_requirements={"secureboot": "false"},
        )
        image = listing(one).find("web", None).image
        assert image.properties == {
            "os": "Alpine",
            "release": "3.20",
            "architecture": "amd64",
            "serial": "20240101_0815",
            "description": "Alpine 3.20 amd64 (20240101_0815)",
            "variant": "cloud",
            "type": "squashfs",
            "requirements.secureboot": "false",
        }
        assert image.size == 11
        assert image.public
        assert image.raw["expires_at"] == "2031-02-03T00:00:00Z"

    @pytest.mark.parametrize(
        ("style", "description"),
        [
            ("classic", "Alpine 3.20 amd64 (release) (20240101)"),
            ("short", "Alpine 3.20 (release) (cloud)"),
            ("incus", "Alpine 3.20 amd64 (cloud) (release) (20240101)"),
        ],
    )
    def test_each_server_words_the_description_in_its_own_way(self, style, description):
        one = product({"20240101": split("a")}, variant="cloud")
        one["versions"]["20240101"]["label"] = "release"
        found = listing(one, reader=Reader("lxd", style)).find("web", None)
        assert found.image.properties["description"] == description

    def test_a_unified_image_is_one_file_with_its_own_hash(self):
        item = {"ftype": "lxd_combined.tar.gz", "path": "u", "sha256": digest("a"), "size": 5}
        found = listing(product({"20240101": {"u": item}})).find("web", None)
        assert found.image.fingerprint == digest("a")
        assert [file.path for file in found.files] == ["u"]


class TestDocuments:
    def test_the_index_names_the_files_with_images_in_them(self):
        index = {
            "index": {
                "a": {"datatype": "image-downloads", "products": ["x"], "path": "a.json"},
                "b": {"datatype": "image-ids", "products": ["x"], "path": "b.json"},
                "c": {"datatype": "image-downloads", "products": [], "path": "c.json"},
            }
        }
        assert product_paths(index, "x") == ["a.json"]

    @pytest.mark.parametrize("index", [None, [], {}, {"index": []}])
    def test_an_index_that_is_none_is_an_error(self, index):
        with pytest.raises(FileError, match="is no simplestreams index"):
            product_paths(index, "https://x/streams/v1/index.json")

    @pytest.mark.parametrize(
        "broken",
        [
            7,
            {},
            {"arch": "amd64"},
            {"arch": "z80", "versions": {"20240101": {"items": split("b")}}},
            {"arch": "amd64", "versions": {"today": {"items": split("b")}}},
            {"arch": "amd64", "versions": {"20241301": {"items": split("b")}}},
            {"arch": "amd64", "versions": {"20240101": {"items": {"a": {"ftype": "lxd.tar.xz"}}}}},
            {"arch": "amd64", "versions": {"20240101": {"items": split("b", family="incus")}}},
            {"arch": "amd64", "versions": {"20240101": {"items": {"a": 1}}}},
            {"arch": "amd64", "versions": {"20240101": {"items": hashed(5)}}},
            {"arch": "amd64", "versions": {"20240101": {"items": hashed("../" * 22)}}},
            {"arch": "amd64", "versions": {"20240101": {"items": sized(float("inf"))}}},
        ],
    )
    def test_what_is_broken_or_for_others_is_passed_over(self, broken):
        found = listing(broken, product({"20240101": split("a")}))
        assert [image.fingerprint for image in found.images()] == [digest("a")]

    def test_for_whom_there_are_images_can_be_told(self):
        assert families_of(
            {"products": {"a": product({"20240101": split("a", family="incus")})}}
        ) == {"incus"}

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import json
import time
import tracemalloc

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import (
    FileError,
    ImageNotFound,
    ImageStoreError,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.simplestreams import (
    EVERY_FAMILY,
    Reader,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.simplestreams.listing import (
    Listing,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.simplestreams.reading import (
    MAX_ALIASES,
    MAX_DOCUMENTS,
    MAX_IMAGES,
    MAX_VALUES,
    ProductReader,
    parse_index,
)
from hypothesis import given
from hypothesis import strategies as st

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
            "sha256": digest("1"),
            "size": 1,
            combined: digest(character),
        },
        ftype: {"ftype": ftype, "path": "a/root", "sha256": digest("2"), "size": 10},
    }


def hashed(given):
    items = split("b")
    items["lxd.tar.xz"]["combined_squashfs_sha256"] = given
    return items


def sized(given):
    items = split("b")
    items["squashfs"]["size"] = given
    return items


def placed(path):
    items = split("b")
    items["squashfs"]["path"] = path
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


def read(document, reader=None, server=SITE):
    """What a reader finds in a product list, given as a text or as what it stands for."""
    text = document if isinstance(document, str) else json.dumps(document)
    products = ProductReader(reader or Reader(), server)
    products.read(text.encode("utf-8", "surrogatepass"), "https://x/images.json")
    return products


def listing(*products, reader=None, server=SITE, native="x86_64"):
    document = {"products": {str(number): one for number, one in enumerate(products)}}
    return Listing(server, read(document, reader, server).images, native)


class TestFinding:
    def test_the_newest_version_has_the_alias(self):
        found = listing(
            product({"20240101": split("a"), "20240301_0815": split("b"), "20240201": split("c")})
        )
        assert found.find("web", None).image.fingerprint == digest("b")

    def test_a_container_image_is_preferred_to_a_virtual_machine_image(self):
        found = listing(
            product({"20240101": split("a", "disk-kvm.img")}), product({"20230101": split("b")})
        )
        assert found.find("web", None).image.type == "container"
        assert found.find("web", "virtual-machine").image.fingerprint == digest("a")

    def test_an_image_of_the_own_family_is_preferred_to_a_newer_one_of_another(self):
        """A server that fetches by the name would get that one."""
        own, theirs = split("a", family="incus"), split("b")
        newest = {**split("c"), "lxd_combined.tar.gz": {"ftype": "lxd_combined.tar.gz"}}
        reader = Reader("incus", fallback=Reader("lxd"))
        found = listing(product({"20240101": own, "20240201": theirs}), reader=reader)
        assert found.find("web", None).image.fingerprint == digest("a")
        assert found.find(digest("b"), None).reader.family == "lxd"
        assert listing(product({"20240201": newest}), reader=reader).find("web", None).rank == 1

    def test_requirements_are_those_of_the_family_that_an_image_is_for(self):
        more = {"requirements": {"a": "1"}, "lxd_requirements": {"secureboot": "false"}}
        reader = Reader("incus", fallback=Reader("lxd"))
        for family, known in (("incus", "requirements.a"), ("lxd", "requirements.secureboot")):
            one = product({"20240101": split("a", family=family)}, **more)
            assert known in listing(one, reader=reader).find("web", None).image.properties

    def test_squashfs_is_preferred_to_a_root_archive(self):
        items = {**split("a", "root.tar.xz"), **split("b")}
        items["lxd.tar.xz"]["combined_rootxz_sha256"] = digest("a")
        found = listing(product({"20240101": items}))
        assert found.find("web", None).image.fingerprint == digest("b")
        assert len(found.images()) == 2

    @pytest.mark.parametrize("name", ["web/arm64", "web/aarch64"])
    def test_an_alias_can_end_in_any_name_of_an_architecture(self, name):
        found = listing(
            product({"20240101": split("a")}), product({"20240101": split("b")}, arch="arm64")
        )
        assert found.find(name, None).image.fingerprint == digest("b")
        assert found.find("web", None).image.fingerprint == digest("a")

    def test_the_end_of_an_alias_need_not_be_an_architecture(self):
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
            ("c" * 12, None, "no image with the alias or fingerprint"),
            ("b" * 12, "virtual-machine", "is of the type container"),
        ],
    )
    def test_an_unknown_name_is_an_error_with_the_existing_ones(self, name, image_type, said):
        found = listing(product({"20240101": split("b")}, arch="arm64"))
        with pytest.raises(ImageNotFound, match=said):
            found.find(name, image_type)

    def test_digits_that_match_two_images_are_an_error(self):
        pair = [split("a"), split("a")]
        pair[1]["lxd.tar.xz"]["combined_squashfs_sha256"] = "a" * 63 + "b"
        found = listing(product({"20240101": pair[0], "20240102": pair[1]}))
        with pytest.raises(ImageNotFound, match="Give more digits"):
            found.find("a" * 12, None)


class TestAliases:
    def test_are_without_architecture_for_the_native_one_only(self):
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

    def test_of_the_ubuntu_server_lose_their_prefix(self):
        server = "https://cloud-images.ubuntu.com/releases"
        found = listing(product({"20240101": split("a")}, aliases="ubuntu/24.04,n"), server=server)
        assert found.find("24.04", None)


class TestDescribing:
    def test_an_image_has_the_attributes_that_lxd_gives_it(self):
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
    def test_each_kind_of_server_has_its_own_description(self, style, description):
        one = product({"20240101": split("a")}, variant="cloud")
        one["versions"]["20240101"]["label"] = "release"
        found = listing(one, reader=Reader("lxd", style)).find("web", None)
        assert found.image.properties["description"] == description

    def test_a_unified_image_is_one_file_with_its_own_hash(self):
        item = {"ftype": "lxd_combined.tar.gz", "path": "u", "sha256": digest("a"), "size": 5}
        found = listing(product({"20240101": {"u": item}})).find("web", None)
        assert found.image.fingerprint == digest("a")
        assert [file.path for file in found.files] == ["u"]


def index(*entries):
    return json.dumps({"index": dict(enumerate(entries))}).encode()


def entry(path, **more):
    return {"datatype": "image-downloads", "products": ["x"], "path": path, **more}


class TestIndex:
    def test_names_the_product_lists_that_have_images(self):
        found = parse_index(
            index(
                entry("a.json"),
                entry("b.json", datatype="image-ids"),
                entry("c.json", products=[]),
                entry("a.json"),
            ),
            "x",
        )
        assert found == ["a.json"]

    @pytest.mark.parametrize("content", [b"null", b"[]", b"{}", b'{"index": []}'])
    def test_that_is_invalid_is_an_error(self, content):
        with pytest.raises(FileError, match="is not a simplestreams index"):
            parse_index(content, "https://x/streams/v1/index.json")

    @pytest.mark.parametrize(
        "path", ["\ud800", "a\nb", "../a", "a" * 600_000, ["a"], {"a": "b"}, 7, True]
    )
    def test_with_an_impossible_path_is_an_error(self, path):
        with pytest.raises(FileError, match="names a product list with the invalid path") as caught:
            parse_index(index(entry(path)), "https://x")
        assert len(str(caught.value)) < 200

    def test_with_too_many_product_lists_is_an_error(self):
        entries = [entry(f"{number}.json") for number in range(MAX_DOCUMENTS + 1)]
        with pytest.raises(FileError, match=r"names 101 product lists, more than 100"):
            parse_index(index(*entries), "https://x")


class TestProducts:
    @pytest.mark.parametrize(
        "broken",
        [
            7,
            {},
            {"arch": "amd64"},
            {"arch": ["amd64"], "versions": {"20240101": {"items": split("b")}}},
            {"arch": "z80", "versions": {"20240101": {"items": split("b")}}},
            {"arch": "amd64", "versions": [split("b")]},
            {"arch": "amd64", "os": {}, "versions": {"20240101": {"items": split("b")}}},
            {"arch": "amd64", "aliases": 5, "versions": {"20240101": {"items": split("b")}}},
            {"arch": "amd64", "requirements": [1], "versions": {"20240101": {"items": split("b")}}},
            {"arch": "amd64", "versions": {"today": {"items": split("b")}}},
            {"arch": "amd64", "versions": {"20240101" * 1000: {"items": split("b")}}},
            {"arch": "amd64", "versions": {"20241301": {"items": split("b")}}},
            {"arch": "amd64", "versions": {"20240101": 7}},
            {"arch": "amd64", "versions": {"20240101": {"label": 7, "items": split("b")}}},
            {"arch": "amd64", "versions": {"20240101": {"items": {"a": {"ftype": "lxd.tar.xz"}}}}},
            {"arch": "amd64", "versions": {"20240101": {"items": split("b", family="incus")}}},
            {"arch": "amd64", "versions": {"20240101": {"items": {"a": 1}}}},
            {"arch": "amd64", "versions": {"20240101": {"items": {"a": {"ftype": ["squashfs"]}}}}},
            {"arch": "amd64", "versions": {"20240101": {"items": hashed(5)}}},
            {"arch": "amd64", "versions": {"20240101": {"items": hashed("../" * 22)}}},
            {"arch": "amd64", "versions": {"20240101": {"items": sized(-1)}}},
            {"arch": "amd64", "versions": {"20240101": {"items": sized(1.5)}}},
            {"arch": "amd64", "versions": {"20240101": {"items": sized(True)}}},
            {"arch": "amd64", "versions": {"20240101": {"items": sized(10**40)}}},
            {"arch": "amd64", "versions": {"20240101": {"items": placed("../../etc/passwd")}}},
            {"arch": "amd64", "versions": {"20240101": {"items": placed("a" * 600_000)}}},
            {"arch": "amd64", "versions": {"20240101": {"items": placed("\ud800")}}},
            {"arch": "amd64", "versions": {"20240101": {"items": placed({})}}},
        ],
    )
    def test_that_are_invalid_or_for_others_are_skipped(self, broken):
        found = listing(broken, product({"20240101": split("a")}))
        assert [image.fingerprint for image in found.images()] == [digest("a")]

    def test_with_an_infinite_size_are_skipped(self):
        text = json.dumps({"products": {"a": product({"20240101": sized(77)})}})
        assert read(text).images
        assert read(text.replace('"size": 77', '"size": 1e400')).images == []

    def test_keep_a_text_with_a_lone_surrogate_as_servers_do(self):
        (found,) = read({"products": {"a": product({"20240101": split("a")}, os="\ud800")}}).images
        assert found.image.properties["os"] == "\ufffd"

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("<html>", "is not valid JSON"),
            ("[" * 100_000, "is not valid JSON: it is nested too deeply"),
            ('{"products": {"a": NaN}}', "is not valid JSON: it contains NaN"),
            ("\ud800", "is not valid JSON"),
            ("[]", "is not a list of simplestreams products"),
            ('{"products": []}', "is not a list of simplestreams products"),
            (f"[{'0,' * MAX_VALUES}0]", f"has more than {MAX_VALUES} values"),
        ],
    )
    def test_that_are_invalid_are_an_error(self, text, said):
        with pytest.raises(FileError, match=f"https://x/images.json {said}"):
            read(text)

    def test_have_the_families_they_are_for(self):
        document = {"products": {"a": product({"20240101": split("a", family="incus")})}}
        assert read(document).families == {"incus"}
        document = {"products": {"a": product({"20240101": hashed(5)})}}
        assert read(document).families == {"lxd"}

    def test_lose_aliases_that_would_control_a_terminal(self):
        found = listing(product({"20240101": split("a")}, aliases="we\x1b[2Jb,web"))
        assert found.images()[0].alias_names == {"web", "web/amd64"}

    def test_with_more_images_than_the_limit_are_rejected(self):
        files = {"path": "a", "size": 1, "combined_squashfs_sha256": digest("a")}
        items = {
            f"{ftype}{number}": {"ftype": ftype, **files}
            for number in range(700)
            for ftype in ("lxd.tar.xz", "squashfs")
        }
        with pytest.raises(FileError, match=f"the limit is {MAX_IMAGES} images"):
            read({"products": {"a": product({"20240101": items})}})

    @pytest.mark.parametrize(("more", "number"), [({}, 0), (split("a"), 15_001)])
    def test_with_many_files_that_make_no_images_are_read_in_short_time(self, more, number):
        """They have no fingerprint, or are for Incus where there are images for LXD."""
        combined = {"combined_squashfs_sha256": digest("b")} if more else {}
        items = {
            f"{ftype}{number}": {"ftype": ftype, "path": "a", "size": 1, **combined}
            for number in range(15_000)
            for ftype in ("incus.tar.xz", "squashfs")
        }
        started = time.process_time()
        document = {"products": {"a": product({"20240101": {**items, **more}})}}
        assert len(read(document, EVERY_FAMILY).images) == number
        assert time.process_time() - started < 10

    def test_with_more_aliases_than_the_limit_are_rejected(self):
        aliases = "a," * 2000
        products = {str(number): product({}, aliases) for number in range(MAX_ALIASES // 2000 + 1)}
        with pytest.raises(FileError, match=f"the limit is {MAX_ALIASES} aliases"):
            read({"products": products})

    def test_with_many_versions_and_aliases_do_not_multiply_them(self):
        versions = {f"20240101_{number:04}": split("a") for number in range(5000)}
        aliases = ",".join(f"alias-{number}" for number in range(400))
        document = json.dumps({"products": {"a": product(versions, aliases)}})
        started = time.process_time()
        tracemalloc.start()
        try:
            found = Listing(SITE, read(document).images, "x86_64")
            assert len(found.aliases_of(found.find("alias-7", None))) == 800
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 64 << 20
        assert time.process_time() - started < 30


# The values of documents, and invalid ones.
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 10**20),
    st.floats(),
    st.text(st.characters(), max_size=5),
    st.sampled_from(["amd64", "20240101", "lxd.tar.xz", "squashfs", digest("a"), "a/b", "web"]),
)
NAMES = st.sampled_from(
    ["products", "versions", "items", "ftype", "path", "size", "sha256", "arch", "aliases", "label",
     "requirements", "os", "index", "datatype", "combined_squashfs_sha256", "20240101", "a", "b"]
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6)
)


@st.composite
def spoiled(draw):
    """A valid document with some values replaced."""
    document = {"products": {"a": product({"20240101": split("a")}), "b": product({})}}
    for _number in range(draw(st.integers(0, 3))):
        place = document
        while True:
            name = draw(st.sampled_from(sorted(place)))
            if not isinstance(place[name], dict) or not place[name] or draw(st.booleans()):
                break
            place = place[name]
        place[name] = draw(ANYTHING)
    return document


@given(st.one_of(ANYTHING, spoiled(), st.binary()))
def test_any_document_is_images_or_an_error(document):
    is_bytes = isinstance(document, bytes)
    content = document if is_bytes else json.dumps(document).encode("utf-8", "surrogatepass")
    with contextlib.suppress(ImageStoreError):
        parse_index(content, "https://x")
    products = ProductReader(Reader(), SITE)
    with contextlib.suppress(ImageStoreError):
        products.read(content, "https://x")
    for image in Listing(SITE, products.images, "x86_64").images():
        json.dumps(image.raw, ensure_ascii=False).encode()
        assert len(image.fingerprint) == 64

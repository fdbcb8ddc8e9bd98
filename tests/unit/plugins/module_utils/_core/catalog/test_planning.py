# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.archives.image_info import (
    ImageInfo,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.catalog.entries import (
    CatalogEntry,
    EntryFiles,
    EntrySpec,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.catalog.planning import (
    CatalogPolicy,
    missing_parts,
    plan_catalog,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.catalog.record import Catalog
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import OptionError

NOW = 1_800_000_000


def image(name, content, version="20260101", split=False, created=1_700_000_000, **spec):
    """An image to publish. Its content is one character."""
    kind = spec.pop("type", "container")
    parts = (("0" * 64, 1, "tar"), (content * 64, 5, "squashfs"))
    facts = ImageInfo(
        fingerprint=content * 64,
        parts=parts if split else ((content * 64, 5, "tar"),),
        type=kind,
        architecture=spec.pop("arch", "x86_64"),
        created=created,
        os="Alpine",
    )
    entry = EntrySpec(name=name, paths=("x",), version=version, **spec)
    return CatalogEntry(entry, EntryFiles("stamp")).with_facts(facts, NOW)


def gone(name, version=None, **spec):
    return CatalogEntry(EntrySpec(name=name, version=version, absent=True, **spec))


def plan(catalog, *entries, policy=None, files=None, now=NOW):
    existing = list(catalog.parts) + list(catalog.leaving) if files is None else files
    return plan_catalog(catalog, entries, policy or CatalogPolicy(), existing, now)


def made(*entries, **how):
    return plan(Catalog(), *entries, **how).after


def versions(catalog):
    return {product.name: [one.name for one in product.versions] for product in catalog.products}


class TestVersions:
    def test_are_sorted_newest_first(self):
        catalog = made(image("web", "a", "20260101"), image("web", "b", "20260101_0001"))
        assert versions(catalog) == {"web": ["20260101_0001", "20260101"]}

    def test_beyond_keep_are_withdrawn(self):
        catalog = made(image("web", "a", "20260101"), image("web", "b", "20260102"))
        done = plan(catalog, image("web", "c", "20260103"))
        assert done.actions == (
            "publish web (container, x86_64) 20260103",
            "withdraw web (container, x86_64) 20260101",
        )

    def test_are_kept_for_each_type_and_architecture(self):
        catalog = made(
            image("web", "a"),
            image("web", "b", arch="aarch64"),
            image("web", "c", type="virtual-machine"),
            policy=CatalogPolicy(keep=1),
        )
        assert len(catalog.products) == 3

    def test_that_exist_already_change_nothing(self):
        catalog = made(image("web", "a"))
        again = plan(catalog, image("web", "a"))
        assert again.actions == ()
        assert again.after == again.before

    def test_the_same_version_with_other_content_is_an_error_that_names_both(self):
        with pytest.raises(OptionError) as caught:
            plan(made(image("web", "a")), image("web", "b"))
        assert "a" * 64 in str(caught.value) and "b" * 64 in str(caught.value)

    def test_the_newest_determines_shared_values(self):
        catalog = made(
            image("web", "b", "20260102", release="2"), image("web", "a", "20260101", release="1")
        )
        assert catalog.products[0].release == "2"

    def test_default_to_the_creation_date_of_the_image(self):
        assert versions(made(image("web", "a", None))) == {"web": ["20231114_2213"]}

    @pytest.mark.parametrize(
        ("created", "said"),
        [
            (-40_000_000_000, "the creation date -40000000000 is before 1970"),
            (-1, "is before 1970"),
            (0, "is before 1970"),
            (NOW + 100_000, "is not in the past"),
            (253_370_764_800, "is not in the past"),
            (10**18, "is not in the past"),
        ],
    )
    def test_do_not_default_to_an_impossible_date(self, created, said):
        with pytest.raises(OptionError, match=f"has no usable version: .*{said}") as caught:
            image("web", "a", None, created=created)
        assert "Set version" in str(caught.value)
        assert image("web", "a", "20260101", created=created)

    def test_that_servers_ignore_are_sorted_last(self):
        (product,) = made(image("web", "a"), image("web", "b", "20260102")).products
        strange = replace(product.versions[0], name="7020615_0053")
        product = replace(product, versions=(strange, product.versions[1]))
        after = plan(Catalog((product,)), image("web", "c", "20260103")).after
        assert versions(after) == {"web": ["20260103", "20260101"]}


class TestFilesThatAreNoLongerListed:
    def test_are_kept_for_the_grace_period(self):
        catalog = made(image("web", "a"))
        withdrawn = plan(catalog, gone("web")).after
        path = f"files/{'a' * 64}.tar"
        assert withdrawn.leaving == {path: NOW}
        assert plan(withdrawn, now=NOW + 7199).actions == ()
        late = plan(withdrawn, now=NOW + 7200)
        assert late.expired == (path,)
        assert late.actions == (f"remove file {'a' * 12}",)
        assert late.after.leaving == {}

    def test_are_kept_if_another_image_has_them(self):
        catalog = made(image("web", "a", split=True), image("box", "b", split=True))
        left = plan(catalog, gone("web")).after
        assert list(left.leaving) == [f"files/{'a' * 64}.squashfs"]

    def test_are_listed_again_with_their_image(self):
        catalog = plan(made(image("web", "a")), gone("web")).after
        assert plan(catalog, image("web", "a")).after.leaving == {}

    def test_are_removed_in_the_same_way_if_they_are_unknown(self):
        done = plan(Catalog(), files=["files/x.tar"])
        assert done.actions == ("abandon file x.tar",)
        assert done.after.leaving == {"files/x.tar": NOW}

    def test_are_forgotten_once_they_are_removed(self):
        catalog = Catalog(leaving={"files/x.tar": NOW - 10})
        done = plan(catalog, policy=CatalogPolicy(grace=5), files=[])
        assert done.actions == ()
        assert done.after.leaving == {}


class TestNames:
    @pytest.mark.parametrize(
        "other",
        [
            image("box", "b", aliases=("web",)),
            image("box", "b", aliases=("w",)),
            image("WEB", "b"),
            image("web/amd64", "b"),
            image("box", "b", arch="aarch64", aliases=("w",)),
        ],
    )
    def test_belong_to_one_image_only(self, other):
        with pytest.raises(OptionError, match="is a name or alias of both"):
            made(image("web", "a", aliases=("w",)), other)

    def test_are_shared_by_all_architectures_and_types_of_one(self):
        made(
            image("web", "a", aliases=("w",)),
            image("web", "b", arch="aarch64", aliases=("w",)),
            image("web", "c", type="virtual-machine", aliases=("w",)),
        )

    def test_can_move_to_another_image_within_one_task(self):
        catalog = made(image("web", "a", aliases=("w",)))
        after = plan(
            catalog, image("web", "a", aliases=()), image("box", "b", aliases=("w",))
        ).after
        assert [product.aliases for product in after.products] == [("w",), ()]


def test_purging_keeps_listed_names_only():
    catalog = made(image("web", "a"), image("box", "b"))
    assert versions(plan(catalog, image("box", "b"), policy=CatalogPolicy(purge=True)).after) == {
        "box": ["20260101"]
    }
    assert plan(catalog).after == catalog


def test_missing_files_and_files_of_another_size_are_needed():
    done = plan(Catalog(), image("web", "a"), image("box", "b"), image("sun", "c"))
    a, b, c = (f"files/{content * 64}.tar" for content in "abc")
    assert set(missing_parts(done, {a: 5, b: 4, c: 5}, [])) == {b}
    assert set(missing_parts(done, {a: 5, b: 5, c: 5}, [c])) == {c}

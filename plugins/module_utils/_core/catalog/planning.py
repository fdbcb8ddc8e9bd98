# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides what becomes of a catalog. Pure: its content and the task's entries go in, its new content comes out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Collection, Iterable, Iterator, Mapping, Sequence

from ..architectures import architecture_name
from ..errors import OptionError
from ..images import short_fingerprint
from .entries import CatalogEntry, EntrySpec, require_consistent, spellings
from .mirrored import shown_products
from .record import (
    Catalog,
    Key,
    MirroredProduct,
    Part,
    Product,
    newest_first,
    sorted_products,
    stream_name,
)


@dataclass(frozen=True)
class CatalogPolicy:
    """What a catalog keeps: ``keep`` versions of each product, and files for ``grace`` seconds after they left it.

    With ``purge``, it keeps only the names that the task publishes.
    """

    keep: int = 2
    grace: int = 7200
    purge: bool = False


@dataclass(frozen=True)
class CatalogPlan:
    """What becomes of a catalog: how it was, how it will be, and what becomes of files (paths below the root).

    ``expired`` files are removed. ``abandoned`` ones, left by a task that was killed, are removed after the grace.
    """

    before: Catalog
    after: Catalog
    expired: tuple[str, ...] = ()
    abandoned: tuple[str, ...] = ()

    @property
    def actions(self) -> tuple[str, ...]:
        """All that changes for clients, and what becomes of files."""
        return (
            *_changes(self.before, self.after),
            *_file_actions("remove", self.expired),
            *_file_actions("abandon", self.abandoned),
        )


def plan_catalog(
    catalog: Catalog,
    entries: Sequence[CatalogEntry],
    policy: CatalogPolicy,
    files: Collection[str],
    now: int,
) -> CatalogPlan:
    """The plan for one task, whose entries to publish have facts.

    ``files`` are the paths of all files that the tree has; ``now`` is in seconds since 1970. Raises OptionError if
    entries contradict each other.
    """
    publications = [entry for entry in entries if not entry.spec.absent]
    withdrawals = [entry.spec for entry in entries if entry.spec.absent]
    require_consistent(publications, withdrawals)
    products = {product.key: product for product in catalog.products}
    for withdrawal in withdrawals:
        products = _without(products, withdrawal)
    # The newest comes last, so that it decides on what all versions share.
    for entry in sorted(publications, key=lambda entry: entry.version.name):
        product = entry.product
        products[product.key] = _merged(products.get(product.key), product, entry.spec)
    if policy.purge:
        names = {entry.spec.name for entry in publications}
        products = {key: product for key, product in products.items() if product.name in names}
    kept = sorted_products(
        replace(product, versions=product.versions[: policy.keep]) for product in products.values()
    )
    require_unique(kept)
    return complete_plan(catalog, replace(catalog, products=kept), policy.grace, files, now)


def complete_plan(
    before: Catalog, after: Catalog, grace: int, files: Collection[str], now: int
) -> CatalogPlan:
    """The plan from one catalog to another: which files leave, and which are removed.

    Raises OptionError if clients could not distinguish products of several origins.
    """
    if after.products != before.products or after.mirrors != before.mirrors:
        require_one_origin(after)
    listed = after.parts
    unlisted = [path for path in (*before.parts, *before.leaving) if path not in listed]
    abandoned = sorted(set(files) - set(listed) - set(unlisted))
    since = {path: before.leaving.get(path, now) for path in (*unlisted, *abandoned)}
    expired = {path for path, start in since.items() if now - start >= grace}
    leaving = {path: start for path, start in since.items() if path not in expired}
    return CatalogPlan(
        before,
        replace(after, leaving=leaving),
        tuple(sorted(expired & set(files))),
        tuple(path for path in abandoned if path not in expired),
    )


def _file_actions(verb: str, paths: Iterable[str]) -> list[str]:
    return [f"{verb} file {short_fingerprint(path.rpartition('/')[2])}" for path in paths]


def _without(products: Mapping[Key, Product], withdrawal: EntrySpec) -> dict[Key, Product]:
    """The products without the versions that are withdrawn, and without products that have none left."""
    left: dict[Key, Product] = {}
    for key, product in products.items():
        versions = tuple(
            version
            for version in product.versions
            if not withdrawal.matches(product) or withdrawal.version not in (None, version.name)
        )
        if versions:
            left[key] = replace(product, versions=versions)
    return left


def _merged(published: Product | None, entry: Product, spec: EntrySpec) -> Product:
    """A product with the version of an entry. Aliases and requirements that the task omits remain."""
    if published is None:
        return entry
    new = entry.newest
    same = next((version for version in published.versions if version.name == new.name), None)
    if same and same.fingerprint != new.fingerprint:
        raise OptionError(
            f"{entry} {new.name} is already published with other content: it is {same.fingerprint},"
            f" and the file is {new.fingerprint}",
            "Use another version, or withdraw the published one first (state: absent).",
        )
    return replace(
        entry,
        aliases=published.aliases if spec.aliases is None else spec.aliases,
        requirements=published.requirements if spec.requirements is None else spec.requirements,
        versions=published.versions if same else newest_first((*published.versions, new)),
    )


def require_unique(products: Sequence[Product]) -> None:
    """Raises OptionError if clients could not distinguish two names. (nginx ignores case.)"""
    owners: dict[str, str] = {}
    for product in products:
        for spelling in spellings(product):
            owner = owners.setdefault(spelling.lower(), product.name)
            if owner != product.name:
                raise OptionError(
                    f"{spelling} is a name or alias of both {owner} and {product.name}",
                    "Use each alias for one name only.",
                )


def require_one_origin(catalog: Catalog) -> None:
    """Raises OptionError if a product has a name that one from elsewhere has too, for the same architecture."""
    if not catalog.mirrors:
        return
    owners: dict[tuple[str, str], tuple[str, str]] = {}
    own = "the images of this catalog"
    for origin, products, listed in (
        (own, catalog.products, ()),
        *((str(one), one.exported, one.listed) for one in catalog.mirrors),
    ):
        for name, key in (*_claims(products), *_listed_claims(listed)):
            owner, _name = owners.setdefault(key, (origin, name))
            if owner != origin:
                raise OptionError(
                    f"{name} is wanted by both {owner} and {origin}",
                    "Select other images, or use another name.",
                )


def _claims(products: Iterable[Product]) -> Iterator[tuple[str, tuple[str, str]]]:
    """The names that products need for themselves, each as it is shown and as it is compared."""
    for product in products:
        yield str(product), ("", stream_name(product))
        for name in product.names:
            yield name, (product.architecture, name.lower())


def _listed_claims(
    products: Iterable[MirroredProduct],
) -> Iterator[tuple[str, tuple[str, str]]]:
    for product in products:
        architecture = architecture_name(str(product.document.get("arch", ""))) or ""
        yield product.name, ("", product.name)
        for name in product.names:
            yield name, (architecture, name.lower())


def _changes(before: Catalog, after: Catalog) -> list[str]:
    if (before.products, before.mirrors) == (after.products, after.mirrors):
        return []
    old_products = {product.key: product for product in shown_products(before)}
    new_products = {product.key: product for product in shown_products(after)}
    actions: list[str] = []
    for key in sorted({*old_products, *new_products}):
        old, new = old_products.get(key), new_products.get(key)
        product = str(new or old)
        old_versions = old.versions if old else ()
        new_versions = new.versions if new else ()
        actions += [
            f"publish {product} {version.name}"
            for version in reversed(new_versions)
            if version not in old_versions
        ]
        if old and new and replace(old, versions=()) != replace(new, versions=()):
            actions.append(f"update {product}")
        actions += [
            f"withdraw {product} {version.name}"
            for version in old_versions
            if version not in new_versions
        ]
    return actions


def readable(products: Iterable[Product]) -> dict[str, Any]:
    """Products as a diff shows them."""
    return {
        str(product): {
            **{
                name: value
                for name, value in (
                    ("aliases", list(product.aliases)),
                    ("os", product.os),
                    ("release", product.release),
                    ("variant", product.variant),
                    ("requirements", dict(product.requirements)),
                )
                if value
            },
            "versions": {version.name: version.fingerprint for version in product.versions},
        }
        for product in products
    }


def list_versions(products: Iterable[Product]) -> list[dict[str, Any]]:
    """The versions of products, for the result of a task."""
    return [
        {
            "name": product.name,
            "image_type": product.type,
            "architecture": product.architecture,
            "version": version.name,
            "fingerprint": version.fingerprint,
            "size": version.size,
        }
        for product in products
        for version in product.versions
    ]


def missing_parts(
    plan: CatalogPlan, files: Mapping[str, int], damaged: Collection[str]
) -> dict[str, Part]:
    """The files of own products that have to be placed in the tree, by path.

    ``files`` has the sizes of those that are there.
    """
    return {
        path: part
        for path, part in plan.after.own_parts.items()
        if files.get(path) != part.size or path in damaged
    }

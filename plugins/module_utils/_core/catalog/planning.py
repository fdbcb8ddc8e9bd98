# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides what a catalogue becomes. Pure: what it holds and what is wanted go in, what it is to hold comes out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Collection, Iterable, Mapping, Sequence

from ..errors import OptionError
from ..images import short_fingerprint
from .entries import Given, Publication, require_consistent, spellings
from .record import Catalog, Key, Part, Product, Version, sorted_products


@dataclass(frozen=True)
class CatalogPolicy:
    """How a catalogue is kept: ``keep`` versions of each product, files for ``grace`` seconds after they left it.

    With ``purge``, only the names that the task has.
    """

    keep: int = 2
    grace: int = 7200
    purge: bool = False

    @classmethod
    def parse(cls, params: Mapping[str, Any]) -> CatalogPolicy:
        """From the options of ``lxd_image_catalog``. Raises OptionError."""
        if params["keep"] < 1:
            raise OptionError(
                f"keep is {params['keep']}",
                "It takes 1 or more; to withdraw an image, use state: absent.",
            )
        if params["grace"] < 0:
            raise OptionError(
                f"grace is {params['grace']}", "It takes a number of seconds, 0 or more."
            )
        return cls(params["keep"], params["grace"], params["purge"])


@dataclass(frozen=True)
class CatalogPlan:
    """What becomes of a catalogue: how it was, how it will be, and which files then go (paths below the root)."""

    before: Catalog
    after: Catalog
    expired: tuple[str, ...] = ()
    abandoned: tuple[str, ...] = ()

    @property
    def actions(self) -> tuple[str, ...]:
        """All that changes for clients, and the files that go."""
        return (*_changes(self.before, self.after), *self._files("remove", self.expired))

    @property
    def notes(self) -> tuple[str, ...]:
        """What is noted besides."""
        return self._files("abandon", self.abandoned)

    @staticmethod
    def _files(verb: str, paths: Iterable[str]) -> tuple[str, ...]:
        return tuple(f"{verb} file {short_fingerprint(path.rpartition('/')[2])}" for path in paths)


def planned(
    catalog: Catalog,
    publications: Sequence[Publication],
    withdrawals: Sequence[Given],
    rules: CatalogPolicy,
    files: Collection[str],
    now: int,
) -> CatalogPlan:
    """The plan for one task.

    ``files`` are the paths of all files that the tree has. Those that nobody knows were left by a run that was killed;
    they leave as others do. Raises OptionError if images get in each other's way.
    """
    require_consistent(publications, withdrawals)
    products = {product.key: product for product in catalog.products}
    for gone in withdrawals:
        products = _without(products, gone)
    # The newest one comes last, and so has the last word on what they share.
    for one in sorted(publications, key=lambda one: one.version.name):
        product = one.product
        products[product.key] = _merged(products.get(product.key), product, one.given)
    if rules.purge:
        names = {one.given.name for one in publications}
        products = {key: product for key, product in products.items() if product.name in names}
    kept = sorted_products(
        replace(product, versions=product.versions[: rules.keep]) for product in products.values()
    )
    require_unique(kept)
    after = Catalog(kept)
    listed = after.parts
    unlisted = [path for path in (*catalog.parts, *catalog.leaving) if path not in listed]
    abandoned = sorted(set(files) - set(listed) - set(unlisted))
    since = {path: catalog.leaving.get(path, now) for path in (*unlisted, *abandoned)}
    expired = sorted(path for path, start in since.items() if now - start >= rules.grace)
    leaving = {path: start for path, start in since.items() if path not in expired}
    return CatalogPlan(
        catalog,
        replace(after, leaving=leaving),
        tuple(path for path in expired if path in files),
        tuple(path for path in abandoned if path not in expired),
    )


def _without(products: Mapping[Key, Product], gone: Given) -> dict[Key, Product]:
    """The products without one version of one, or without the whole."""
    left: dict[Key, Product] = {}
    for key, product in products.items():
        versions = tuple(
            version
            for version in product.versions
            if not gone.fits(product) or gone.version not in (None, version.name)
        )
        if versions:
            left[key] = replace(product, versions=versions)
    return left


def _merged(have: Product | None, one: Product, given: Given) -> Product:
    """A product with one more version, or the same again. Aliases and requirements that the task leaves out stay."""
    if have is None:
        return one
    new = one.newest
    same = next((version for version in have.versions if version.name == new.name), None)
    if same and same.fingerprint != new.fingerprint:
        raise OptionError(
            f"{one} {new.name} is published already with other content: it is {same.fingerprint},"
            f" and the file is {new.fingerprint}",
            "Give the new one a version of its own, or withdraw the old one first (state: absent).",
        )
    versions = have.versions if same else (*have.versions, new)
    return replace(
        one,
        aliases=have.aliases if given.aliases is None else given.aliases,
        requirements=have.requirements if given.requirements is None else given.requirements,
        versions=tuple(sorted(versions, key=lambda version: version.name, reverse=True)),
    )


def require_unique(products: Sequence[Product]) -> None:
    """Raises OptionError if two names would be the same to a client. (nginx takes capitals for small letters.)"""
    owners: dict[str, str] = {}
    for product in products:
        for spelling in spellings(product):
            owner = owners.setdefault(spelling.lower(), product.name)
            if owner != product.name:
                raise OptionError(
                    f"{spelling} is a name or alias of both {owner} and {product.name}",
                    "An alias belongs to one name only.",
                )


def _changes(before: Catalog, after: Catalog) -> list[str]:
    had = {product.key: product for product in before.products}
    has = {product.key: product for product in after.products}
    said: list[str] = []
    for key in sorted({*had, *has}):
        old, new = had.get(key), has.get(key)
        named = str(new or old)
        old_versions = old.versions if old else ()
        new_versions = new.versions if new else ()
        said += [
            f"publish {named} {version.name}"
            for version in reversed(new_versions)
            if version not in old_versions
        ]
        if old and new and replace(old, versions=()) != replace(new, versions=()):
            said.append(f"update {named}")
        said += [
            f"withdraw {named} {version.name}"
            for version in old_versions
            if version not in new_versions
        ]
    return said


def shown(catalog: Catalog) -> dict[str, Any]:
    """A catalogue for people to compare."""
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
        for product in catalog.products
    }


def listed(catalog: Catalog) -> list[dict[str, Any]]:
    """The versions of a catalogue, for the result of a task."""

    def one(product: Product, version: Version) -> dict[str, Any]:
        return {
            "name": product.name,
            "image_type": product.type,
            "architecture": product.architecture,
            "version": version.name,
            "fingerprint": version.fingerprint,
            "size": version.size,
        }

    return [one(product, version) for product in catalog.products for version in product.versions]


def needed(
    plan: CatalogPlan, files: Mapping[str, int], damaged: Collection[str]
) -> dict[str, Part]:
    """The files that the tree lacks for what it is to hold; ``files`` has the sizes of those that there are."""
    return {
        path: part
        for path, part in plan.after.parts.items()
        if files.get(path) != part.size or path in damaged
    }

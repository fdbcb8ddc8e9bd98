# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A catalog of images that a web server serves, and its record ``catalog.json``. Plain facts.

All other documents are generated from the record: those of simplestreams, the page for people, the map for nginx.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Iterable, Iterator, Mapping, Sequence, Tuple

from ..images import CONTAINER
from ..simplestreams import Reader
from ..simplestreams.reading import ProductReader, PublishedImage
from .names import is_version

FORMAT = "imagestore.catalog:1"

Key = Tuple[str, str, str]
"""Name, type and architecture: what distinguishes one product from another."""


@dataclass(frozen=True)
class Part:
    """One file of an image: the SHA-256 of its content, its size in bytes, and its name's ending, as in ``tar.xz``."""

    sha256: str
    size: int
    ending: str

    @property
    def path(self) -> str:
        """Where it is, below the root of the tree."""
        return f"files/{self.sha256}.{self.ending}"


@dataclass(frozen=True)
class Version:
    """One image: its version's name (``20261124`` or ``20261124_0730``), its fingerprint and its files.

    ``parts`` is the one file of a unified image, or metadata and rootfs. ``created`` is the creation date that the
    image's metadata gives, in seconds since 1970.
    """

    name: str
    fingerprint: str
    created: int
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(part.size for part in self.parts)

    @property
    def is_split(self) -> bool:
        """Whether metadata and rootfs are two files."""
        return len(self.parts) == 2


@dataclass(frozen=True)
class Product:
    """The images of one name, type (``container`` or ``virtual-machine``) and architecture.

    ``architecture`` is LXD's name, as in ``x86_64``. ``aliases`` are further names, without architectures. ``os``,
    ``release``, ``variant`` and ``description`` are empty where they are unknown. The newest of ``versions`` comes
    first.
    """

    name: str
    type: str
    architecture: str
    os: str = ""
    release: str = ""
    variant: str = ""
    description: str = ""
    aliases: tuple[str, ...] = ()
    requirements: Mapping[str, str] = field(default_factory=dict)
    versions: tuple[Version, ...] = ()

    @property
    def key(self) -> Key:
        """What distinguishes it from others."""
        return self.name, self.type, self.architecture

    @property
    def names(self) -> tuple[str, ...]:
        """The name and the aliases."""
        return (self.name, *self.aliases)

    @property
    def newest(self) -> Version:
        """The version that a client gets."""
        return self.versions[0]

    def is_for_incus_only(self, version: Version) -> bool:
        """Whether LXD cannot get this version by simplestreams: it takes every unified image for a container's."""
        return not version.is_split and self.type != CONTAINER

    def __str__(self) -> str:
        return f"{self.name} ({self.type}, {self.architecture})"


@dataclass(frozen=True)
class MirroredProduct:
    """A product of another image server by its ``name`` in a product list there.

    ``document`` is its entry, with the items of the versions that are mirrored; their paths are those of this tree.
    """

    name: str
    document: Mapping[str, Any]

    @property
    def versions(self) -> Mapping[str, Any]:
        """The entries of its versions, by their names."""
        versions: Mapping[str, Any] = self.document["versions"]
        return versions

    def with_versions(self, versions: Mapping[str, Any]) -> MirroredProduct:
        """The same product with other versions."""
        return MirroredProduct(self.name, {**self.document, "versions": dict(versions)})

    @cached_property
    def parts(self) -> Mapping[str, Part]:
        """The files of all versions, by their paths."""
        return {part.path: part for version in self.versions.values() for part in parts_of(version)}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names by which clients ask for it, without architecture."""
        names = str(self.document.get("aliases", "")).split(",")
        return tuple(filter(None, (name.strip() for name in names)))

    def images(self, reader: Reader) -> list[PublishedImage]:
        """The images that clients of this kind see in it."""
        return ProductReader(reader, "").images_of(self.document, self.name)


def parts_of(version: Mapping[str, Any]) -> Iterator[Part]:
    """The files in the entry of a version whose paths are those of a tree."""
    for item in version["items"].values():
        yield Part(item["sha256"], item["size"], item["path"].partition(".")[2])


@dataclass(frozen=True)
class Mirror:
    """What a catalog has of another server, by its normalized ``address`` and the protocol.

    ``selected`` are the entries of the selection that have fitted. Of an image server there are ``listed`` products, of
    a LXD or Incus ``exported`` ones.
    """

    address: str
    protocol: str
    selected: tuple[str, ...] = ()
    listed: tuple[MirroredProduct, ...] = ()
    exported: tuple[Product, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """What distinguishes it from others."""
        return self.address, self.protocol

    @property
    def parts(self) -> dict[str, Part]:
        """The files of all versions, by their paths."""
        parts = _parts(self.exported)
        for product in self.listed:
            parts.update(product.parts)
        return parts

    def __str__(self) -> str:
        return f"the mirror of {self.address}"


@dataclass(frozen=True)
class Catalog:
    """All products, in the order of their keys, each with at least one version; and those that are mirrored.

    ``leaving`` has the paths of files that no version uses any more, and since when, in seconds since 1970: clients
    with an older index still ask for them.
    """

    products: tuple[Product, ...] = ()
    leaving: Mapping[str, int] = field(default_factory=dict)
    mirrors: tuple[Mirror, ...] = ()

    @property
    def own_parts(self) -> dict[str, Part]:
        """The files of its own products, by their paths."""
        return _parts(self.products)

    @property
    def parts(self) -> dict[str, Part]:
        """The files of all versions, by their paths."""
        parts = self.own_parts
        for mirror in self.mirrors:
            parts.update(mirror.parts)
        return parts

    def mirror(self, address: str, protocol: str) -> Mirror:
        """What it has of a server; an empty mirror if that is nothing."""
        empty = Mirror(address, protocol)
        return next((one for one in self.mirrors if one.key == empty.key), empty)

    def with_mirror(self, mirror: Mirror) -> Catalog:
        """The same with this mirror in place of what it has of that server."""
        mirrors = {one.key: one for one in self.mirrors}
        mirrors[mirror.key] = mirror
        kept = (mirrors[key] for key in sorted(mirrors))
        return replace(
            self,
            mirrors=tuple(one for one in kept if one.selected or one.listed or one.exported),
        )

    def text(self) -> str:
        """The content of ``catalog.json``."""
        raw = {
            "format": FORMAT,
            "products": [_raw(product) for product in self.products],
            "leaving": dict(sorted(self.leaving.items())),
            **({"mirrors": [_raw_mirror(one) for one in self.mirrors]} if self.mirrors else {}),
        }
        return json.dumps(raw, indent=1, ensure_ascii=False) + "\n"


def streamed_versions(products: Sequence[Product]) -> dict[Key, tuple[Version, ...]]:
    """The versions that simplestreams offers, by the key of their product; only products with such versions.

    Incus before 7.0.1 takes a unified virtual machine image for a container's. So that it never gets one in place of a
    container image, such an image is left out if there is one of the same name and architecture.
    """
    containers = {(one.name, one.architecture) for one in products if one.type == CONTAINER}
    found = {}
    for product in products:
        has_container = (product.name, product.architecture) in containers
        versions = tuple(
            version
            for version in product.versions
            if not (has_container and product.is_for_incus_only(version))
        )
        if versions:
            found[product.key] = versions
    return found


def stream_name(product: Product) -> str:
    """The name of a product in a product list."""
    return f"{product.name}:{product.type}:{product.architecture}"


def sorted_products(products: Iterable[Product]) -> tuple[Product, ...]:
    """In the order of their keys."""
    return tuple(sorted(products, key=lambda product: product.key))


def newest_first(versions: Iterable[Version]) -> tuple[Version, ...]:
    """Versions in the order of servers, which ignore those whose names are no dates: these come last."""
    return tuple(sorted(versions, key=lambda one: (is_version(one.name), one.name), reverse=True))


def _raw(product: Product) -> dict[str, Any]:
    return {
        **vars(product),
        "aliases": list(product.aliases),
        "requirements": dict(sorted(product.requirements.items())),
        "versions": [
            {**vars(version), "parts": [vars(part) for part in version.parts]}
            for version in product.versions
        ],
    }


def _raw_mirror(mirror: Mirror) -> dict[str, Any]:
    return {
        "address": mirror.address,
        "protocol": mirror.protocol,
        "selected": list(mirror.selected),
        "listed": {product.name: product.document for product in mirror.listed},
        "exported": [_raw(product) for product in mirror.exported],
    }


def _parts(products: Iterable[Product]) -> dict[str, Part]:
    return {
        part.path: part
        for product in products
        for version in product.versions
        for part in version.parts
    }

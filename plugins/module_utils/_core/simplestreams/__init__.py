# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Simplestreams documents: the index and the lists of products that image servers publish.

Reads them as LXD and Incus do (``shared/simplestreams/products.go`` and ``simplestreams.go`` of both), so that what
this says of a server is what a server pulling from it would find.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Iterable, Iterator, Mapping

from ..errors import FileError, ImageNotFound
from ..images import (
    CONTAINER,
    VIRTUAL_MACHINE,
    Image,
    architecture_name,
    format_time,
    is_fingerprint,
    is_prefix,
    parse_time,
    short_fingerprint,
)

INDEX = "streams/v1/index.json"

ROOTS = {
    "squashfs": ("combined_squashfs_sha256",),
    "root.tar.xz": ("combined_rootxz_sha256", "combined_sha256"),
    "disk-kvm.img": ("combined_disk-kvm-img_sha256",),
    "uefi1.img": ("combined_uefi1-img_sha256",),
    "disk1.img": ("combined_disk1-img_sha256",),
}
"""Kinds of root files, the preferred first, and which field of the metadata item then has the fingerprint."""

_DISKS = {"disk-kvm.img", "uefi1.img", "disk1.img"}

_PREFIXES = {"https://cloud-images.ubuntu.com": "ubuntu/"}
"""What LXD takes off the aliases of a server."""


@dataclass(frozen=True)
class Reader:
    """For whom documents are read: ``family`` is ``lxd`` or ``incus``, which look for metadata files of their own.

    ``description`` is how that server words an image's description: ``classic``, ``short`` or ``incus``.
    """

    family: str = "lxd"
    description: str = "classic"

    @property
    def metadata(self) -> str:
        """The kind of metadata items that it looks for."""
        return f"{self.family}.tar.xz"

    @property
    def combined(self) -> str:
        """The kind of unified images that it looks for."""
        return f"{self.family}_combined.tar.gz"


@dataclass(frozen=True)
class File:
    """One file of an image: its path below the server's address, its SHA-256 and size in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class PublishedImage:
    """An image that a server publishes, as the API of LXD would describe it, and the files that it is made of.

    The one file of a unified image, or metadata and root. ``names`` are the product's aliases without architecture,
    ``arch`` the product's own word for that.
    """

    image: Image
    files: tuple[File, ...]
    names: tuple[str, ...]
    arch: str


def product_paths(index: Any, where: str) -> list[str]:
    """The paths of the product files that an index names. Raises FileError if it is no index; ``where`` is its URL."""
    entries = index.get("index") if isinstance(index, dict) else None
    if not isinstance(entries, dict):
        raise FileError(
            f"{where} is no simplestreams index", "Is it the address of an image server?"
        )
    return [
        str(entry["path"])
        for entry in entries.values()
        if isinstance(entry, dict)
        and entry.get("datatype") == "image-downloads"
        and entry.get("products")
        and entry.get("path")
    ]


def published_images(
    products: Any, reader: Reader, server: str, where: str
) -> list[PublishedImage]:
    """The images of one product file that this reader can use. Raises FileError if it is none.

    ``server`` is the address it came from, ``where`` its URL. What is broken or made for others is passed over, as
    servers do.
    """
    listed = products.get("products") if isinstance(products, dict) else None
    if not isinstance(listed, dict):
        raise FileError(f"{where} is no list of simplestreams products")
    prefix = next((cut for start, cut in _PREFIXES.items() if server.startswith(start)), "")
    found: list[PublishedImage] = []
    for product in listed.values():
        try:
            if architecture_name(product["arch"]):
                for serial, version in product["versions"].items():
                    if _date(serial[:8]):
                        found += _images_of(product, serial, version, reader, prefix)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
            # Whatever it is, it is no image: whoever published it should not keep us from the others.
            continue
    return found


def families_of(products: Any) -> set[str]:
    """For whom a product file has images at all, by the kinds of metadata in it."""
    text = repr(products)
    readers = (Reader("lxd"), Reader("incus"))
    return {one.family for one in readers if one.metadata in text or one.combined in text}


def _images_of(
    product: Mapping[str, Any], serial: str, version: Mapping[str, Any], reader: Reader, prefix: str
) -> Iterator[PublishedImage]:
    items = list(version["items"].values())
    for item in items:
        pairs: Iterable[Mapping[str, Any] | None] = ()
        if item.get("ftype") == reader.combined:
            pairs = (None,)
        elif item.get("ftype") == reader.metadata:
            pairs = (root for root in items if root.get("ftype") in ROOTS)
        for root in pairs:
            fingerprint = _fingerprint(item, root)
            parts = [part for part in (item, root) if part is not None]
            if fingerprint and all(part.get("path") for part in parts):
                files = tuple(map(_file, parts))
                yield _published(product, serial, version, reader, prefix, root, fingerprint, files)


def _fingerprint(item: Mapping[str, Any], root: Mapping[str, Any] | None) -> str | None:
    names = ROOTS[root["ftype"]] if root else ("sha256",)
    given = str(next((item[name] for name in names if item.get(name)), ""))
    return given if is_fingerprint(given) else None


def _file(item: Mapping[str, Any]) -> File:
    return File(str(item["path"]), str(item.get("sha256") or ""), int(item.get("size") or 0))


def _published(
    product: Mapping[str, Any],
    serial: str,
    version: Mapping[str, Any],
    reader: Reader,
    prefix: str,
    root: Mapping[str, Any] | None,
    fingerprint: str,
    files: tuple[File, ...],
) -> PublishedImage:
    arch = str(product["arch"])
    kind = root["ftype"] if root else "tar.gz"
    created = _date(serial[:8])
    requirements = product.get("lxd_requirements") if reader.family == "lxd" else None
    requirements = requirements or product.get("requirements") or {}
    properties = {
        "os": product.get("os"),
        "release": product.get("release"),
        "version": product.get("version"),
        "architecture": arch,
        "label": version.get("label"),
        "serial": serial,
        "description": _description(product, serial, version, reader.description),
        "variant": product.get("variant"),
        "type": kind,
        **{f"requirements.{name}": value for name, value in requirements.items()},
    }
    raw: dict[str, Any] = {
        "fingerprint": fingerprint,
        "type": VIRTUAL_MACHINE if kind in _DISKS else CONTAINER,
        "architecture": architecture_name(arch),
        "size": sum(file.size for file in files),
        "filename": files[0].path.rpartition("/")[2],
        "properties": {name: str(value) for name, value in properties.items() if value},
        "public": True,
        "auto_update": False,
        "cached": False,
        "profiles": [],
        "aliases": [],
        "created_at": created,
        "uploaded_at": created,
        "last_used_at": "1970-01-01T00:00:00Z",
        "expires_at": _date(product.get("support_eol")) or "1970-01-01T00:00:00Z",
    }
    names = [name.strip() for name in str(product.get("aliases") or "").split(",")]
    names = [name[len(prefix) :] if prefix and name.startswith(prefix) else name for name in names]
    return PublishedImage(Image.parse(raw), files, tuple(filter(None, names)), arch)


def _description(
    product: Mapping[str, Any], serial: str, version: Mapping[str, Any], style: str
) -> str:
    title = f"{product.get('os') or ''} {product.get('release_title') or ''}"
    label, variant = version.get("label"), product.get("variant")
    if style == "short":
        marks = [label, variant]
    else:
        title += f" {product['arch']}"
        shown = variant if style == "incus" and variant != "default" else None
        marks = [shown, label, serial]
    return title + "".join(f" ({mark})" for mark in marks if mark)


def _date(given: Any) -> str | None:
    """A day, given as 20301231 or 2030-12-31, as the API writes it; None if it is no day."""
    digits = str(given or "").replace("-", "")
    day = f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"
    try:
        return format_time(parse_time(day)) if len(day) == 10 else None
    except ValueError:
        return None


class Listing:
    """All that a server publishes, in the order in which aliases are given away: the first image gets its names.

    ``native`` is the architecture that short aliases stand for.
    """

    def __init__(self, server: str, images: Iterable[PublishedImage], native: str) -> None:
        self.server = server
        self.native = native
        self._images = sorted(sorted(images, key=_by_kind), key=_by_serial, reverse=True)
        self._images.sort(key=_by_name)

    @cached_property
    def _aliases(self) -> Mapping[tuple[str, str, str], PublishedImage]:
        """The image behind each (alias, type, architecture)."""
        aliases: dict[tuple[str, str, str], PublishedImage] = {}
        for one in self._images:
            for name in one.names:
                for spelling in (name, f"{name}/{one.arch}"):
                    aliases.setdefault((spelling, one.image.type, one.image.architecture), one)
        return aliases

    def images(self) -> list[Image]:
        """Every image, with the aliases that it has for a client of the native architecture."""
        return [self._with_aliases(one) for one in self._images]

    def aliases_of(self, one: PublishedImage) -> tuple[str, ...]:
        """The aliases of an image, as ``lxc image info`` shows them."""
        whole = {f"{name}/{one.arch}" for name in one.names}
        return tuple(
            name
            for (name, _type, architecture), owner in self._aliases.items()
            if owner is one and (name in whole or architecture == self.native)
        )

    def find(self, name: str, image_type: str | None) -> PublishedImage:
        """The image that an alias stands for, or 12 and more digits of a fingerprint. Raises ImageNotFound.

        An alias may end in any name of an architecture. Without a type the container's image comes first.
        """
        types = (image_type,) if image_type else (CONTAINER, VIRTUAL_MACHINE)
        for kind in types:
            for spelling, architecture in self._spellings(name):
                found = self._aliases.get((spelling, kind, architecture))
                if found:
                    return found
        if is_prefix(name.lower()):
            return self._by_fingerprint(name.lower(), image_type)
        raise ImageNotFound(f"{self.server} has no image {name}{self._but(name, image_type)}")

    def _spellings(self, name: str) -> Iterator[tuple[str, str]]:
        yield name, self.native
        stem, _slash, last = name.rpartition("/")
        architecture = architecture_name(last)
        if stem and architecture:
            yield stem, architecture

    def _by_fingerprint(self, digits: str, image_type: str | None) -> PublishedImage:
        found = {
            one.image.fingerprint: one
            for one in self._images
            if one.image.fingerprint.startswith(digits)
        }
        if len(found) > 1:
            raise ImageNotFound(
                f"{self.server} has {len(found)} images whose fingerprints begin with {digits}",
                "Give more digits.",
            )
        if not found:
            raise ImageNotFound(f"{self.server} has no image with the fingerprint {digits}")
        one = next(iter(found.values()))
        if image_type and one.image.type != image_type:
            raise ImageNotFound(
                f"the image {short_fingerprint(one.image.fingerprint)} of {self.server} is a {one.image.type}'s"
            )
        return one

    def _but(self, name: str, image_type: str | None) -> str:
        """What the server has of that name instead."""
        others = sorted(
            {(kind, architecture) for alias, kind, architecture in self._aliases if alias == name}
        )
        if not others:
            return f" for {image_type}s" if image_type else ""
        listed = ", ".join(f"{kind} {architecture}" for kind, architecture in others)
        return f" for {image_type or 'any type'} on {self.native}, only for {listed}"

    def _with_aliases(self, one: PublishedImage) -> Image:
        aliases = [{"name": name, "description": ""} for name in self.aliases_of(one)]
        return Image.parse({**one.image.raw, "aliases": aliases})


def _by_name(one: PublishedImage) -> tuple[bool | str, ...]:
    """Known operating systems first; the unnamed come last in each group."""
    properties = one.image.properties
    texts = (properties.get(name) or "" for name in ("os", "release", "variant"))
    return tuple(part for text in texts for part in (not text, text))


def _by_serial(one: PublishedImage) -> str:
    return one.image.properties["serial"]


def _by_kind(one: PublishedImage) -> int:
    kinds = ["tar.gz", *ROOTS]
    return kinds.index(one.image.properties["type"])

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads simplestreams documents. They come from strangers: every number, text and list in them has a limit.

An entry that is incomplete, invalid (as by a text that is too long) or made for other clients is skipped, as servers
do. A document with more values, images or aliases than the limits is refused whole, with a FileError that names it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Collection, Iterable, Iterator, Mapping, Sequence

from ..architectures import architecture_name
from ..errors import FileError
from ..images import CONTAINER, VIRTUAL_MACHINE, Image, format_time, is_fingerprint, parse_time
from ..json_reader import parse_json
from . import DISKS, ROOTS, File, Reader

MAX_DOCUMENT_BYTES = 24 << 20
"""The documents of the largest public servers have up to 20 MiB."""

MAX_VALUES = 400_000
"""Values in one document. In those of public servers a value takes 60 bytes or more."""

MAX_DOCUMENTS = 100
"""Product lists of one server. The index of cloud-images.ubuntu.com has some twenty."""

MAX_IMAGES = 20_000
"""Images of one server. Public ones have some thousands."""

MAX_ALIASES = 50_000
"""Aliases of all products of one server."""

MAX_TEXT_CHARACTERS = 4096
"""Characters of one text: a name, a path, a list of aliases."""

_STRIPPED_PREFIXES = {"https://cloud-images.ubuntu.com": "ubuntu/"}
"""What LXD strips from the aliases of a server."""

_SURROGATES = re.compile("[\ud800-\udfff]")
_NO_EXPIRY = "1970-01-01T00:00:00Z"
_READERS = (Reader("lxd"), Reader("incus"))

_INVALID = (AttributeError, KeyError, TypeError, ValueError)
"""Raised where an entry of a document is not as it has to be."""


@dataclass(frozen=True)
class Product:
    """What the versions of a product have in common.

    ``names`` are its aliases, without architecture. ``arch`` is the product's own name of its architecture,
    ``architecture`` LXD's. The other texts are empty where the document has none.
    """

    names: tuple[str, ...]
    arch: str
    architecture: str
    os: str = ""
    release: str = ""
    release_title: str = ""
    version: str = ""
    variant: str = ""
    support_eol: str = ""
    requirements: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PublishedImage:
    """One image on offer: a version of a product in one form, by ``ftype`` that of its rootfs or ``tar.gz``.

    ``type`` is container or virtual machine. ``files`` are the one file of a unified image, or metadata and rootfs.
    ``reader`` is the kind of server that it is for, and ``rank`` 0 if that is the one that reads, else its place among
    the fallbacks.
    """

    product: Product
    serial: str
    label: str
    reader: Reader
    rank: int
    ftype: str
    type: str
    fingerprint: str
    files: tuple[File, ...]

    @property
    def is_unified(self) -> bool:
        """Whether it is one file."""
        return len(self.files) == 1

    @cached_property
    def image(self) -> Image:
        """The image as the API of LXD would describe it, without aliases."""
        return self.with_aliases(())

    def with_aliases(self, names: Iterable[str]) -> Image:
        """The image as the API of LXD would describe it."""
        product = self.product
        properties = {
            "os": product.os,
            "release": product.release,
            "version": product.version,
            "architecture": product.arch,
            "label": self.label,
            "serial": self.serial,
            "description": self._description(),
            "variant": product.variant,
            "type": self.ftype,
            **{f"requirements.{name}": value for name, value in product.requirements.items()},
        }
        created = _parse_day(self.serial[:8])
        raw: dict[str, Any] = {
            "fingerprint": self.fingerprint,
            "type": self.type,
            "architecture": product.architecture,
            "size": sum(file.size for file in self.files),
            "filename": self.files[0].path.rpartition("/")[2],
            "properties": {name: value for name, value in properties.items() if value},
            "public": True,
            "auto_update": False,
            "cached": False,
            "profiles": [],
            "aliases": [{"name": name, "description": ""} for name in names],
            "created_at": created,
            "uploaded_at": created,
            "last_used_at": _NO_EXPIRY,
            "expires_at": _parse_day(product.support_eol) or _NO_EXPIRY,
        }
        return Image.parse(raw)

    def _description(self) -> str:
        product, style = self.product, self.reader.description
        title = f"{product.os} {product.release_title}"
        if style == "short":
            marks = [self.label, product.variant]
        else:
            title += f" {product.arch}"
            shown = product.variant if style == "incus" and product.variant != "default" else ""
            marks = [shown, self.label, self.serial]
        return title + "".join(f" ({mark})" for mark in marks if mark)


def parse_index(content: bytes | bytearray, url: str) -> list[str]:
    """The paths of the product lists that an index names. Raises FileError if it is not an index."""
    index = _parse(content, url)
    entries = index.get("index") if isinstance(index, dict) else None
    if not isinstance(entries, dict):
        raise FileError(
            f"{url} is not a simplestreams index", "Check that this is the URL of an image server."
        )
    found: dict[str, None] = {}
    for entry in entries.values():
        if not isinstance(entry, dict) or entry.get("datatype") != "image-downloads":
            continue
        path = entry.get("path")
        if not entry.get("products") or not path:
            continue
        if not is_path(path):
            raise FileError(f"{url} names a product list with the invalid path {str(path)[:60]!r}")
        found[path] = None
    if len(found) > MAX_DOCUMENTS:
        raise FileError(f"{url} names {len(found)} product lists, more than {MAX_DOCUMENTS}")
    return list(found)


def parse_products(content: bytes | bytearray, url: str) -> Mapping[str, Any]:
    """The products of a product list by their names, which may be anything. Raises FileError if it is not one."""
    document = _parse(content, url)
    products = document.get("products") if isinstance(document, dict) else None
    if not isinstance(products, dict):
        raise FileError(f"{url} is not a list of simplestreams products")
    return products


class ProductReader:
    """Collects the images of one server's product lists that a reader can use, up to ``MAX_IMAGES``.

    ``server`` is the server's address. ``families`` has the families that any image is for, usable or not.
    """

    def __init__(self, reader: Reader, server: str) -> None:
        self.images: list[PublishedImage] = []
        self.families: set[str] = set()
        self._reader = reader
        self._prefix = next(
            (cut for start, cut in _STRIPPED_PREFIXES.items() if server.startswith(start)), ""
        )
        self._aliases = 0

    def read(self, content: bytes | bytearray, url: str) -> None:
        """Add the images of one product list. Raises FileError if it is not one, or exceeds a limit."""
        for raw in parse_products(content, url).values():
            self.images += self.images_of(raw, url)

    def images_of(self, raw: Any, url: str) -> list[PublishedImage]:
        """The images of one product, which come from ``url``. Raises FileError if a limit is exceeded."""
        product = self.product_of(raw)
        versions = raw.get("versions") if product else None
        if product is None or not isinstance(versions, dict):
            return []
        self._aliases += len(product.names)
        self._require(self._aliases <= MAX_ALIASES, f"{MAX_ALIASES} aliases", url)
        products = [product, *(self._product_for(raw, one) for one in self._reader.chain[1:])]
        images: list[PublishedImage] = []
        for serial, version in versions.items():
            for image in self._images_of_version(products, serial, version):
                within = len(self.images) + len(images) < MAX_IMAGES
                self._require(within, f"{MAX_IMAGES} images", url)
                images.append(image)
        return images

    def _images_of_version(
        self, products: Sequence[Product | None], serial: str, version: Any
    ) -> Iterator[PublishedImage]:
        """The images of a version of a product, which is given as each reader of the chain reads it."""
        try:
            if not _parse_day(serial[:8]):
                return
            items = [item for item in version["items"].values() if isinstance(item, dict)]
            serial, label = _text({"serial": serial}, "serial"), _text(version, "label")
        except _INVALID:
            return
        types = {item.get("ftype") for item in items if isinstance(item.get("ftype"), str)}
        self.families.update(
            one.family for one in _READERS if one.metadata in types or one.combined in types
        )
        forms: set[tuple[str, str]] = set()
        for rank, (reader, product) in enumerate(zip(self._reader.chain, products)):
            # Only afterwards are its forms taken: one family can have several images of one form.
            taken = frozenset(forms)
            if product is None:
                continue
            for form in _forms(items, reader, taken):
                forms.add(form[:2])
                yield PublishedImage(product, serial, label, reader, rank, *form)

    def product_of(self, raw: Any) -> Product | None:
        """What a product's entry says of all its versions; None if it is not valid."""
        return self._product_for(raw, self._reader)

    def _product_for(self, raw: Any, reader: Reader) -> Product | None:
        try:
            return self._product(raw, reader)
        except _INVALID:
            return None

    def _product(self, raw: Mapping[str, Any], reader: Reader) -> Product:
        arch = _text(raw, "arch")
        architecture = architecture_name(arch)
        if not architecture:
            raise ValueError(arch)
        requirements = raw.get("lxd_requirements") if reader.family == "lxd" else None
        requirements = requirements or raw.get("requirements") or {}
        names = (name.strip() for name in _text(raw, "aliases").split(","))
        cut = self._prefix
        names = (name[len(cut) :] if cut and name.startswith(cut) else name for name in names)
        texts = ("os", "release", "release_title", "version", "variant", "support_eol")
        return Product(
            # Others cannot be asked for, and would reach terminals in messages.
            names=tuple(name for name in names if name and name.isprintable()),
            arch=arch,
            architecture=architecture,
            requirements={_clean(name): _text(requirements, name) for name in requirements},
            **{name: _text(raw, name) for name in texts},
        )

    @staticmethod
    def _require(within: bool, limit: str, url: str) -> None:
        if not within:
            raise FileError(
                f"{url} lists too many images: the limit is {limit}",
                "Check that this is the URL of an image server.",
            )


def _parse(content: bytes | bytearray, url: str) -> Any:
    try:
        return parse_json(content, MAX_VALUES)
    except ValueError as error:
        raise FileError(
            f"{url} {error}", "Check that this is the URL of an image server."
        ) from error


def _forms(
    items: Sequence[Mapping[str, Any]], reader: Reader, taken: Collection[tuple[str, str]]
) -> Iterator[tuple[str, str, str, tuple[File, ...]]]:
    """Form, type, fingerprint and files of each image that one version's items make for a reader.

    Pairs that make none, and those of the forms and types ``taken``, are not even formed: there could be a great many.
    """
    usable = [(item, file) for item, file in zip(items, map(file_of_item, items)) if file]
    roots: dict[str, list[File]] = {}
    for item, file in usable:
        ftype = _ftype(item)
        if ftype in ROOTS and (ftype, _type_of(ftype)) not in taken:
            roots.setdefault(ftype, []).append(file)
    for item, file in usable:
        if _ftype(item) == reader.combined and is_fingerprint(file.sha256):
            is_machine = reader.reads_combined_type and item.get("combined_type") == VIRTUAL_MACHINE
            image_type = VIRTUAL_MACHINE if is_machine else CONTAINER
            if ("tar.gz", image_type) not in taken:
                yield "tar.gz", image_type, file.sha256, (file,)
        elif _ftype(item) == reader.metadata:
            for ftype, root_files in roots.items():
                given = next((item[name] for name in ROOTS[ftype] if item.get(name)), None)
                if isinstance(given, str) and is_fingerprint(given):
                    for root_file in root_files:
                        yield ftype, _type_of(ftype), given, (file, root_file)


def _type_of(ftype: str) -> str:
    """The type of images with this type of rootfs."""
    return VIRTUAL_MACHINE if ftype in DISKS else CONTAINER


def _ftype(item: Mapping[str, Any]) -> str:
    ftype = item.get("ftype")
    return ftype if isinstance(ftype, str) else ""


def file_of_item(item: Mapping[str, Any]) -> File | None:
    """The file that an item names; None if it is not one that can be fetched."""
    path: Any = item.get("path")
    digest, size = item.get("sha256"), item.get("size") or 0
    if not is_path(path) or not isinstance(size, int) or isinstance(size, bool) or size < 0:
        return None
    return File(path, digest if isinstance(digest, str) and is_fingerprint(digest) else "", size)


def is_path(path: Any) -> bool:
    """Whether this can be the path of a file below a server's address."""
    return (
        isinstance(path, str)
        and 0 < len(path) <= MAX_TEXT_CHARACTERS
        and path.isprintable()
        and ".." not in path.split("/")
    )


def _text(raw: Mapping[str, Any], name: str) -> str:
    """A text of an entry, empty if it is left out. Raises TypeError, ValueError."""
    value = raw.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(name)
    return _clean(value)


def _clean(text: str) -> str:
    """The text as servers keep it, which replace lone surrogates. Raises ValueError if it is too long."""
    if len(text) > MAX_TEXT_CHARACTERS:
        raise ValueError(f"a text of {len(text)} characters")
    return _SURROGATES.sub("\ufffd", text)


def _parse_day(given: str) -> str | None:
    """A day, given as 20301231 or 2030-12-31, as the API writes it; None if it is not a day."""
    digits = given.replace("-", "")
    day = f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"
    try:
        return format_time(parse_time(day)) if len(day) == 10 else None
    except ValueError:
        return None

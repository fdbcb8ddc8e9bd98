# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an image server says that it has: its simplestreams documents, and its own record, ``catalog.json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Iterator, Mapping, NamedTuple, Sequence, Tuple

from ..catalog.record import Catalog, Product, streamed_versions
from ..catalog.record_reader import parse_record
from ..catalog.web_root import RECORD
from ..errors import FileError
from ..images import short_fingerprint
from ..json_reader import parse_json
from ..simplestreams import INDEX, File, Reader
from ..simplestreams.reading import MAX_VALUES, ProductReader, PublishedImage, parse_index
from .endpoint import Endpoint
from .findings import Finding, shown

READERS = {"LXD": Reader("lxd"), "Incus": Reader("incus")}

Key = Tuple[str, str, str, str]
"""Name, type and architecture of an image, and its version."""


class _Entry(NamedTuple):
    """What the index or the record says of one image."""

    fingerprint: str
    names: frozenset[str]
    files: tuple[File, ...]


@dataclass(frozen=True)
class Documents:
    """All documents of one server. ``texts`` has them as they came, by their paths below the root.

    ``product_lists`` are the paths of those that list products.
    """

    catalog: Catalog
    product_lists: tuple[str, ...]
    texts: Mapping[str, bytes]


def read_documents(endpoint: Endpoint) -> Documents:
    """Read them. Raises FileError if one is missing or malformed."""
    texts = {INDEX: endpoint.document(INDEX)}
    paths = parse_index(texts[INDEX], f"{endpoint.url}/{INDEX}")
    product_lists = tuple(path.lstrip("/") for path in paths)
    for path in product_lists:
        texts[path] = endpoint.document(path)
    texts[RECORD] = endpoint.document(RECORD)
    catalog = parse_record(texts[RECORD], f"{endpoint.url}/{RECORD}")
    return Documents(catalog, product_lists, texts)


def check_index(documents: Documents, url: str) -> Iterator[Finding]:
    """Whether LXD and Incus find in the index what the record has, and nothing else. Raises FileError."""
    yield from _check_listing(documents, url)
    for family, reader in READERS.items():
        expected = _by_record(documents.catalog, reader)
        products = ProductReader(reader, url)
        for path in documents.product_lists:
            products.read(documents.texts[path], f"{url}/{path}")
        yield from _compare_all(family, _by_key(products.images), expected)


def index_notes(catalog: Catalog) -> list[str]:
    """What administrators should know of an index that is as it has to be: images that not all clients see in it."""
    versions = streamed_versions(catalog.products)
    notes = []
    for product in catalog.products:
        listed = versions.get(product.key, ())
        if any(product.is_for_incus_only(version) for version in listed):
            notes.append(
                f"{product} is in one file, so the index has it for Incus 7.0.1, 7.1 and later: LXD does not see it"
                " there, and earlier versions of Incus take it for a container image"
            )
        elif len(listed) < len(product.versions):
            notes.append(
                f"{product} is in one file and not in the index, since versions of Incus before 7.0.1 and 7.1 would"
                " take it for the container image of that name"
            )
    return notes


def _check_listing(documents: Documents, url: str) -> Iterator[Finding]:
    """Whether the index lists the products that the product lists have."""
    listed: dict[str, set[str]] = {path: set() for path in documents.product_lists}
    for entry in _entries(_parsed(documents, INDEX), "index").values():
        fields = entry if isinstance(entry, dict) else {}
        path, products = fields.get("path"), fields.get("products")
        if isinstance(path, str) and isinstance(products, list):
            listed.get(path.lstrip("/"), set()).update(map(str, products))
    for path, names in listed.items():
        present = set(_entries(_parsed(documents, path), "products"))
        for name in sorted(names - present):
            yield Finding(f"{url}/{INDEX}", f"lists the product {shown(name)}, which {path} lacks")
        for name in sorted(present - names):
            yield Finding(f"{url}/{INDEX}", f"does not list the product {shown(name)} of {path}")


def _parsed(documents: Documents, path: str) -> Any:
    try:
        return parse_json(documents.texts[path], MAX_VALUES)
    except ValueError as error:
        raise FileError(f"{path} {error}") from error


def _entries(document: Any, name: str) -> Mapping[str, Any]:
    """The object in this field of a document, an empty one if there is none."""
    found = document.get(name) if isinstance(document, dict) else None
    return found if isinstance(found, dict) else {}


def _compare_all(
    family: str, found: Mapping[Key, _Entry], expected: Mapping[Key, _Entry]
) -> Iterator[Finding]:
    for key in sorted({*expected, *found}):
        subject, actual, wanted = _title(key), found.get(key), expected.get(key)
        if actual is None:
            yield Finding(
                subject,
                f"{family} does not find it in the index, though {RECORD} has it",
                "Servers ignore versions whose name does not begin with a date, and images in two files whose"
                " combined hash is missing.",
            )
        elif wanted is None:
            yield Finding(subject, f"{family} finds it in the index, though {RECORD} lacks it")
        else:
            yield from _compare(subject, family, actual, wanted)


def _compare(subject: str, family: str, actual: _Entry, wanted: _Entry) -> Iterator[Finding]:
    if actual.fingerprint != wanted.fingerprint:
        yield Finding(
            subject,
            f"has the fingerprint {short_fingerprint(actual.fingerprint)} for {family}, but"
            f" {short_fingerprint(wanted.fingerprint)} in {RECORD}",
        )
    if actual.names != wanted.names:
        has, should = (shown(", ".join(sorted(one.names))) for one in (actual, wanted))
        yield Finding(subject, f"has the names {has} for {family}, but {should} in {RECORD}")
    if actual.files != wanted.files:
        yield Finding(subject, f"consists of other files for {family} than in {RECORD}")


def _by_record(catalog: Catalog, reader: Reader) -> dict[Key, _Entry]:
    """The images of the record that a reader has to find in the index."""
    expected: dict[Key, _Entry] = {}
    for products in (catalog.products, *(mirror.exported for mirror in catalog.mirrors)):
        expected.update(_of_products(products, reader))
    for mirror in catalog.mirrors:
        for listed in mirror.listed:
            expected.update(_by_key(listed.images(reader)))
    return expected


def _of_products(products: Sequence[Product], reader: Reader) -> dict[Key, _Entry]:
    versions = streamed_versions(products)
    return {
        (*product.key, version.name): _Entry(
            version.fingerprint,
            frozenset(product.names),
            tuple(File(part.path, part.sha256, part.size) for part in version.parts),
        )
        for product in products
        for version in versions.get(product.key, ())
        if reader.reads_combined_type or not product.is_for_incus_only(version)
    }


def _by_key(images: Iterable[PublishedImage]) -> dict[Key, _Entry]:
    return {
        (one.product.names[0], one.type, one.product.architecture, one.serial): _Entry(
            one.fingerprint, frozenset(one.product.names), one.files
        )
        for one in images
        if one.product.names
    }


def _title(key: Key) -> str:
    name, kind, architecture, version = key
    return f"{shown(name)[1:-1]} ({kind}, {architecture}) {shown(version)[1:-1]}"

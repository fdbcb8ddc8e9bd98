# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Products of other image servers in a catalog: as they are listed there, but with paths of files in this tree."""

from __future__ import annotations

import re
from calendar import timegm
from time import strptime
from typing import Any, Callable, Iterator, Mapping

from ..images import is_fingerprint
from ..simplestreams import EVERY_FAMILY, File, Reader
from ..simplestreams.listing import by_preference
from ..simplestreams.reading import MAX_TEXT_CHARACTERS, PublishedImage
from .names import check_name, check_text, shortened
from .record import Catalog, MirroredProduct, Part, Product, Version, sorted_products

READERS = (Reader("lxd"), Reader("incus"))
"""On whose behalf products are mirrored."""

_ENDING = re.compile(r"\.([a-z0-9]{1,8}(?:\.[a-z0-9]{1,8})?)\Z")
_PATH = re.compile(r"files/([0-9a-f]{64})\.([a-z0-9]{1,8}(?:\.[a-z0-9]{1,8})?)\Z")
_OTHER_ENDING = "img"


def part_of_file(file: File) -> Part:
    """What a file of an image server is in a tree. It has a SHA-256."""
    found = _ENDING.search(file.path.rpartition("/")[2])
    return Part(file.sha256, file.size, found[1] if found else _OTHER_ENDING)


def product_entry(
    raw: Any, place: Callable[[str, Mapping[str, Any]], Mapping[str, Any] | None]
) -> dict[str, Any]:
    """The entry of a product for a catalog, from that of a product list.

    ``place`` is called with the name of a version and an item; it returns the fields by which the item differs, or None
    to leave it out. Versions without items are left out. Raises ValueError if what remains is not valid.
    """
    versions: dict[str, Any] = {}
    for serial, version in _require_mapping(_require_mapping(raw).get("versions")).items():
        entries = version.get("items") if isinstance(version, dict) else None
        items = {
            _text(name): {**_fields(item), **placed}
            for name, item in (entries.items() if isinstance(entries, dict) else ())
            if isinstance(item, dict)
            for placed in [place(_text(serial), item)]
            if placed is not None
        }
        if items:
            versions[_text(serial)] = {**_fields(version), "items": items}
    return {**_fields(raw), "versions": versions}


def parse_product(name: str, raw: Any) -> MirroredProduct:
    """A product in the record of a catalog. Raises ValueError if it is not valid."""
    entry = product_entry(raw, lambda _serial, item: _checked_item(item))
    if not entry["versions"]:
        raise ValueError("it has no versions")
    return MirroredProduct(_text(name), entry)


def _checked_item(item: Mapping[str, Any]) -> Mapping[str, Any]:
    path, size = item.get("path"), item.get("size")
    match = _PATH.match(path) if isinstance(path, str) else None
    if not match:
        raise ValueError(f"{shortened(path)} is not the path of a file of a catalog")
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise ValueError(f"size: {shortened(size)} is not a number of bytes")
    if item.get("sha256") != match[1] or not is_fingerprint(match[1]):
        raise ValueError(f"sha256: {shortened(item.get('sha256'))} is not that of {path}")
    return {"path": path, "size": size, "sha256": match[1]}


def _fields(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an entry that are texts, numbers or requirements; others mean nothing to clients."""
    fields: dict[str, Any] = {}
    for name, value in raw.items():
        if len(name) > MAX_TEXT_CHARACTERS:
            continue
        if isinstance(value, str) and len(value) <= MAX_TEXT_CHARACTERS:
            fields[_text(name)] = _text(value)
        elif isinstance(value, int):
            fields[_text(name)] = value
        elif isinstance(value, dict) and name in ("requirements", "lxd_requirements"):
            fields[name] = {_text(key): _text(one) for key, one in value.items()}
    return fields


def _text(value: Any) -> str:
    return check_text(value, MAX_TEXT_CHARACTERS)


def _require_mapping(value: Any) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return value
    raise ValueError(f"{shortened(value)} is not an object")


def shown_products(catalog: Catalog) -> tuple[Product, ...]:
    """All products of a catalog in one form, in the order of their keys: its own, and those of mirrors.

    Those of product lists have the names that are valid everywhere, and are left out if they have none. Of several
    forms of an image they have the one that clients prefer, and LXD's if Incus has another.
    """
    shown = [product for mirror in catalog.mirrors for product in mirror.exported]
    for mirror in catalog.mirrors:
        for product in mirror.listed:
            shown += _shown(product)
    return sorted_products((*catalog.products, *shown))


def _shown(product: MirroredProduct) -> Iterator[Product]:
    names = _valid_names(product)
    chosen: dict[tuple[str, str], PublishedImage] = {}
    for image in by_preference(product.images(EVERY_FAMILY)):
        chosen.setdefault((image.type, image.serial), image)
    by_type: dict[str, list[PublishedImage]] = {}
    for _type, serial in sorted(chosen, reverse=True):
        image = chosen[_type, serial]
        by_type.setdefault(image.type, []).append(image)
    for kind, images in by_type.items() if names else ():
        facts = images[0].product
        yield Product(
            name=names[0],
            type=kind,
            architecture=facts.architecture,
            os=facts.os,
            release=facts.release,
            variant=facts.variant,
            aliases=tuple(names[1:]),
            requirements=facts.requirements,
            versions=tuple(
                Version(
                    image.serial,
                    image.fingerprint,
                    _day_of(image.serial),
                    tuple(product.parts[file.path] for file in image.files),
                )
                for image in images
            ),
        )


def _valid_names(product: MirroredProduct) -> list[str]:
    """The names of a product that can be in addresses and configuration."""
    names: dict[str, None] = {}
    for name in product.names:
        try:
            names[check_name(name)] = None
        except ValueError:
            # Clients can ask for it all the same, by the index.
            continue
    return list(names)


def _day_of(serial: str) -> int:
    """The day of a version, in seconds since 1970; 0 if it is none."""
    try:
        return timegm(strptime(serial[:8], "%Y%m%d"))
    except ValueError:
        return 0

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads ``catalog.json``, whoever has edited it: nothing reaches a path or a configuration file unchecked.

The rules are those of publication, with some leniency for what earlier versions of this collection wrote: versions
that are no dates, dates and texts of any kind. Unknown fields are ignored.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator, Mapping

from ..architectures import architecture_name
from ..archives.image_info import PART_ENDINGS
from ..errors import FileError
from ..images import CONTAINER, VIRTUAL_MACHINE, is_fingerprint
from ..json_reader import parse_json
from ..simplestreams.reading import MAX_DOCUMENT_BYTES, MAX_VALUES
from .mirrored import parse_product
from .names import LEGACY_VERSION, check_name, check_requirements, check_text, shortened
from .record import FORMAT, Catalog, Mirror, Part, Product, Version, newest_first, sorted_products

MAX_RECORD_BYTES = MAX_DOCUMENT_BYTES
"""A record has about the size of the product list that is generated from it."""

_HINT = "Repair it, or move it away: a new catalog is then started, and the files remain."


def parse_record(content: bytes, path: str) -> Catalog:
    """The catalog in a record. Raises FileError if it is not valid; ``path`` is what messages call it."""
    try:
        record = _require(parse_json(content, MAX_VALUES), dict, "it")
        with _named("format"):
            form = _text(record.get("format"))
        if form != FORMAT:
            raise FileError(
                f"{path} has the format {shortened(form)}, not {FORMAT!r}",
                "It was written by another version of this collection, or by something else.",
            )
        raw_products = _require(record.get("products"), list, "products")
        products: dict[Any, Product] = {}
        for number, raw in enumerate(raw_products):
            with _named(f"products[{number}]"):
                product = _product(_require(raw, dict, "it"))
                if products.setdefault(product.key, product) is not product:
                    raise ValueError(f"{product} is listed twice")
        with _named("leaving"):
            leaving = _leaving(_require(record.get("leaving"), dict, "it"))
        mirrors: dict[Any, Mirror] = {}
        for number, raw in enumerate(_require(record.get("mirrors", []), list, "mirrors")):
            with _named(f"mirrors[{number}]"):
                mirror = _mirror(_require(raw, dict, "it"))
                if mirrors.setdefault(mirror.key, mirror) is not mirror:
                    raise ValueError(f"{mirror} is listed twice")
    except ValueError as error:
        raise FileError(f"{path} is not a valid record of a catalog: {error}", _HINT) from error
    return Catalog(
        sorted_products(products.values()),
        leaving,
        tuple(mirrors[key] for key in sorted(mirrors)),
    )


def _mirror(raw: Mapping[str, Any]) -> Mirror:
    listed = []
    for name, document in _require(raw.get("listed"), dict, "listed").items():
        with _named(f"listed[{shortened(name)}]"):
            listed.append(parse_product(name, document))
    exported = []
    for number, one in enumerate(_require(raw.get("exported"), list, "exported")):
        with _named(f"exported[{number}]"):
            exported.append(_product(_require(one, dict, "it")))
    with _named("selected"):
        selected = _require(raw.get("selected"), list, "it")
        texts = tuple(check_text(one, MAX_RECORD_BYTES) for one in selected)
    with _named("address"):
        address = check_text(raw.get("address"))
    with _named("protocol"):
        protocol = check_text(raw.get("protocol"))
    return Mirror(address, protocol, texts, tuple(listed), sorted_products(exported))


def _product(raw: Mapping[str, Any]) -> Product:
    with _named("name"):
        name = check_name(raw.get("name"))
    with _named("type"):
        kind = _one_of(raw.get("type"), (CONTAINER, VIRTUAL_MACHINE))
    with _named("architecture"):
        architecture = _text(raw.get("architecture"))
        if architecture_name(architecture) != architecture:
            raise ValueError(f"{shortened(architecture)} is not an architecture")
    texts = {}
    for field in ("os", "release", "variant", "description"):
        with _named(field):
            texts[field] = check_text(raw.get(field, ""), MAX_RECORD_BYTES)
    with _named("aliases"):
        aliases = tuple(map(check_name, _require(raw.get("aliases", []), list, "it")))
    with _named("requirements"):
        requirements = check_requirements(_require(raw.get("requirements", {}), dict, "it"))
    versions: dict[str, Version] = {}
    for number, one in enumerate(_require(raw.get("versions"), list, "versions")):
        with _named(f"versions[{number}]"):
            version = _version(_require(one, dict, "it"))
            if versions.setdefault(version.name, version) is not version:
                raise ValueError(f"{version.name} is listed twice")
    if not versions:
        raise ValueError("it has no versions")
    return Product(
        name=name,
        type=kind,
        architecture=architecture,
        aliases=aliases,
        requirements=requirements,
        versions=newest_first(versions.values()),
        **texts,
    )


def _version(raw: Mapping[str, Any]) -> Version:
    name = _text(raw.get("name"))
    if not LEGACY_VERSION.match(name):
        raise ValueError(f"{shortened(name)} is not a version")
    created = raw.get("created")
    if isinstance(created, bool) or not isinstance(created, (int, float)):
        raise ValueError(f"created: {shortened(created)} is not a number")
    raw_parts = _require(raw.get("parts"), list, "parts")
    if len(raw_parts) not in (1, 2):
        raise ValueError(f"it has {len(raw_parts)} files, not one or two")
    return Version(
        name=name,
        fingerprint=_digest(raw.get("fingerprint")),
        created=created if isinstance(created, int) else 0,
        parts=tuple(_part(_require(part, dict, "a part")) for part in raw_parts),
    )


def _part(raw: Mapping[str, Any]) -> Part:
    size = raw.get("size")
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise ValueError(f"size: {shortened(size)} is not a number of bytes")
    return Part(_digest(raw.get("sha256")), size, _one_of(raw.get("ending"), PART_ENDINGS))


def _leaving(raw: Mapping[str, Any]) -> dict[str, int]:
    for path, since in raw.items():
        folder, _slash, name = path.partition("/")
        if folder != "files" or "/" in name or "\0" in name or name in ("", ".", ".."):
            raise ValueError(f"{shortened(path)} is not a file of a catalog")
        if isinstance(since, bool) or not isinstance(since, int):
            raise ValueError(f"{shortened(since)} is not a time")
        if check_text(path) != path:
            raise ValueError(f"{shortened(path)} is not text")
    return dict(raw)


def _digest(value: Any) -> str:
    if isinstance(value, str) and is_fingerprint(value):
        return value
    raise ValueError(f"{shortened(value)} is not a SHA-256")


def _one_of(value: Any, allowed: Any) -> str:
    if isinstance(value, str) and value in allowed:
        return value
    raise ValueError(f"{shortened(value)} is none of {', '.join(allowed)}")


def _text(value: Any) -> str:
    return str(_require(value, str, "it"))


def _require(value: Any, kind: type, name: str) -> Any:
    if isinstance(value, kind):
        return value
    raise ValueError(f"{name} is not {_KINDS[kind]}")


_KINDS: Mapping[type, str] = {dict: "an object", list: "a list", str: "a string"}


@contextmanager
def _named(field: str) -> Iterator[None]:
    """Put the name of a field before the message of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from error

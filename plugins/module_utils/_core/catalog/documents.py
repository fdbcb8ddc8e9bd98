# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documents of a catalog: its record, and all that is generated from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Mapping, Sequence

from ..errors import OptionError
from ..json_reader import MAX_BYTES_BEYOND_ASCII, count_values
from ..simplestreams import INDEX, File
from ..simplestreams import writing as streams
from ..simplestreams.reading import MAX_DOCUMENT_BYTES, MAX_VALUES
from .client_commands import PUBLIC
from .header_map import header_map
from .mirrored import shown_products
from .page import page
from .record import Catalog, Product, stream_name, streamed_versions
from .web_root import PAGE, RECORD


def documents(
    catalog: Catalog, base_url: str, header_map_path: str | None, access: str = PUBLIC
) -> dict[str, str]:
    """The content of each document by its path, in the order in which they are to be replaced.

    ``access`` is what the web server asks its clients for.
    """
    products = stream_products(catalog)
    shown = replace(catalog, products=shown_products(catalog))
    texts = {
        RECORD: catalog.text(),
        streams.PRODUCTS: streams.products_text(products),
        INDEX: streams.index_text(products),
    }
    if header_map_path:
        texts[header_map_path] = header_map(shown, base_url)
    texts[PAGE] = page(shown, base_url, access)
    return texts


def require_readable(texts: Mapping[str, str]) -> None:
    """Raises OptionError if documents are larger than what this collection reads again."""
    for path in (RECORD, streams.PRODUCTS):
        content = texts[path].encode()
        if len(content) > MAX_DOCUMENT_BYTES or count_values(content) > MAX_VALUES:
            raise OptionError(
                f"the catalog would be too large: {path} would have {len(content) >> 20} MiB and"
                f" {count_values(content)} values, but clients read up to {MAX_DOCUMENT_BYTES >> 20} MiB and"
                f" {MAX_VALUES} values",
                "Withdraw images, lower keep, or use several catalogs.",
            )
        if len(content) > MAX_BYTES_BEYOND_ASCII and not content.isascii():
            raise OptionError(
                f"the catalog would be too large: {path} would have {len(content) >> 20} MiB, but clients read up to"
                f" {MAX_BYTES_BEYOND_ASCII >> 20} MiB of a document that is not all ASCII",
                "Use ASCII in names, descriptions and properties, or several catalogs.",
            )


def stream_products(catalog: Catalog) -> dict[str, Any]:
    """The products that simplestreams can offer, in its form."""
    products = _products(catalog.products)
    for mirror in catalog.mirrors:
        products.update(_products(mirror.exported))
        products.update({product.name: product.document for product in mirror.listed})
    return products


def _products(products: Sequence[Product]) -> dict[str, Any]:
    versions = streamed_versions(products)
    return {
        stream_name(product): streams.product(
            product.architecture,
            product.names,
            _properties(product),
            product.requirements,
            {
                version.name: streams.items(
                    version.fingerprint,
                    [File(part.path, part.sha256, part.size) for part in version.parts],
                    product.type,
                )
                for version in versions[product.key]
            },
        )
        for product in products
        if product.key in versions
    }


def _properties(product: Product) -> dict[str, str]:
    properties = {
        # Servers make the image's description from it, which would else begin with a space.
        "os": product.os or product.name,
        "release": product.release,
        "variant": product.variant,
    }
    return {name: value for name, value in properties.items() if value}

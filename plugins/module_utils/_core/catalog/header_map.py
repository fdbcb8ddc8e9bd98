# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The header map: with it nginx responds to imports by URL, from a name and the architectures of a client.

A server that imports an image by URL (``lxd/images.go``, imgPostURLInfo) sends its architectures, its own first, and
expects the fingerprint and the URL of the file in headers of the response.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Iterable

from ..images import CONTAINER
from .record import Catalog, Product

_LONG_NAME = 40
"""Characters. By default nginx has room for keys of 46."""

_MANY_NAMES = 1000

_HEAD = """\
# Include this in the http block of nginx. For a request for /images/NAME, it sets:
#   $lxd_image_hash   the fingerprint of the image, or empty
#   $lxd_image_url    the URL of its file, or empty
#   $lxd_image_name   the name
#   $lxd_image_page   the anchor of the image on the page for people
#   $lxd_image_state  here, person (the client sends no architectures), split (the image consists of two files, which
#                     cannot be imported by URL), other (not for these architectures), or unknown (no such name)
#   $lxd_image_catalog  the digest in the first line
"""

_MAPS = """
map $uri $lxd_image_name {
    default "";
    "~^/images/(?<lxd_image_asked>[A-Za-z0-9._+/-]+)$" $lxd_image_asked;
}
map $http_lxd_server_architectures $lxd_image_client {
    default $http_lxd_server_architectures;
    "" $http_incus_server_architectures;
}
# The time of the next match grows with the square of the length of this header, so longer ones are not accepted.
map $lxd_image_client $lxd_image_architectures {
    default "?";
    "" "";
    "~^(?=.{1,256}$)[a-z0-9_]+( *, *[a-z0-9_]+)*$" $lxd_image_client;
}
# The file for the first of the client's architectures that has one.
map "$lxd_image_architectures|$lxd_image_choices" $lxd_image_file {
    default "";
    "~^LISTED(?<lxd_image_found>[0-9a-f]{64}\\.[a-z0-9.]+);" $lxd_image_found;
}
map $lxd_image_file $lxd_image_hash {
    default "";
    "~^(?<lxd_image_sum>[0-9a-f]{64})" $lxd_image_sum;
}
map $lxd_image_file $lxd_image_state {
    default here;
    "" $lxd_image_known;
}
map $lxd_image_choices $lxd_image_known {
    default $lxd_image_unfit;
    "" unknown;
}
map "$lxd_image_architectures|$lxd_image_choices" $lxd_image_unfit {
    default other;
    "~^\\|" person;
    "~^LISTEDsplit;" split;
}
"""


_LISTED = (
    r"(?:[a-z0-9_]+[ ,]+)*?(?<lxd_image_fit>[a-z0-9_]+)(?:[ ,][^|]*)?"  # an architecture of the client
    r"\|(?:.*;)?\k<lxd_image_fit>="  # that has a file
)


def header_map(catalog: Catalog, base_url: str) -> str:
    """The content of the header map. ``base_url`` has no slash at its end."""
    choices = _choices(catalog.products)
    sizes = ""
    if any(len(name) > _LONG_NAME for name in choices):
        sizes += "map_hash_bucket_size 256;\n"
    if len(choices) > _MANY_NAMES:
        sizes += f"map_hash_max_size {1 << (2 * len(choices)).bit_length()};\n"
    entries = [f'    "{name}" ";{choice};";' for name, choice in sorted(choices.items())]
    # The last of several spellings of a name decides, as nginx ignores case.
    anchors = {
        alias.lower(): (alias, product.name)
        for product in catalog.products
        for alias in product.aliases
    }
    body = "\n".join(
        [
            f"{_HEAD}{sizes}{_MAPS.replace('LISTED', _LISTED)}map $lxd_image_file $lxd_image_url {{",
            f'    default "{base_url}/files/$lxd_image_file";',
            '    "" "";',
            "}",
            "map $lxd_image_name $lxd_image_choices {",
            '    default "";',
            *entries,
            "}",
            "map $lxd_image_name $lxd_image_page {",
            "    default $lxd_image_name;",
            *(f'    "{alias}" "{name}";' for alias, name in sorted(anchors.values())),
            "}",
        ]
    )
    digest = sha256(body.encode()).hexdigest()
    return f'# catalog {digest}\n{body}\nmap "" $lxd_image_catalog {{\n    default {digest};\n}}\n'


def _choices(products: Iterable[Product]) -> dict[str, str]:
    """The images by name, each as in ``x86_64=FILE;aarch64=split``."""
    found: dict[str, dict[str, str]] = {}
    spellings: dict[str, str] = {}
    # Images in one file take precedence, and of these container images.
    for product in sorted(
        products, key=lambda one: (one.newest.is_split, one.type != CONTAINER, one.key)
    ):
        newest = product.newest
        file = "split" if newest.is_split else newest.parts[0].path.rpartition("/")[2]
        for name in product.names:
            # nginx ignores case, and refuses a map with the same name twice.
            spelling = spellings.setdefault(name.lower(), name)
            found.setdefault(spelling, {}).setdefault(product.architecture, file)
    return {
        name: ";".join(f"{architecture}={file}" for architecture, file in sorted(by.items()))
        for name, by in found.items()
    }

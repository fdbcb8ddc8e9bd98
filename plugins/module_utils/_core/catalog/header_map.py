# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The map with which nginx answers for images by itself: from a name and the architectures of a client to a file.

LXD asks so for an image by URL (``lxd/images.go``, imgPostURLInfo): it names its architectures, its own first, and
wants the fingerprint and the address of the file in headers of the answer.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Iterable

from ..images import CONTAINER
from .record import Catalog, Product

_LONG_NAME = 40
"""nginx makes room for keys of 46 characters by itself."""

_MANY_NAMES = 1000

_HEAD = """\
# For the http block of nginx. Each request for /images/NAME gets:
#   $lxd_image_hash   the image's fingerprint, or nothing
#   $lxd_image_url    the address of its file, or nothing
#   $lxd_image_name   the name
#   $lxd_image_page   where on the page the image is, for people: behind a #
#   $lxd_image_state  here, or: person (the client names no architectures), split (there are two files, which this way
#                     cannot serve), other (not for these architectures), unknown (no such name)
#   $lxd_image_catalog  what stands in the first line
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
# The next pattern but one takes time that grows with the square of this header's length, so the length is bounded.
map $lxd_image_client $lxd_image_architectures {
    default "?";
    "" "";
    "~^(?=.{1,256}$)[a-z0-9_]+( *, *[a-z0-9_]+)*$" $lxd_image_client;
}
# The first of the client's architectures for which there is a file.
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
    r"(?:[a-z0-9_]+[ ,]+)*?(?<lxd_image_fit>[a-z0-9_]+)(?:[ ,][^|]*)?"  # one that the client names
    r"\|(?:.*;)?\k<lxd_image_fit>="  # and that there is
)


def header_map(catalog: Catalog, base_url: str) -> str:
    """The content of the map. ``base_url`` has no slash at its end."""
    choices = _choices(catalog.products)
    sizes = ""
    if any(len(name) > _LONG_NAME for name in choices):
        sizes += "map_hash_bucket_size 256;\n"
    if len(choices) > _MANY_NAMES:
        sizes += f"map_hash_max_size {1 << (2 * len(choices)).bit_length()};\n"
    lines = [f'    "{name}" ";{choice};";' for name, choice in sorted(choices.items())]
    places = {alias: product.name for product in catalog.products for alias in product.aliases}
    body = "\n".join(
        [
            f"{_HEAD}{sizes}{_MAPS.replace('LISTED', _LISTED)}map $lxd_image_file $lxd_image_url {{",
            f'    default "{base_url}/files/$lxd_image_file";',
            '    "" "";',
            "}",
            "map $lxd_image_name $lxd_image_choices {",
            '    default "";',
            *lines,
            "}",
            "map $lxd_image_name $lxd_image_page {",
            "    default $lxd_image_name;",
            *(f'    "{alias}" "{name}";' for alias, name in sorted(places.items())),
            "}",
        ]
    )
    digest = sha256(body.encode()).hexdigest()
    return f'# catalog {digest}\n{body}\nmap "" $lxd_image_catalog {{\n    default {digest};\n}}\n'


def _choices(products: Iterable[Product]) -> dict[str, str]:
    """For each name what there is, as in ``x86_64=FILE;aarch64=split``."""
    found: dict[str, dict[str, str]] = {}
    # A container's image is served rather than a virtual machine's, and a file rather than none.
    for product in sorted(
        products, key=lambda one: (one.newest.is_split, one.type != CONTAINER, one.key)
    ):
        newest = product.newest
        file = "split" if newest.is_split else newest.parts[0].path.rpartition("/")[2]
        for name in product.names:
            found.setdefault(name, {}).setdefault(product.architecture, file)
    return {
        name: ";".join(f"{architecture}={file}" for architecture, file in sorted(by.items()))
        for name, by in found.items()
    }

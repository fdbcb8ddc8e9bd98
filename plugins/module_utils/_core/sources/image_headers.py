# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a web server says of an image: the headers that LXD and Incus ask for (``doc/howto/images_copy.md``).

All of it is hostile input. Nothing of it ever becomes a path, and what is shown of it is cut short and masked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Callable, Sequence
from urllib.parse import urlsplit

from ..downloads import mask_credentials
from ..errors import FileError

FAMILIES = ("LXD", "Incus")

Values = Callable[[str], Sequence[str]]
"""All values that an answer has of a header, in order."""


@dataclass(frozen=True)
class ImageHeaders:
    """Where an image is, and what it is: ``fingerprint`` in lower case, ``location`` an absolute address.

    ``obstacle`` is what keeps a server from fetching it by these headers, or empty.
    """

    fingerprint: str
    location: str
    obstacle: str = ""


def parse_image_headers(url: str, status: int, values: Values, family: str) -> ImageHeaders | None:
    """What the answer to a question about ``url`` says; None if it has no such headers at all.

    ``family`` (``LXD`` or ``Incus``) is that of the server which is to have the image. Raises FileError, which names
    the header and what it held.
    """
    shown = mask_credentials(url)
    if status != 200:
        raise FileError(f"{shown} answers with the HTTP status {status}", "Is the address right?")
    pairs = {name: pair for name in FAMILIES for pair in [_pair(shown, name, values)] if pair}
    if not pairs:
        return None
    if len(set(pairs.values())) > 1:
        said = "; ".join(f"{name}: {digest} at {where}" for name, (digest, where) in pairs.items())
        raise FileError(f"{shown} says one thing to LXD and another to Incus ({_cut(said)})", _MEND)
    digest, location = pairs.get(family) or next(iter(pairs.values()))
    obstacle = ""
    if family not in pairs:
        obstacle = f"the web server sends no {family}- headers"
    elif not _is_lower(values(f"{family}-Image-Hash")[0]):
        obstacle = (
            f"the web server sends {family}-Image-Hash in capitals, which never compare as equal"
        )
    return ImageHeaders(digest, location, obstacle)


_MEND = "This is for whoever runs the web server to mend."
_HEX = re.compile(r"[0-9a-fA-F]{64}\Z")


def _pair(url: str, family: str, values: Values) -> tuple[str, str] | None:
    """Hash and address from the headers of one family; None if it has neither."""
    names = f"{family}-Image-Hash", f"{family}-Image-URL"
    found = []
    for name in names:
        given = values(name)
        if len(given) > 1:
            listed = " and ".join(_cut(mask_credentials(value)) for value in given[:3])
            raise FileError(f"{url} sends the header {name} {len(given)} times: {listed}", _MEND)
        found.append(given[0].strip() if given else "")
    if not any(found):
        return None
    for name, value, other in zip(names, found, reversed(names)):
        if not value:
            raise FileError(f"{url} sends {other}, but no {name}", _MEND)
    return _hash(url, names[0], found[0]), _address(url, names[1], found[1])


def _hash(url: str, name: str, value: str) -> str:
    if not _HEX.match(value):
        raise FileError(
            f"{url} sends {name}: {_cut(value)!r}, which is no SHA-256",
            f"It takes 64 hex digits. {_MEND}",
        )
    return value.lower()


def _address(url: str, name: str, value: str) -> str:
    try:
        parts = urlsplit(value)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    if not whole or not value.isprintable() or " " in value:
        raise FileError(
            f"{url} sends {name}: {_cut(mask_credentials(value))!r}, which is no absolute http or https address",
            _MEND,
        )
    if "@" in parts.netloc:
        raise FileError(
            f"{url} sends {name}: {mask_credentials(value)}, with credentials in it", _MEND
        )
    return value


def _is_lower(value: str) -> bool:
    return value == value.lower()


def _cut(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:120]}…"

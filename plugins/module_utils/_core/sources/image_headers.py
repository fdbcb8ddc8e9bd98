# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The headers by which a web server describes an image to LXD and Incus (``doc/howto/images_copy.md``).

They are untrusted input: never used as a path, and shortened and masked in messages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Callable, Sequence
from urllib.parse import urlsplit

from ..errors import FileError
from ..urls import mask_credentials

FAMILIES = ("LXD", "Incus")

Values = Callable[[str], Sequence[str]]
"""Returns all values of a header of the response, in order."""


@dataclass(frozen=True)
class ImageHeaders:
    """The location of an image (an absolute URL) and its ``fingerprint`` (in lower case).

    ``obstacle`` is why a server cannot download it by these headers, or empty.
    """

    fingerprint: str
    location: str
    obstacle: str = ""


def parse_image_headers(url: str, status: int, values: Values, family: str) -> ImageHeaders | None:
    """Parse the headers of the response from ``url``; None if it has none of them.

    ``family`` (``LXD`` or ``Incus``) is the family of the target server. Raises FileError with the name of the
    header and its value.
    """
    shown = mask_credentials(url)
    if status != 200:
        raise FileError(f"{shown} responds with the HTTP status {status}", "Check the URL.")
    pairs = {name: pair for name in FAMILIES for pair in [_pair(shown, name, values)] if pair}
    if not pairs:
        return None
    if len(set(pairs.values())) > 1:
        said = "; ".join(f"{name}: {digest} at {where}" for name, (digest, where) in pairs.items())
        raise FileError(
            f"{shown} sends different headers for LXD and for Incus ({_cut(said)})", _FIX
        )
    digest, location = pairs.get(family) or next(iter(pairs.values()))
    obstacle = ""
    if family not in pairs:
        obstacle = f"the web server sends no {family}- headers"
    elif not _is_lower(values(f"{family}-Image-Hash")[0]):
        obstacle = (
            f"the web server sends {family}-Image-Hash in upper case, which servers never accept"
        )
    return ImageHeaders(digest, location, obstacle)


_FIX = "Fix this on the web server."
_HEX = re.compile(r"[0-9a-fA-F]{64}\Z")


def _pair(url: str, family: str, values: Values) -> tuple[str, str] | None:
    """The hash and the URL in the headers of one family; None if both are missing."""
    names = f"{family}-Image-Hash", f"{family}-Image-URL"
    found = []
    for name in names:
        given = values(name)
        if len(given) > 1:
            listed = " and ".join(_cut(mask_credentials(value)) for value in given[:3])
            raise FileError(f"{url} sends the header {name} {len(given)} times: {listed}", _FIX)
        found.append(given[0].strip() if given else "")
    if not any(found):
        return None
    for name, value, other in zip(names, found, reversed(names)):
        if not value:
            raise FileError(f"{url} sends {other}, but no {name}", _FIX)
    return _hash(url, names[0], found[0]), _address(url, names[1], found[1])


def _hash(url: str, name: str, value: str) -> str:
    if not _HEX.match(value):
        raise FileError(
            f"{url} sends {name}: {_cut(value)!r}, which is not a SHA-256",
            f"Expected 64 hexadecimal digits. {_FIX}",
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
            f"{url} sends {name}: {_cut(mask_credentials(value))!r}, which is not an absolute http(s) URL",
            _FIX,
        )
    if "@" in parts.netloc:
        raise FileError(
            f"{url} sends {name}: {mask_credentials(value)}, which contains credentials", _FIX
        )
    return value


def _is_lower(value: str) -> bool:
    return value == value.lower()


def _cut(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:120]}…"

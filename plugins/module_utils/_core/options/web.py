# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses of web servers, and headers for them, as options give them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Mapping
from urllib.parse import unquote, urlsplit

from ..errors import OptionError
from ..urls import mask_credentials


@dataclass(frozen=True)
class WebAddress:
    """A URL without the credentials that were in it, and those: user name and password."""

    url: str
    credentials: tuple[str, str] | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str, option: str, checked_otherwise: bool) -> WebAddress:
        """From an option. Raises OptionError.

        Over plain http anybody in between could say what the image is, so that takes ``checked_otherwise``: a
        fingerprint of the task's own.
        """
        text = text.strip()
        try:
            parts = urlsplit(text)
            whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            whole = False
        if not whole or not text.isprintable():
            raise OptionError(
                f"invalid {option}: {mask_credentials(text)!r}",
                "Expected http(s)://host[:port]/path.",
            )
        if parts.scheme == "http" and not checked_otherwise:
            raise OptionError(
                f"{option} is {mask_credentials(text)}, and plain http can be intercepted",
                "Use https, or set fingerprint.",
            )
        user, at, host = parts.netloc.rpartition("@")
        name, _colon, password = user.partition(":")
        credentials = (unquote(name), unquote(password)) if at else None
        return cls(parts._replace(netloc=host).geturl(), credentials)

    @property
    def origin(self) -> tuple[str, str, int | None]:
        """Scheme, host and port."""
        parts = urlsplit(self.url)
        usual = {"https": 443, "http": 80}.get(parts.scheme)
        return parts.scheme, (parts.hostname or "").lower(), parts.port or usual


def headers_of(
    given: Mapping[str, Any], credentials: tuple[str, str] | None = None
) -> dict[str, str]:
    """The headers of ``url_headers``, and the one for credentials. Raises OptionError if they cannot be sent so."""
    headers: dict[str, str] = {}
    for name, value in given.items():
        if not _HEADER_NAME.match(str(name)):
            raise OptionError(f"url_headers contains {str(name)!r}, which is not a header name")
        if name.lower() in _OWN_HEADERS:
            raise OptionError(
                f"url_headers contains {name}, which the download sets by itself", "Remove it."
            )
        if credentials and name.lower() == "authorization":
            raise OptionError(
                "url_headers contains Authorization, and a user name is given",
                "Remove one of them.",
            )
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise OptionError(f"url_headers: the value of {name} is not a string", "Quote it.")
        text = str(value)
        if not _HEADER_VALUE.match(text):
            raise OptionError(
                f"url_headers: the value of {name} has characters that a header cannot contain",
                "A value is one line of Latin characters, without white space at its ends.",
            )
        headers[str(name)] = text
    if credentials:
        # Imported late: only a download needs it.
        from ..downloads import authorization

        headers.update(authorization(credentials))
    return headers


_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_HEADER_VALUE = re.compile(r"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?\Z")
_OWN_HEADERS = {
    "accept-encoding",
    "connection",
    "content-length",
    "host",
    "range",
    "transfer-encoding",
}

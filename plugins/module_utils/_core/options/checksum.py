# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options for the checksum of a file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Mapping

from ..errors import OptionError
from ..urls import mask_credentials
from .specification import require_not_blank

if TYPE_CHECKING:
    from ..checksums import Checksum, ChecksumFile
    from .web import WebAddress


def checksum() -> dict[str, Any]:
    """The specification of ``checksum`` and ``checksum_keyring``; those for web servers are needed besides."""
    return {
        "argument_spec": {
            "checksum": {"type": "str"},
            "checksum_keyring": {"type": "path"},
        },
        "required_by": {"checksum_keyring": "checksum"},
    }


def parse_checksum(
    params: Mapping[str, Any], file: WebAddress | None = None
) -> Checksum | ChecksumFile | None:
    """From the options of the task; None if ``checksum`` was omitted. ``file`` is the address of the file itself.

    A checksum file gets the headers and credentials of the options, as the file itself does; those that are part of the
    file's address, it gets on the same server only. Raises OptionError.
    """
    require_not_blank(
        params,
        {"checksum": _EXPECTED, "checksum_keyring": "Name a file with OpenPGP keys, or remove it."},
    )
    value, keyring = params["checksum"], params["checksum_keyring"]
    if value is None:
        if keyring:
            raise OptionError("checksum_keyring is set without checksum", "Set both, or remove it.")
        return None
    from ..checksums import DIGITS, Checksum

    algorithm, _colon, rest = value.strip().partition(":")
    algorithm, rest = algorithm.lower(), rest.strip()
    if algorithm not in DIGITS:
        raise OptionError(f"invalid checksum: {mask_credentials(value)!r}", _EXPECTED)
    if "://" in rest:
        return _checksum_file(params, algorithm, rest, file)
    digits = DIGITS[algorithm]
    if not re.match(f"[0-9a-fA-F]{{{digits}}}\\Z", rest):
        raise OptionError(
            f"invalid checksum: {value!r}", f"A {algorithm} digest has {digits} hex digits."
        )
    if keyring:
        raise OptionError(
            "checksum_keyring is set, and checksum is a digest, which has no signature",
            "Remove checksum_keyring, or set checksum to the URL of a checksum file.",
        )
    return Checksum(algorithm, rest.lower())


_EXPECTED = "Expected sha256: or sha512:, then a digest or the https URL of a checksum file."


def _checksum_file(
    params: Mapping[str, Any], algorithm: str, url: str, file: WebAddress | None
) -> ChecksumFile:
    from ..checksums import ChecksumFile
    from .web import WebAddress, headers_of

    address = WebAddress.parse(url, "checksum", checked_otherwise=True)
    if address.origin[0] != "https":
        raise OptionError(
            f"checksum refers to {mask_credentials(url)}, and plain http can be intercepted",
            "Use https, or set checksum to the digest.",
        )
    credentials = address.credentials
    if params["url_username"]:
        if credentials:
            raise OptionError(
                "checksum contains credentials, and url_username is set", "Remove one of them."
            )
        credentials = params["url_username"], params["url_password"]
    if not credentials and file and file.origin == address.origin:
        credentials = file.credentials
    headers = headers_of(params["url_headers"] or {}, credentials)
    return ChecksumFile(algorithm, address.url, params["checksum_keyring"], headers)

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""LXD's envelope around whatever its API answers, read within bounds (``doc/rest-api.md``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping

from .errors import ApiError, clean_text
from .json_reader import parse_json

if TYPE_CHECKING:
    from .transport import Transport
    from .transport.response import Response

MAX_BYTES = 16 << 20
"""Of an answer. LXD can list some 4,600 images, which are 6 MiB."""

MAX_VALUES = 250_000
"""Values of an answer; an image has some 35."""

MAX_REASON_CHARACTERS = 4000
"""Characters that are kept of a server's error text."""

MAX_SHOWN_CHARACTERS = 1000
"""Characters of it that a message quotes: what a cluster's member says comes after several others' words."""


def read_envelope(transport: Transport, response: Response) -> Mapping[str, Any]:
    """The envelope of an answer: ``type``, and ``metadata`` or ``error`` with ``error_code``.

    Raises ValueError, which says what came instead, as in "text/html (HTTP status 200)"; ConnectionFailed, TimedOut.
    """
    kind = clean_text(response.headers.get("Content-Type", "something").split(";")[0], 80)
    if response.headers.get("Content-Encoding", "identity") != "identity":
        response.close()
        raise ValueError(f"compressed {kind}, which was not asked for")
    content = transport.read(response, MAX_BYTES)
    try:
        envelope = parse_json(content, MAX_VALUES)
    except ValueError as error:
        envelope = None
        if error.__cause__ is None:
            # It is not a page of some web site, but too large or too deep.
            kind = f"{kind} that {error}"
    if not isinstance(envelope, dict) or "type" not in envelope:
        raise ValueError(f"{kind} (HTTP status {response.status_code})")
    return envelope


def api_error(address: str, envelope: Mapping[str, Any], response: Response) -> ApiError:
    """The exception for an envelope that holds an error."""
    code = envelope.get("error_code")
    status = code if isinstance(code, int) and code else response.status_code
    reason = clean_reason(envelope.get("error") or response.reason)
    return ApiError(quote_reason(address, reason), status, reason, failure_hint(reason))


def clean_reason(reason: object) -> str:
    """A server's error text, as long as code may need it to be."""
    return clean_text(str(reason), MAX_REASON_CHARACTERS)


def quote_reason(address: str, reason: str) -> str:
    """A server's error text as a message quotes it."""
    return f"{address} says: {clean_text(reason, MAX_SHOWN_CHARACTERS)}"


def failure_hint(reason: str) -> str:
    """What to do about a server's error, where its text is that of the operating system; else empty."""
    from .dialect import Dialect

    if Dialect.is_disk_full(reason):
        return (
            "The disk of the server is full. On its host, df -h shows which; lxc image list (or incus image list)"
            " shows what could be deleted."
        )
    return ""

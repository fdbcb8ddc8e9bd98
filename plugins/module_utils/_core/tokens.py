# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Trust tokens and bearer tokens: what they say of themselves, and of the server that issued them.

Only that server can verify a token. What is read here decides where the token may be sent, and what to tell its user.
"""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Mapping

from .errors import AuthenticationError, OptionError, clean_text
from .images import NEVER, format_time, is_fingerprint, parse_time
from .json_reader import parse_json

if TYPE_CHECKING:
    from .dialect import Dialect

MAX_TOKEN_CHARACTERS = 16_384
"""Of a token; those of LXD and Incus have some 600."""

MAX_CLAIMS = 500
"""Values in the JSON of a token; those of LXD and Incus have fewer than ten, besides a server's addresses."""


IDENTITY = "Client certificate"
"""The type of a token of ``lxc auth identity create tls/NAME``; that of ``lxc config trust add`` has none."""


@dataclass(frozen=True)
class TrustToken:
    """A token, as the server issued it (``shared/api/certificate.go``, CertificateAddToken), or a trust password.

    ``certificate_fingerprint`` is that of the server that issued it; None for a password.
    """

    text: str = field(repr=False)
    certificate_fingerprint: str | None = None
    type: str = ""
    expires_at: datetime | None = None

    @classmethod
    def parse(cls, text: str) -> TrustToken:
        """From the option. What cannot be read as a token may be a trust password."""
        fields = _read_json(text.strip())
        fingerprint = _fingerprint(fields.get("fingerprint"))
        if fingerprint is None:
            return cls(text)
        kind = str(fields.get("type") or "")
        return cls(text.strip(), fingerprint, kind, _date(fields.get("expires_at")))

    def request(self, dialect: Dialect) -> tuple[str, Mapping[str, Any]]:
        """The path and the body of the ``POST`` that uses it."""
        if self.type == IDENTITY:
            return "/1.0/auth/identities/tls", {"trust_token": self.text}
        return "/1.0/certificates", {"type": "client", dialect.token_field: self.text}

    @property
    def hint_if_refused(self) -> str:
        """What to do when the server that issued it has refused it."""
        if not self.certificate_fingerprint:
            return "It does not look like a token: copy all of it, or issue a new one."
        until = ""
        if self.expires_at and self.expires_at <= datetime.now(timezone.utc):
            until = f", this one until {format_time(self.expires_at)}"
        return f"A token can be used once and for a limited time{until}: issue a new one."


@dataclass(frozen=True)
class BearerToken:
    """A token that takes the place of a client certificate, from ``option``.

    LXD issues a JSON web token (RFC 7519). Its claims, where they are known: the fingerprint of the certificate that
    its server shows, the servers that it is for, and when it expires.
    """

    text: str = field(repr=False)
    option: str
    certificate_fingerprint: str | None = None
    audience: tuple[str, ...] = ()
    expires_at: datetime | None = None

    @classmethod
    def parse(cls, text: str, option: str) -> BearerToken:
        """From the option. Raises OptionError if no HTTP header can hold it."""
        text = text.strip()
        if len(text) > MAX_TOKEN_CHARACTERS or not _SENDABLE.match(text):
            raise OptionError(
                f"{option} is not a bearer token",
                "Copy all of what lxc auth identity token issue prints, and nothing else.",
            )
        parts = text.split(".")
        claims = _read_json(parts[1]) if len(parts) == 3 else {}
        audience = claims.get("aud")
        listed = audience if isinstance(audience, list) else [audience]
        return cls(
            text,
            option,
            _fingerprint(claims.get("server_cert_fingerprint")),
            tuple(clean_text(one, 100) for one in listed[:5] if isinstance(one, str)),
            _instant(claims.get("exp")),
        )

    def require_current(self) -> None:
        """Raises AuthenticationError if the token has expired."""
        if self.expires_at and self.expires_at <= datetime.now(timezone.utc):
            raise AuthenticationError(
                f"{self.option} expired at {format_time(self.expires_at)}",
                f"{_ISSUE_ANOTHER}. (If the date lies ahead, correct the clock of this host.)",
            )

    @property
    def hint_if_refused(self) -> str:
        """What to do when a server has refused it."""
        servers = " and ".join(self.audience)
        meant = (
            f"The token is for the server {servers}; is that this one? If so, it"
            if servers
            else "It"
        )
        return f"{meant} may have been revoked, or its identity deleted. {_ISSUE_ANOTHER}."


_ISSUE_ANOTHER = "Issue a new one on the server with: lxc auth identity token issue bearer/NAME"

_SENDABLE = re.compile(r"[A-Za-z0-9._~+/=-]+\Z", re.ASCII)
"""The signs that a bearer token can consist of (RFC 6750, b64token)."""

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}\Z", re.ASCII)

_LATEST = 250_000_000_000
"""Seconds from 1970 to the year 9892; a date of Python's ends soon after."""


def _read_json(encoded: str) -> Mapping[str, Any]:
    """The JSON object that is in base64, of either alphabet; an empty one if there is none."""
    if len(encoded) > MAX_TOKEN_CHARACTERS or not _BASE64.match(encoded):
        return {}
    plain = encoded.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        fields = parse_json(b64decode(plain + "=" * (-len(plain) % 4), validate=True), MAX_CLAIMS)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _fingerprint(value: Any) -> str | None:
    lowered = value.lower() if isinstance(value, str) else ""
    return lowered if is_fingerprint(lowered) else None


def _date(value: Any) -> datetime | None:
    """An instant in RFC 3339; None if it is none, or one that stands for never."""
    try:
        moment = parse_time(value) if isinstance(value, str) else NEVER
    except (ValueError, ArithmeticError):
        return None
    return None if moment == NEVER else moment


def _instant(value: Any) -> datetime | None:
    """An instant in seconds since 1970; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return datetime.fromtimestamp(value, timezone.utc) if 0 <= value <= _LATEST else None

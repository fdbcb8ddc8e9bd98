# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tokens by which a server comes to trust a client certificate, and the trust passwords of old servers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Mapping

from .images import is_fingerprint

if TYPE_CHECKING:
    from .dialect import Dialect

IDENTITY = "Client certificate"
"""The type of a token of ``lxc auth identity create tls/NAME``; that of ``lxc config trust add`` has none."""

MAX_TOKEN_CHARACTERS = 64 << 10


@dataclass(frozen=True)
class TrustToken:
    """A token, as the server issued it (``shared/api/certificate.go``, CertificateAddToken), or a trust password.

    ``fingerprint`` is the SHA-256 of the certificate of the server that issued it, in hex; None for a password.
    """

    text: str = field(repr=False)
    fingerprint: str | None = None
    type: str = ""

    @classmethod
    def parse(cls, text: str) -> TrustToken:
        """From the option. What cannot be read as a token may be a trust password."""
        from base64 import b64decode
        from binascii import Error
        from json import loads

        try:
            content = (
                loads(b64decode(text.encode("ascii"))) if len(text) <= MAX_TOKEN_CHARACTERS else {}
            )
            fingerprint, kind = content["fingerprint"].lower(), content.get("type") or ""
        except (
            ArithmeticError,
            AttributeError,
            Error,
            LookupError,
            RecursionError,
            TypeError,
            ValueError,
        ):
            return cls(text)
        return cls(text, fingerprint, str(kind)) if is_fingerprint(fingerprint) else cls(text)

    def request(self, dialect: Dialect) -> tuple[str, Mapping[str, Any]]:
        """The path and the body of the ``POST`` that uses it."""
        if self.type == IDENTITY:
            return "/1.0/auth/identities/tls", {"trust_token": self.text}
        return "/1.0/certificates", {"type": "client", dialect.token_field: self.text}

    @property
    def hint_if_refused(self) -> str:
        """What to do when the server that issued it has refused it."""
        if not self.fingerprint:
            return "It does not look like a token: copy all of it, or issue a new one."
        return "A token can be used once and for a limited time: issue a new one."

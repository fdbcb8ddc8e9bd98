# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a server's certificate has to be: the checks that TLS does not do, and what a failed one means to the user."""

from __future__ import annotations

import hashlib
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Callable

from ..errors import ConnectionFailed, ImageStoreError
from .certificate_dates import why_not_valid_now
from .verification import Verification, certificates

if TYPE_CHECKING:
    from . import Transport

_DATE_ERRORS = (9, 10)
"""OpenSSL's codes for a certificate that is not valid yet, and one that has expired."""


class CertificateCheck:
    """Checks the certificates of one server."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._trust = transport.trust
        self._address = transport.address

    def require_expected(self, certificate: bytes, host_name_fits: Callable[[], bool]) -> None:
        """Check the certificate (DER) that a server has just shown against the pins. Raises ConnectionFailed.

        With a ``cert_file``, TLS itself has checked that it is this one, or signed by it.
        """
        self._transport.peer_certificate = certificate
        trust = self._trust
        digest = hashlib.sha256(certificate).hexdigest()
        if trust.fingerprint and digest != trust.fingerprint:
            raise ConnectionFailed(
                f"{self._address} shows the certificate {digest}, not {trust.fingerprint}",
                f"If the server was reinstalled, correct {trust.option}_fingerprint;"
                " otherwise, the connection may be intercepted.",
            )
        if (
            trust.cert_file
            and (trust.server_name or certificate not in certificates(trust.cert_file))
            and not host_name_fits()
        ):
            raise self._unverified("it is for another host name")
        if trust.token_fingerprint and digest != trust.token_fingerprint:
            raise ConnectionFailed(
                f"{self._address} shows the certificate {digest}, and {trust.token_option} was issued by the server"
                f" with the certificate {trust.token_fingerprint}",
                f"Set {trust.token_option} to a token of this server, or remove it if the server trusts this client"
                " already; otherwise the connection may be intercepted.",
            )
        fault = why_not_valid_now(certificate) if trust.pinned else ""
        if fault:
            raise self._outdated(f"the certificate of {self._address}", fault)

    def explain(self, error: ssl.SSLCertVerificationError) -> ConnectionFailed:
        """What it means that TLS has refused the certificate."""
        dated = error.verify_code in _DATE_ERRORS
        return (dated and self._not_current()) or self._unverified(error.verify_message)

    def _not_current(self) -> ConnectionFailed | None:
        """What to raise if the server's or the authority's dates are behind a failed verification; None if not."""
        trust = self._trust
        if trust.cert_file:
            for certificate in certificates(trust.cert_file):
                fault = why_not_valid_now(certificate)
                if fault:
                    return self._outdated(
                        f"the certificate in {trust.cert_file} ({trust.option}), by which {self._address} is verified,",
                        fault,
                    )
        # TLS does not hand out a certificate that it has refused, so the server is asked for it without verification.
        unverified = self._transport.with_verification(Verification(validate=False))
        with suppress(ImageStoreError):
            unverified.send("HEAD", "/").close()
        fault = why_not_valid_now(unverified.peer_certificate or b"")
        return self._outdated(f"the certificate of {self._address}", fault) if fault else None

    def _outdated(self, subject: str, fault: str) -> ConnectionFailed:
        hint = "Check the clock of this host."
        if "expired" in fault:
            renewed = "Renew it on the server"
            pin = f", and then {self._trust.option} here" if self._trust.pinned else ""
            hint = f"{renewed}{pin}."
        return ConnectionFailed(f"{subject} {fault}", hint)

    def _unverified(self, reason: str) -> ConnectionFailed:
        trust = self._trust
        if trust.cert_file:
            return ConnectionFailed(
                f"{self._address} shows a certificate that {trust.cert_file} does not match: {reason}",
                f"Set {trust.option} to the server's own certificate, or to that of the authority that signed it.",
            )
        return ConnectionFailed(
            f"{self._address} shows a certificate that this host does not trust: {reason}",
            f"Set {trust.option} to a file with its certificate"
            f"{f', or {trust.option}_fingerprint, the SHA-256 of it' if trust.takes_pin else ''}.",
        )

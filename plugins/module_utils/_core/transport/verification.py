# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""TLS certificates: what a server must prove, the client's own, and the PEM files that hold them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any

from ..errors import FileError
from ..regular_files import read_regular_file

MAX_PEM_BYTES = 4 << 20
"""Of a file of certificates; a system's whole bundle of authorities has some 200 KiB."""


@dataclass(frozen=True)
class Verification:
    """What a TLS server must prove.

    One of: ``cert_file``, a PEM file with the server's own certificate (then its name does not matter) or that of an
    authority which signed it; ``fingerprint``, the SHA-256 of the certificate in hex; or, with ``validate``, a
    certificate that the system's authorities have signed. With ``token_fingerprint``, that of the server which issued
    the token in ``token_option``, the certificate has to be this one, too, and nothing else is needed.

    ``option`` is the beginning of the options that say so (``server_cert``, ``source_cert``, …), for messages; with
    ``takes_pin`` there is one that ends in ``_fingerprint``.

    ``server_name`` is the name for which the certificate has to be issued, whatever the address; with it the name
    matters also for a certificate that is itself in ``cert_file``.
    """

    cert_file: str | None = None
    fingerprint: str | None = None
    validate: bool = True
    option: str = "server_cert"
    takes_pin: bool = True
    token_fingerprint: str | None = None
    token_option: str = "trust_token"
    server_name: str | None = None

    @property
    def pinned(self) -> bool:
        """Whether it is a certain certificate, or a certain authority, that the server has to show."""
        return bool(self.cert_file or self.fingerprint or self.token_fingerprint)

    @property
    def client_options(self) -> str:
        """The options for this client's own certificate, for messages."""
        prefix = "source_" if self.option == "source_cert" else ""
        return f"{prefix}client_cert and {prefix}client_key"

    @property
    def identifies(self) -> bool:
        """Whether it is known at all who the server is."""
        return self.pinned or self.validate

    def certificate_for_peer(self, shown: bytes | None) -> str | None:
        """The certificate, as PEM, by which another client of that server can verify it; None if it needs none.

        ``shown`` is the one that the server has shown to this client, as DER.
        """
        if self.cert_file:
            return _read(self.cert_file, f"certificate ({self.option})")
        if shown and (self.pinned or not self.validate):
            return ssl.DER_cert_to_PEM_cert(shown)
        return None


@dataclass(frozen=True)
class ClientCertificate:
    """The TLS client certificate and its key, as paths of PEM files."""

    cert: str
    key: str


def pinning_context() -> ssl.SSLContext:
    """A context that accepts a server's own certificate as its authority, whoever has signed it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    # ssl.VERIFY_X509_PARTIAL_CHAIN, which Python names from 3.10 on.
    context.verify_flags |= 0x80000
    return context


def certificate_matches(certificate: Any, host: str) -> bool:
    """Whether a certificate (as ``getpeercert()`` returns it) is for this host."""
    # Python had this until 3.11; urllib3 keeps it, in one place or the other.
    try:
        from urllib3.util.ssl_match_hostname import CertificateError, match_hostname
    except ImportError:
        from urllib3.packages.ssl_match_hostname import CertificateError, match_hostname  # type: ignore
    try:
        match_hostname(certificate, host.strip("[]"))
    except CertificateError:
        return False
    return True


def system_authorities() -> str | bool:
    """Where this system keeps the authorities that it trusts; requests would use its own bundle."""
    paths = ssl.get_default_verify_paths()
    return paths.cafile or paths.capath or True


def certificates(path: str, role: str = "certificate") -> list[bytes]:
    """The certificates of a PEM file, as DER, which is not parsed. Raises FileError."""
    blocks = _read(path, role).split("-----BEGIN CERTIFICATE-----")[1:]
    end = "-----END CERTIFICATE-----"
    try:
        return [
            ssl.PEM_cert_to_DER_cert(f"-----BEGIN CERTIFICATE-----{block.split(end)[0]}{end}")
            for block in blocks
        ]
    except ValueError as error:
        raise FileError(f"{path} is not a certificate in PEM form: {error}") from error


def require_certificates(path: str, role: str) -> None:
    """Raises FileError unless this file can be read and holds certificates in PEM form."""
    _require_pem(path, role)
    try:
        if not certificates(path):
            raise FileError(f"{path}, given as the {role}, contains no certificate")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError as error:
        raise FileError(f"{path}, given as the {role}, is damaged") from error


def require_pair(identity: ClientCertificate) -> None:
    """Raises FileError unless these are a certificate and its unencrypted key."""
    cert, key = identity.cert, identity.key
    require_certificates(cert, "client certificate")
    _require_pem(key, "key of the client certificate")

    def no_password() -> str:
        raise FileError(
            f"{key}, given as the key of the client certificate, is encrypted",
            f"Use a copy without a password, created with openssl pkey -in {key}.",
        )

    try:
        # Without this function OpenSSL would ask for the password on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise FileError(f"{key} is not the key of the client certificate {cert}") from error
        raise FileError(
            f"{key}, given as the key of the client certificate, is not a private key"
        ) from error


def _require_pem(path: str, role: str) -> None:
    if "-----BEGIN " not in _read(path, role):
        raise FileError(f"{path}, given as the {role}, is not in PEM form")


def _read(path: str, role: str) -> str:
    return read_regular_file(path, role, MAX_PEM_BYTES).decode("ascii", "replace")

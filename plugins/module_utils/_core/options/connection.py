# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How to reach the managed server: the twin of the documentation fragment connection."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Mapping

from ..errors import OptionError
from ..images import is_fingerprint
from .specification import at_least, reject, require_not_blank

if TYPE_CHECKING:
    from ..tokens import TrustToken
    from ..transport.verification import ClientCertificate


def connection() -> dict[str, Any]:
    """The specification of the options by which a task reaches the server that it manages."""
    return {
        "argument_spec": {
            "server": {"type": "str"},
            "remote": {"type": "str"},
            "config_dir": {"type": "path"},
            "project": {"type": "str"},
            "client_cert": {"type": "path"},
            "client_key": {"type": "path"},
            "server_cert": {"type": "path"},
            "server_cert_fingerprint": {"type": "str"},
            "validate_certs": {"type": "bool", "default": True},
            "trust_token": {"type": "str", "no_log": True},
            "bearer_token": {"type": "str", "no_log": True},
            "timeout": {"type": "int", "default": 1800},
        },
        "mutually_exclusive": [("server", "remote"), ("server_cert", "server_cert_fingerprint")],
        "required_together": [("client_cert", "client_key")],
    }


@dataclass(frozen=True)
class TlsOptions:
    """What a server has to prove, and who this client is. A Unix socket makes no use of it.

    ``cert`` is a PEM file, ``fingerprint`` the SHA-256 of the server's certificate in hex. ``option`` is the name of
    the option that ``cert`` comes from, for messages: that of ``fingerprint`` has ``_fingerprint`` at its end.
    ``token_fingerprint`` is that of the certificate that a trust token was issued for.
    ``bearer_token`` is a token in place of the client certificate, from the option ``bearer_option``.
    """

    option: str
    cert: str | None = None
    fingerprint: str | None = None
    validate: bool = True
    client: ClientCertificate | None = None
    token_fingerprint: str | None = None
    bearer_token: str | None = None
    bearer_option: str = "bearer_token"

    @classmethod
    def from_params(cls, params: Mapping[str, Any], option: str, prefix: str = "") -> TlsOptions:
        """From ``option`` and ``option_fingerprint``, and ``client_cert``, … , whose names have the ``prefix``."""
        cert, key = params[f"{prefix}client_cert"], params[f"{prefix}client_key"]
        bearer_option = f"{prefix}bearer_token"
        return cls(
            option=option,
            cert=params[option],
            fingerprint=_certificate_fingerprint(params, f"{option}_fingerprint"),
            client=_client_certificate(cert, key) if cert else None,
            bearer_token=params[bearer_option] or None,
            bearer_option=bearer_option,
        )

    @property
    def is_pinned(self) -> bool:
        """Whether the options say which certificate the server must show."""
        return bool(self.cert or self.fingerprint)


@dataclass(frozen=True)
class ConnectionOptions:
    """The server and project that a task manages, and the time that it may take, in seconds.

    At most one of ``server`` and ``remote`` is set; with neither it is this host's server. ``project`` None is that of
    the remote, or ``default``.
    """

    server: str | None
    remote: str | None
    config_dir: str | None
    project: str | None
    tls: TlsOptions
    trust_token: TrustToken | None
    timeout: int

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> ConnectionOptions:
        """From the options of the documentation fragment ``connection``. Raises OptionError."""
        at_least("timeout", params["timeout"], 1)
        require_not_blank(params, dict.fromkeys(("server", "remote", "project"), "Remove it."))
        tls = TlsOptions.from_params(params, "server_cert")
        over_network = not str(params["server"] or params["remote"] or "unix:").startswith("unix:")
        if over_network and tls.is_pinned and not params["validate_certs"]:
            pin = "server_cert" if tls.cert else "server_cert_fingerprint"
            raise OptionError(f"validate_certs=false cannot be used with {pin}", "Remove it.")
        token = _trust_token(params["trust_token"]) if params["trust_token"] else None
        if over_network and tls.bearer_token:
            reject(params, "bearer_token", "client_cert", "trust_token")
        return cls(
            server=params["server"],
            remote=params["remote"],
            config_dir=params["config_dir"],
            project=params["project"],
            tls=replace(
                tls,
                validate=params["validate_certs"],
                token_fingerprint=token.certificate_fingerprint if token else None,
            ),
            trust_token=token,
            timeout=params["timeout"],
        )

    @property
    def place(self) -> str:
        """The managed store, as its user named it."""
        server = f"the remote {self.remote}" if self.remote else self.server or "this host's server"
        return f"project {self.project} on {server}" if self.project else server


def _client_certificate(cert: str, key: str) -> ClientCertificate:
    from ..transport.verification import ClientCertificate

    return ClientCertificate(cert, key)


def _trust_token(text: str) -> TrustToken:
    from ..tokens import TrustToken

    return TrustToken.parse(text)


def _certificate_fingerprint(params: Mapping[str, Any], option: str) -> str | None:
    """A SHA-256 in lower-case hex; with the colons, too, that openssl and browsers print. Raises OptionError."""
    value = params[option]
    if not value:
        return None
    digits: str = value.replace(":", "").strip().lower()
    if not is_fingerprint(digits):
        raise OptionError(
            f"{option} is not the SHA-256 of a certificate", "It consists of 64 hex digits."
        )
    return digits

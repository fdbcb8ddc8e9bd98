# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections to the servers that the options name."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from .errors import OptionError
from .remotes import (
    LOCAL,
    LXD,
    OCI,
    SIMPLESTREAMS,
    Remote,
    image_server_address,
    local_socket,
    registry_address,
    server_address,
)
from .transport import STALL_SECONDS, Transport

if TYPE_CHECKING:
    from .client_config import ClientConfig
    from .deadline import Deadline
    from .options.connection import ConnectionOptions, TlsOptions
    from .options.source import SourceOptions
    from .sources.simplestreams import ImageServer
    from .store import Store
    from .tokens import BearerToken
    from .transport.verification import ClientCertificate, Verification

_IMAGE_SERVER_HINT = "If it is an image server, set source_protocol=simplestreams."


class Connections:
    """Connections to the managed server and to sources, within the deadline of one task."""

    def __init__(self, options: ConnectionOptions, deadline: Deadline) -> None:
        self._options = options
        self._deadline = deadline

    @cached_property
    def config(self) -> ClientConfig:
        """The client configuration."""
        from .client_config import ClientConfig

        return ClientConfig(self._options.config_dir)

    @cached_property
    def target(self) -> Remote:
        """The managed server: by name, by address, or this host's."""
        options = self._options
        if not options.remote:
            address = options.server
            return Remote("", server_address(address, "server") if address else LOCAL)
        remote = self.config.remote(options.remote)
        if remote.serves_images_only:
            raise OptionError(
                f"the remote {remote.name} is an image server ({remote.protocol})",
                "Use the remote of a LXD or Incus server.",
            )
        return remote

    def to_target(self) -> Transport:
        """The connection to the managed server.

        Raises OptionError if a trust password would be sent to a server that is not verified.
        """
        transport = self._transport(self.target, self._options.tls)
        if self._options.trust_token and not (transport.is_local or transport.trust.identifies):
            raise OptionError(
                "trust_token contains no fingerprint of the server's certificate, and validate_certs is false",
                "Set server_cert or server_cert_fingerprint, so that it is not sent to another server.",
            )
        return transport

    def source(self, source: SourceOptions) -> Remote | None:
        """The source server, by name or by address; None is the managed server itself."""
        if source.remote:
            return self.config.remote(source.remote, source.protocol)
        if not source.server:
            return None
        readers = {SIMPLESTREAMS: image_server_address, OCI: registry_address}
        read = readers.get(source.protocol or LXD, server_address)
        return Remote("", read(source.server, "source_server"), source.protocol or "lxd")

    def to_source(self, remote: Remote, source: SourceOptions) -> Transport:
        """The connection to a source that is a LXD or Incus."""
        return self._transport(remote, source.tls, STALL_SECONDS)

    def to_store(self, remote: Remote, source: SourceOptions) -> Store:
        """The store of a source that is a LXD or Incus. Raises OptionError for options that it does not use."""
        from .server import Server
        from .store import Store

        if remote.protocol == OCI:
            raise OptionError(
                f"{remote.address} is an OCI registry, whose images can only be copied to Incus",
                "Use lxd_image_copy or lxd_image_store.",
            )
        if source.credentials:
            raise OptionError(
                f"source_username cannot be used with a source of the protocol {remote.protocol}",
                "Use source_client_cert and source_client_key, or source_bearer_token.",
            )
        project = source.project or remote.project or "default"
        hint = "" if source.remote or source.protocol else _IMAGE_SERVER_HINT
        return Store(Server(self.to_source(remote, source), hint), project)

    def to_image_server(self, remote: Remote, source: SourceOptions) -> ImageServer:
        """A source that is an image server. Raises OptionError for options that it does not use."""
        from .downloads import WebClient, authorization
        from .sources.simplestreams import ImageServer

        require_image_server_options(source)
        verification = self.verification(remote, source.tls)
        headers = authorization(source.credentials or remote.credentials)
        address, identity = remote.address, source.tls.client
        if (headers or identity) and not address.startswith("https:"):
            raise OptionError(
                f"{address} does not use https, so the credentials could be intercepted",
                "Change the address of the remote.",
            )
        web = WebClient(self._deadline, verification, address, headers, identity=identity)
        return ImageServer(address, web)

    def verification(self, remote: Remote, tls: TlsOptions) -> Verification:
        """What the server must prove: what the options say, else what the client configuration has for it."""
        from .transport.verification import Verification

        cert = tls.cert or (None if tls.fingerprint else remote.server_cert)
        return Verification(
            cert,
            tls.fingerprint,
            tls.validate,
            tls.option,
            token_fingerprint=tls.token_fingerprint,
        )

    def _transport(self, remote: Remote, tls: TlsOptions, stall: float | None = None) -> Transport:
        address = remote.address
        if address.startswith("unix:"):
            return Transport(local_socket() if address == LOCAL else address, self._deadline)
        if remote.others:
            from .transport.sockets import first_reachable

            address = first_reachable((address, *remote.others), self._deadline)
        verification = self.verification(remote, tls)
        if not tls.bearer_token:
            identity = self._client_certificate(remote, tls)
            return Transport(address, self._deadline, verification, identity, stall)
        from .tokens import BearerToken

        bearer_token = BearerToken.parse(tls.bearer_token, tls.bearer_option)
        verification = _verification_for(verification, bearer_token, address)
        return Transport(
            address, self._deadline, verification, stall=stall, bearer_token=bearer_token
        )

    def _client_certificate(self, remote: Remote, tls: TlsOptions) -> ClientCertificate | None:
        """This client's certificate: that of the options, else that of the client configuration.

        A source is shown the managed server's where nothing else is said.
        """
        return tls.client or remote.identity or self.config.identity() or self._options.tls.client


def secrets_of(credentials: tuple[str, str] | None) -> list[str]:
    """What is sent to a source for its credentials, which it could quote, and the password."""
    from .downloads import authorization

    if not credentials:
        return []
    return [credentials[1], authorization(credentials)["Authorization"].split()[1]]


def require_image_server_options(source: SourceOptions) -> None:
    """Raises OptionError if an option does not fit an image server."""
    for name, value in (
        ("source_project", source.project),
        ("source_bearer_token", source.tls.bearer_token),
    ):
        if value:
            raise OptionError(
                f"{name} cannot be used with an image server (simplestreams)", "Remove it."
            )


def _verification_for(
    verification: Verification, bearer_token: BearerToken, address: str
) -> Verification:
    """What a server has to prove before it is shown this token: without another pin, that it has issued the token.

    Raises OptionError if nothing tells who the server is, and AuthenticationError if the token has expired.
    """
    if not verification.pinned:
        verification = replace(
            verification,
            token_option=bearer_token.option,
            token_fingerprint=bearer_token.certificate_fingerprint,
        )
    if not verification.identifies:
        raise OptionError(
            f"{bearer_token.option} does not say which server it is for, and nothing else tells who {address} is",
            f"Give {verification.option} or {verification.option}_fingerprint, or remove validate_certs.",
        )
    bearer_token.require_current()
    return verification

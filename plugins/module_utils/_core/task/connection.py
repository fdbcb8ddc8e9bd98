# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who to talk to, and how: what the options say of the server to manage, and of a source."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Mapping

from ..client_config import LOCAL, ClientConfig, Remote, local_socket, server_address
from ..errors import OptionError
from ..images import is_fingerprint
from ..transport import STALL_SECONDS, ClientCertificate, Transport, Verification, first_reachable

if TYPE_CHECKING:
    from ..deadline import Deadline


class ConnectionOptionNames:
    """The options that say how to reach one side of a task: its target, or its source."""

    def __init__(self, prefix: str, cert: str, client: str) -> None:
        self.servers = tuple(prefix + name for name in ("remote", "server", "registry"))
        self.cert = cert
        self.fingerprint = f"{cert}_fingerprint"
        self.client_cert = f"{client}_cert"
        self.client_key = f"{client}_key"
        self.proofs = (cert, self.fingerprint, self.client_cert)
        self.details = (f"{prefix}protocol", f"{prefix}project", *self.proofs)


TARGET = ConnectionOptionNames("", "server_cert", "client")
SOURCE = ConnectionOptionNames("source_", "source_cert", "source_client")


class Connections:
    """Ways to servers, by the options of a task."""

    def __init__(self, params: Mapping[str, Any], deadline: Deadline) -> None:
        self._params = params
        self._deadline = deadline

    @cached_property
    def config(self) -> ClientConfig:
        """The client configuration."""
        return ClientConfig(self._params["config_dir"])

    @cached_property
    def target(self) -> Remote:
        """The server that the task manages: by name, by address, or this host's."""
        if not self._params["remote"]:
            address = self._params["server"]
            return Remote("", server_address(address, "server") if address else LOCAL)
        remote = self.config.remote(self._params["remote"])
        if remote.serves_images_only:
            raise OptionError(
                f"the remote {remote.name} is an image server ({remote.protocol})",
                "A task manages the store of a LXD or Incus server.",
            )
        return remote

    def transport(self, remote: Remote, side: ConnectionOptionNames) -> Transport:
        """The way to a server. Raises OptionError if an option does not go with it."""
        if remote.address.startswith("unix:"):
            reject_options(self._params, "a Unix socket", *side.proofs)
            if side is TARGET:
                reject_options(self._params, "a Unix socket", "trust_token")
                self._require_validation("a Unix socket")
            return Transport(
                local_socket() if remote.address == LOCAL else remote.address, self._deadline
            )
        trust, identity = self.trust(remote, side), self._identity(remote, side)
        stall = STALL_SECONDS if side is SOURCE else None
        address = remote.address
        if remote.others:
            address = first_reachable((address, *remote.others), self._deadline)
        return Transport(address, self._deadline, trust, identity, stall)

    def trust(self, remote: Remote, side: ConnectionOptionNames) -> Verification:
        """What the server must prove: what the options say, else what the client configuration has for it."""
        pin = self._params[side.fingerprint]
        if pin:
            # As openssl and browsers print it, too.
            pin = pin.replace(":", "").lower()
            if not is_fingerprint(pin):
                raise OptionError(f"{side.fingerprint} is not a SHA-256 in hex: it takes 64 digits")
        cert = self._params[side.cert] or (None if pin else remote.server_cert)
        if side is not TARGET:
            return Verification(cert, pin, True, side.cert)
        if pin or self._params[side.cert]:
            self._require_validation(side.fingerprint if pin else side.cert)
        return Verification(cert, pin, self._params["validate_certs"], side.cert)

    def _require_validation(self, what: str) -> None:
        """Raises OptionError if checks are turned off that are not made with ``what``."""
        if not self._params["validate_certs"]:
            raise OptionError(f"validate_certs=false is of no use with {what}", "Leave it out.")

    def _identity(self, remote: Remote, side: ConnectionOptionNames) -> ClientCertificate | None:
        """Who we are there: what the options say, else what the client configuration has.

        A source meets the client of the target where nothing else is said.
        """
        return (
            self._given_identity(side)
            or remote.identity
            or self.config.identity()
            or self._given_identity(TARGET)
        )

    def _given_identity(self, side: ConnectionOptionNames) -> ClientCertificate | None:
        cert, key = self._params[side.client_cert], self._params[side.client_key]
        return ClientCertificate(cert, key) if cert else None


def reject_options(params: Mapping[str, Any], what: str, *names: str) -> None:
    """Raises OptionError if an option is given that cannot be used with ``what``."""
    for name in names:
        if params.get(name):
            raise OptionError(f"{name} is of no use with {what}", "Leave it out.")

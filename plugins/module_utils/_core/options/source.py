# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How to reach a source: the twin of the documentation fragment source."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Mapping

from ..errors import OptionError
from .connection import TlsOptions
from .specification import credentials_of, reject, require_not_blank


def source() -> dict[str, Any]:
    """The specification of the options that name another server as the source of an image."""
    return {
        "argument_spec": {
            "source_remote": {"type": "str"},
            "source_server": {"type": "str"},
            "source_registry": {"type": "str"},
            "source_protocol": {"type": "str", "choices": ["lxd", "simplestreams", "incus", "oci"]},
            "source_project": {"type": "str"},
            "source_cert": {"type": "path"},
            "source_cert_fingerprint": {"type": "str"},
            "source_client_cert": {"type": "path"},
            "source_client_key": {"type": "path"},
            "source_bearer_token": {"type": "str", "no_log": True},
            "source_username": {"type": "str"},
            "source_password": {"type": "str", "no_log": True},
        },
        "mutually_exclusive": [
            ("source_remote", "source_server", "source_registry"),
            ("source_cert", "source_cert_fingerprint"),
        ],
        "required_together": [
            ("source_client_cert", "source_client_key"),
            ("source_username", "source_password"),
        ],
    }


@dataclass(frozen=True)
class SourceOptions:
    """Another server, or another project of the managed server.

    At most one of ``remote``, ``server`` and ``registry`` is set. ``protocol`` None is that of the remote, or ``lxd``.
    ``credentials`` are a user name and a password.
    """

    remote: str | None
    server: str | None
    registry: str | None
    protocol: str | None
    project: str | None
    tls: TlsOptions
    credentials: tuple[str, str] | None = field(default=None, repr=False)

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> SourceOptions:
        """From the options of the documentation fragment ``source``. Raises OptionError."""
        names = (
            "source_remote",
            "source_server",
            "source_registry",
            "source_project",
            "source_username",
        )
        require_not_blank(params, dict.fromkeys(names, "Remove it."))
        details = ("source_protocol", "source_project", "source_username", *_SOURCE_TLS)
        if params["source_registry"]:
            reject(params, "source_registry", *details)
        over_network = not str(params["source_server"] or "").startswith("unix:")
        if over_network and params["source_bearer_token"]:
            reject(params, "source_bearer_token", "source_client_cert")
        return cls(
            remote=params["source_remote"],
            server=params["source_server"],
            registry=params["source_registry"],
            protocol=params["source_protocol"],
            project=params["source_project"],
            tls=TlsOptions.from_params(params, "source_cert", "source_"),
            credentials=credentials_of(params, "source_"),
        )

    @property
    def names_server(self) -> bool:
        """Whether another server is named, or a registry of the managed one."""
        return bool(self.remote or self.server or self.registry)

    @property
    def is_given(self) -> bool:
        """Whether a source is named at all."""
        return self.names_server or bool(self.project)

    @property
    def place(self) -> str:
        """What the source is, as its user named it; an empty text if none is named."""
        return self.remote or self.server or self.registry or self.project or ""

    def with_image(self, option: str, value: str) -> tuple[SourceOptions, str]:
        """The source and the name of an image there: ``REMOTE:IMAGE`` names both, as with ``lxc``, if no server is set.

        ``option`` is the option with the ``value``. Raises OptionError if one of the two names is missing.
        """
        image_name = value.strip()
        remote, colon, name = image_name.partition(":")
        if self.names_server or not colon:
            return self, image_name
        if not remote or not name:
            raise OptionError(
                f"{option} is {image_name!r}, which lacks the {'image' if remote else 'remote'}",
                "Use REMOTE:IMAGE, as in images:alpine/3.23.",
            )
        return replace(self, remote=remote), name

    def reject_without_server(self, context: str) -> None:
        """Raises OptionError if options are set that only another server can use."""
        for name, value in (
            ("source_protocol", self.protocol),
            ("source_cert", self.tls.cert),
            ("source_cert_fingerprint", self.tls.fingerprint),
            ("source_client_cert", self.tls.client),
            ("source_bearer_token", self.tls.bearer_token),
            ("source_username", self.credentials),
        ):
            if value:
                raise OptionError(f"{name} cannot be used with {context}", "Remove it.")


_SOURCE_TLS = (
    "source_cert",
    "source_cert_fingerprint",
    "source_client_cert",
    "source_bearer_token",
)

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers and how to reach them: by addresses, as options give them, or by this host's own socket."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from .errors import ConnectionFailed, OptionError
from .urls import mask_credentials

if TYPE_CHECKING:
    from .transport.verification import ClientCertificate

LXD = "lxd"
INCUS = "incus"
SIMPLESTREAMS = "simplestreams"
OCI = "oci"

DEFAULT_PORT = 8443

LOCAL = "unix://"
"""The address of whatever server runs on this host."""

IMAGES = "images"
IMAGE_SERVERS = {
    # Not the server that LXD 5.0 was built with: that one has served Incus only since 2024.
    "lxc": "https://images.lxd.canonical.com",
    "incus": "https://images.linuxcontainers.org",
}
"""The address of the built-in remote ``images`` in each client.

(``lxc/config/default.go`` and ``shared/cliconfig/default.go``.)
"""

_HOST = r"(([\w-]{1,63}\.)*[\w-]{1,63}\.?|[0-9a-f.]*:[0-9a-f:.]*(%[\w.-]+)?)\Z"
"""Valid host names and addresses. For others, requests raises exceptions of many kinds."""


@dataclass(frozen=True)
class Remote:
    """A server and what it takes to reach it.

    ``project`` is the one that its user chose, or None; ``server_cert`` a PEM file that pins the server. ``others`` are
    further addresses, to be tried in turn. ``credentials`` are a user name and password.
    """

    name: str
    address: str
    protocol: str = LXD
    project: str | None = None
    server_cert: str | None = None
    identity: ClientCertificate | None = None
    others: tuple[str, ...] = ()
    credentials: tuple[str, str] | None = field(default=None, repr=False)
    is_built_in: bool = False

    def as_in(self, client: str) -> Remote:
        """The same as the client ``lxc`` or ``incus`` has it: the built-in remote images differs."""
        return replace(self, address=IMAGE_SERVERS[client]) if self.is_built_in_images else self

    @property
    def is_built_in_images(self) -> bool:
        """Whether it is the built-in remote images, which is another server for LXD than for Incus."""
        return self.is_built_in and self.name == IMAGES

    @property
    def serves_images_only(self) -> bool:
        """Whether it is a mere image server, with no API to change anything."""
        return self.protocol not in (LXD, INCUS)


def server_address(text: str, option: str) -> str:
    """The address of a LXD or Incus server as an option gives it, with its port. Raises OptionError."""
    if _is_socket(text):
        return text
    parts = _web_parts(text)
    if not parts or parts.path.strip("/"):
        raise OptionError(
            f"{option} is {text!r}, which is not the URL of a server",
            "Use https://host, https://host:port or unix:///path/to/unix.socket."
            + (
                " For an image server, set source_protocol=simplestreams."
                if option == "source_server"
                else ""
            ),
        )
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"https://{host}:{parts.port or DEFAULT_PORT}"


def image_server_address(text: str, option: str, schemes: tuple[str, ...] = ("https",)) -> str:
    """The address of a simplestreams server as an option gives it. Raises OptionError."""
    if not _web_parts(text, schemes):
        raise OptionError(
            f"{option} is {text!r}, which is not the URL of an image server",
            "Use https://host or https://host/path.",
        )
    return text.rstrip("/")


def registry_address(text: str, option: str) -> str:
    """The address of an OCI registry as an option gives it. Raises OptionError."""
    if not _web_parts(text):
        raise OptionError(
            f"{option} is {mask_credentials(text)!r}, which is not the URL of an OCI registry",
            "Use https://host, https://host:port or https://host/path. The user name and password are"
            " source_username and source_password.",
        )
    return text.rstrip("/")


def _is_socket(text: str) -> bool:
    return text.startswith("unix:/") and text.strip("/") != "unix:" and text.isprintable()


def _web_parts(text: str, schemes: tuple[str, ...] = ("https",)) -> SplitResult | None:
    """The parts of a web address; None if it is not one, or has more than scheme, host, port and path."""
    try:
        parts = urlsplit(text)
        possible = parts.scheme in schemes and parts.port != 0
    except ValueError:
        return None
    more = parts.query or parts.fragment or "@" in parts.netloc or " " in text
    return parts if possible and not more and re.match(_HOST, parts.hostname or "") else None


def local_socket() -> str:
    """The address of the server that runs on this host. Raises ConnectionFailed if there is no socket of one."""
    tried = list(dict.fromkeys(_sockets()))
    for path in tried:
        if os.path.exists(path):
            return f"unix://{path}"
    raise ConnectionFailed(
        f"no server runs on this host: none of these sockets exists: {', '.join(tried)}",
        "Install and start LXD or Incus here, or set server (https://… or unix:///…) or remote.",
    )


def _sockets() -> list[str]:
    environment = os.environ
    candidates = [
        environment.get("LXD_SOCKET"),
        environment.get("LXD_DIR") and os.path.join(environment["LXD_DIR"], "unix.socket"),
        "/var/snap/lxd/common/lxd/unix.socket",
        "/var/lib/lxd/unix.socket",
        environment.get("INCUS_SOCKET"),
        environment.get("INCUS_DIR") and os.path.join(environment["INCUS_DIR"], "unix.socket"),
        "/run/incus/unix.socket",
        "/var/lib/incus/unix.socket",
    ]
    return [path for path in candidates if path]

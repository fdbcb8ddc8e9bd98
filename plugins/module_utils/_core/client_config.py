# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers by name: the client configuration of ``lxc`` or ``incus``, its built-in remotes, and this host's own socket.

Follows ``lxc/config`` of LXD and ``shared/cliconfig`` of Incus.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Mapping
from urllib.parse import SplitResult, unquote, urlsplit

from .errors import ConnectionFailed, FileError, OptionError
from .regular_files import read_regular_file
from .transport.verification import ClientCertificate

LXD = "lxd"
INCUS = "incus"
SIMPLESTREAMS = "simplestreams"
OCI = "oci"

DEFAULT_PORT = 8443

LOCAL = "unix://"
"""The address of whatever server runs on this host."""

_IMAGES = "images"
_IMAGE_SERVERS = {
    # Not the server that LXD 5.0 was built with: that one has served Incus only since 2024.
    "lxc": "https://images.lxd.canonical.com",
    "incus": "https://images.linuxcontainers.org",
}
"""What the remote images is in each client (``lxc/config/default.go`` and ``shared/cliconfig/default.go``)."""

_UBUNTU = "https://cloud-images.ubuntu.com"
_BUILT_IN = {
    "local": (LOCAL, LXD),
    _IMAGES: (_IMAGE_SERVERS["lxc"], SIMPLESTREAMS),
    "ubuntu": (f"{_UBUNTU}/releases", SIMPLESTREAMS),
    "ubuntu-daily": (f"{_UBUNTU}/daily", SIMPLESTREAMS),
    "ubuntu-minimal": (f"{_UBUNTU}/minimal/releases", SIMPLESTREAMS),
    "ubuntu-minimal-daily": (f"{_UBUNTU}/minimal/daily", SIMPLESTREAMS),
}


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
        return replace(self, address=_IMAGE_SERVERS[client]) if self.is_built_in_images else self

    @property
    def is_built_in_images(self) -> bool:
        """Whether it is the built-in remote images, which is another server for LXD than for Incus."""
        return self.is_built_in and self.name == _IMAGES

    @property
    def serves_images_only(self) -> bool:
        """Whether it is a mere image server, with no API to change anything."""
        return self.protocol not in (LXD, INCUS)


class ClientConfig:
    """One folder with a client configuration: ``config.yml``, ``client.crt``, ``client.key``, ``servercerts/``.

    Without ``folder`` the usual places are tried; none of them need exist.
    """

    def __init__(self, folder: str | None = None) -> None:
        self.folder = folder or _usual_folder()
        named = os.path.basename(self.folder.rstrip("/"))
        self._for_incus = named == INCUS or self.folder == os.environ.get("INCUS_CONF")

    @property
    def client(self) -> str:
        """The client whose configuration this is, ``lxc`` or ``incus``."""
        return "incus" if self._for_incus else "lxc"

    def remote(self, name: str, protocol: str | None = None) -> Remote:
        """A remote of the configuration, of the system's, or built in; with another ``protocol`` if one is given.

        Raises OptionError if there is none, or none that can be talked to.
        """
        for folder, entries in (
            (self.folder, self._entries),
            (self._global_folder, self._global_entries),
        ):
            if name in entries:
                return self._remote(name, folder, entries[name], protocol)
        if name in _BUILT_IN:
            address, usual = _BUILT_IN[name]
            remote = Remote(name, address, protocol or usual, is_built_in=True)
            return _checked(remote, "the built-in remotes")
        known = sorted({*self._entries, *self._global_entries, *_BUILT_IN})
        raise OptionError(
            f"there is no remote {name} in {self._file(self.folder)}, and no built-in one",
            f"Known remotes: {', '.join(known)}.",
        )

    def identity(self, remote: str | None = None) -> ClientCertificate | None:
        """The client certificate, if the configuration has one. Incus may have one for each remote."""
        names = (f"clientcerts/{remote}", "client") if remote else ("client",)
        for name in names:
            cert, key = (os.path.join(self.folder, f"{name}.{ending}") for ending in ("crt", "key"))
            if os.path.exists(cert) and os.path.exists(key):
                return ClientCertificate(cert, key)
        return None

    def _remote(
        self, name: str, folder: str, entry: Mapping[str, Any], protocol: str | None
    ) -> Remote:
        address, *others = _addresses(entry) or ("",)
        if not address:
            raise OptionError(f"the remote {name} in {self._file(folder)} has no address")
        if entry.get("auth_type") not in (None, "", "tls") and not entry.get("public"):
            raise OptionError(
                f"the remote {name} in {self._file(folder)} authenticates by {entry['auth_type']},"
                " which requires interactive authentication",
                "Use a server address with client_cert and client_key.",
            )
        server_cert = os.path.join(folder, "servercerts", f"{name}.crt")
        authority = os.path.join(folder, "client.ca")
        pin = next((path for path in (server_cert, authority) if os.path.exists(path)), None)
        protocol = protocol or str(entry.get("protocol") or (INCUS if self._for_incus else LXD))
        credentials = None
        if protocol == OCI:
            address, credentials = _without_credentials(address)
        remote = Remote(
            name=name,
            address=address,
            protocol=protocol,
            project=str(entry.get("project") or "") or None,
            server_cert=pin,
            identity=self.identity(name),
            others=tuple(others),
            credentials=credentials,
        )
        return _checked(remote, self._file(folder))

    @cached_property
    def _entries(self) -> Mapping[str, Mapping[str, Any]]:
        return _remotes_in(self._file(self.folder))

    @cached_property
    def _global_entries(self) -> Mapping[str, Mapping[str, Any]]:
        return _remotes_in(self._file(self._global_folder))

    @property
    def _global_folder(self) -> str:
        if self._for_incus:
            return os.environ.get("INCUS_GLOBAL_CONF") or "/etc/incus"
        return os.environ.get("LXD_GLOBAL_CONF") or "/etc/lxd"

    @staticmethod
    def _file(folder: str) -> str:
        return os.path.join(folder, "config.yml")


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
            f"{option} is {text!r}, which is not the URL of an OCI registry",
            "Use https://host, https://host:port or https://host/path. The user name and password are"
            " source_username and source_password.",
        )
    return text.rstrip("/")


def _without_credentials(address: str) -> tuple[str, tuple[str, str] | None]:
    """An address without the user name and password that Incus' client keeps in it, and those."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address, None
    user, at, host = parts.netloc.rpartition("@")
    name, _colon, password = user.partition(":")
    if not at:
        return address, None
    return parts._replace(netloc=host).geturl(), (unquote(name), unquote(password))


def _is_socket(text: str) -> bool:
    return text.startswith("unix:/") and text.strip("/") != "unix:" and text.isprintable()


_HOST = re.compile(r"(([\w-]{1,63}\.)*[\w-]{1,63}\.?|[0-9a-f.]*:[0-9a-f:.]*(%[\w.-]+)?)\Z")
"""Names and addresses that can be asked for; requests has exceptions of all kinds for others."""


def _web_parts(text: str, schemes: tuple[str, ...] = ("https",)) -> SplitResult | None:
    """The parts of a web address; None if it is not one, or has more than scheme, host, port and path."""
    try:
        parts = urlsplit(text)
        possible = parts.scheme in schemes and parts.port != 0
    except ValueError:
        return None
    more = parts.query or parts.fragment or "@" in parts.netloc or " " in text
    return parts if possible and not more and _HOST.match(parts.hostname or "") else None


def _checked(remote: Remote, where: str) -> Remote:
    """The remote, if this collection can talk to it. Raises OptionError."""
    option = f"the address of the remote {remote.name} in {where}"
    if remote.protocol == SIMPLESTREAMS:
        # The client lets its user choose plain http for them.
        for address in (remote.address, *remote.others):
            image_server_address(address, option, ("https", "http"))
    elif remote.protocol == OCI:
        registry_address(remote.address, option)
    elif remote.protocol not in (LXD, INCUS):
        raise OptionError(
            f"the remote {remote.name} in {where} speaks {remote.protocol}",
            f"Supported protocols are {LXD}, {INCUS}, {SIMPLESTREAMS} or {OCI}.",
        )
    else:
        for address in (remote.address, *remote.others):
            if address != LOCAL:
                server_address(address, option)
    return remote


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


def _usual_folder() -> str:
    environment = os.environ
    candidates = [
        environment.get("LXD_CONF"),
        os.path.expanduser("~/snap/lxd/common/config"),
        os.path.expanduser("~/.config/lxc"),
        environment.get("INCUS_CONF"),
        os.path.expanduser("~/.config/incus"),
    ]
    existing = [path for path in candidates if path and os.path.isdir(path)]
    return existing[0] if existing else os.path.expanduser("~/.config/lxc")


def _addresses(entry: Mapping[str, Any]) -> list[str]:
    """A remote's addresses, in the order to try them.

    Incus 7 lists several, with commas between, and begins with the one that worked last
    (``shared/cliconfig/remote.go``, rollingAddrs).
    """
    given = entry.get("addr") or ""
    parts = given if isinstance(given, list) else str(given).split(",")
    listed = [part for part in (str(part).strip() for part in parts) if part]
    last = entry.get("last_working_address")
    start = listed.index(last) if last in listed else 0
    return [part if part == LOCAL else part.rstrip("/") for part in listed[start:] + listed[:start]]


def _remotes_in(path: str) -> Mapping[str, Mapping[str, Any]]:
    """The remotes of one ``config.yml``; none if there is no such file. Raises FileError, MissingLibrary."""
    if not os.path.exists(path):
        return {}
    # Late, since a task without a client configuration needs none of it.
    from .yaml_reader import MAX_BYTES, read_yaml

    role = f"the client configuration {path}"
    config: Any = read_yaml(read_regular_file(path, "client configuration", MAX_BYTES), role)
    remotes = config.get("remotes", "") if isinstance(config, dict) else ""
    if isinstance(remotes, list):
        raise FileError(f"{role} is not one of lxc or incus: remotes is not a mapping")
    return {
        str(name): {str(key): _field(value) for key, value in entry.items()}
        for name, entry in (remotes.items() if isinstance(remotes, dict) else ())
        if isinstance(entry, dict)
    }


def _field(node: Any) -> Any:
    """A field of a remote: texts are as they are written, so that a project 1.10 is not 1.1."""
    if isinstance(node, list):
        return [_field(item) for item in node]
    if isinstance(node, dict):
        return str(node)
    return node.value if node.tag in ("null", "bool") else str(node)

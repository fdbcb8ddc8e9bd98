# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers by name: the client configuration of ``lxc`` or ``incus``, and its built-in remotes.

Follows ``lxc/config`` of LXD and ``shared/cliconfig`` of Incus.
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any, Mapping
from urllib.parse import unquote, urlsplit

from .errors import FileError, OptionError
from .regular_files import read_regular_file
from .remotes import (
    IMAGE_SERVERS,
    IMAGES,
    INCUS,
    LOCAL,
    LXD,
    OCI,
    SIMPLESTREAMS,
    Remote,
    image_server_address,
    registry_address,
    server_address,
)
from .transport.verification import ClientCertificate

_UBUNTU = "https://cloud-images.ubuntu.com"
_BUILT_IN = {
    "local": (LOCAL, LXD),
    IMAGES: (IMAGE_SERVERS["lxc"], SIMPLESTREAMS),
    "ubuntu": (f"{_UBUNTU}/releases", SIMPLESTREAMS),
    "ubuntu-daily": (f"{_UBUNTU}/daily", SIMPLESTREAMS),
    "ubuntu-minimal": (f"{_UBUNTU}/minimal/releases", SIMPLESTREAMS),
    "ubuntu-minimal-daily": (f"{_UBUNTU}/minimal/daily", SIMPLESTREAMS),
}


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
        if protocol in (OCI, SIMPLESTREAMS):
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


def _without_credentials(address: str) -> tuple[str, tuple[str, str] | None]:
    """An address without the user name and password that a client can keep in it, and those."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address, None
    user, at, host = parts.netloc.rpartition("@")
    name, _colon, password = user.partition(":")
    if not at:
        return address, None
    return parts._replace(netloc=host).geturl(), (unquote(name), unquote(password))


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

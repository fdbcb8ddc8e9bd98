# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a web server may lead a task: not to what only this host, or its network, can reach."""

from __future__ import annotations

import socket
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Sequence
from urllib.parse import urlsplit

from ..deadline import Deadline
from ..errors import FileError
from ..urls import mask_credentials


class AllowedHosts:
    """The hosts to which the web servers at ``addresses``, which the task names, may refer.

    These are their own hosts, those that one of ``patterns`` fits (``fnmatch``), and all with public addresses only.
    """

    def __init__(
        self, addresses: Sequence[str], patterns: Sequence[str], deadline: Deadline
    ) -> None:
        self._own = {_host(address) for address in addresses}
        self._patterns = [pattern.lower() for pattern in patterns]
        self._deadline = deadline

    def require(self, page: str, target: str) -> None:
        """Raises FileError unless what is at ``page`` may refer to the URL ``target``."""
        reference = f"{mask_credentials(page)} refers to {mask_credentials(target)}"
        if page.startswith("https:") and not target.startswith("https:"):
            raise FileError(
                f"{reference}, which is less secure",
                "Fix this on the web server: it has to use https.",
            )
        host = _host(target)
        if host in self._own or host == _host(page):
            return
        if any(fnmatchcase(host, pattern) for pattern in self._patterns):
            return
        hint = f"If images may come from there, set url_allowed_hosts={host}."
        try:
            found = self._deadline.call(lambda: socket.getaddrinfo(host, None))
        except (OSError, UnicodeError) as error:
            raise FileError(f"{reference}, and {host} cannot be resolved", hint) from error
        for address in {str(entry[4][0]) for entry in found}:
            if not is_public(address):
                raise FileError(
                    f"{reference}, and {address} is neither a public address nor the host of the URL",
                    hint,
                )


def is_public(address: str) -> bool:
    """Whether this is an address of the internet, and not one of a host, a link or a site."""
    number: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(number, IPv6Address):
        if number.sixtofour or number.teredo or number in _TRANSLATED:
            # What is at its other end is an IPv4 address, which can be any.
            return False
        number = number.ipv4_mapped or number
    return number.is_global and not number.is_multicast


_TRANSLATED = IPv6Network("64:ff9b::/96")
"""IPv4 addresses behind a translator (RFC 6052)."""


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").rstrip(".").lower()

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which proxy leads to an address, as the environment says."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def proxy_for(address: str) -> str | None:
    """The proxy for an http or https address; None if it is reached directly.

    ``https_proxy``, ``http_proxy`` and ``no_proxy`` count, in lower and in upper case. No proxy is used to reach this
    host itself.
    """
    from requests.utils import get_environ_proxies

    parts = urlsplit(address)
    if is_loopback(parts.hostname or ""):
        return None
    proxy = get_environ_proxies(address, None).get(parts.scheme)
    if proxy and "://" not in proxy:
        proxy = f"http://{proxy}"
    return proxy or None


def is_loopback(host: str) -> bool:
    """Whether a host is this one by its very name or address: ``localhost``, 127.0.0.0/8, ``::1``."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def shown_proxy(proxy: str) -> str:
    """A proxy's address for messages: without the credentials that it may hold."""
    parts = urlsplit(proxy)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

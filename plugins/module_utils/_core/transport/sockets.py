# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sockets that are connected to a port of a host, within the task's time."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any, Sequence
from urllib.parse import urlsplit

from .proxies import proxy_for

if TYPE_CHECKING:
    from ..deadline import Deadline

CONNECT_SECONDS = 20
"""How long the resolution of a name, a connection to one address, and a TLS handshake may each take."""


def connect_tcp(host: str, port: int, deadline: Deadline, seconds: float | None = None) -> Any:
    """A connection to the first address of a host that takes one, each tried for so many seconds.

    Raises OSError, of the last address, and TimedOut.
    """
    problem: OSError = OSError(f"the name {host} has no address")
    for family, kind, protocol, _name, address in _resolve(host, port, deadline):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(min(deadline.left(), seconds or CONNECT_SECONDS))
            sock.connect(address)
            return sock
        except OSError as error:
            sock.close()
            problem = error
        except BaseException:
            sock.close()
            raise
    deadline.left()
    raise problem


def _resolve(host: str, port: int, deadline: Deadline) -> Sequence[Any]:
    """What ``getaddrinfo`` knows of a host. Raises OSError, TimedOut.

    Nothing ends a call of it that waits for name servers, so it runs in a thread that is left behind if need be.
    """
    host = host.strip("[]")
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        # A name, then.
        pass
    answer: list[Sequence[Any]] = []
    problem: list[Exception] = []

    def look_up() -> None:
        try:
            answer.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            problem.append(error)

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(min(deadline.left(), CONNECT_SECONDS))
    if answer:
        return answer[0]
    deadline.left()
    if not problem:
        raise OSError(f"the name {host} was not resolved within {CONNECT_SECONDS:g} seconds")
    raise problem[0] if isinstance(problem[0], OSError) else OSError(f"{host} is not a host name")


def first_reachable(addresses: tuple[str, ...], deadline: Deadline) -> str:
    """The first of these https addresses that takes a connection; if none does, the first of all.

    Behind a proxy it is the first as well: whether a proxy reaches an address shows only when it is used.
    """
    for address in addresses:
        parts = urlsplit(address)
        if proxy_for(address):
            return address
        seconds = CONNECT_SECONDS / len(addresses)
        try:
            connect_tcp(parts.hostname or "", parts.port or 443, deadline, seconds).close()
        except OSError:
            # Whoever uses it hears what is wrong.
            continue
        return address
    return addresses[0]

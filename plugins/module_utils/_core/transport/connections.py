# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connections below requests: under the deadline's guard, with their certificate looked at, or to a Unix socket."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..errors import ConnectionFailed
from .body import Segment
from .causes import error_text
from .verification import certificate_matches

if TYPE_CHECKING:
    import ssl

    from ..deadline import Deadline
    from . import Transport

CONNECT_SECONDS = 20


def first_open(addresses: tuple[str, ...], deadline: Deadline) -> str:
    """The first of these https addresses where somebody listens; if nobody does, the first of all."""
    for address in addresses:
        parts = urlsplit(address)
        seconds = min(deadline.left(), CONNECT_SECONDS / len(addresses))
        try:
            socket.create_connection((parts.hostname, parts.port or 443), seconds).close()
        except OSError:
            # Whoever uses it hears what is wrong.
            continue
        return address
    return addresses[0]


def adapter_for(transport: Transport, context: ssl.SSLContext | None) -> Any:
    """A requests adapter whose connections are under the deadline's guard, check pins, and can be a Unix socket's."""
    from requests.adapters import HTTPAdapter
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    guard = transport.deadline.guard

    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            guard(self.sock)

    class Tls(HTTPSConnection):
        def connect(self) -> None:
            try:
                super().connect()
            except socket.timeout as error:
                transport.deadline.left()
                raise ConnectionFailed(
                    f"{transport.address} takes the connection and then keeps silent",
                    "Does it speak TLS?",
                ) from error
            guard(self.sock)
            tls: Any = self.sock
            transport.check_certificate(
                tls.getpeercert(True), lambda: certificate_matches(tls.getpeercert(), self.host)
            )

    class Local(HTTPConnection):
        def connect(self) -> None:
            self.sock = connected(
                transport.address, min(transport.deadline.left(), CONNECT_SECONDS)
            )
            guard(self.sock)

        def send(self, data: Any) -> None:
            if not isinstance(data, Segment):
                super().send(data)
            elif self.sock.sendfile(data.file, 0, data.size) != data.size:
                raise data.shrunk()

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Local if transport.is_local else Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    pools = {"http": PlainPool, "https": TlsPool}

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            if context:
                options.update(ssl_context=context, assert_hostname=False)
            super().init_poolmanager(*args, **options)
            self.poolmanager.pool_classes_by_scheme = pools

        def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
            manager = super().proxy_manager_for(*args, **options)
            manager.pool_classes_by_scheme = pools
            return manager

    return Adapter()


def connected(address: str, seconds: float) -> socket.socket:
    """A connection to a Unix socket."""
    path = "/" + address[len("unix:") :].lstrip("/")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(seconds)
    try:
        sock.connect(path)
    except OSError as error:
        sock.close()
        if isinstance(error, FileNotFoundError):
            hint = "Is the server installed and running, and is this the host it runs on?"
        elif isinstance(error, PermissionError):
            hint = "Run the task as root (become: true) or as a member of the server's group."
        elif isinstance(error, ConnectionRefusedError):
            hint = "A socket without a server behind it: start the server."
        else:
            hint = ""
        raise ConnectionFailed(
            f"cannot open the socket {path}: {error_text(error)}", hint
        ) from error
    # From here on requests sets what a read may take.
    sock.settimeout(None)
    return sock

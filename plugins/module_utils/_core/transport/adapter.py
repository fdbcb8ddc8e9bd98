# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The adapter for requests: connections that end with the deadline and check certificates."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any

from ..errors import ConnectionFailed
from .causes import error_text
from .proxies import shown_proxy
from .response import StrictResponse
from .sockets import CONNECT_SECONDS, connect_tcp
from .verification import certificate_matches

if TYPE_CHECKING:
    from . import Transport
    from .certificate_check import CertificateCheck


def adapter_for(
    transport: Transport, certificate_check: CertificateCheck, context: ssl.SSLContext | None
) -> Any:
    """A requests adapter whose connections end with the deadline, and check the server.

    With ``context``, TLS accepts any certificate of its authorities, and the name is checked here.
    """
    from requests.adapters import HTTPAdapter
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    deadline = transport.deadline
    tls_options: dict[str, Any] = (
        {"ssl_context": context, "assert_hostname": False} if context else {}
    )
    server_name = transport.trust.server_name
    if server_name and transport.is_tls:
        tls_options["server_hostname"] = server_name

    class Plain(HTTPConnection):
        response_class = StrictResponse

        def _new_conn(self) -> Any:
            return _connect(transport, self._dns_host, self.port)

        def connect(self) -> None:
            super().connect()
            deadline.guard(self.sock)

    class Tls(HTTPSConnection):
        response_class = StrictResponse
        _handshake: socket.socket | None = None

        def _new_conn(self) -> Any:
            sock = _connect(transport, self._dns_host, self.port)
            # TLS takes the socket over, so that the deadline could not shut it down while the handshake drips in.
            self._handshake = sock.dup()
            deadline.guard(self._handshake)
            return sock

        def connect(self) -> None:
            try:
                super().connect()
            except socket.timeout as error:
                deadline.left()
                raise ConnectionFailed(
                    f"{transport.address} accepts the connection and does not respond",
                    "Does it use TLS?",
                ) from error
            finally:
                if self._handshake:
                    self._handshake.close()
            sock: Any = self.sock
            # TLS to a proxy, and within it TLS to the server: there the socket is inside an object of urllib3's.
            deadline.guard(getattr(sock, "socket", sock))
            if transport.is_tls:
                transport.tls_version = sock.version()
                certificate_check.require_expected(
                    sock.getpeercert(True),
                    lambda: certificate_matches(sock.getpeercert(), server_name or transport.host),
                )

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    pools = {"http": PlainPool, "https": TlsPool}

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            options.update(tls_options)
            super().init_poolmanager(*args, **options)
            self.poolmanager.pool_classes_by_scheme = pools

        def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
            options.update(tls_options)
            if proxy.lower().startswith("https:"):
                # The proxy has to prove itself to the system's authorities; pins are the server's.
                options["proxy_ssl_context"] = ssl.create_default_context()
            manager = super().proxy_manager_for(proxy, **options)
            manager.pool_classes_by_scheme = pools
            return manager

    return Adapter()


def _connect(transport: Transport, host: str, port: int) -> Any:
    """A connection to the server, or to the proxy before it. Raises ConnectionFailed, TimedOut."""
    try:
        return connect_tcp(host, port, transport.deadline)
    except OSError as error:
        hint = ""
        if isinstance(error, socket.timeout):
            reason = f"no answer within {CONNECT_SECONDS:g} seconds"
            hint = "Is the address right, and does no firewall stand in between?"
        else:
            reason = error_text(error)
        target, through = transport.address, ""
        if transport.proxy:
            target = f"the proxy {shown_proxy(transport.proxy)}"
            through = f" (for {transport.address})"
            hint = "It comes from the environment: https_proxy, http_proxy, no_proxy."
        raise ConnectionFailed(
            f"cannot connect to {target}{through}: {reason}",
            hint,
            unreachable=not transport.proxy,
            refused=isinstance(error, ConnectionRefusedError) and not transport.proxy,
        ) from error

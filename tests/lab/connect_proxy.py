# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An HTTP proxy as sites have one: it opens tunnels by ``CONNECT``, and resolves the names of the servers itself."""

from __future__ import annotations

import select
import socket
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType

from .addresses import free_host


class ConnectProxy:
    """A proxy at ``url``, for the variable ``https_proxy``. It works while it is used as a context manager.

    ``hosts`` gives the address, ``HOST:PORT``, behind each name that it knows, and may be added to. Others are refused
    with 502.
    """

    def __init__(self, hosts: Mapping[str, str]) -> None:
        self.hosts = dict(hosts)
        self.asked: list[str] = []  #: ``HOST:PORT`` of each tunnel that was asked for, in order

    def __enter__(self) -> ConnectProxy:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_CONNECT(self) -> None:
                owner._tunnel(self)

            def log_message(self, format: str, *args: object) -> None:
                """Be quiet."""

        self._server = ThreadingHTTPServer((free_host(), 0), Handler)
        self._server.daemon_threads = True
        Thread(target=self._server.serve_forever, daemon=True).start()
        host, port = self._server.server_address[:2]
        self.url = f"http://{host!s}:{port}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _tunnel(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(handler.path)
        target = self.hosts.get(handler.path.rpartition(":")[0])
        if target is None:
            handler.send_error(502)
            return
        host, _colon, port = target.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=60) as server:
            handler.send_response(200)
            handler.end_headers()
            _pass_on(handler.connection, server)
        handler.close_connection = True


def _pass_on(client: socket.socket, server: socket.socket) -> None:
    """Pass bytes in both directions until either side has ended."""
    others = {client: server, server: client}
    while True:
        for ready in select.select(list(others), [], [])[0]:
            try:
                data = ready.recv(1 << 16)
                if not data:
                    return
                others[ready].sendall(data)
            except OSError:
                return

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small web server with arbitrary responses."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from lab import FAMILY, Image, KeyPair

Headers = Sequence[tuple[str, str]]
OWN = "LXD" if FAMILY == "lxd" else "Incus"
"""The first word of the headers that servers of this family send and expect."""


@dataclass
class Answer:
    """The response for one path. ``body`` is sent as it is; ``length`` is the announced length, or -1 for none."""

    status: int = 200
    headers: Headers = ()
    body: bytes = b""
    length: int | None = None
    head: int | None = None
    """Another status for HEAD."""
    then: float = 0
    """Seconds to keep silent once the body is out, before the connection is closed."""
    drip: float = 0
    """Seconds between the bytes of the body's second half."""
    endless: bool = False
    """Whether the body is written again and again, until the client has gone."""


class Hostile:
    """Responds by path, and records the requests as (method, path, headers), while it is used as a context manager.

    The key of an answer is a path, or a method and a path (``POST /1.0/images``). Of a list of answers each is given
    once, and the last for good.
    """

    def __init__(self, pair: KeyPair | None = None) -> None:
        self.answers: dict[str, Answer | list[Answer]] = {}
        self.otherwise = Answer(404)
        """The answer for paths that have none."""
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self._pair = pair

    def __enter__(self) -> Hostile:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                owner._answer(self, "GET")

            def do_HEAD(self) -> None:
                owner._answer(self, "HEAD")

            def do_DELETE(self) -> None:
                owner._answer(self, "DELETE")

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                owner._answer(self, "POST")

            def log_message(self, format: str, *args: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if self._pair:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(self._pair.certificate, self._pair.key)
            self._server.socket = self.context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http{'s' if self._pair else ''}://127.0.0.1:{self._server.server_port}"

    def _answer(self, handler: BaseHTTPRequestHandler, method: str) -> None:
        path = handler.path.split("?")[0]
        self.requests.append((method, handler.path, dict(handler.headers)))
        answers = self.answers.get(f"{method} {path}", self.answers.get(path, self.otherwise))
        if isinstance(answers, Answer):
            answer = answers
        else:
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        handler.send_response(answer.head if answer.head and method == "HEAD" else answer.status)
        for name, value in answer.headers:
            handler.send_header(name, value)
        if answer.length != -1 and not answer.endless:
            length = len(answer.body) if answer.length is None else answer.length
            handler.send_header("Content-Length", str(length))
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.close_connection = True
        if method == "HEAD":
            return
        try:
            half = len(answer.body) // 2 if answer.drip else len(answer.body)
            handler.wfile.write(answer.body[:half])
            for byte in answer.body[half:]:
                time.sleep(answer.drip)
                handler.wfile.write(bytes([byte]))
            while answer.endless:
                handler.wfile.write(answer.body)
            time.sleep(answer.then)
        except OSError:
            # The client has disconnected.
            return


def good(web: Hostile, image: Image, **more: Any) -> Answer:
    """The headers of an image whose file is /file."""
    return Answer(
        headers=[("LXD-Image-Hash", image.fingerprint), ("LXD-Image-URL", f"{web.url}/file")],
        **more,
    )

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server on a Unix socket that answers every request with what it is given."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True


class AnsweringServer:
    """Answers from ``answers``: a JSON object from a path to an answer; anything else is the answer to all requests.

    It works in this process, for as long as that lives.
    """

    answers: bytes = b""

    def __init__(self, socket: Path) -> None:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = owner._body(self.path.partition("?")[0])
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.do_GET()

            def do_DELETE(self) -> None:
                self.do_GET()

            def log_message(self, format: str, *args: object) -> None:
                """Be quiet."""

        server = _Server(str(socket), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def _body(self, path: str) -> bytes:
        try:
            answers = json.loads(self.answers)
            return json.dumps(answers[path] if path in answers else answers["*"]).encode()
        except (KeyError, TypeError, ValueError, RecursionError):
            return self.answers

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests and answers of the API, as the server of ``replay`` reads and writes them."""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from http.server import BaseHTTPRequestHandler
from typing import Any


class Refusal(Exception):
    """An error of the API: the status, and the server's words."""


class Request:
    """One request; ``certificate`` is the SHA-256 of the client's certificate, or empty."""

    def __init__(
        self, handler: BaseHTTPRequestHandler, path: str, query: dict[str, str], body: bytes
    ) -> None:
        self.method = handler.command
        self.path = path.replace("%2E", ".")
        self.query = query
        self.headers = handler.headers
        self.body = body
        shown = handler.connection.getpeercert(True)
        self.certificate = hashlib.sha256(shown).hexdigest() if shown else ""

    @property
    def json(self) -> dict[str, Any]:
        """The body, which is an object."""
        content: dict[str, Any] = json.loads(self.body)
        return content


def sync(metadata: Any, status: int = 200) -> tuple[int, Any]:
    """The status and the envelope of a synchronous answer."""
    return status, {"type": "sync", "status": "Success", "status_code": 200, "metadata": metadata}


def base64url(content: bytes) -> str:
    """Base64 as in a JSON web token: with the alphabet of addresses and without padding."""
    return urlsafe_b64encode(content).decode().rstrip("=")


def is_for(token: str, audience: str) -> bool:
    """Whether a token claims to be for this server, as the server itself finds out before it verifies it."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return audience in claims["aud"]
    except (IndexError, KeyError, ValueError, TypeError):
        return False


def read_chunks(handler: BaseHTTPRequestHandler) -> bytes:
    """The body of a request without a length."""
    if handler.headers.get("Transfer-Encoding") != "chunked":
        return b""
    content = b""
    while True:
        size = int(handler.rfile.readline(), 16)
        content += handler.rfile.read(size)
        handler.rfile.readline()
        if not size:
            return content


def files_of(request: Request) -> bytes:
    """The files of an uploaded image, one after the other: the body, or the parts of a form."""
    _kind, _equals, boundary = request.headers.get("Content-Type", "").partition("boundary=")
    if not boundary:
        return request.body
    parts = request.body.split(f"--{boundary}".encode())[1:-1]
    return b"".join(part.partition(b"\r\n\r\n")[2][:-2] for part in parts)

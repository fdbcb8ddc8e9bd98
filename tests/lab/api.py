# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests to a server through its Unix socket, with nothing but the standard library."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

from .errors import ApiError


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection through a Unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def call(path: Path, method: str, url: str, body: object = None, *, timeout: float = 60) -> Any:
    """Make one request and return the ``metadata`` of the answer.

    ``ApiError`` when the server answers with an error, ``OSError`` when it does not answer.
    """
    connection = UnixConnection(path, timeout)
    try:
        connection.request(method, url, None if body is None else json.dumps(body))
        response = connection.getresponse()
        answer = json.loads(response.read())
    except (http.client.HTTPException, ValueError) as error:
        raise OSError(f"{path}: no answer to {method} {url}: {error}") from error
    finally:
        connection.close()
    if answer.get("type") == "error":
        raise ApiError(answer.get("error_code") or response.status, answer.get("error") or "?")
    return answer.get("metadata")

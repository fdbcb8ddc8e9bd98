# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The request lines in what a client sends over HTTP/1.1; bodies are skipped, not searched."""

from __future__ import annotations

from .requestlog import Request

_LIMIT = 64 * 1024  # no head is longer; what is longer is not HTTP


class RequestReader:
    """Reads one connection. Feed it the bytes as they come; it says which requests began."""

    def __init__(self) -> None:
        self._head = b""
        self._skip = 0  # bytes of a body, or of a chunk of it, yet to come
        self._chunked = False
        self._lost = False  # what comes is not requests (any more)

    def feed(self, data: bytes) -> list[Request]:
        """The requests whose heads end in these bytes."""
        found = []
        while data and not self._lost:
            if self._skip:
                taken = min(self._skip, len(data))
                self._skip, data = self._skip - taken, data[taken:]
                continue
            end = b"\r\n" if self._chunked else b"\r\n\r\n"
            self._head, middle, data = (self._head + data).partition(end)
            if not middle:
                self._lost = len(self._head) > _LIMIT
                break
            head, self._head = self._head, b""
            if self._chunked:
                self._chunk(head)
            elif request := self._request(head):
                found.append(request)
        return found

    def _chunk(self, line: bytes) -> None:
        """A line with the size of a chunk; its bytes and a line break follow."""
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            self._lost = True
            return
        self._skip = size + 2
        self._chunked = size > 0

    def _request(self, head: bytes) -> Request | None:
        lines = head.decode("latin-1").split("\r\n")
        words = lines[0].split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            self._lost = True
            return None
        fields = [line.partition(":") for line in lines[1:]]
        headers = {key.lower(): value.strip() for key, colon, value in fields if colon}
        self._chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        length = headers.get("content-length", "0")
        self._skip = int(length) if length.isdigit() and not self._chunked else 0
        self._lost = "upgrade" in headers
        return Request(words[0], words[1])

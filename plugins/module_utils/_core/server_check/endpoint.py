# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One address of an image server, asked as its clients ask: in the name of the URL, without following redirects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, Mapping
from urllib.parse import quote

from ..deadline import Deadline
from ..errors import FileError
from ..simplestreams.reading import MAX_DOCUMENT_BYTES
from ..transport import STALL_SECONDS, Transport
from ..transport.response import Headers
from ..transport.verification import ClientCertificate, Verification

MAX_ANSWER_BYTES = 1 << 20
"""Bytes of any other answer."""

Consumer = Callable[[bytes], None]


@dataclass(frozen=True)
class Reply:
    """An answer: its status, its headers and its body, which is empty if it went to a consumer."""

    status: int
    headers: Headers
    body: bytes = b""

    def values(self, name: str) -> list[str]:
        """All values of a header, in order."""
        return self.headers.values(name)

    def value(self, name: str) -> str:
        """The value of a header, empty if it is missing or repeated."""
        values = self.values(name)
        return values[0] if len(values) == 1 else ""


class Endpoint:
    """A web server at ``address`` (``https://HOST:PORT`` or ``http://HOST:PORT``), which clients call ``url``.

    ``headers`` go with each request, the header Host among them; ``identity`` is the client certificate.
    ``requests`` counts what it was asked; threads may ask at the same time.
    """

    def __init__(
        self,
        url: str,
        address: str,
        headers: Mapping[str, str],
        deadline: Deadline,
        trust: Verification,
        identity: ClientCertificate | None = None,
    ) -> None:
        self.url = url
        self.address = address
        self._headers = headers
        self._deadline = deadline
        self._transport = Transport(address, deadline, trust, identity, STALL_SECONDS)
        self.requests = 0

    @property
    def tls_version(self) -> str | None:
        """The protocol version of its last connection, as in ``TLSv1.3``; None for plain http."""
        return self._transport.tls_version

    def reconnect(self) -> None:
        """Ask over a new connection from now on."""
        self._transport = self._transport.with_deadline(self._deadline)

    def ask(
        self,
        path: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        limit: int = MAX_ANSWER_BYTES,
        consumer: Consumer | None = None,
    ) -> Reply:
        """Send one request. ``path`` begins with a slash and is not quoted yet.

        The body of an answer with the status 200 goes to ``consumer``, if there is one. Raises FileError if more than
        ``limit`` bytes come, ConnectionFailed, TimedOut.
        """
        self.requests += 1
        transport = self._transport
        response = transport.send(
            method,
            quote(path, safe="/+"),
            headers={**self._headers, **(headers or {})},
        )
        reply = Reply(response.status_code, response.headers)
        if method == "HEAD":
            response.read_some(1)  # nothing, but it gives the connection back
            return reply
        body = bytearray()
        consume = consumer if consumer and reply.status == 200 else body.extend
        seen = 0
        for block in transport.blocks(response):
            seen += len(block)
            if seen > limit:
                response.close()
                raise FileError(f"{method} {self.url}{path} sends more than {limit} bytes")
            consume(block)
        return replace(reply, body=bytes(body))

    def document(self, path: str) -> bytes:
        """A document that has to be there, by its path below the root. Raises FileError if it is not."""
        reply = self.ask(f"/{path}", limit=MAX_DOCUMENT_BYTES)
        if reply.status != 200:
            raise FileError(*missing(f"{self.url}/{path}", reply.status))
        return reply.body


def missing(url: str, status: int) -> tuple[str, str]:
    """What it means that a file of the image server is answered with this status, and what to do."""
    if status == 403:
        return (
            f"{url} has the HTTP status 403: the web server may not read it",
            "Its user needs permission to enter every directory that leads there, and to read the file.",
        )
    hint = "A private server needs credentials. Set username and password." if status == 401 else ""
    return f"{url} has the HTTP status {status}", hint

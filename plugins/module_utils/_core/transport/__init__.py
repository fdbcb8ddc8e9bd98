# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP over Unix sockets and TLS: how servers and clients prove who they are, time limits, and what is sent.

A thin layer over ``http.client`` for Unix sockets, and over requests for all else. It knows nothing of LXD.
"""

from __future__ import annotations

import socket
from functools import cached_property
from http.client import IncompleteRead
from json import dumps
from typing import TYPE_CHECKING, Any, Iterator, Mapping, Protocol
from urllib.parse import quote, urlencode, urlsplit

from ..deadline import Deadline
from ..errors import ConnectionFailed, ImageStoreError
from .causes import error_text, root_cause
from .response import Response

if TYPE_CHECKING:
    from ..tokens import BearerToken
    from .body import Body, Stream
    from .verification import ClientCertificate, Verification

STALL_SECONDS = 60
"""How long a source may keep silent before that counts as a break."""

MAX_SOCKET_SECONDS = 1_000_000
"""The longest timeout that a socket is given: some systems take no more than 24 days."""

BLOCK = 1 << 20
"""Bytes per block. With the 8 to 16 KiB of requests, an upload to LXD takes one and a half times as long."""


def url_path(template: str, *names: str) -> str:
    """``template`` with each ``{}`` replaced by a name, quoted so that it stays one part of the path.

    Dots are quoted too: urllib3 would take a name ``..`` for a step up.
    """
    quoted = (quote(name, safe="", errors="surrogatepass") for name in names)
    return template.format(*(name.replace(".", "%2E") for name in quoted))


def announced_length(response: Response) -> int | None:
    """The length of a body in bytes, as the answer's header has it; None if there is no such header, or a wrong one."""
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


class HttpClient(Protocol):
    """Sends requests to one server over one kind of connection."""

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What is raised if the connection fails, or breaks while a response is read."""

    def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | Body | Stream | None,
        patience: float,
    ) -> Response:
        """Send a request for a path and query, and await the head of the response.

        ``patience`` is how many seconds the server may keep silent. Raises ``errors``, ImageStoreError, and what
        reading a file of the body raises.
        """

    def explain(self, error: Exception, cause: BaseException) -> ImageStoreError | None:
        """What one of ``errors``, caused by ``cause``, means if only this kind of connection has it; else None."""


class Transport:
    """Requests to one server, at ``https://host:port``, ``http://host`` or ``unix:///path/of/socket``.

    Whatever goes wrong is raised as ConnectionFailed or TimedOut, except a status, which the caller checks.
    ``bearer_token`` goes with each request, in place of the client certificate ``identity``.
    ``stall`` is how many seconds the server may keep silent before that counts as a fault; None leaves it to the
    deadline.
    """

    def __init__(
        self,
        address: str,
        deadline: Deadline,
        trust: Verification | None = None,
        identity: ClientCertificate | None = None,
        stall: float | None = None,
        bearer_token: BearerToken | None = None,
    ) -> None:
        self.address = address.rstrip("/")
        self.deadline = deadline
        self._trust = trust
        self.identity = identity
        self.bearer_token = bearer_token
        self.stall = stall
        self.is_local = address.startswith("unix:")
        self.is_tls = address.startswith("https:")
        self.peer_certificate: bytes | None = None
        """The certificate that the server has shown, as DER."""
        self.tls_version: str | None = None
        """The protocol version that was negotiated with the server, as in ``TLSv1.3``."""

    @cached_property
    def trust(self) -> Verification:
        """What the server must prove, unless it is reached by a Unix socket."""
        from .verification import Verification

        return self._trust or Verification()

    @property
    def host(self) -> str:
        """The host of the address, without brackets."""
        return urlsplit(self.address).hostname or ""

    @cached_property
    def proxy(self) -> str | None:
        """The address of the proxy that leads to the server; None if it is reached directly."""
        if self.is_local:
            return None
        from .proxies import proxy_for

        return proxy_for(self.address)

    def with_deadline(self, deadline: Deadline) -> Transport:
        """A connection of its own to the same server, with another deadline."""
        return Transport(
            self.address, deadline, self._trust, self.identity, self.stall, self.bearer_token
        )

    def with_verification(self, trust: Verification) -> Transport:
        """An anonymous connection of its own to the same server, which has to prove something else."""
        return Transport(self.address, self.deadline, trust)

    @cached_property
    def _client(self) -> HttpClient:
        if self.is_local:
            from .unix_socket import UnixSocketClient

            return UnixSocketClient(self.address, self.deadline)
        from .network import NetworkClient

        return NetworkClient(self)

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        json: Any = None,
        body: Body | Stream | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send one request; the body of the response is left to be read (``blocks``, ``read``).

        ``path`` is quoted already (see ``url_path``). Redirects are not followed. Raises ConnectionFailed, TimedOut,
        and what reading a file of the body raises.
        """
        client = self._client
        patience = min(self.deadline.left(), self._patience)
        # Nothing is decompressed: a small response could become gigabytes.
        given = {"Accept-Encoding": "identity", **(headers or {})}
        if self.bearer_token:
            given["Authorization"] = f"Bearer {self.bearer_token.text}"
        content: bytes | Body | Stream | None = body
        if body:
            given["Content-Type"] = body.content_type
        elif json is not None:
            given["Content-Type"] = "application/json"
            content = dumps(json).encode()
        target = f"{path}?{urlencode(query, errors='surrogatepass')}" if query else path
        try:
            response = client.send(method, target, given, content, patience)
        except client.errors as error:
            raise self._explain(error) from error
        # A connection that was shut down in the middle of a response looks like its end.
        self.deadline.left()
        return response

    def read(self, response: Response, limit: int) -> bytearray:
        """The whole body of an answer, of at most ``limit`` bytes. Raises ConnectionFailed, TimedOut."""
        content = bytearray()
        for block in self.blocks(response):
            content += block
            if len(content) > limit:
                raise ConnectionFailed(
                    f"{self.address} responds with more than {limit >> 20} MiB, which is too much"
                )
        return content

    def blocks(self, response: Response) -> Iterator[bytes]:
        """The body of an answer, a block at a time.

        Raises ConnectionFailed if it breaks off (requests 2.25 takes that for the end), TimedOut.
        """
        announced = announced_length(response)
        seen = 0
        try:
            while True:
                block = response.read_some(BLOCK)
                if not block:
                    break
                seen += len(block)
                yield block
        except self._client.errors as error:
            if isinstance(root_cause(error), IncompleteRead) and not self.deadline.passed:
                raise ConnectionFailed(
                    f"{self.address} closed the connection after {seen} bytes"
                ) from error
            raise self._explain(error) from error
        finally:
            response.close()
        self.deadline.left()
        if announced is not None and seen != announced:
            raise ConnectionFailed(
                f"{self.address} closed the connection after {seen} of {announced} bytes"
            )

    def connection_failed(self, cause: BaseException) -> ConnectionFailed:
        """What to raise for an error of the connection that has no better explanation."""
        through = ""
        if self.proxy:
            from .proxies import shown_proxy

            through = f" through the proxy {shown_proxy(self.proxy)}"
        return ConnectionFailed(
            f"the connection to {self.address}{through} failed: {error_text(cause)}"
        )

    def _explain(self, error: Exception) -> ImageStoreError:
        """What an error of the connection means to the user."""
        if self.deadline.passed:
            return self.deadline.error()
        cause = root_cause(error)
        known = self._client.explain(error, cause)
        if known:
            return known
        if isinstance(cause, socket.timeout):
            return ConnectionFailed(
                f"{self.address} has not responded for {self._patience:g} seconds"
            )
        return self.connection_failed(cause)

    @property
    def _patience(self) -> float:
        """Seconds that the server may keep silent, as long as the deadline lets it."""
        return self.stall or MAX_SOCKET_SECONDS

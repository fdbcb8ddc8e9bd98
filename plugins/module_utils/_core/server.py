# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One LXD or Incus server: calls of its API, and operations waited for with a deadline."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Iterator, Mapping, Sized
from urllib.parse import unquote, urlsplit

from .envelope import api_error, read_envelope
from .errors import (
    ApiError,
    AuthenticationError,
    ConnectionFailed,
    ImageStoreError,
    clean_text,
)

if TYPE_CHECKING:
    from .deadline import Deadline
    from .dialect import Dialect
    from .operations import Operations
    from .transfer_progress import Transfer
    from .transport import Transport
    from .transport.body import Body, Stream
    from .transport.response import Response

MAX_LIST_ITEMS = 20_000
"""Images, aliases or projects of a list."""


@dataclass(frozen=True)
class ApiResponse:
    """What a call returned: the ``metadata`` of LXD's envelope, and the ETag to edit it under (or None)."""

    metadata: Any
    etag: str | None = None


class Server:
    """One server, as this client sees it."""

    def __init__(self, transport: Transport, hint_if_none: str = "") -> None:
        """``hint_if_none`` is what to suggest if there is no LXD or Incus server at the address."""
        self.transport = transport
        self.transfer: Transfer | None = None
        """The transfer that this server takes part in, if its progress is shown."""
        self._hint_if_none = hint_if_none

    def with_deadline(self, deadline: Deadline) -> Server:
        """The same server, over a connection of its own with another deadline."""
        return Server(self.transport.with_deadline(deadline), self._hint_if_none)

    @property
    def address(self) -> str:
        """Its address, for messages as well."""
        return self.transport.address

    def follow(self, body: Body | Stream) -> None:
        """Count what is sent or received of a body, if the progress of the transfer is shown."""
        if self.transfer:
            self.transfer.follow(body)

    @cached_property
    def info(self) -> Mapping[str, Any]:
        """The answer to ``GET /1.0``: ``auth``, ``api_extensions``, and ``environment`` for a trusted client."""
        return self.get_object("/1.0", "itself")

    @property
    def environment(self) -> Mapping[str, Any]:
        """The server's ``environment`` (``shared/api/server.go``), which it shows to clients that it trusts.

        Raises AuthenticationError, saying what would help, if it does not trust this one.
        """
        environment = self.info.get("environment")
        if not environment:
            self.require_trust()
        if not isinstance(environment, dict):
            raise self.not_lxd("no description of its environment")
        return environment

    @property
    def architectures(self) -> list[str]:
        """The architectures that the server runs, its own first. Raises AuthenticationError."""
        architectures = self._texts_of_environment("architectures")
        if not architectures:
            raise self.not_lxd("no list of its architectures")
        return architectures

    @property
    def addresses(self) -> list[str]:
        """``host:port`` where it listens on the network, the preferred one first. Raises AuthenticationError."""
        return self._texts_of_environment("addresses")

    @property
    def certificate(self) -> str:
        """Its own certificate as PEM; empty if it tells none. Raises AuthenticationError."""
        certificate = self.environment.get("certificate") or ""
        return certificate if isinstance(certificate, str) else ""

    @property
    def identification_headers(self) -> dict[str, str]:
        """The headers with which it would ask a web server for an image. Raises AuthenticationError."""
        return self.dialect.identification_headers(self.architectures, self.environment)

    def _texts_of_environment(self, name: str) -> list[str]:
        """A list of the environment; empty if it is missing or null."""
        texts = self.environment.get(name) or []
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise self.not_lxd(f"no list of its {name}")
        return texts

    @cached_property
    def dialect(self) -> Dialect:
        """What this server can do and how it words things."""
        from .dialect import Dialect

        with self.validating_response("itself"):
            return Dialect.parse(self.info)

    @cached_property
    def operations(self) -> Operations:
        """The operations in the background that requests start."""
        from .operations import Operations

        return Operations(self)

    @property
    def is_trusted(self) -> bool:
        """Whether this client may do more than look at public images. Over a Unix socket it always may."""
        return self.transport.is_local or self.info.get("auth") == "trusted"

    def require_trust(self) -> None:
        """Raises AuthenticationError, saying what would help, unless the server trusts this client."""
        if not self.is_trusted:
            from .access import why_not_trusted

            raise why_not_trusted(self)

    def recheck_trust(self) -> bool:
        """Whether the server trusts this client, whatever it has said before.

        An Incus that is just coming to trust it answers with one error or another for a moment.
        """
        for known in ("info", "dialect"):
            self.__dict__.pop(known, None)
        try:
            return self.is_trusted
        except ApiError:
            return False

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        json: Any = None,
        body: Body | Stream | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ApiResponse:
        """One call of the API. Raises ApiError with LXD's own words where the server answers with an error."""
        response = self._send(method, path, query, json, body, headers)
        envelope = self._envelope(response)
        if envelope.get("type") == "error":
            error = api_error(self.address, envelope, response)
            raise self._refusal_of_token(path, error) or error
        return ApiResponse(envelope.get("metadata"), response.headers.get("ETag"))

    def get_object(
        self, path: str, what: str, query: Mapping[str, str] | None = None
    ) -> Mapping[str, Any]:
        """GET the description of something. Raises ApiError, and ConnectionFailed if the answer is no such thing."""
        metadata = self.call("GET", path, query).metadata
        if not isinstance(metadata, dict):
            raise self.not_lxd(f"no description of {what}")
        return metadata

    def get_list(
        self, path: str, what: str, query: Mapping[str, str] | None = None
    ) -> list[Mapping[str, Any]]:
        """GET the descriptions of all of a kind; ``null`` is an empty list. Raises ApiError, ConnectionFailed."""
        listed = self.call("GET", path, {**(query or {}), "recursion": "1"}).metadata or []
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise self.not_lxd(f"no list of {what}")
        self._require_bounded(listed, what)
        return listed

    def get_names(self, path: str, what: str, query: Mapping[str, str] | None = None) -> list[str]:
        """GET the names of all of a kind: the last part of each URL that the server lists. Raises as ``get_list``."""
        urls = self.call("GET", path, query).metadata or []
        with self.validating_response(what):
            self._require_bounded(urls, what)
            return [unquote(urlsplit(url).path.rpartition("/")[2]) for url in urls]

    def _require_bounded(self, listed: Sized, what: str) -> None:
        if len(listed) > MAX_LIST_ITEMS:
            raise self.not_lxd(f"a list of {what} with more than {MAX_LIST_ITEMS} of them")

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        json: Any,
        body: Body | Stream | None,
        headers: Mapping[str, str] | None,
    ) -> Response:
        try:
            return self.transport.send(method, path, query, json, body, headers)
        except ConnectionFailed as error:
            if not error.unreachable:
                raise
            hint = error.hint
            if error.refused:
                hint = (
                    "Is the server running, and does it listen there? On its host, lxc config get core.https_address"
                    " (or incus config get core.https_address) tells, and lxc config set core.https_address :8443"
                    " makes it listen."
                )
            raise ConnectionFailed(error.message, f"{hint} {self._hint_if_none}".strip()) from error

    def _envelope(self, response: Response) -> Mapping[str, Any]:
        """The envelope of an answer. Raises ConnectionFailed if it has none."""
        try:
            return read_envelope(self.transport, response)
        except ValueError as error:
            raise self.not_lxd(str(error)) from error

    def _refusal_of_token(self, path: str, error: ApiError) -> AuthenticationError | None:
        """What to raise if the bearer token is behind an error: the server then refuses all requests, ``/1.0`` too."""
        token = self.transport.bearer_token
        if not token or error.status != 403:
            return None
        if path == "/1.0":
            return AuthenticationError(
                f"{self.address} did not accept {token.option}: {clean_text(error.reason)}",
                token.hint_if_refused,
            )
        try:
            self.call("GET", "/1.0")
        except AuthenticationError as refused:
            return refused
        except ImageStoreError:
            pass
        return None

    @contextmanager
    def validating_response(self, what: str) -> Iterator[None]:
        """For reading what an answer says of something. Raises ConnectionFailed if that is not as LXD says it."""
        try:
            yield
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise self.not_lxd(f"no description of {what}") from error

    def not_lxd(self, what: str) -> ConnectionFailed:
        """What to raise for an answer of ``what``."""
        return ConnectionFailed(
            f"{self.address} responds with {what}, which is not LXD's API",
            f"Is that the address and port of a LXD or Incus server? {self._hint_if_none}".strip(),
        )

    def stream(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Response:
        """GET something that is not JSON; its body is left to be read. Raises ApiError."""
        response = self._send("GET", path, query, None, None, headers)
        if response.status_code >= 400:
            raise api_error(self.address, self._envelope(response), response)
        return response

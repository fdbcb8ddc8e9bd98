# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One LXD or Incus server: calls of its API, and operations waited for with a deadline."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Iterator, Mapping

from .deadline import Deadline
from .dialect import Dialect
from .errors import (
    ApiError,
    AuthenticationError,
    ConflictError,
    ConnectionFailed,
    ImageStoreError,
    OperationFailed,
    TimedOut,
)
from .transport import Body, Stream, Transport

if TYPE_CHECKING:
    import requests

POLL_SECONDS = 30
"""How long one ``/wait`` may last: a proxy in between may not like longer silence."""

CANCEL_SECONDS = 1.5
"""What a task takes beyond its deadline to cancel what it has started."""

MAX_ANSWER_BYTES = 16 << 20
"""Of an answer in JSON. A list of 5,000 images, more than LXD can list, has 8 MiB."""

TRUST_ATTEMPTS = 20
"""How often a server is asked whether it has come to trust this client, ``TRUST_PAUSE`` seconds after each other."""

TRUST_PAUSE = 0.1

_SUCCESS = 200
_ENDED = {_SUCCESS, 400, 401}


@dataclass(frozen=True)
class ApiResponse:
    """What a call returned: the ``metadata`` of LXD's envelope, and the ETag to edit it under (or None)."""

    metadata: Any
    etag: str | None = None


class Server:
    """One server, as this client sees it."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    @property
    def address(self) -> str:
        """What people call it."""
        return self.transport.address

    @cached_property
    def info(self) -> Mapping[str, Any]:
        """The answer to ``GET /1.0``: ``auth``, ``api_extensions``, and ``environment`` for a trusted client."""
        info: Mapping[str, Any] = self.call("GET", "/1.0").metadata
        if not isinstance(info, dict):
            raise self._not_lxd("no description of itself")
        return info

    @property
    def environment(self) -> Mapping[str, Any]:
        """The server's ``environment`` (``shared/api/server.go``), which it shows to clients that it trusts.

        Raises AuthenticationError, saying what would help, if it does not trust this one.
        """
        environment = self.info.get("environment")
        if not environment:
            self.require_trust()
        if not isinstance(environment, dict):
            raise self._not_lxd("no description of its environment")
        return environment

    @property
    def architectures(self) -> list[str]:
        """The architectures that the server runs, its own first. Raises AuthenticationError."""
        architectures = self._texts_of_environment("architectures")
        if not architectures:
            raise self._not_lxd("no list of its architectures")
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
            raise self._not_lxd(f"no list of its {name}")
        return texts

    @cached_property
    def dialect(self) -> Dialect:
        """What this server can do and how it words things."""
        with self.validating_response("itself"):
            return Dialect.parse(self.info)

    @property
    def is_trusted(self) -> bool:
        """Whether this client may do more than look at public images. Over a Unix socket it always may."""
        return self.transport.is_local or self.info.get("auth") == "trusted"

    def require_trust(self) -> None:
        """Raises AuthenticationError, saying what would help, unless the server trusts this client."""
        if self.is_trusted:
            return
        if self.transport.identity:
            raise AuthenticationError(
                f"{self.address} does not trust the client certificate {self.transport.identity.cert}",
                "Add it to the server's trust store, or give trust_token.",
            )
        raise AuthenticationError(
            f"{self.address} trusts only clients with a certificate, and this task has none",
            "Give client_cert and client_key, or a config_dir that holds client.crt and client.key.",
        )

    def add_client_certificate(self, token: str) -> bool:
        """Have the server trust our client certificate from now on; False if another task was quicker to.

        Raises AuthenticationError if the server does not want to.
        """
        if not self.transport.identity:
            self.require_trust()
        refused: ApiError | None = None
        try:
            self.call(
                "POST",
                "/1.0/certificates",
                json={"type": "client", self.dialect.token_field: token},
            )
        except ApiError as error:
            refused = error
        if not self._becomes_trusted() and refused:
            raise AuthenticationError(
                f"{self.address} did not accept trust_token: {refused.reason}",
                _token_hint(token, self.transport.peer_certificate or b""),
            ) from refused
        return refused is None

    def _becomes_trusted(self) -> bool:
        """Whether the server trusts this client within some moments.

        A token is used up before the certificate is known everywhere (``lxd/certificates.go``, certificatesPost), so
        who comes second is refused in between.
        """
        for _attempt in range(TRUST_ATTEMPTS):
            if self.recheck_trust():
                return True
            self.transport.deadline.left()
            time.sleep(TRUST_PAUSE)
        return False

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
        response = self.transport.send(method, path, query, json, body, headers)
        envelope = self._envelope(response)
        if envelope.get("type") == "error":
            status = int(envelope.get("error_code") or response.status_code)
            reason = str(envelope.get("error") or response.reason)
            raise ApiError(f"{self.address} says: {reason}", status, reason)
        return ApiResponse(envelope.get("metadata"), response.headers.get("ETag"))

    def _envelope(self, response: requests.Response) -> Mapping[str, Any]:
        """LXD's envelope (``doc/rest-api.md``): ``type``, ``metadata``, and ``error`` with ``error_code``."""
        try:
            envelope = json.loads(self.transport.read(response, MAX_ANSWER_BYTES))
        except (ValueError, RecursionError):
            envelope = None
        if not isinstance(envelope, dict) or "type" not in envelope:
            kind = response.headers.get("Content-Type", "something").split(";")[0]
            raise self._not_lxd(f"{kind} (HTTP status {response.status_code})")
        return envelope

    @contextmanager
    def validating_response(self, what: str) -> Iterator[None]:
        """For reading what an answer says of something. Raises Unreachable if that is not as LXD says it."""
        try:
            yield
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._not_lxd(f"no description of {what}") from error

    def _not_lxd(self, what: str) -> ConnectionFailed:
        return ConnectionFailed(
            f"{self.address} answers with {what}, which is not LXD's API",
            "Is that the address and port of a LXD or Incus server?",
        )

    def stream(
        self, path: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> requests.Response:
        """GET something that is no JSON; its body is left to be read. Raises ApiError."""
        response = self.transport.send("GET", path, query, headers=headers)
        if response.status_code >= 400:
            envelope = self._envelope(response)
            reason = str(envelope.get("error") or response.reason)
            raise ApiError(f"{self.address} says: {reason}", response.status_code, reason)
        return response

    def run(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        json: Any = None,
        body: Body | Stream | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Mapping[str, Any]:
        """A call that starts an operation: waits for its end and returns the operation (``shared/api/operation.go``).

        Raises OperationFailed with the server's ``err``, TimedOut (the operation is then cancelled if the server
        lets us), and ConflictError if its outcome can no longer be known: servers forget an operation some seconds
        after its end.
        """
        operation = self.call(method, path, query, json, body, headers).metadata
        return self.wait(operation["id"], query)

    def wait(self, operation_id: str, query: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """Wait for the end of a running operation; see ``run``."""
        path = f"/1.0/operations/{operation_id}"
        try:
            state = self._wait_until_ended(path, query)
        except TimedOut as error:
            raise self._after_timeout(path, query, error) from error
        if state["status_code"] != _SUCCESS:
            err = str(state.get("err") or state.get("status"))
            raise OperationFailed(f"{self.address} says: {err}", err)
        return state

    def cancel(self, path: str, query: Mapping[str, str] | None = None) -> None:
        """Cancel an operation, even past the deadline. Raises ApiError where the server does not let us."""
        Server(self.transport.until(Deadline(CANCEL_SECONDS))).call("DELETE", path, query)

    def _wait_until_ended(self, path: str, query: Mapping[str, str] | None) -> Mapping[str, Any]:
        while True:
            seconds = max(1, int(min(self.transport.deadline.left(), POLL_SECONDS)))
            try:
                self.call("GET", f"{path}/wait", {**(query or {}), "timeout": str(seconds)})
            except ApiError:
                # Incus reports a failed operation, and a poll that timed out, as an error of the call itself
                # (cmd/incusd/operations.go). The operation tells which it was.
                pass
            try:
                state: Mapping[str, Any] = self.call("GET", path, query).metadata
            except ApiError as error:
                if error.status != 404:
                    raise
                raise ConflictError(
                    f"{self.address} has forgotten how the operation ended"
                ) from error
            if state["status_code"] in _ENDED:
                return state

    def _after_timeout(
        self, path: str, query: Mapping[str, str] | None, error: TimedOut
    ) -> TimedOut:
        """Cancel the operation if the server lets us; the error to raise says what became of it."""
        name = f"operation {path.rsplit('/', 1)[1]} of {self.address}"
        try:
            self.cancel(path, query)
        except ApiError:
            left = f"{name} cannot be cancelled and goes on: once it has ended, the next run will find the image"
        except ImageStoreError as problem:
            left = f"{name} could not be cancelled ({problem.message}): if it ends well, the next run finds the image"
        else:
            left = f"{name} was cancelled"
        return TimedOut(f"{error.message}; {left}", error.hint)


def _token_hint(token: str, certificate: bytes) -> str:
    """What to do about a token that the server with this certificate (DER) refused.

    A token is base64 of JSON, with the fingerprint of its issuer's certificate (``shared/api/certificate.go``,
    CertificateAddToken).
    """
    from base64 import b64decode
    from hashlib import sha256
    from json import loads

    try:
        issuer = loads(b64decode(token))["fingerprint"]
    except (ValueError, KeyError, TypeError):
        return "It does not look like a token: copy all of it, or issue a new one."
    if issuer != sha256(certificate).hexdigest():
        return "It was issued by another server."
    return "A token serves once and for a limited time: issue a new one."

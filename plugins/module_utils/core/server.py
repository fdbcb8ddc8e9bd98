# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One LXD or Incus server: calls of its API, and operations waited for with a deadline."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Iterator, Mapping

from .dialect import Dialect
from .errors import (
    ImageStoreError,
    OperationFailed,
    Overtaken,
    Refused,
    TimedOut,
    Unreachable,
    Untrusted,
)
from .transport import Body, Deadline, Stream, Transport

if TYPE_CHECKING:
    import requests

POLL_SECONDS = 30
"""How long one ``/wait`` may last: a proxy in between may not like longer silence."""

CANCEL_SECONDS = 5
"""What a task takes beyond its deadline to cancel what it has started."""

TRUST_ATTEMPTS = 20
"""How often a server is asked whether it has come to trust this client, ``TRUST_PAUSE`` seconds after each other."""

TRUST_PAUSE = 0.1

_SUCCESS = 200
_ENDED = {_SUCCESS, 400, 401}


@dataclass(frozen=True)
class Answer:
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
            raise self._no_lxd("no description of itself")
        return info

    @cached_property
    def dialect(self) -> Dialect:
        """What this server can do and how it words things."""
        with self.described("itself"):
            return Dialect.parse(self.info)

    @property
    def trusts_us(self) -> bool:
        """Whether this client may do more than look at public images. Over a Unix socket it always may."""
        return self.transport.is_local or self.info.get("auth") == "trusted"

    def require_trust(self) -> None:
        """Raises Untrusted, saying what would help, unless the server trusts this client."""
        if self.trusts_us:
            return
        if self.transport.identity:
            raise Untrusted(
                f"{self.address} does not trust the client certificate {self.transport.identity.cert}",
                "Add it to the server's trust store, or give trust_token.",
            )
        raise Untrusted(
            f"{self.address} trusts only clients with a certificate, and this task has none",
            "Give client_cert and client_key, or a config_dir that holds client.crt and client.key.",
        )

    def trust_us(self, token: str) -> bool:
        """Have the server trust our client certificate from now on; False if another task was quicker to.

        Raises Untrusted if the server does not want to.
        """
        if not self.transport.identity:
            self.require_trust()
        refused: Refused | None = None
        try:
            self.call(
                "POST",
                "/1.0/certificates",
                json={"type": "client", self.dialect.token_field: token},
            )
        except Refused as error:
            refused = error
        if not self._comes_to_trust_us() and refused:
            raise Untrusted(
                f"{self.address} did not accept trust_token: {refused.reason}",
                _advice_on(token, self.transport.shown or b""),
            ) from refused
        return refused is None

    def _comes_to_trust_us(self) -> bool:
        """Whether the server trusts this client within some moments.

        A token is used up before the certificate is known everywhere (``lxd/certificates.go``, certificatesPost), so
        who comes second is refused in between.
        """
        for _attempt in range(TRUST_ATTEMPTS):
            if self.trusts_us_by_now():
                return True
            self.transport.deadline.left()
            time.sleep(TRUST_PAUSE)
        return False

    def trusts_us_by_now(self) -> bool:
        """Whether the server trusts this client, whatever it has said before.

        An Incus that is just coming to trust it answers with one error or another for a moment.
        """
        for known in ("info", "dialect"):
            self.__dict__.pop(known, None)
        try:
            return self.trusts_us
        except Refused:
            return False

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        json: Any = None,
        body: Body | Stream | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One call of the API. Raises Refused with LXD's own words where the server answers with an error."""
        response = self.transport.send(method, path, query, json, body, headers)
        envelope = self._envelope(response)
        if envelope.get("type") == "error":
            status = int(envelope.get("error_code") or response.status_code)
            reason = str(envelope.get("error") or response.reason)
            raise Refused(f"{self.address} says: {reason}", status, reason)
        return Answer(envelope.get("metadata"), response.headers.get("ETag"))

    def _envelope(self, response: requests.Response) -> Mapping[str, Any]:
        """LXD's envelope (``doc/rest-api.md``): ``type``, ``metadata``, and ``error`` with ``error_code``."""
        try:
            envelope = response.json()
        except (ValueError, RecursionError):
            envelope = None
        if not isinstance(envelope, dict) or "type" not in envelope:
            kind = response.headers.get("Content-Type", "something").split(";")[0]
            raise self._no_lxd(f"{kind} (HTTP status {response.status_code})")
        return envelope

    @contextmanager
    def described(self, what: str) -> Iterator[None]:
        """For reading what an answer says of something. Raises Unreachable if that is not as LXD says it."""
        try:
            yield
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._no_lxd(f"no description of {what}") from error

    def _no_lxd(self, what: str) -> Unreachable:
        return Unreachable(
            f"{self.address} answers with {what}, which is not LXD's API",
            "Is that the address and port of a LXD or Incus server?",
        )

    def stream(
        self, path: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> requests.Response:
        """GET something that is no JSON; its body is left to be read. Raises Refused."""
        response = self.transport.send("GET", path, query, headers=headers, stream=True)
        if response.status_code >= 400:
            envelope = self._envelope(response)
            reason = str(envelope.get("error") or response.reason)
            raise Refused(f"{self.address} says: {reason}", response.status_code, reason)
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
        lets us), and Overtaken if its outcome can no longer be known: servers forget an operation some seconds after
        its end.
        """
        operation = self.call(method, path, query, json, body, headers).metadata
        return self.wait(operation["id"], query)

    def wait(self, operation_id: str, query: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """Wait for the end of a running operation; see ``run``."""
        path = f"/1.0/operations/{operation_id}"
        try:
            state = self._ended(path, query)
        except TimedOut as error:
            raise self._given_up(path, query, error) from error
        if state["status_code"] != _SUCCESS:
            err = str(state.get("err") or state.get("status"))
            raise OperationFailed(f"{self.address} says: {err}", err)
        return state

    def cancel(self, path: str, query: Mapping[str, str] | None = None) -> None:
        """Cancel an operation, even past the deadline. Raises Refused where the server does not let us."""
        Server(self.transport.until(Deadline(CANCEL_SECONDS))).call("DELETE", path, query)

    def _ended(self, path: str, query: Mapping[str, str] | None) -> Mapping[str, Any]:
        while True:
            seconds = max(1, int(min(self.transport.deadline.left(), POLL_SECONDS)))
            try:
                self.call("GET", f"{path}/wait", {**(query or {}), "timeout": str(seconds)})
            except Refused:
                # Incus reports a failed operation, and a poll that timed out, as an error of the call itself
                # (cmd/incusd/operations.go). The operation tells which it was.
                pass
            try:
                state: Mapping[str, Any] = self.call("GET", path, query).metadata
            except Refused as error:
                if error.status != 404:
                    raise
                raise Overtaken(f"{self.address} has forgotten how the operation ended") from error
            if state["status_code"] in _ENDED:
                return state

    def _given_up(self, path: str, query: Mapping[str, str] | None, error: TimedOut) -> TimedOut:
        """Cancel the operation if the server lets us; the error to raise says what became of it."""
        name = f"operation {path.rsplit('/', 1)[1]} of {self.address}"
        try:
            self.cancel(path, query)
        except Refused:
            left = f"{name} cannot be cancelled and goes on: once it has ended, the next run will find the image"
        except ImageStoreError as problem:
            left = f"{name} could not be cancelled ({problem.message}): if it ends well, the next run finds the image"
        else:
            left = f"{name} was cancelled"
        return TimedOut(f"{error.message}; {left}", error.hint)


def _advice_on(token: str, certificate: bytes) -> str:
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

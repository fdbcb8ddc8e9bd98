# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Operations: what a server does in the background after it has answered a request, awaited with a deadline."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Mapping

from .deadline import Deadline
from .envelope import clean_reason, failure_hint, quote_reason
from .errors import ApiError, ConflictError, ImageStoreError, OperationFailed, TimedOut

if TYPE_CHECKING:
    from .server import Server
    from .transport.body import Body, Stream

POLL_SECONDS = 30
"""The duration of one ``/wait``: a proxy may close a connection that is silent for longer."""

PROGRESS_SECONDS = 2
"""The same for a transfer whose progress is shown."""

CANCEL_SECONDS = 1.5
"""Seconds that a task may take beyond its deadline to cancel what it has started."""

FINDS_IMAGE = "the next run will find the image"
"""What to expect once an operation that stores an image has ended although its task has timed out, as a clause."""

_SUCCESS = 200
_ENDED = {_SUCCESS, 400, 401}


class Operations:
    """The operations of one server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def run(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        json: Any = None,
        body: Body | Stream | None = None,
        headers: Mapping[str, str] | None = None,
        once_ended: str = FINDS_IMAGE,
    ) -> Mapping[str, Any]:
        """A call that starts an operation: waits for its end and returns the operation (``shared/api/operation.go``).

        Its ``metadata`` is a mapping, if an empty one. Raises OperationFailed with the server's ``err``, TimedOut (the
        operation is then canceled if the server allows it), and ConflictError if its outcome can no longer be known:
        servers forget an operation some seconds after its end. ``once_ended`` is what TimedOut says of its outcome.
        """
        if body:
            self._server.follow(body)
        operation = self._server.call(method, path, query, json, body, headers).metadata
        return self.wait(self.operation_id(operation), query, once_ended)

    def operation_id(self, operation: Any) -> str:
        """The id in the description of an operation. Raises ConnectionFailed if there is none."""
        found = operation.get("id") if isinstance(operation, dict) else None
        if not isinstance(found, str) or not _OPERATION_ID.match(found):
            raise self._server.not_lxd("no description of the operation that it has started")
        return found

    def wait(
        self,
        operation_id: str,
        query: Mapping[str, str] | None = None,
        once_ended: str = FINDS_IMAGE,
    ) -> Mapping[str, Any]:
        """Wait for the end of a running operation; see ``run``."""
        path = f"/1.0/operations/{operation_id}"
        try:
            state = self._wait_until_ended(path, query)
        except TimedOut as error:
            raise self._after_timeout(path, query, error, once_ended) from error
        metadata = _mapping(state.get("metadata"))
        if state["status_code"] != _SUCCESS:
            err = clean_reason(state.get("err") or state.get("status"))
            raise OperationFailed(
                quote_reason(self._server.address, err), err, failure_hint(err), metadata
            )
        return {**state, "metadata": metadata}

    def stored_fingerprint(self, operation: Mapping[str, Any]) -> str:
        """The fingerprint of the image that an operation (see ``run``) has stored. Raises ConnectionFailed."""
        fingerprint = operation["metadata"].get("fingerprint")
        if not isinstance(fingerprint, str):
            raise self._server.not_lxd("no fingerprint of the image that it has stored")
        return fingerprint

    def cancel(self, path: str, query: Mapping[str, str] | None = None) -> None:
        """Cancel an operation, even past the deadline. Raises ApiError where the server does not allow it."""
        self._server.with_deadline(Deadline(CANCEL_SECONDS)).call("DELETE", path, query)

    def _wait_until_ended(self, path: str, query: Mapping[str, str] | None) -> Mapping[str, Any]:
        while True:
            patience = PROGRESS_SECONDS if self._server.transfer else POLL_SECONDS
            seconds = max(1, int(min(self._server.transport.deadline.left(), patience)))
            try:
                self._server.call("GET", f"{path}/wait", {**(query or {}), "timeout": str(seconds)})
            except ApiError:
                # Incus reports a failed operation, and a poll that timed out, as an error of the call itself
                # (cmd/incusd/operations.go). The operation tells which it was.
                pass
            try:
                state = self._server.get_object(path, "the operation that it has started", query)
            except ApiError as error:
                if error.status != 404:
                    raise
                raise ConflictError(
                    f"{self._server.address} no longer has the result of the operation"
                ) from error
            if self._server.transfer:
                self._server.transfer.read_operation(_mapping(state.get("metadata")))
            code = state.get("status_code")
            if not isinstance(code, int):
                raise self._server.not_lxd("no status of the operation that it has started")
            if code in _ENDED:
                return state

    def _after_timeout(
        self, path: str, query: Mapping[str, str] | None, error: TimedOut, once_ended: str
    ) -> TimedOut:
        """Cancel the operation if the server allows it. Returns the error to raise, which says what became of it."""
        name = f"operation {path.rsplit('/', 1)[1]} of {self._server.address}"
        try:
            self.cancel(path, query)
        except ApiError:
            left = f"{name} cannot be canceled and goes on: once it has ended, {once_ended}"
        except ImageStoreError as problem:
            left = (
                f"{name} could not be canceled ({problem.message}): if it ends well, {once_ended}"
            )
        else:
            left = f"{name} was canceled"
        return TimedOut(f"{error.message}; {left}", error.hint)


_OPERATION_ID = re.compile(r"[0-9A-Za-z-]{1,64}\Z")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}

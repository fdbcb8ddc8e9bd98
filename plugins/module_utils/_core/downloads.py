# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of other servers as streams: redirects are followed, interrupted transfers resumed, bytes counted."""

from __future__ import annotations

import time
from base64 import b64encode
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Callable, Iterator, Mapping
from urllib.parse import quote, urljoin, urlsplit

from .deadline import Deadline
from .errors import ApiError, ConnectionFailed, ImageStoreError
from .transport import STALL_SECONDS, Transport, announced_length
from .urls import mask_credentials

if TYPE_CHECKING:
    from .transport.response import Response
    from .transport.verification import ClientCertificate, Verification

MAX_REDIRECTS = 5

PAUSE_SECONDS = 1


class Interrupted(ConnectionFailed):
    """A stream was interrupted and cannot be resumed. Starting over may help."""


@dataclass
class Retries:
    """How often a task may still resume an interrupted transfer."""

    left: int
    deadline: Deadline

    def use(self, error: ImageStoreError) -> None:
        """Use one up, after a pause. Raises the error if none is left."""
        if self.left <= 0:
            raise error
        self.left -= 1
        time.sleep(min(PAUSE_SECONDS, self.deadline.left()))


@dataclass(frozen=True)
class OpenResponse:
    """A response whose body has not been read yet, and the connection that it comes over."""

    transport: Transport
    response: Response

    @property
    def length(self) -> int | None:
        """The length of the body in bytes, as the server announced it; None if it did not."""
        return announced_length(self.response)

    @property
    def validators(self) -> tuple[str | None, ...]:
        """The headers that tell whether a file has changed."""
        return tuple(self.response.headers.get(name) for name in ("ETag", "Last-Modified"))


class Download:
    """One file as an iterable of blocks. Where the transfer is interrupted, it is resumed.

    ``open_at`` requests the file with the headers that it is given. ``have`` are the bytes of it that the caller has
    already. Raises Interrupted if the transfer cannot be resumed (the server does not support ranges, or the file has
    changed), ConnectionFailed if it fails again and again, TimedOut.
    """

    def __init__(
        self,
        open_at: Callable[[Mapping[str, str]], OpenResponse],
        retries: Retries,
        have: int = 0,
    ) -> None:
        self._open_at = open_at
        self._retries = retries
        self._have = have

    @cached_property
    def opened(self) -> OpenResponse:
        """The response to the first request, which is made when this is first read."""
        return self._open_at({"Range": f"bytes={self._have}-"} if self._have else {})

    @cached_property
    def start(self) -> int:
        """Where in the file the first block belongs: after what the caller has, unless the server sends all of it."""
        opened = self.opened
        if not self._have or opened.response.status_code != 206:
            return 0
        if not opened.response.headers.get("Content-Range", "").startswith(f"bytes {self._have}-"):
            opened.response.close()
            raise Interrupted(
                f"{opened.transport.address} sends another part of the file than the one requested"
            )
        return self._have

    @property
    def length(self) -> int | None:
        """The length of the whole file in bytes, if the server announced it."""
        length = self.opened.length
        return length if length is None else self.start + length

    def __iter__(self) -> Iterator[bytes]:
        opened, seen = self.opened, self.start
        while True:
            try:
                for block in opened.transport.blocks(opened.response):
                    seen += len(block)
                    yield block
                return
            except ConnectionFailed as error:
                broken: ConnectionFailed = error
            opened = self._resumed(seen, broken)

    def _resumed(self, seen: int, broken: ConnectionFailed) -> OpenResponse:
        """The rest of the file."""
        if self.length is None:
            raise Interrupted(broken.message, broken.hint)
        while True:
            self._retries.use(broken)
            try:
                opened = self._open_at({"Range": f"bytes={seen}-"})
            except ConnectionFailed as error:
                broken = error
                continue
            if opened.response.status_code == 206 and self._continues(opened, seen):
                return opened
            opened.response.close()
            raise Interrupted(
                f"{broken.message}; it cannot be resumed, because"
                f" {opened.transport.address} does not support ranges or the file has changed"
            )

    def _continues(self, opened: OpenResponse, seen: int) -> bool:
        ranges = opened.response.headers.get("Content-Range", "")
        return opened.validators == self.opened.validators and ranges == (
            f"bytes {seen}-{(self.length or 0) - 1}/{self.length}"
        )


class WebClient:
    """Requests files of web servers and follows redirects.

    ``trust`` applies to all servers; the ``private`` headers and the client certificate ``identity`` are shown to the
    server at ``home`` only.
    ``check_redirect`` is called with the URL that redirects and the one that it redirects to, and raises if that is not
    to be followed.
    """

    def __init__(
        self,
        deadline: Deadline,
        trust: Verification,
        home: str = "",
        private: Mapping[str, str] | None = None,
        check_redirect: Callable[[str, str], None] | None = None,
        identity: ClientCertificate | None = None,
    ) -> None:
        self._deadline = deadline
        self._trust = trust
        self._home = _origin(home)
        self._private = private or {}
        self._check_redirect = check_redirect
        self._identity = identity
        self._transports: dict[str, Transport] = {}

    def get(
        self, url: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> OpenResponse:
        """Request a file; its body is not read, and its status not judged. Raises ConnectionFailed, TimedOut.

        A redirect is followed up to five times, and never from https to http.
        """
        asked = url
        for _hop in range(MAX_REDIRECTS + 1):
            transport = self._transport(url)
            plain = dict(headers or {})
            if self.is_same_origin(url):
                plain.update(self._private)
            response = transport.send(method, _path(url), headers=plain)
            target = response.headers.get("Location")
            if response.status_code not in _REDIRECTS or not target:
                return OpenResponse(transport, response)
            response.close()
            target = _joined(url, target)
            if not target.startswith(("https:", "http:")[: 1 if url.startswith("https:") else 2]):
                raise ConnectionFailed(
                    f"{mask_credentials(url)} redirects to {mask_credentials(target)}, which is less secure"
                )
            if self._check_redirect:
                self._check_redirect(url, target)
            url = target
        raise ConnectionFailed(f"{mask_credentials(asked)} has more than {MAX_REDIRECTS} redirects")

    def open(self, url: str, headers: Mapping[str, str]) -> OpenResponse:
        """Request a file that must exist. Raises ApiError, and ConnectionFailed where another attempt may help.

        The status of the response is 304 only if ``headers`` have a condition.
        """
        opened = self.get(url, headers)
        status = opened.response.status_code
        is_conditional = not _CONDITIONS.isdisjoint(headers)
        if status in (200, 206) or (status == 304 and is_conditional):
            return opened
        opened.response.close()
        message = f"{mask_credentials(url)} responds with the HTTP status {status}"
        raise ConnectionFailed(message) if status >= 500 else ApiError(message, status)

    @property
    def authenticates(self) -> bool:
        """Whether the server at ``home`` is shown headers or a certificate that only this client has."""
        return bool(self._private or self._identity)

    def is_same_origin(self, url: str) -> bool:
        """Whether the server of this URL is the one that gets the private headers."""
        return _origin(url) == self._home

    def certificate_of(self, url: str) -> str | None:
        """The certificate, as PEM, by which another client can verify this server; None if it needs none."""
        transport = self._transports.get(_origin(url))
        return self._trust.certificate_for_peer(transport.peer_certificate if transport else None)

    def _transport(self, url: str) -> Transport:
        origin = _origin(url)
        if origin not in self._transports:
            identity = self._identity if origin == self._home else None
            self._transports[origin] = Transport(
                origin, self._deadline, self._trust, identity, STALL_SECONDS
            )
        return self._transports[origin]


def authorization(credentials: tuple[str, str] | None) -> dict[str, str]:
    """The header for a user name and a password; none without them."""
    if not credentials:
        return {}
    return {"Authorization": "Basic " + b64encode(":".join(credentials).encode()).decode()}


def _joined(url: str, target: str) -> str:
    """The URL that a redirect leads to. Raises ConnectionFailed if it is not valid."""
    try:
        joined = urljoin(url, target)
        possible = urlsplit(joined).port != 0
    except ValueError:
        possible = False
    if not possible:
        raise ConnectionFailed(
            f"{mask_credentials(url)} redirects to {mask_credentials(target)!r}, which is not a valid URL"
        )
    return joined


_CONDITIONS = frozenset(["If-None-Match", "If-Modified-Since"])
_REDIRECTS = (301, 302, 303, 307, 308)


def _origin(url: str) -> str:
    """Scheme, host and port of a URL, without the credentials that it may hold, and always in the same words."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2].lower()
    usual = {"https": ":443", "http": ":80"}.get(parts.scheme, "")
    return f"{parts.scheme}://{host[: -len(usual)] if usual and host.endswith(usual) else host}"


def _path(url: str) -> str:
    """Path and query of a URL, as they are sent."""
    parts = urlsplit(url)
    # What is quoted already stays so.
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    return f"{path}?{quote(parts.query, safe=_QUERY)}" if parts.query else path


_QUERY = "/%:@!$&'()*+,;=~-._?[]"

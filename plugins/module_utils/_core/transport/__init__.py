# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP over Unix sockets and TLS: who a server must prove to be, who we are, how long it may take, what is sent.

A thin layer over requests. It knows nothing of LXD but that its API answers in JSON.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import warnings
from typing import TYPE_CHECKING, Any, Callable, Iterator, Mapping
from urllib.parse import quote, urlencode

from ..deadline import Deadline
from ..errors import ConnectionFailed, ImageStoreError, MissingLibrary
from .body import BLOCK, Body, Segment, Stream, UnixSocketBody
from .causes import error_text, root_cause
from .connections import CONNECT_SECONDS, adapter_for, first_open
from .verification import (
    ClientCertificate,
    Verification,
    certificates,
    pinning_context,
    require_certificates,
    require_pair,
    system_authorities,
)

if TYPE_CHECKING:
    import requests

STALL_SECONDS = 60
"""How long a source may keep silent before that counts as a break."""

MAX_SOCKET_SECONDS = 1_000_000
"""What a socket may be told to wait: some systems take no more than 24 days."""

__all__ = [
    "BLOCK",
    "Body",
    "ClientCertificate",
    "Segment",
    "Stream",
    "Transport",
    "Verification",
    "announced_length",
    "first_open",
    "url_path",
]


def url_path(template: str, *names: str) -> str:
    """``template`` with each ``{}`` replaced by a name, quoted so that it stays one part of the path.

    Dots are quoted too: urllib3 would take a name ``..`` for a step up.
    """
    return template.format(*(quote(name, safe="").replace(".", "%2E") for name in names))


def announced_length(response: requests.Response) -> int | None:
    """Bytes that an answer says its body has; None if it does not say, or nothing that can be."""
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


class Transport:
    """Requests to one server, at ``https://host:port``, ``http://host`` or ``unix:///path/of/socket``.

    All that can go wrong on the way is raised as Unreachable or TimedOut; a status is for the caller to judge.
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
    ) -> None:
        self.address = address.rstrip("/")
        self.deadline = deadline
        self.trust = trust or Verification()
        self.identity = identity
        self.stall = stall
        self.is_local = address.startswith("unix:")
        self._base = "http://unix.socket" if self.is_local else self.address
        self._session: requests.Session | None = None
        self.peer_certificate: bytes | None = None
        """The certificate that the server has shown, as DER."""

    def until(self, deadline: Deadline) -> Transport:
        """The same way to the same server, with another deadline."""
        return Transport(self.address, deadline, self.trust, self.identity, self.stall)

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        json: Any = None,
        body: Body | Stream | None = None,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
    ) -> requests.Response:
        """Send one request. ``path`` is quoted already (see ``url_path``); ``stream`` leaves the answer's body unread.

        Redirects are not followed. Raises Unreachable, TimedOut, and what reading a file of the body raises.
        """
        session = self._session = self._session or self._open()
        # Known to be there: the session came from it.
        import requests
        from urllib3.exceptions import HTTPError

        left = self.deadline.left()
        data: Any = UnixSocketBody(body) if isinstance(body, Body) and self.is_local else body
        request = requests.Request(
            method, self._base + "/", headers=dict(headers or {}), json=json, data=data
        )
        try:
            prepared = session.prepare_request(request)
            if body:
                prepared.headers["Content-Type"] = body.content_type
            # Only now: requests would unquote the dots and so fold a name ".." away.
            prepared.url = self._base + path + (f"?{urlencode(query)}" if query else "")
            settings = session.merge_environment_settings(
                prepared.url, {}, stream, session.verify, session.cert
            )
            with warnings.catch_warnings():
                # urllib3 does not see that a pin was checked, and who turns checks off read about it in the options.
                warnings.simplefilter("ignore")
                response = session.send(
                    prepared,
                    timeout=(min(left, CONNECT_SECONDS), min(left, self._patience)),
                    allow_redirects=False,
                    **settings,
                )
        except (requests.RequestException, HTTPError, OSError, UnicodeError) as error:
            raise self.explain(error) from error
        # A connection that was shut down in the middle of an answer looks like its end.
        self.deadline.left()
        return response

    def blocks(self, response: requests.Response) -> Iterator[bytes]:
        """The body of an answer that was asked for as a stream, a block at a time.

        Raises Unreachable if it breaks off (requests 2.25 takes that for the end), TimedOut.
        """
        import requests
        from urllib3.exceptions import HTTPError, IncompleteRead

        announced = announced_length(response)
        seen = 0
        try:
            while True:
                block = response.raw.read(BLOCK)
                if not block:
                    break
                seen += len(block)
                yield block
        except (HTTPError, requests.RequestException, OSError) as error:
            if isinstance(root_cause(error), IncompleteRead) and not self.deadline.passed:
                raise ConnectionFailed(f"{self.address} broke off after {seen} bytes") from error
            raise self.explain(error) from error
        finally:
            response.close()
        self.deadline.left()
        if announced is not None and seen != announced:
            raise ConnectionFailed(f"{self.address} broke off after {seen} of {announced} bytes")

    def explain(self, error: Exception) -> ImageStoreError:
        """What a fault of the connection, or of a stream that came over it, means in our words."""
        import requests

        if self.deadline.passed:
            return self.deadline.error()
        root = root_cause(error)
        if isinstance(root, ssl.SSLCertVerificationError):
            return self._unverified(root.verify_message)
        if isinstance(root, socket.timeout) and not isinstance(error, requests.ConnectTimeout):
            return ConnectionFailed(
                f"{self.address} has kept silent for {self._patience:g} seconds"
            )
        return ConnectionFailed(f"cannot talk to {self.address}: {error_text(root)}")

    @property
    def _patience(self) -> float:
        """Seconds that the server may keep silent, as long as the deadline lets it."""
        return self.stall or MAX_SOCKET_SECONDS

    def _open(self) -> requests.Session:
        try:
            import requests
        except ImportError as error:
            raise MissingLibrary("requests") from error
        session = requests.Session()
        # Named, so that requests does not look for a password in ~/.netrc.
        session.auth = lambda request: request
        # Nobody follows redirects unseen. requests would still read where they lead, with errors of its own.
        session.get_redirect_target = lambda _response: None  # type: ignore[assignment,method-assign]
        if self.is_local:
            # A proxy named in the environment is not for a socket of this machine.
            session.trust_env = False
            session.mount("http://", adapter_for(self, None))
            return session
        if self.identity:
            require_pair(self.identity)
            session.cert = (self.identity.cert, self.identity.key)
        context = None
        if self.trust.cert_file:
            require_certificates(self.trust.cert_file, f"certificate ({self.trust.option})")
            session.verify = self.trust.cert_file
            context = pinning_context()
        elif self.trust.fingerprint or not self.trust.validate:
            session.verify = False
        else:
            session.verify = system_authorities()
        adapter = adapter_for(self, context)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        return session

    def check_certificate(self, certificate: bytes, host_name_fits: Callable[[], bool]) -> None:
        """Check the certificate (DER) that a server has just shown against the pin. Raises Unreachable.

        With a ``cert_file``, TLS itself has checked that the file vouches for it.
        """
        self.peer_certificate = certificate
        digest = hashlib.sha256(certificate).hexdigest()
        if self.trust.fingerprint and digest != self.trust.fingerprint:
            raise ConnectionFailed(
                f"{self.address} shows the certificate {digest}, not {self.trust.fingerprint}",
                f"If the server was set up anew, correct {self.trust.option}_fingerprint;"
                " otherwise somebody may stand in between.",
            )
        if (
            self.trust.cert_file
            and certificate not in certificates(self.trust.cert_file)
            and not host_name_fits()
        ):
            raise self._unverified("it is for another host name")

    def _unverified(self, reason: str) -> ConnectionFailed:
        trust = self.trust
        if trust.cert_file:
            return ConnectionFailed(
                f"{self.address} shows a certificate that {trust.cert_file} does not vouch for: {reason}",
                f"{trust.option} takes the server's own certificate, or that of the authority which signed it.",
            )
        return ConnectionFailed(
            f"{self.address} shows a certificate that this host does not trust: {reason}",
            f"Give {trust.option}, a file with its certificate"
            f"{f', or {trust.option}_fingerprint, the SHA-256 of it' if trust.takes_pin else ''}.",
        )

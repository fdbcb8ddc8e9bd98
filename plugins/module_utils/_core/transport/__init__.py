# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP over Unix sockets and TLS: how servers and clients prove who they are, time limits, and what is sent.

A thin layer over requests. It knows nothing of LXD.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import warnings
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, Callable, Iterator, Mapping
from urllib.parse import quote, urlencode, urlsplit

from ..deadline import Deadline
from ..errors import ConnectionFailed, ImageStoreError, MissingLibrary
from .body import BLOCK, Body, Segment, Stream, UnixSocketBody
from .causes import error_text, root_cause
from .certificate_dates import why_not_valid_now
from .connections import adapter_for
from .proxies import proxy_for, shown_proxy
from .sockets import CONNECT_SECONDS, first_reachable
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

    from ..tokens import BearerToken

_DATE_ERRORS = (9, 10)
"""OpenSSL's codes for a certificate that is not valid yet, and one that has expired."""

STALL_SECONDS = 60
"""How long a source may keep silent before that counts as a break."""

MAX_SOCKET_SECONDS = 1_000_000
"""The longest timeout that a socket is given: some systems take no more than 24 days."""

__all__ = [
    "BLOCK",
    "Body",
    "ClientCertificate",
    "Segment",
    "Stream",
    "Transport",
    "Verification",
    "announced_length",
    "certificates",
    "first_reachable",
    "url_path",
    "why_not_valid_now",
]


def url_path(template: str, *names: str) -> str:
    """``template`` with each ``{}`` replaced by a name, quoted so that it stays one part of the path.

    Dots are quoted too: urllib3 would take a name ``..`` for a step up.
    """
    quoted = (quote(name, safe="", errors="surrogatepass") for name in names)
    return template.format(*(name.replace(".", "%2E") for name in quoted))


def announced_length(response: requests.Response) -> int | None:
    """The length of a body in bytes, as the answer's header has it; None if there is no such header, or a wrong one."""
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


class Transport:
    """Requests to one server, at ``https://host:port``, ``http://host`` or ``unix:///path/of/socket``.

    All that can go wrong on the way is raised as ConnectionFailed or TimedOut; a status is for the caller to judge.
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
        self.trust = trust or Verification()
        self.identity = identity
        self.bearer_token = bearer_token
        self.stall = stall
        self.is_local = address.startswith("unix:")
        self.is_tls = address.startswith("https:")
        self._base = "http://unix.socket" if self.is_local else self.address
        self._session: requests.Session | None = None
        self.peer_certificate: bytes | None = None
        """The certificate that the server has shown, as DER."""
        self.tls_version: str | None = None
        """The protocol version that was negotiated with the server, as in ``TLSv1.3``."""

    @property
    def host(self) -> str:
        """The host of the address, without brackets."""
        return urlsplit(self.address).hostname or ""

    @cached_property
    def proxy(self) -> str | None:
        """The address of the proxy that leads to the server; None if it is reached directly."""
        return None if self.is_local else proxy_for(self.address)

    def with_deadline(self, deadline: Deadline) -> Transport:
        """A connection of its own to the same server, with another deadline."""
        return Transport(
            self.address, deadline, self.trust, self.identity, self.stall, self.bearer_token
        )

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        json: Any = None,
        body: Body | Stream | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send one request; the body of the answer is left to be read (``blocks``, ``read``).

        ``path`` is quoted already (see ``url_path``). Redirects are not followed. Raises ConnectionFailed, TimedOut,
        and what reading a file of the body raises.
        """
        session = self._session = self._session or self._open()
        # Known to be there: the session came from it.
        import requests
        from urllib3.exceptions import HTTPError

        left = self.deadline.left()
        data: Any = UnixSocketBody(body) if isinstance(body, Body) and self.is_local else body
        # Nothing is decompressed: a small answer could become gigabytes.
        given = {"Accept-Encoding": "identity", **(headers or {})}
        if self.bearer_token:
            given["Authorization"] = f"Bearer {self.bearer_token.text}"
        request = requests.Request(method, self._base + "/", headers=given, json=json, data=data)
        try:
            prepared = session.prepare_request(request)
            if body:
                prepared.headers["Content-Type"] = body.content_type
            # Only now: requests would unquote the dots and so fold a name ".." away.
            encoded = urlencode(query, errors="surrogatepass") if query else ""
            prepared.url = self._base + path + (f"?{encoded}" if query else "")
            with warnings.catch_warnings():
                # urllib3 does not see that a pin was checked, and the options document what turning checks off means.
                warnings.simplefilter("ignore")
                response = session.send(
                    prepared,
                    stream=True,
                    verify=session.verify,
                    cert=session.cert,
                    proxies={urlsplit(self._base).scheme: self.proxy} if self.proxy else {},
                    timeout=(min(left, CONNECT_SECONDS), min(left, self._patience)),
                    allow_redirects=False,
                )
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            raise self.explain(error) from error
        # A connection that was shut down in the middle of an answer looks like its end.
        self.deadline.left()
        return response

    def read(self, response: requests.Response, limit: int) -> bytearray:
        """The whole body of an answer, of at most ``limit`` bytes. Raises ConnectionFailed, TimedOut."""
        content = bytearray()
        for block in self.blocks(response):
            content += block
            if len(content) > limit:
                raise ConnectionFailed(
                    f"{self.address} responds with more than {limit >> 20} MiB, which is too much"
                )
        return content

    def blocks(self, response: requests.Response) -> Iterator[bytes]:
        """The body of an answer, a block at a time.

        Raises ConnectionFailed if it breaks off (requests 2.25 takes that for the end), TimedOut.
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
                raise ConnectionFailed(
                    f"{self.address} closed the connection after {seen} bytes"
                ) from error
            raise self.explain(error) from error
        finally:
            response.close()
        self.deadline.left()
        if announced is not None and seen != announced:
            raise ConnectionFailed(
                f"{self.address} closed the connection after {seen} of {announced} bytes"
            )

    def explain(self, error: Exception) -> ImageStoreError:
        """What an error of the connection, or of a stream that came over it, means to the user."""
        import requests

        if self.deadline.passed:
            return self.deadline.error()
        root = root_cause(error)
        if isinstance(root, ssl.SSLCertVerificationError):
            dated = root.verify_code in _DATE_ERRORS
            return (dated and self._not_current()) or self._unverified(root.verify_message)
        if isinstance(root, socket.timeout) and not isinstance(error, requests.ConnectTimeout):
            return ConnectionFailed(
                f"{self.address} has not responded for {self._patience:g} seconds"
            )
        through = f" through the proxy {shown_proxy(self.proxy)}" if self.proxy else ""
        return ConnectionFailed(
            f"the connection to {self.address}{through} failed: {error_text(root)}"
        )

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
        # Proxies are chosen here, and authorities, too.
        session.trust_env = False
        if self.is_local:
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
        elif self.trust.pinned or not self.trust.validate:
            session.verify = False
        else:
            session.verify = system_authorities()
        session.mount("https://", adapter_for(self, context))
        session.mount("http://", adapter_for(self, None))
        return session

    def check_certificate(self, certificate: bytes, host_name_fits: Callable[[], bool]) -> None:
        """Check the certificate (DER) that a server has just shown against the pins. Raises ConnectionFailed.

        With a ``cert_file``, TLS itself has checked that it is this one, or signed by it.
        """
        self.peer_certificate = certificate
        trust = self.trust
        digest = hashlib.sha256(certificate).hexdigest()
        if trust.fingerprint and digest != trust.fingerprint:
            raise ConnectionFailed(
                f"{self.address} shows the certificate {digest}, not {trust.fingerprint}",
                f"If the server was reinstalled, correct {trust.option}_fingerprint;"
                " otherwise, the connection may be intercepted.",
            )
        if (
            trust.cert_file
            and (trust.server_name or certificate not in certificates(trust.cert_file))
            and not host_name_fits()
        ):
            raise self._unverified("it is for another host name")
        if trust.token_fingerprint and digest != trust.token_fingerprint:
            raise ConnectionFailed(
                f"{self.address} shows the certificate {digest}, and {trust.token_option} was issued by the server"
                f" with the certificate {trust.token_fingerprint}",
                f"Set {trust.token_option} to a token of this server, or remove it if the server trusts this client"
                " already; otherwise the connection may be intercepted.",
            )
        fault = why_not_valid_now(certificate) if trust.pinned else ""
        if fault:
            raise self._outdated(f"the certificate of {self.address}", fault)

    def _not_current(self) -> ConnectionFailed | None:
        """What to raise if the server's or the authority's dates are behind a failed verification; None if not."""
        trust = self.trust
        if trust.cert_file:
            for certificate in certificates(trust.cert_file):
                fault = why_not_valid_now(certificate)
                if fault:
                    return self._outdated(
                        f"the certificate in {trust.cert_file} ({trust.option}), by which {self.address} is verified,",
                        fault,
                    )
        # TLS does not hand out a certificate that it has refused, so the server is asked for it without verification.
        unverified = Transport(self.address, self.deadline, Verification(validate=False))
        with suppress(ImageStoreError):
            unverified.send("HEAD", "/").close()
        fault = why_not_valid_now(unverified.peer_certificate or b"")
        return self._outdated(f"the certificate of {self.address}", fault) if fault else None

    def _outdated(self, subject: str, fault: str) -> ConnectionFailed:
        hint = "Check the clock of this host."
        if "expired" in fault:
            renewed = "Renew it on the server"
            pin = f", and then {self.trust.option} here" if self.trust.pinned else ""
            hint = f"{renewed}{pin}."
        return ConnectionFailed(f"{subject} {fault}", hint)

    def _unverified(self, reason: str) -> ConnectionFailed:
        trust = self.trust
        if trust.cert_file:
            return ConnectionFailed(
                f"{self.address} shows a certificate that {trust.cert_file} does not match: {reason}",
                f"Set {trust.option} to the server's own certificate, or to that of the authority that signed it.",
            )
        return ConnectionFailed(
            f"{self.address} shows a certificate that this host does not trust: {reason}",
            f"Set {trust.option} to a file with its certificate"
            f"{f', or {trust.option}_fingerprint, the SHA-256 of it' if trust.takes_pin else ''}.",
        )

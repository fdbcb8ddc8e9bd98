# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP over TLS, and to web servers without it: by requests, which knows proxies, too."""

from __future__ import annotations

import ssl
import warnings
from typing import TYPE_CHECKING, Any, Mapping
from urllib.parse import urlsplit

from ..errors import ImageStoreError, MissingLibrary
from .adapter import adapter_for
from .certificate_check import CertificateCheck
from .response import Headers, Response
from .sockets import CONNECT_SECONDS
from .verification import pinning_context, require_certificates, require_pair, system_authorities

if TYPE_CHECKING:
    import requests

    from . import Transport
    from .body import Body, Stream


class NetworkClient:
    """Sends requests to the address of ``transport``, and checks the certificate that the server shows."""

    def __init__(self, transport: Transport) -> None:
        try:
            import requests
            from urllib3.exceptions import HTTPError
        except ImportError as error:
            raise MissingLibrary("requests") from error
        self._transport = transport
        self.errors = (requests.RequestException, HTTPError, OSError, ValueError)
        self._certificate_check = CertificateCheck(transport)
        self._session = self._open()

    def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | Body | Stream | None,
        patience: float,
    ) -> Response:
        """Send a request; see ``HttpClient``."""
        import requests

        session, transport = self._session, self._transport
        base = transport.address
        request = requests.Request(method, base + "/", headers=dict(headers), data=body)
        prepared = session.prepare_request(request)
        # Only now: requests would unquote the dots and so fold a name ".." away.
        prepared.url = base + target
        with warnings.catch_warnings():
            # urllib3 does not see that a pin was checked, and the options document what turning checks off means.
            warnings.simplefilter("ignore")
            received = session.send(
                prepared,
                stream=True,
                verify=session.verify,
                cert=session.cert,
                proxies={urlsplit(base).scheme: transport.proxy} if transport.proxy else {},
                timeout=(min(transport.deadline.left(), CONNECT_SECONDS), patience),
                allow_redirects=False,
            )
        raw: Any = received.raw
        found = Headers(raw.headers.getlist)
        return Response(received.status_code, received.reason, found, raw.read, received.close)

    def explain(self, error: Exception, cause: BaseException) -> ImageStoreError | None:
        """What errors mean that only this kind of connection has; see ``HttpClient``."""
        import requests

        if isinstance(cause, ssl.SSLCertVerificationError):
            return self._certificate_check.explain(cause)
        if isinstance(error, requests.ConnectTimeout):
            return self._transport.connection_failed(cause)
        return None

    def _open(self) -> requests.Session:
        import requests

        transport = self._transport
        session = requests.Session()
        # Named, so that requests does not look for a password in ~/.netrc.
        session.auth = lambda request: request
        # Redirects are never followed automatically. requests would parse their targets nevertheless, and raise errors.
        session.get_redirect_target = lambda _response: None  # type: ignore[assignment,method-assign]
        # Proxies are chosen here, and authorities, too.
        session.trust_env = False
        trust, identity = transport.trust, transport.identity
        if identity:
            require_pair(identity)
            session.cert = (identity.cert, identity.key)
        context = None
        if trust.cert_file:
            require_certificates(trust.cert_file, f"certificate ({trust.option})")
            session.verify = trust.cert_file
            context = pinning_context()
        elif trust.pinned or not trust.validate:
            session.verify = False
        else:
            session.verify = system_authorities()
        session.mount("https://", adapter_for(transport, self._certificate_check, context))
        session.mount("http://", adapter_for(transport, self._certificate_check, None))
        return session

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An image server, used as its clients use it: LXD, Incus and people. Nothing is changed.

What it says that it has is compared with its own record, every file with what is said of it, and every answer with
what clients need. Each problem is a finding; a check goes on after one.
"""

from __future__ import annotations

import re
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Iterator
from urllib.parse import urlsplit

from ..catalog.mirrored import shown_products
from ..catalog.record import Catalog
from ..catalog.web_root import PAGE, RECORD
from ..deadline import Deadline
from ..downloads import authorization
from ..simplestreams import INDEX
from ..simplestreams.reading import MAX_DOCUMENT_BYTES
from ..simplestreams.writing import PRODUCTS
from ..transport.verification import ClientCertificate, Verification, require_certificates
from .documents import Documents, check_index, index_notes, read_documents
from .endpoint import Endpoint
from .files import FileChecks
from .findings import SERVER_ERRORS, Finding, Findings, shown
from .image_addresses import ImageAddressChecks
from .refusals import check_redirects, check_refusals

ASPECTS = ("headers", "caching", "closed", "page", "redirect")
"""What can be left out of a check, since other web servers may lack it."""

WORKERS = 4

MAX_NOTES = 200

SETTLED_ANSWERS = 8
"""Answers in a row after which no worker process with the former configuration is left."""

POLL_SECONDS = 0.05

_CLOSED = ("/.catalog/", "/.catalog/lock", "/files/", "/streams/", "/files/.hidden")


@dataclass(frozen=True)
class CheckRequest:
    """What to check. ``url`` is ``https://HOST`` or ``https://HOST:PORT``.

    ``connect`` has the addresses (``HOST:PORT``) to ask instead of what the name resolves to, ``connect_http`` that of
    plain http, or None. ``server_name`` is the name in the certificate, None for that of the URL; ``ca_path`` a PEM
    file with that certificate or its authority, None for the system's authorities. ``revision`` is what the server has
    to say at ``/images/``, within ``wait`` seconds; None if it need not. ``credentials`` (user name and password) and
    ``identity`` are for a private server, which has to refuse whoever shows neither.
    """

    url: str
    connect: tuple[str, ...] = ()
    connect_http: str | None = None
    ca_path: str | None = None
    server_name: str | None = None
    full: bool = False
    without: frozenset[str] = frozenset()
    revision: str | None = None
    wait: int = 0
    credentials: tuple[str, str] | None = field(default=None, repr=False)
    identity: ClientCertificate | None = None

    @property
    def is_private(self) -> bool:
        """Whether the server asks for credentials."""
        return bool(self.credentials or self.identity)

    @property
    def hostname(self) -> str:
        """The host of the URL, an IPv6 address without brackets."""
        return urlsplit(self.url).hostname or ""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where to ask over https."""
        return tuple(f"https://{address}" for address in self.connect) or (self.url,)


@dataclass(frozen=True)
class CheckResult:
    """What was found, and how much was looked at: versions of images, their files, requests.

    ``notes`` are about what is right and yet not the same for all clients.
    """

    findings: tuple[Finding, ...]
    omitted: int
    notes: tuple[str, ...]
    images: int
    files: int
    requests: int


class ServerCheck:
    """One check of one server, until ``deadline``."""

    def __init__(self, request: CheckRequest, deadline: Deadline) -> None:
        self._request = request
        self._deadline = deadline
        trust = Verification(
            request.ca_path,
            option="ca_path",
            takes_pin=False,
            server_name=request.server_name or request.hostname,
        )
        authority = urlsplit(request.url).netloc

        def endpoint(
            address: str,
            credentials: tuple[str, str] | None = None,
            identity: ClientCertificate | None = None,
        ) -> Endpoint:
            headers = {"Host": authority, **authorization(credentials)}
            return Endpoint(request.url, address, headers, deadline, trust, identity)

        self._endpoints = [
            endpoint(address, request.credentials, request.identity)
            for address in request.addresses
        ]
        self._strangers: list[tuple[str, Endpoint]] = []
        if request.is_private:
            self._strangers = [("no credentials", endpoint(one)) for one in request.addresses]
        if request.credentials:
            wrong = (request.credentials[0], secrets.token_hex())
            self._strangers.append(("a wrong password", endpoint(request.addresses[0], wrong)))
        self._https = self._endpoints[0]
        host = authority.rpartition(":")[0] if re.search(r":\d+$", authority) else authority
        self._http = (
            Endpoint(
                f"http://{host}",
                f"http://{request.connect_http}",
                {"Host": host},
                deadline,
                trust,
            )
            if request.connect_http
            else None
        )
        self._catalog = Catalog()

    def run(self) -> CheckResult:
        """Check everything. Raises FileError if ``ca_path`` is no certificate, MissingLibrary."""
        if self._request.ca_path:
            require_certificates(self._request.ca_path, "certificate (ca_path)")
        with ThreadPoolExecutor(WORKERS) as pool:
            findings = Findings(pool)
            findings.collect(self._request.url, self._check_revision())
            if not findings:
                self._check(findings)
        return CheckResult(
            tuple(findings),
            findings.omitted,
            tuple(index_notes(self._catalog)[:MAX_NOTES]),
            sum(len(product.versions) for product in self._catalog.products),
            len(self._catalog.parts),
            sum(one.requests for one in self._all_endpoints()),
        )

    def _check(self, findings: Findings) -> None:
        url = self._request.url
        try:
            documents = read_documents(self._https)
        except SERVER_ERRORS as error:
            findings.collect(url, [Finding(url, error.message, error.hint)])
            return
        listed = shown_products(documents.catalog)
        catalog = self._catalog = replace(documents.catalog, products=listed)
        findings.collect(url, check_index(documents, url))
        for endpoint in self._endpoints:
            findings.collect(url, self._check_endpoint(endpoint, documents))
        caching = self._checks("caching")
        files = FileChecks(self._https, catalog, self._request.full, caching)
        files.run(findings)
        for shows, stranger in self._strangers:
            findings.collect(url, check_refusals(stranger, shows, catalog))
        if self._http and self._request.is_private:
            findings.collect(url, check_redirects(self._http, url, catalog))
        elif self._http:
            # LXD and Incus ask for files there first.
            FileChecks(self._http, catalog, self._request.full, caching).run(findings)
        files.check_ranges(findings)
        if self._checks("headers"):
            ImageAddressChecks(self._https, catalog).run(findings)
        for aspect, check in (
            ("page", self._check_page),
            ("caching", self._check_revalidation),
            ("closed", self._check_closed),
            ("redirect", self._check_redirect),
        ):
            if self._checks(aspect):
                findings.collect(url, check())

    def _all_endpoints(self) -> Iterator[Endpoint]:
        yield from self._endpoints
        yield from (endpoint for _shows, endpoint in self._strangers)
        if self._http:
            yield self._http

    def _checks(self, aspect: str) -> bool:
        return aspect not in self._request.without

    def _check_revision(self) -> Iterator[Finding]:
        """Wait until every address has loaded the expected configuration."""
        if self._request.revision is None:
            return
        end = time.monotonic() + self._request.wait
        right = 0
        while True:
            problem = self._revision_problem(self._request.revision)
            right = 0 if problem else right + 1
            if right >= (SETTLED_ANSWERS if self._request.wait else 1):
                return
            if problem and time.monotonic() > end:
                yield problem
                return
            time.sleep(min(POLL_SECONDS, self._deadline.left()))

    def _revision_problem(self, expected: str) -> Finding | None:
        for endpoint in self._endpoints:
            endpoint.reconnect()
            try:
                answer = endpoint.ask("/images/").body.decode(errors="replace").strip()
            except SERVER_ERRORS as error:
                return Finding(f"{self._request.url}/images/", error.message, error.hint)
            if answer != expected:
                return Finding(
                    f"{self._request.url}/images/",
                    f"{endpoint.address} serves the revision {shown(answer)}, not {shown(expected)}",
                    "The web server has not loaded its new configuration: see its error log.",
                )
        return None

    def _check_endpoint(self, endpoint: Endpoint, documents: Documents) -> Iterator[Finding]:
        """Whether an address serves the same as the first, over a TLS that LXD accepts."""
        if endpoint is not self._https:
            for path, text in documents.texts.items():
                if endpoint.document(path) != text:
                    yield Finding(
                        f"{endpoint.address}/{path}",
                        f"is not the document that {self._https.address} serves",
                    )
        if endpoint.tls_version != "TLSv1.3":
            yield Finding(
                endpoint.address, f"negotiates {endpoint.tls_version}", "LXD requires TLS 1.3."
            )

    def _check_page(self) -> Iterator[Finding]:
        """Whether the page for people has all names."""
        url = f"{self._request.url}/"
        reply = self._https.ask("/", limit=MAX_DOCUMENT_BYTES)
        kind = reply.value("Content-Type")
        if reply.status != 200 or not kind.startswith("text/html"):
            yield Finding(
                url,
                f"is not the web page: the HTTP status is {reply.status}, the content type {shown(kind)}",
                f"Serve {PAGE} there.",
            )
            return
        places = set(re.findall(r'\bid="([^"]*)"', reply.body.decode(errors="replace")))
        for name in sorted({product.name for product in self._catalog.products} - places):
            yield Finding(url, f"does not show the image {name}")

    def _check_revalidation(self) -> Iterator[Finding]:
        for path in ("/", *(f"/{path}" for path in (RECORD, INDEX, PRODUCTS))):
            reply = self._https.ask(path, "HEAD")
            if reply.status == 200 and "no-cache" not in reply.value("Cache-Control"):
                yield Finding(
                    f"{self._request.url}{path}",
                    "may be cached by clients after it has changed",
                    "Serve it with the header Cache-Control: no-cache.",
                )

    def _check_closed(self) -> Iterator[Finding]:
        for path in _CLOSED:
            reply = self._https.ask(path, "HEAD")
            if reply.status not in (403, 404):
                yield Finding(
                    f"{self._request.url}{path}",
                    f"has the HTTP status {reply.status}",
                    "It should not be served.",
                )

    def _check_redirect(self) -> Iterator[Finding]:
        if self._http and not self._request.is_private:
            target = self._http.ask("/").value("Location")
            if target != f"{self._request.url}/":
                yield Finding(
                    f"{self._http.url}/", f"leads to {shown(target)}, not to {self._request.url}/"
                )

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The addresses of images, ``/images/NAME``: what the web server answers there to LXD, to Incus and to people."""

from __future__ import annotations

import re
from typing import Iterator, Mapping, NamedTuple, Sequence

from ..catalog.record import Catalog, Product
from ..errors import FileError
from ..images import CONTAINER
from ..sources.image_headers import FAMILIES, parse_image_headers
from ..urls import mask_credentials
from .endpoint import Endpoint, Reply
from .findings import Finding, Findings, shown

_NO_SUCH_ARCHITECTURE = "vax"
_NO_SUCH_NAME = "no.such-image/of.this-name"
_RELOAD = "Have the web server load the header map that lxd_image_catalog has written."


class _Question(NamedTuple):
    """What a client asks for: the image of this name, as a server of a family with these architectures."""

    name: str
    family: str
    architectures: str

    @property
    def headers(self) -> dict[str, str]:
        return {f"{self.family}-Server-Architectures": self.architectures}


class ImageAddressChecks:
    """The checks of all names in the record, and of one that nobody has."""

    def __init__(self, endpoint: Endpoint, catalog: Catalog) -> None:
        self._endpoint = endpoint
        self._by_name: dict[str, dict[str, list[Product]]] = {}
        for product in catalog.products:
            for name in product.names:
                by_architecture = self._by_name.setdefault(name, {})
                by_architecture.setdefault(product.architecture, []).append(product)

    def run(self, findings: Findings) -> None:
        """Ask for each name, for each architecture and by both families."""
        findings.collect_each(self._endpoint.url, self._check_name, sorted(self._by_name))
        findings.collect(self._endpoint.url, self._check_unknown_name())

    def _check_name(self, name: str) -> Iterator[Finding]:
        by_architecture = self._by_name[name]
        for family in FAMILIES:
            for architecture, products in sorted(by_architecture.items()):
                image = _served(products)
                yield from self._ask(_Question(name, family, architecture), image)
            if image:
                listed = f"{_NO_SUCH_ARCHITECTURE}, {architecture}, pdp11"
                yield from self._ask(_Question(name, family, listed), image)
            yield from self._ask(_Question(name, family, _NO_SUCH_ARCHITECTURE), None)
        yield from self._check_redirect(name, by_architecture)

    def _check_unknown_name(self) -> Iterator[Finding]:
        for family in FAMILIES:
            yield from self._ask(_Question(_NO_SUCH_NAME, family, "x86_64"), None)

    def _check_redirect(
        self, name: str, by_architecture: Mapping[str, Sequence[Product]]
    ) -> Iterator[Finding]:
        """People, who send no such headers, are led to the image on the page."""
        names = {product.name for products in by_architecture.values() for product in products}
        expected = {f"{self._endpoint.url}/#{one}" for one in names}
        for method in ("GET", "HEAD"):
            reply = self._endpoint.ask(f"/images/{name}", method)
            target = reply.value("Location")
            if reply.status != 303 or target not in expected:
                yield Finding(
                    f"{method} {self._endpoint.url}/images/{name}",
                    f"has the HTTP status {reply.status} and the Location {shown(target)}"
                    " without request headers; it should redirect people to the image on the page",
                    _RELOAD,
                )

    def _ask(self, question: _Question, image: Product | None) -> Iterator[Finding]:
        """One question, by HEAD and by GET. ``image`` is what should be the answer, None for: not found."""
        url = f"{self._endpoint.url}/images/{question.name}"
        for method in ("HEAD", "GET"):
            subject = f"{method} {url} for {question.family} on {question.architectures}"
            reply = self._endpoint.ask(f"/images/{question.name}", method, question.headers)
            if image:
                yield from self._check_found(subject, url, reply, question, image)
            else:
                yield from _check_not_found(subject, reply, method)
            yield from _check_caching(subject, reply)

    def _check_found(
        self, subject: str, url: str, reply: Reply, question: _Question, image: Product
    ) -> Iterator[Finding]:
        newest = image.newest
        location = f"{self._endpoint.url}/{newest.parts[0].path}"
        try:
            headers = parse_image_headers(url, reply.status, reply.values, question.family)
        except FileError as error:
            yield Finding(subject, error.message, error.hint)
            return
        if headers is None:
            yield Finding(subject, "has no image headers", _RELOAD)
        elif headers.obstacle:
            yield Finding(subject, headers.obstacle)
        elif (headers.fingerprint, headers.location) != (newest.fingerprint, location):
            yield Finding(
                subject,
                f"leads to {headers.fingerprint} at {mask_credentials(headers.location)}; it should be"
                f" {newest.fingerprint} at {location}",
                _RELOAD,
            )


def _served(products: Sequence[Product]) -> Product | None:
    """The image that the address offers: one in a single file, and of those rather a container's."""
    unified = [product for product in products if not product.newest.is_split]
    return min(unified, key=lambda product: product.type != CONTAINER, default=None)


def _check_not_found(subject: str, reply: Reply, method: str) -> Iterator[Finding]:
    names = [f"{family}-Image-{what}" for family in FAMILIES for what in ("Hash", "URL")]
    if reply.status != 404 or any(map(reply.values, names)):
        yield Finding(
            subject,
            f"has the HTTP status {reply.status}, though there is no such image",
            _RELOAD,
        )
    elif method == "GET" and not reply.body.strip():
        yield Finding(subject, "has an empty page with the HTTP status 404")


def _check_caching(subject: str, reply: Reply) -> Iterator[Finding]:
    varies = {word.strip() for value in reply.values("Vary") for word in value.split(",")}
    if not varies >= {f"{family}-Server-Architectures" for family in FAMILIES}:
        yield Finding(
            subject,
            "has no header Vary with LXD-Server-Architectures and Incus-Server-Architectures",
            "Caches would send one client the response for another.",
        )
    if not re.search(r"no-(cache|store)", reply.value("Cache-Control")):
        yield Finding(subject, "may be cached", "Serve it with the header Cache-Control: no-store.")

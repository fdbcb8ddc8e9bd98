# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private image servers: whoever shows no credentials, or wrong ones, gets nothing, and plain http leads to https."""

from __future__ import annotations

from typing import Iterator

from ..catalog.record import Catalog
from ..catalog.web_root import PAGE, RECORD
from ..simplestreams import INDEX
from ..simplestreams.writing import PRODUCTS
from .endpoint import Endpoint
from .findings import Finding, shown

REFUSALS = (400, 401, 403)
"""HTTP statuses for missing or wrong credentials; 400 is nginx's for a client certificate."""

_PERMANENT = (301, 308)
_ARCHITECTURES = {f"{name}-Server-Architectures": "x86_64, aarch64" for name in ("LXD", "Incus")}
_REPEAT = (
    "Everything has to ask for credentials. In nginx, return and if are executed before it does: use them in a location"
    " that try_files leads to."
)


def check_refusals(endpoint: Endpoint, shows: str, catalog: Catalog) -> Iterator[Finding]:
    """Whether an endpoint refuses a client for everything; ``shows`` is what the client shows."""
    for path in _paths(catalog):
        for method in ("HEAD", "GET"):
            reply = endpoint.ask(path, method, _ARCHITECTURES)
            if reply.status not in REFUSALS:
                yield Finding(
                    f"{method} {endpoint.url}{path}",
                    f"has the HTTP status {reply.status} for a client that shows {shows}",
                    _REPEAT,
                )


def check_redirects(http: Endpoint, url: str, catalog: Catalog) -> Iterator[Finding]:
    """Whether everything over plain http leads to the same at ``url``, where credentials are safe."""
    for path in _paths(catalog):
        reply = http.ask(path)
        target = reply.value("Location")
        if reply.status not in _PERMANENT or target != f"{url}{path}":
            yield Finding(
                f"{http.url}{path}",
                f"has the HTTP status {reply.status} and leads to {shown(target)}, not to {url}{path}",
                "A private server serves nothing over plain http.",
            )


def _paths(catalog: Catalog) -> list[str]:
    """One path of each kind, published or not."""
    files = [f"/{path}" for path in sorted(catalog.parts)[:1]]
    names = [f"/images/{product.name}" for product in catalog.products[:1]]
    documents = [f"/{path}" for path in (INDEX, PRODUCTS, RECORD, PAGE)]
    return ["/", *documents, *files, "/images/", *names, "/images/none", "/none"]

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check an image web server as its clients would use it: LXD, Incus, and people.

It reads the index as both kinds of servers do, fetches every file, compares sizes, digests and
fingerprints, asks the header endpoint for every name, and compares all of it with the server's
own record, catalog.json. Each fault is one line; then the exit status is 1.

It needs Python 3.8 or later and nothing else.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import re
import socket
import ssl
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, Iterator, Mapping, NamedTuple
from urllib.parse import quote, urlsplit

ASPECTS = ("headers", "caching", "hiding", "page", "redirect")
WORKERS = 4
BLOCK = 1 << 20
SLOWEST = 1 << 20  # bytes in a second, below which a download is given up once its time is over
DOCUMENT = 256 << 20  # bytes of an index or page, beyond which it is not read
SETTLED = 8  # answers in a row after which no worker with the old settings is left
FAMILIES = {"LXD": "lxd", "Incus": "incus"}

# What each family takes for the root of an image, and where it finds the fingerprint
# (LXD: shared/simplestreams/products.go; Incus: shared/simplestreams/products.go).
ROOTS = {
    "squashfs": ("container", ("combined_squashfs_sha256",)),
    "root.tar.xz": ("container", ("combined_rootxz_sha256", "combined_sha256")),
    "disk-kvm.img": ("virtual-machine", ("combined_disk-kvm-img_sha256",)),
    "uefi1.img": ("virtual-machine", ("combined_uefi1-img_sha256",)),
    "disk1.img": ("virtual-machine", ("combined_disk1-img_sha256",)),
}


class Fault(Exception):
    """Something is not as it should be; the message says what."""


class Answer(NamedTuple):
    """An answer of the server: its status, its headers as they came, and its body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        """The values of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def one(self, name: str) -> str:
        """The value of a header, empty if it is not there or not just once."""
        values = self.all(name)
        return values[0] if len(values) == 1 else ""


class Line(http.client.HTTPConnection):
    """A connection to an address, in the name of another one, over TLS if there is a context."""

    def __init__(
        self, host: str, to: tuple[str, int], tls: ssl.SSLContext | None, name: str, timeout: float
    ) -> None:
        super().__init__(host, timeout=timeout)
        self._to = to
        self._tls = tls
        self._name = name
        self.certificate = b""

    def connect(self) -> None:
        raw = socket.create_connection(self._to, self.timeout)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is None:
            self.sock = raw
        else:
            sock = self._tls.wrap_socket(raw, server_hostname=self._name)
            self.certificate = sock.getpeercert(binary_form=True) or b""
            self.sock = sock


class Site:
    """One of the two faces of a server: https or plain http. Each thread has a connection of its own."""

    def __init__(self, scheme: str, to: tuple[str, int], options: argparse.Namespace) -> None:
        self.scheme = scheme
        self.url = f"{scheme}://{options.host}" if scheme == "http" else options.base_url
        self.place = f"{to[0]}, port {to[1]}"
        self._to = to
        self._host = options.authority if scheme == "https" else options.host
        self._name = options.server_name or options.hostname
        self._timeout = options.timeout
        self._certificate = options.certificate
        self._tls = trusting(options.certificate) if scheme == "https" else None
        self._own = threading.local()

    def get(
        self,
        path: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        into: Callable[[memoryview], Any] | None = None,
        most: int = DOCUMENT,
        fresh: bool = False,
    ) -> Answer:
        """Ask for a path. The body goes to ``into`` as it comes, or into the answer. Raises Fault."""
        if fresh:
            self.close()
        try:
            return self._ask(path, method, headers or {}, into, most)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            said = str(error) or type(error).__name__
            raise Fault(f"{method} {self.url}{path}: {said}") from error

    def shows_its_certificate(self) -> bool:
        """Whether the server shows the very certificate that is in the file, in the last connection of this thread."""
        if self._certificate is None:
            return True
        with open(self._certificate, encoding="ascii") as file:
            end = "-----END CERTIFICATE-----"
            first = file.read().partition(end)[0] + end
        wanted = ssl.PEM_cert_to_DER_cert(first[first.index("-----BEGIN CERT") :])
        return bool(self._own.line.certificate == wanted)

    def close(self) -> None:
        """Close the connection of this thread."""
        line = getattr(self._own, "line", None)
        if line is not None:
            line.close()
        self._own.line = None

    def _ask(
        self,
        path: str,
        method: str,
        headers: Mapping[str, str],
        into: Callable[[memoryview], Any] | None,
        most: int,
    ) -> Answer:
        response = self._response(path, method, headers)
        body = bytearray()
        take = into or body.extend
        block = memoryview(bytearray(BLOCK))
        end = time.monotonic() + self._timeout + (response.length or 0) / SLOWEST
        came = 0
        while True:
            count = response.readinto(block)
            if not count:
                break
            came += count
            if came > most:
                self.close()
                raise Fault(f"{method} {self.url}{path}: more than the {most} bytes expected")
            if time.monotonic() > end:
                self.close()
                raise Fault(f"{method} {self.url}{path}: too slow")
            take(block[:count])
        if response.length and method != "HEAD":
            raise http.client.IncompleteRead(b"", response.length)
        return Answer(response.status, response.getheaders(), bytes(body))

    def _response(
        self, path: str, method: str, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        for _attempt in range(2):
            line = getattr(self._own, "line", None)
            used = line is not None and line.sock is not None
            if line is None:
                line = Line(self._host, self._to, self._tls, self._name, self._timeout)
                self._own.line = line
            try:
                line.request(method, quote(path, safe="/+"), headers=dict(headers))
                return line.getresponse()
            except (ConnectionError, http.client.BadStatusLine):
                self.close()
                if not used:  # a server may close a connection between two requests
                    raise
        raise ConnectionError("the connection was closed twice")


def trusting(certificate: str | None) -> ssl.SSLContext:
    """TLS as LXD speaks it: 1.3 and nothing older. ``certificate`` is trusted as it is, whoever has signed it."""
    context = ssl.create_default_context(cafile=certificate)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= 0x80000  # X509_V_FLAG_PARTIAL_CHAIN, which Python names from 3.10 on
    if hasattr(ssl, "VERIFY_X509_STRICT"):
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


# --- What the server says that there is --------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """A file: its path below the root, its size and its digest."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Image:
    """An image that is on offer: by the index to one family, or by the record to all."""

    name: str
    type: str
    architecture: str
    version: str
    fingerprint: str
    parts: tuple[Part, ...]

    def __str__(self) -> str:
        return f"{self.name} ({self.type}, {self.architecture}) {self.version}"


@dataclass
class Names:
    """What stands behind a name: for each architecture of LXD, the newest image of each type."""

    newest: dict[str, list[Image]] = field(default_factory=dict)


class Record(NamedTuple):
    """The content of catalog.json. ``aliases`` has all names of a product, by its name, type and architecture."""

    images: list[Image]
    names: dict[str, Names]
    aliases: dict[tuple[str, str, str], set[str]]


# Architectures that the index, as distributions do, calls otherwise than LXD (shared/osarch/architectures.go).
ARCHITECTURES = {
    "amd64": "x86_64",
    "arm64": "aarch64",
    "armel": "armv6l",
    "armhf": "armv7l",
    "i386": "i686",
    "loong64": "loongarch64",
    "mips64el": "mips64",
    "mipsel": "mips",
    "powerpc": "ppc",
    "powerpc64": "ppc64",
    "ppc64el": "ppc64le",
}


def architecture(name: str) -> str:
    """LXD's name for an architecture."""
    return ARCHITECTURES.get(name, name)


def document(site: Site, path: str) -> Any:
    """A JSON document of the server."""
    answer = site.get(path)
    if answer.status != 200:
        raise Fault(f"{site.url}{path}: status {answer.status}")
    try:
        return json.loads(answer.body)
    except ValueError as error:
        raise Fault(f"{site.url}{path}: {error}") from error


def record(raw: Any) -> Record:
    """What catalog.json says."""
    images: list[Image] = []
    names: dict[str, Names] = {}
    aliases: dict[tuple[str, str, str], set[str]] = {}
    for product in raw["products"]:
        key = (product["name"], product["type"], product["architecture"])
        aliases[key] = {product["name"], *product["aliases"]}
        versions = [
            Image(
                *key,
                version["name"],
                version["fingerprint"],
                tuple(
                    Part(f"files/{part['sha256']}.{part['ending']}", part["size"], part["sha256"])
                    for part in version["parts"]
                ),
            )
            for version in product["versions"]
        ]
        images += versions
        for name in aliases[key]:
            own = names.setdefault(name, Names())
            own.newest.setdefault(product["architecture"], []).append(versions[0])
    return Record(images, names, aliases)


def offered(products: Mapping[str, Any], family: str) -> Iterator[Image]:
    """The images that LXD or Incus finds in products of an index. What it would pass over is a fault."""
    for name, product in products.items():
        for version, content in product["versions"].items():
            if not re.match(r"\d{8}", version):
                raise Fault(f"{name}: {family} passes over the version {version!r}")
            items = {item["ftype"]: item for item in content["items"].values()}
            own = (
                name.split(":")[0],
                architecture(product["arch"]),
                version,
            )
            yield from _images(own, items, FAMILIES[family])


def _images(own: tuple[str, str, str], items: Mapping[str, Any], family: str) -> Iterator[Image]:
    name, arch, version = own
    unified = items.get(f"{family}_combined.tar.gz")
    if unified:
        yield Image(name, "container", arch, version, unified["sha256"], (_part(unified),))
    metadata = items.get(f"{family}.tar.xz")
    for ftype, (type_, keys) in ROOTS.items():
        if metadata and ftype in items:
            found = next((metadata[key] for key in keys if metadata.get(key)), None)
            if found is None:
                raise Fault(f"{name} {version}: there is no {keys[0]}, so {family} passes over it")
            parts = (_part(metadata), _part(items[ftype]))
            yield Image(name, type_, arch, version, found, parts)


def _part(item: Mapping[str, Any]) -> Part:
    return Part(item["path"], item["size"], item["sha256"])


# --- The checks --------------------------------------------------------------------------------------------------


class Check:
    """All checks of one server. Faults are collected in ``faults``, in the order of what was checked."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.https = Site("https", options.https[0], options)
        self.http = Site("http", options.http, options) if options.http else None
        self.faults: list[str] = []
        self.images: list[Image] = []
        self.parts: dict[str, Part] = {}
        self.asked = 0
        self._pool = ThreadPoolExecutor(WORKERS)

    def run(self) -> None:
        """Check everything."""
        with self._pool:
            self._run()

    def _run(self) -> None:
        try:
            products = self._index()
            raw = document(self.https, "/catalog.json")
            known = record(raw)
        except Fault as fault:
            self.faults.append(str(fault))
            return
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            self.faults.append(f"{self.https.url}: index or record is malformed: {error!r}")
            return
        self.images = known.images
        for family in FAMILIES:
            self._compare(family, products, known)
        self._try(lambda: self._aliases(products, known))
        self._files()
        if self._checks("headers"):
            self._all(self._name, sorted(known.names.items()))
            self._try(self._nobody)
        if self._checks("page"):
            self._try(lambda: self._page(known))
        for aspect, check in (
            ("caching", self._revalidated),
            ("hiding", self._hidden),
            ("redirect", self._redirect),
        ):
            if self._checks(aspect):
                self._try(check)

    def _checks(self, aspect: str) -> bool:
        return aspect not in self.options.without

    def _try(self, check: Callable[[], None]) -> None:
        try:
            check()
        except Fault as fault:
            self.faults.append(str(fault))

    def _all(self, check: Callable[[Any], list[str]], subjects: Iterable[Any]) -> None:
        """Check many at a time."""

        def guarded(subject: Any) -> list[str]:
            try:
                return check(subject)
            except Fault as fault:
                return [str(fault)]

        for found in self._pool.map(guarded, subjects):
            self.faults += found

    def _index(self) -> dict[str, Any]:
        """The products of the index, by their ids, read as LXD reads them."""
        index = document(self.https, "/streams/v1/index.json")
        products: dict[str, Any] = {}
        for entry in index["index"].values():
            if entry.get("datatype") != "image-downloads" or not entry["products"]:
                continue
            content = document(self.https, f"/{entry['path']}")
            for name in entry["products"]:
                if name not in content["products"]:
                    raise Fault(f"{entry['path']} has no product {name}, which the index lists")
                products[name] = content["products"][name]
            for name in content["products"]:
                if name not in entry["products"]:
                    raise Fault(f"the index does not list the product {name} of {entry['path']}")
        return products

    def _compare(self, family: str, products: Mapping[str, Any], known: Record) -> None:
        """Whether a family finds in the index what the record has, and nothing else."""
        try:
            found = set(offered(products, family))
        except Fault as fault:
            self.faults.append(str(fault))
            return
        except (AttributeError, KeyError, TypeError) as error:
            self.faults.append(f"the index is malformed for {family}: {error!r}")
            return
        wanted = {image for image in known.images if in_index(image)}
        for image in sorted(wanted - found, key=str):
            self.faults.append(f"{image}: {family} does not find it in the index as in the record")
        for image in sorted(found - wanted, key=str):
            self.faults.append(f"{image}: {family} finds it in the index, not so in the record")

    def _aliases(self, products: Mapping[str, Any], known: Record) -> None:
        """Whether the index has the names that the record has."""
        for id_, product in products.items():
            name, type_ = id_.split(":")[:2]
            told = set(product["aliases"].split(","))
            wanted = known.aliases.get((name, type_, architecture(product["arch"])), set())
            if told != wanted:
                raise Fault(
                    f"{id_}: the index calls it {', '.join(sorted(told))},"
                    f" the record {', '.join(sorted(wanted)) or 'nothing'}"
                )

    def _page(self, known: Record) -> None:
        """The page for people has all names."""
        answer = self.https.get("/")
        kind = answer.one("Content-Type")
        if answer.status != 200 or not kind.startswith("text/html"):
            raise Fault(f"{self.https.url}/: status {answer.status}, {kind}; there is no page")
        page = answer.body.decode("utf-8", "replace")
        places = set(re.findall(r'\bid="([^"]*)"', page))
        for name in sorted({image.name for image in known.images} - places):
            self.faults.append(f"{self.https.url}/: the page does not show {name}")

    def _revalidated(self) -> None:
        for path in ("/", "/catalog.json", "/streams/v1/index.json", "/streams/v1/images.json"):
            answer = self.https.get(path, "HEAD")
            if answer.status == 200 and "no-cache" not in answer.one("Cache-Control"):
                self.faults.append(
                    f"{self.https.url}{path}: a client may keep it without asking again"
                )

    def _files(self) -> None:
        """Every file, over https and plain http: its size, its digest, and the fingerprints that it is part of."""
        for part in (part for image in self.images for part in image.parts):
            self.parts.setdefault(part.path, part)
        first = {
            image.parts[0].path: self.parts[image.parts[0].path]
            for image in self.images
            if len(image.parts) > 1
        }
        begun: dict[str, Any] = {}
        wanted: dict[str, list[Image]] = {}
        for image in self.images:
            wanted.setdefault(image.parts[-1].path, []).append(image)

        def metadata(part: Part) -> list[str]:
            digest = hashlib.sha256()
            found = self._file(part, self.https, [digest])
            begun[part.path] = digest
            return found

        def root(part: Part) -> list[str]:
            images = wanted.get(part.path, [])
            digests = [
                begun[image.parts[0].path].copy() if len(image.parts) > 1 else hashlib.sha256()
                for image in images
                if len(image.parts) == 1 or image.parts[0].path in begun
            ]
            found = self._file(part, self.https, digests)
            if found:
                return found
            return [
                f"{image}: its files have the fingerprint {digest.hexdigest()},"
                f" not {image.fingerprint}"
                for image, digest in zip(images, digests)
                if digest.hexdigest() != image.fingerprint
            ]

        self._all(metadata, first.values())
        self._all(root, [part for path, part in self.parts.items() if path in wanted])
        if self.http:
            plain = self.http
            self._all(lambda part: self._file(part, plain, []), self.parts.values())
        endings = {part.path.partition(".")[2]: part for part in self.parts.values()}
        self._all(self._range, endings.values())

    def _file(self, part: Part, site: Site, digests: list[Any]) -> list[str]:
        own = hashlib.sha256()
        size = 0

        def take(block: memoryview) -> None:
            nonlocal size
            size += len(block)
            for digest in (own, *digests):
                digest.update(block)

        where = f"{site.url}/{part.path}"
        answer = site.get(f"/{part.path}", into=take, most=part.size)
        if answer.status != 200:
            return [f"{where}: status {answer.status}"]
        if size != part.size:
            return [f"{where}: {size} bytes, not {part.size}"]
        if own.hexdigest() != part.sha256:
            return [f"{where}: the content has the SHA-256 {own.hexdigest()}"]
        if not self._checks("caching"):
            return []
        cache = answer.one("Cache-Control")
        if "immutable" not in cache or "max-age=31536000" not in cache:
            return [f"{where}: Cache-Control is {cache!r}; files never change"]
        return []

    def _range(self, part: Part) -> list[str]:
        """A download can be taken up again, and what a client has is not sent again."""
        where = f"{self.https.url}/{part.path}"
        path, middle = f"/{part.path}", part.size // 2
        rest = bytearray()

        def take(block: memoryview) -> None:
            rest.extend(block[: 64 - len(rest)])

        span = f"bytes={middle}-{min(middle + 63, part.size - 1)}"
        answer = self.https.get(path, headers={"Range": span})
        expected = f"{span.replace('=', ' ')}/{part.size}"
        if answer.status != 206 or answer.one("Content-Range") != expected:
            return [f"{where}: status {answer.status} for {span}; downloads cannot be taken up"]
        seen = 0

        def skip(block: memoryview) -> None:
            nonlocal seen
            start = max(0, middle - seen)
            if start < len(block):
                take(block[start:])
            seen += len(block)

        whole = self.https.get(path, into=skip, most=part.size)
        if bytes(rest[: len(answer.body)]) != answer.body:
            return [f"{where}: other bytes for {span} than in the whole file"]
        tag = whole.one("ETag")
        again = self.https.get(path, headers={"If-None-Match": tag})
        if not tag or again.status != 304:
            return [f"{where}: status {again.status} for the ETag {tag!r}, not 304"]
        return []

    def _hidden(self) -> None:
        for path in ("/.catalog/", "/.catalog/lock", "/files/", "/streams/", "/files/.hidden"):
            answer = self.https.get(path)
            if answer.status not in (403, 404):
                self.faults.append(
                    f"{self.https.url}{path}: status {answer.status}, should be hidden"
                )

    def _redirect(self) -> None:
        if self.http:
            answer = self.http.get("/")
            if answer.one("Location") != f"{self.https.url}/":
                self.faults.append(f"{self.http.url}/: it does not lead to {self.https.url}/")

    # The header endpoint

    def _name(self, subject: tuple[str, Names]) -> list[str]:
        """The header endpoint of a name, for each architecture and both families."""
        name, behind = subject
        path = f"/images/{name}"
        found: list[str] = []
        for arch, images in sorted(behind.newest.items()):
            for family in FAMILIES:
                found += self._headers(path, family, arch, images)
        for family in FAMILIES:
            if unified(images):
                found += self._headers(path, family, f"vax, {arch}, pdp11", images)
            found += self._headers(path, family, "vax", [])
        shown = {image.name for images in behind.newest.values() for image in images}
        places = {f"{self.https.url}/#{one}" for one in shown}
        for method in ("GET", "HEAD"):
            answer = self._asked(path, method, {})
            if answer.status != 303 or answer.one("Location") not in places:
                found.append(
                    f"{method} {self.https.url}{path}: status {answer.status},"
                    f" Location {answer.one('Location')!r}: it does not lead to the page"
                )
        return found

    def _asked(self, path: str, method: str, headers: Mapping[str, str]) -> Answer:
        self.asked += 1
        return self.https.get(path, method, headers)

    def _headers(self, path: str, family: str, archs: str, images: list[Image]) -> list[str]:
        """One question, by HEAD and by GET. ``images`` are those that may answer it."""
        fitting = unified(images)
        found: list[str] = []
        for method in ("HEAD", "GET"):
            where = f"{method} {self.https.url}{path} for {family} on {archs}"
            answer = self._asked(path, method, {f"{family}-Server-Architectures": archs})
            told = [
                (one, answer.all(f"{one}-Image-Hash"), answer.all(f"{one}-Image-URL"))
                for one in FAMILIES
            ]
            if not fitting:
                if answer.status != 404 or any(hashes or urls for _one, hashes, urls in told):
                    found.append(f"{where}: status {answer.status}, though there is no such image")
                elif method == "GET" and not answer.body.strip():
                    found.append(f"{where}: 404 without a word")
            elif answer.status != 200:
                found.append(f"{where}: status {answer.status}")
            else:
                wanted = fitting[0].fingerprint, f"{self.https.url}/{fitting[0].parts[0].path}"
                found += [
                    f"{where}: {one}-Image-Hash {', '.join(hashes) or 'is missing'},"
                    f" {one}-Image-URL {', '.join(urls) or 'is missing'};"
                    f" it should be {wanted[0]} at {wanted[1]}"
                    for one, hashes, urls in told
                    if (hashes, urls) != ([wanted[0]], [wanted[1]])
                ]
            varies = {word.strip() for value in answer.all("Vary") for word in value.split(",")}
            if not varies >= {f"{one}-Server-Architectures" for one in FAMILIES}:
                found.append(f"{where}: Vary does not name the headers that the answer depends on")
            if not re.search(r"no-(cache|store)", answer.one("Cache-Control")):
                found.append(f"{where}: a client may keep the answer")
        return found

    def _nobody(self) -> None:
        for family in FAMILIES:
            path = "/images/no.such-image/of.this-name"
            self.faults += self._headers(path, family, "x86_64", [])


def in_index(image: Image) -> bool:
    """Whether servers can find it by simplestreams, which has no place for a unified virtual machine."""
    return image.type == "container" or len(image.parts) > 1


def unified(images: list[Image]) -> list[Image]:
    """Those that a header endpoint can offer: images in one file, those of containers first."""
    files = [image for image in images if len(image.parts) == 1]
    return sorted(files, key=lambda image: image.type != "container")


# --- Whether the server has loaded its configuration ----------------------------------------------------------------


def digest(path: str) -> str:
    """The last word of the first line of a configuration file."""
    with open(path, encoding="utf-8") as file:
        return (file.readline().split() or ["?"])[-1]


def loaded(options: argparse.Namespace) -> int:
    """Say whether the server has loaded these files, and wait until it has, if that is wanted."""
    sites = [Site("https", to, options) for to in options.https]
    end = time.monotonic() + options.wait
    right = 0
    while True:
        try:
            wanted = " ".join(map(digest, options.loaded))
            said = next(filter(None, (_unlike(site, wanted) for site in sites)), "")
        except Fault as fault:
            said = str(fault)
        except (OSError, ValueError) as error:
            said = str(error)
        is_loaded = not said
        right = right + 1 if is_loaded else 0
        if right >= (SETTLED if options.wait else 1) or time.monotonic() > end:
            print(said or "loaded")
            return 0 if is_loaded else 1
        time.sleep(0.05)


def _unlike(site: Site, wanted: str) -> str:
    """What is wrong with the settings of a server, or nothing."""
    answer = site.get("/images/", fresh=True)
    if answer.body.decode("utf-8", "replace").strip() != wanted:
        return f"{site.url} at {site.place} has other settings"
    if not site.shows_its_certificate():
        return f"{site.url} at {site.place} has another certificate"
    return ""


# --- The command -----------------------------------------------------------------------------------------------------


def address(text: str) -> tuple[str, int]:
    """HOST:PORT, with an IPv6 address in brackets or not."""
    host, _colon, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("base_url", help="what clients call it: https://HOST or https://HOST:PORT")
    made.add_argument(
        "--connect",
        type=address,
        action="append",
        metavar="HOST:PORT",
        help="where it listens on https, whatever its name resolves to; of several, the first is checked,"
        " and --loaded asks them all",
    )
    made.add_argument(
        "--connect-http",
        type=address,
        metavar="HOST:PORT",
        help="where it listens on plain http (default: plain http is not checked)",
    )
    made.add_argument(
        "--server-name", help="the name in its certificate (default: that of the URL)"
    )
    made.add_argument("--certificate", metavar="FILE", help="trust this certificate, in PEM")
    made.add_argument(
        "--without",
        nargs="+",
        choices=ASPECTS,
        default=[],
        help="leave out, for other web servers: the header endpoint /images/; what clients may keep; that nothing"
        " else is shown; the page for people; that plain http leads to https",
    )
    made.add_argument(
        "--timeout",
        type=float,
        default=30,
        metavar="SECONDS",
        help="for a request, besides a second for each MiB (default: 30)",
    )
    made.add_argument(
        "--loaded",
        nargs="+",
        metavar="FILE",
        help="check only whether nginx has loaded these files, by the digests in their first lines",
    )
    made.add_argument(
        "--wait", type=float, default=0, metavar="SECONDS", help="with --loaded: until it has"
    )
    return made


def main() -> int:
    """Run the command."""
    made = parser()
    options = made.parse_args()
    options.base_url = options.base_url.rstrip("/")
    parts = urlsplit(options.base_url)
    if parts.scheme != "https" or not parts.hostname or parts.path:
        made.error("the URL has to be https://HOST or https://HOST:PORT")
    options.hostname, options.authority = parts.hostname, parts.netloc
    options.host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    options.https = options.connect or [(parts.hostname, parts.port or 443)]
    options.http = options.connect_http
    if options.loaded:
        return loaded(options)
    check = Check(options)
    check.run()
    for fault in check.faults:
        print(fault)
    if check.faults:
        return 1
    plain = " (also over plain http)" if options.http else ""
    print(
        f"{len(check.images)} images in {len(check.parts)} files{plain}"
        f" and {check.asked} answers with headers are as they should be"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

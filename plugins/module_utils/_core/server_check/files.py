# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of an image server: whether clients get each of them, whole, and as its digests say."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Iterator, Mapping, Sequence

from ..catalog.record import Catalog, Part, Version
from .endpoint import Endpoint, Reply, missing
from .findings import Finding, Findings, shown

CACHE_CONTROL = ("immutable", "max-age=31536000")
"""What nginx says of files in the role: they never change."""

SAMPLE_BYTES = 64
"""Bytes from the middle of a file that are asked for by themselves."""

_DAMAGED = "Publish it again: lxd_image_catalog with verify=true replaces damaged files."
_NO_RANGES = "Without ranges no broken download can be resumed."


@dataclass(frozen=True)
class _Image:
    title: str
    version: Version


class _Content:
    """The content of one file as it arrives: its length, its digest, and those of images that end with it."""

    def __init__(self, part: Part, digests: Sequence[Any] = ()) -> None:
        self.own = hashlib.sha256()
        self.size = 0
        self.sample = bytearray()
        self._digests = (self.own, *digests)
        self._start = part.size // 2

    def take(self, block: bytes) -> None:
        """The next block of it."""
        for digest in self._digests:
            digest.update(block)
        start = max(0, self._start - self.size)
        if start < len(block) and len(self.sample) < SAMPLE_BYTES:
            self.sample += block[start : start + SAMPLE_BYTES - len(self.sample)]
        self.size += len(block)


class FileChecks:
    """The checks of all files that the record names, at one endpoint.

    With ``full`` every file is read and hashed; otherwise it is asked for and its length compared. With ``caching``
    clients have to be told that they may keep it.
    """

    def __init__(self, endpoint: Endpoint, catalog: Catalog, full: bool, caching: bool) -> None:
        self._endpoint = endpoint
        self._parts = catalog.parts
        self._full = full
        self._caching = caching
        self._images = [
            _Image(f"{product} {version.name}", version)
            for product in catalog.products
            for version in product.versions
        ]
        self._samples: dict[str, bytes] = {}

    def run(self, findings: Findings) -> None:
        """Check every file, and the fingerprints of the images that they make."""
        url = self._endpoint.url
        if not self._full:
            findings.collect_each(url, self._head, self._parts.values())
            return
        # The fingerprint of a split image begins with the content of its first file.
        images = [image.version for image in self._images if image.version.is_split]
        first = {version.parts[0].path: version.parts[0] for version in images}
        begun: dict[str, Any] = {}
        findings.collect_each(url, lambda part: self._read_first(part, begun), first.values())
        by_last_part: dict[str, list[_Image]] = {}
        for image in self._images:
            by_last_part.setdefault(image.version.parts[-1].path, []).append(image)
        findings.collect_each(
            url, lambda path: self._read_last(path, by_last_part[path], begun), by_last_part
        )

    def check_ranges(self, findings: Findings) -> None:
        """Whether downloads can be resumed, and a client's copy confirmed: of one file of each kind."""
        by_ending = {part.ending: part for part in self._parts.values()}
        findings.collect_each(self._endpoint.url, self._range, by_ending.values())

    def _head(self, part: Part) -> Iterator[Finding]:
        reply = self._endpoint.ask(f"/{part.path}", "HEAD")
        url = self._url(part)
        if reply.status != 200:
            yield Finding(*missing(url, reply.status))
            return
        length = reply.value("Content-Length")
        if length != str(part.size):
            yield Finding(url, f"has {shown(length)} bytes, not {part.size}", _DAMAGED)
        yield from self._cache_control(url, reply)

    def _read_first(self, part: Part, begun: dict[str, Any]) -> Iterator[Finding]:
        content = _Content(part)
        yield from self._read(part, content)
        begun[part.path] = content.own

    def _read_last(
        self, path: str, images: Sequence[_Image], begun: Mapping[str, Any]
    ) -> Iterator[Finding]:
        """Read the last file of these images, and with it compare their fingerprints."""
        digests = {
            image: begun[image.version.parts[0].path].copy()
            if image.version.is_split
            else hashlib.sha256()
            for image in images
            if not image.version.is_split or image.version.parts[0].path in begun
        }
        part = self._parts[path]
        content = _Content(part, list(digests.values()))
        found = list(self._read(part, content))
        yield from found
        for image, digest in digests.items() if not found else ():
            if digest.hexdigest() != image.version.fingerprint:
                yield Finding(
                    image.title,
                    f"its files have the fingerprint {digest.hexdigest()}, not {image.version.fingerprint}",
                    "Withdraw this version and publish it again.",
                )

    def _read(self, part: Part, content: _Content) -> Iterator[Finding]:
        url = self._url(part)
        reply = self._endpoint.ask(f"/{part.path}", limit=part.size, consumer=content.take)
        if reply.status != 200:
            yield Finding(*missing(url, reply.status))
        elif content.size != part.size:
            yield Finding(url, f"has {content.size} bytes, not {part.size}", _DAMAGED)
        elif content.own.hexdigest() != part.sha256:
            yield Finding(url, f"its content has the SHA-256 {content.own.hexdigest()}", _DAMAGED)
        else:
            self._samples[part.path] = bytes(content.sample)
            yield from self._cache_control(url, reply)

    def _cache_control(self, url: str, reply: Reply) -> Iterator[Finding]:
        value = reply.value("Cache-Control")
        if self._caching and not all(word in value for word in CACHE_CONTROL):
            yield Finding(
                url,
                f"is served with Cache-Control {shown(value)}",
                f"Files never change: serve them with {', '.join(CACHE_CONTROL)}.",
            )

    def _range(self, part: Part) -> Iterator[Finding]:
        url, path, endpoint = self._url(part), f"/{part.path}", self._endpoint
        middle = part.size // 2
        span = f"bytes={middle}-{min(middle + SAMPLE_BYTES, part.size) - 1}"
        reply = endpoint.ask(path, headers={"Range": span}, limit=part.size)
        expected = f"{span.replace('=', ' ')}/{part.size}"
        if reply.status != 206 or reply.value("Content-Range") != expected:
            yield Finding(url, f"has the HTTP status {reply.status} for {span}", _NO_RANGES)
        elif self._samples.get(part.path, reply.body) != reply.body:
            yield Finding(url, f"has other bytes for {span} than in the whole file")
        tag = reply.value("ETag")
        again = endpoint.ask(path, "HEAD", {"If-None-Match": tag})
        if not tag or again.status != 304:
            yield Finding(
                url,
                f"has the HTTP status {again.status} for its ETag {shown(tag)}, not 304",
                "Clients that have the file would download it again.",
            )

    def _url(self, part: Part) -> str:
        return f"{self._endpoint.url}/{part.path}"

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bare disks and root file systems of web servers: streamed if they are sent unchanged, else converted from a file."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from functools import partial
from typing import IO, Callable, Iterable, Iterator

from ..archives.files import ImageFiles
from ..disks.conversion import METADATA_NAME
from ..disks.metadata import metadata_archive
from ..disks.recognition import Recognized, recognize
from ..downloads import Download, OpenResponse, Retries, WebClient
from ..errors import ApiError, ConflictError, ConnectionFailed, FileError
from ..images import Alias, Image
from ..store import Store
from ..store_view import StoreView
from ..transport.body import Stream
from . import Offer, TransferResult, record_rootfs_keys, require_fingerprint
from .disk import SHA256, RootfsFileSource, RootfsRequest, RootfsUpload
from .upload_form import UploadForm

HEAD_BYTES = 1 << 18
"""What is downloaded to see what a file is."""

RANGE_NOT_SATISFIABLE = 416
"""The status for the beginning of a file that has none."""

_STREAMED = ("qcow2", "tar")
"""Formats whose beginning tells whether they can be used. A squashfs has its directory at the end."""


class RootfsUrlSource:
    """The disk or root file system at ``url``."""

    def __init__(self, request: RootfsRequest, web: WebClient, url: str, retries: int) -> None:
        self.request = request
        self.sent: str | None = None
        """The fingerprint of the image, once that was sent."""
        self.aliases: tuple[Alias, ...] = ()
        self._web = web
        self._url = url
        self._retries = retries

    def find(self, view: StoreView) -> Image | Offer:
        """The image that was made of the same file before, or a relay. Raises FileError and OptionError.

        With a checksum, the web server is asked for no more than a checksum file if the store has the image.
        """
        request = self.request
        held = view.by_fingerprint(request.expected or self.sent)
        if held is None and not request.expected:
            held = request.by_checksum(view)
        if held and not held.cached:
            return held
        try:
            opened = self._web.open(self._url, {"Range": f"bytes=0-{HEAD_BYTES - 1}"})
        except ApiError as error:
            if error.status == RANGE_NOT_SATISFIABLE:
                raise self._empty() from error
            raise
        head = _first_bytes(opened.transport.blocks(opened.response))
        size = _whole_size(opened)
        opened.response.close()
        found = self.recognize_head(head)
        known = size if found.is_sent_unchanged else None
        return RootfsRelay(self, found, request.image_size(found.type, known), held)

    def recognize_head(self, head: bytes) -> Recognized:
        """What a file with this beginning is. Raises FileError and OptionError if it cannot be used."""
        if not head:
            raise self._empty()
        with self.request.workspace.file() as file:
            self.request.workspace.fill(file, head, f"the beginning of {self.request.name}")
            found = recognize(self.request.name, file, self.request.deadline, is_head=True)
        self.request.require_usable(found.type)
        return found

    def _empty(self) -> FileError:
        return FileError(f"{self.request.name} is empty", "Check the URL.")

    def retries(self) -> Retries:
        """The retries of one transfer."""
        return Retries(self._retries, self.request.deadline)

    def download(self, retries: Retries) -> Download:
        """The file."""
        return Download(partial(self._web.open, self._url), retries)

    @contextmanager
    def downloaded(
        self, retries: Retries, follow: Callable[[Stream], object] = lambda _stream: None
    ) -> Iterator[RootfsFileSource]:
        """The file once it was downloaded and verified; it is deleted at the end of the context.

        ``follow`` gets the stream before it is read. Raises FileError, OptionError, ConnectionFailed and TimedOut.
        """
        request = self.request
        with request.workspace.file() as file:
            while True:
                try:
                    self._write_to(file, self.download(retries), follow)
                    break
                except ConnectionFailed as error:
                    retries.use(error)
            made = RootfsFileSource(
                request, ImageFiles.of_open((request.name,), [file], request.deadline)
            )
            made.require_checksum()
            request.require_usable(made.recognized.type)
            yield made

    def _write_to(
        self, file: IO[bytes], download: Download, follow: Callable[[Stream], object]
    ) -> None:
        request = self.request
        # What is there of an attempt before would remain where there are zeros now.
        os.truncate(file.fileno(), 0)
        if download.length is not None:
            request.workspace.require(download.length, request.name)
        body = Stream(download, "", download.length)
        follow(body)
        request.workspace.write(_Blocks(body), file, request.name, request.deadline)


class RootfsRelay(Offer):
    """A disk or root file system that this task downloads, and uploads with its metadata."""

    route = "relay"
    records_content = True

    def __init__(
        self,
        source: RootfsUrlSource,
        found: Recognized,
        size: int | None,
        replaces: Image | None,
    ) -> None:
        request = source.request
        self._source = source
        self._found = found
        self.type = found.type
        self.fingerprint = request.expected
        self.size = size
        self.replaces = replaces
        if request.checksum:
            self.origin_key = request.key(request.checksum.algorithm, request.checksum.digest)

    def transfer(self, store: Store) -> TransferResult:
        # A cached copy is deleted once the file is there, or begins to arrive.
        return self._transfer(store)

    def _transfer(self, store: Store) -> TransferResult:
        found, retries = self._found, self._source.retries()
        is_streamed = found.is_sent_unchanged and found.format in _STREAMED
        send = self._stream if is_streamed else self._download_and_send
        while True:
            try:
                return send(store, retries)
            except ConnectionFailed as error:
                retries.use(error)

    def _download_and_send(self, store: Store, retries: Retries) -> TransferResult:
        with self._source.downloaded(retries, store.server.follow) as made:
            upload = RootfsUpload(made, self.replaces)
            try:
                return upload.transfer(store)
            finally:
                self._source.sent, self.stored = made.sent, upload.stored

    def _stream(self, store: Store, retries: Retries) -> TransferResult:
        source = self._source
        download = source.download(retries)
        rootfs = _VerifiedBlocks(source, download, self._found)
        form = UploadForm(self.type, METADATA_NAME, source.request.name.rpartition("/")[2])
        length = download.length
        size = None if length is None else len(rootfs.metadata) + length
        stream = form.stream([[rootfs.metadata], rootfs], size)
        self.delete_cached_copy(store)
        try:
            arrived = store.writer.upload(stream, source.request.expected)
        except ConflictError:
            if rootfs.complete:
                self._record(store, rootfs.fingerprint, rootfs)
            raise
        if arrived != rootfs.fingerprint:
            store.writer.delete_image(arrived)
            raise FileError(
                f"the server stored the image {arrived}, but {rootfs.fingerprint} was sent"
            )
        self._record(store, arrived, rootfs)
        return TransferResult(arrived, stream.content)

    def _record(self, store: Store, fingerprint: str, rootfs: _VerifiedBlocks) -> None:
        self._source.sent = self.fingerprint = self.stored = fingerprint
        record_rootfs_keys(store, fingerprint, rootfs.keys)


class _VerifiedBlocks:
    """The blocks of a download, of which the last is withheld until the whole is known to be the right one."""

    def __init__(
        self, source: RootfsUrlSource, download: Iterable[bytes], found: Recognized
    ) -> None:
        request = source.request
        checksum = request.checksum
        self.metadata = metadata_archive(found.type, request.facts)
        self._source = source
        self._blocks = download
        self._found = found
        self._image = hashlib.sha256(self.metadata)
        algorithms = {SHA256, *([checksum.algorithm] if checksum else [])}
        self._digests = {algorithm: hashlib.new(algorithm) for algorithm in algorithms}
        self.complete = False
        """Whether all blocks were read, and are the right ones."""

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the image, once all blocks were read."""
        return self._image.hexdigest()

    @property
    def keys(self) -> list[str]:
        """What identifies the image, once all blocks were read."""
        digests = {name: digest.hexdigest() for name, digest in self._digests.items()}
        return self._source.request.keys(digests)

    def __iter__(self) -> Iterator[bytes]:
        request = self._source.request
        blocks = iter(self._blocks)
        withheld = _first_bytes(blocks)
        # The server may send another file than it did before.
        if self._source.recognize_head(withheld[:HEAD_BYTES]) != self._found:
            raise FileError(f"{request.name} has changed while it was being read")
        self._update(withheld)
        for block in blocks:
            self._update(block)
            yield withheld
            withheld = block
        if request.checksum:
            algorithm = request.checksum.algorithm
            request.checksum.require(self._digests[algorithm].hexdigest(), request.name)
        if request.expected:
            require_fingerprint(request.name, self.fingerprint, request.expected)
        self.complete = True
        yield withheld

    def _update(self, block: bytes) -> None:
        for digest in (self._image, *self._digests.values()):
            digest.update(block)


class _Blocks:
    """The blocks of a download as something to read."""

    def __init__(self, download: Iterable[bytes]) -> None:
        self._blocks = iter(download)

    def read(self, size: int) -> bytes:
        """The next block, of whatever size."""
        return next(self._blocks, b"")


def _first_bytes(blocks: Iterator[bytes]) -> bytes:
    head = bytearray()
    while len(head) < HEAD_BYTES:
        block = next(blocks, b"")
        if not block:
            break
        head += block
    return bytes(head)


def _whole_size(opened: OpenResponse) -> int | None:
    """The bytes of a file of which a range was requested; None if the server does not tell."""
    if opened.response.status_code == 200:
        return opened.length
    total = opened.response.headers.get("Content-Range", "").rpartition("/")[2]
    return int(total) if total.isascii() and total.isdigit() and len(total) < 16 else None

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An image in a directory of this host, packed as it is sent."""

from __future__ import annotations

from hashlib import sha256
from typing import Iterator

from ..archives.compression import compressed
from ..archives.image_directory import ImageDirectory
from ..errors import ConflictError, FileError, OperationFailed
from ..images import CONTAINER, Alias, Image
from ..store import Store
from ..store_view import StoreView
from ..transport.body import Stream
from . import Offer, TransferResult, record_archive


class DirectorySource:
    """The image in ``directory``. With ``expected``, the packed image must have that fingerprint."""

    def __init__(
        self, directory: ImageDirectory, compression: str, expected: str | None = None
    ) -> None:
        self.directory = directory
        self.compression = compression
        self.expected = expected
        self.sent: str | None = None
        """The fingerprint of the packed image, once it has been sent."""
        self.aliases: tuple[Alias, ...] = ()

    def find(self, view: StoreView) -> Image | Offer:
        """The image that was packed from the same content before, or an upload. Raises FileError.

        The directory is read for this only if the store has an image that was packed from a directory.
        """
        held = view.by_fingerprint(self.expected or self.sent)
        if held is None and not self.expected and view.has_archives:
            held = view.by_archive(self.directory.digest())
        if held and not held.cached:
            return held
        return PackedUpload(self, held)

    def require_fingerprint(self, fingerprint: str) -> None:
        """Raises FileError if another fingerprint is expected."""
        if self.expected and fingerprint != self.expected:
            raise FileError(
                f"{self.directory} is the image {fingerprint} when packed, not {self.expected}",
                "Correct the option fingerprint, or omit it: an unchanged directory is recognized without it.",
            )


class PackedUpload(Offer):
    """An upload of a directory. The fingerprint is known once it has been packed."""

    route = "upload"
    type = CONTAINER
    records_content = True

    def __init__(self, source: DirectorySource, replaces: Image | None) -> None:
        self._source = source
        self.fingerprint = source.expected
        self.replaces = replaces

    def _transfer(self, store: Store) -> TransferResult:
        source = self._source
        archive, packed, size = sha256(), sha256(), 0

        def read() -> Iterator[bytes]:
            for block in source.directory.archive():
                archive.update(block)
                yield block

        def send() -> Iterator[bytes]:
            nonlocal size
            for block in compressed(read(), source.compression):
                packed.update(block)
                size += len(block)
                yield block

        body = Stream(send(), "application/octet-stream", None)
        try:
            arrived = store.writer.upload(body, source.expected)
        except OperationFailed:
            # An unexpected fingerprint is the likely cause, and this message is clearer than the server's.
            source.require_fingerprint(packed.hexdigest())
            raise
        except ConflictError:
            source.sent = packed.hexdigest()
            source.require_fingerprint(source.sent)
            # The store has it, but the task that uploaded it may have ended before it recorded the digest.
            record_archive(store, source.sent, archive.hexdigest())
            raise
        if arrived != packed.hexdigest():
            store.writer.delete_image(arrived)
            raise FileError(
                f"the server stored the image {arrived}, but {packed.hexdigest()} was sent"
            )
        self.fingerprint = self.stored = arrived
        record_archive(store, arrived, archive.hexdigest())
        return TransferResult(arrived, size)

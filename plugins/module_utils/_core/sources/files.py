# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Image files of this host: one unified file, or metadata and rootfs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Callable

from ..archives.files import Digest, ImageFiles
from ..errors import ConflictError, FileError, OperationFailed
from ..images import Alias, Image
from . import Offer, TransferResult, record_archive, require_fingerprint

if TYPE_CHECKING:
    from ..store import Store
    from ..store_view import StoreView
    from ..transport.body import Body


class FileSource:
    """The image in ``files``; with ``expected``, it must have that fingerprint.

    ``archive`` is the digest of the directory that it was packed from, if any; ``digest`` its fingerprint if that is
    known already.
    """

    def __init__(
        self,
        files: ImageFiles,
        expected: str | None = None,
        archive: str | None = None,
        digest: str | None = None,
    ) -> None:
        self.files = files
        self.archive = archive
        self._expected = expected
        self._digest = digest
        self.aliases: tuple[Alias, ...] = ()

    def find(self, view: StoreView) -> Image | Offer:
        """The image in the store, or an upload. Raises FileError if the files are not an image or not the expected one.

        If the store has no image of the same size, it does not have this one. The files are hashed while sent.
        """
        held = view.by_fingerprint(self._expected)
        if (held is None or held.cached) and (self._digest or view.may_have_size(self.files.size)):
            held = view.by_fingerprint(self.digest())
        if held and not held.cached:
            return held
        # Imported late: an unchanged task does not need it.
        from ..archives.archive_scan import detect_image_type

        return self.upload(detect_image_type(self.files), held)

    def upload(
        self,
        image_type: str | None,
        replaces: Image | None = None,
        on_sent: Callable[[Digest | None], object] = lambda _running: None,
    ) -> Upload:
        """The upload of the image, which is known to be of this type; see there for ``on_sent``."""
        return Upload(self, image_type, self._digest or self._expected, replaces, on_sent)

    def start_digest(self) -> Digest | None:
        """Start hashing in the background, unless the fingerprint is known."""
        return None if self._digest else Digest(self.files)

    def digest(self, running: Digest | None = None) -> str:
        """The fingerprint of the files, from a running digest or a new one. Raises FileError if another is expected."""
        if self._digest is None:
            self._digest = (running or Digest(self.files)).result()
        if self._expected:
            require_fingerprint(str(self.files), self._digest, self._expected)
        return self._digest


class Upload(Offer):
    """An upload of files that the store lacks. Their fingerprint may be known only afterwards.

    ``on_sent`` is called when the files have been sent, and the server works on them; it gets the digest that is then
    running here, if any.
    """

    route = "upload"

    def __init__(
        self,
        source: FileSource,
        image_type: str | None,
        fingerprint: str | None,
        replaces: Image | None,
        on_sent: Callable[[Digest | None], object],
    ) -> None:
        self._source = source
        self._on_sent = on_sent
        self._running_digest: Digest | None = None
        self.type = image_type
        self.fingerprint = fingerprint
        self.replaces = replaces
        self.size = source.files.size
        self.records_content = bool(source.archive)

    def identify(self) -> str | None:
        self.fingerprint = self._source.digest()
        return self.fingerprint

    def _transfer(self, store: Store) -> TransferResult:
        source, files = self._source, self._source.files
        if len(files.files) == 1:
            self._start_digest()
        body = upload_body(files, self.type, self._sent)
        try:
            # The file of a packed directory is temporary, and so is its name.
            filename = "" if source.archive else os.path.basename(files.paths[0])
            arrived = store.writer.upload(body, self.fingerprint, filename)
        except (OperationFailed, ConflictError):
            # An unexpected fingerprint is the likely cause, and this message is clearer than the server's.
            self.fingerprint = source.digest(self._running_digest)
            raise
        self.stored = arrived
        try:
            changed = arrived != source.digest(self._running_digest)
        except FileError:
            self._delete_again(store, arrived)
            raise
        if changed:
            self._delete_again(store, arrived)
            raise FileError(
                f"{files} changed during the upload",
                "The image was deleted again. Run the task again.",
            )
        self.fingerprint = arrived
        if source.archive:
            record_archive(store, arrived, source.archive)
        return TransferResult(arrived, files.size)

    def _delete_again(self, store: Store, fingerprint: str) -> None:
        store.writer.delete_image(fingerprint)
        self.stored = None

    def _start_digest(self) -> None:
        if self._running_digest is None:
            self._running_digest = self._source.start_digest()

    def _sent(self) -> None:
        # A unified image is complete when the server has it, and was hashed meanwhile. The files of a split image are
        # then copied by the server. While it receives them, hashing would take processor time from it.
        self._start_digest()
        self._on_sent(self._running_digest)


def upload_body(
    files: ImageFiles, image_type: str | None, on_sent: Callable[[], object] = lambda: None
) -> Body:
    """The body of ``POST /1.0/images``: a unified file as it is, a split image as a form."""
    from ..transport.body import Body, Segment

    segments = [Segment(file, size) for file, size in zip(files.files, files.sizes)]
    if len(segments) == 1:
        return Body(segments, "application/octet-stream", on_sent)
    # Imported late: most images are one file.
    from .upload_form import UploadForm

    form = UploadForm(image_type, *map(os.path.basename, files.paths))
    return Body(form.around(*segments), form.content_type, on_sent)

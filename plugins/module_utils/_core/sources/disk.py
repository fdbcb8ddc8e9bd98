# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bare disks and root file systems: their metadata is made here, and disks are converted where they have to be."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Callable, ContextManager, Iterable, Mapping

from ..archives.files import Digest, ImageFiles
from ..disks.metadata import metadata_archive, rootfs_key
from ..errors import ConflictError, FileError, OptionError
from ..images import VIRTUAL_MACHINE, Alias, Image
from . import Offer, TransferResult, record_rootfs_keys, require_fingerprint
from .files import FileSource

if TYPE_CHECKING:
    from ..checksums import Checksum
    from ..deadline import Deadline
    from ..disks.metadata import RootfsFacts
    from ..disks.recognition import Recognized
    from ..disks.workspace import Workspace
    from ..store import Store
    from ..store_view import StoreView

SHA256 = "sha256"


class RootfsRequest:
    """What a task requests of a disk or root file system, except its location. ``name`` is for messages.

    ``facts`` and ``checksum`` are functions, since the server has to be asked for its architecture, and a web server
    for a checksum file. With ``expected``, the image must have that fingerprint. ``workspace`` is for temporary files.
    """

    def __init__(
        self,
        name: str,
        facts: Callable[[], RootfsFacts],
        checksum: Callable[[], Checksum | None],
        expected: str | None,
        workspace: Workspace,
        deadline: Deadline,
    ) -> None:
        self.name = name
        self.expected = expected
        self.workspace = workspace
        self.deadline = deadline
        self._facts = facts
        self._checksum = checksum
        self._unrecorded: tuple[str, list[str]] | None = None

    @cached_property
    def facts(self) -> RootfsFacts:
        """What goes into the metadata."""
        return self._facts()

    @cached_property
    def checksum(self) -> Checksum | None:
        """The expected checksum of the file; None if none is given."""
        return self._checksum()

    def key(self, algorithm: str, digest: str) -> str:
        """What identifies the image that is made of a file with this digest."""
        return rootfs_key(algorithm, digest, self.facts)

    def by_checksum(self, view: StoreView) -> Image | None:
        """The image of the store that was made of the file with the right checksum."""
        if self.checksum is None or not view.has_rootfs_keys:
            return None
        return view.by_rootfs_key(self.key(self.checksum.algorithm, self.checksum.digest))

    def keys(self, digests: Mapping[str, str]) -> list[str]:
        """What identifies the image that is made of a file with these digests, which are given by algorithm."""
        return [self.key(algorithm, digest) for algorithm, digest in sorted(digests.items())]

    def note_missing(self, image: Image, keys: Iterable[str]) -> None:
        """Remember for ``record_missing`` that an image of the store should have these keys."""
        missing = [key for key in keys if key not in image.rootfs_keys]
        self._unrecorded = (image.fingerprint, missing) if missing else None

    def record_missing(self, store: Store) -> None:
        """Record the missing keys, so that the next run has to read less."""
        if self._unrecorded:
            record_rootfs_keys(store, *self._unrecorded)

    def require_usable(self, image_type: str | None) -> None:
        """Raises OptionError if an option cannot be used for an image of this type."""
        if self.facts.cloud_init and image_type == VIRTUAL_MACHINE:
            raise OptionError(
                f"cloud_init is set, and {self.name} is a disk",
                "Templates are for the root file systems of containers. A virtual machine gets the seed by its"
                " agent or a drive: remove cloud_init.",
            )

    def image_size(self, image_type: str, size: int | None) -> int | None:
        """The bytes of the image whose rootfs has this size; None if that is not known."""
        return None if size is None else size + len(metadata_archive(image_type, self.facts))


class RootfsFileSource:
    """A disk or root file system in a file of this host, which is ``file`` alone."""

    def __init__(self, request: RootfsRequest, file: ImageFiles) -> None:
        self.request = request
        self.file = file
        self.sent: str | None = None
        """The fingerprint of the image, once that was sent."""
        self.aliases: tuple[Alias, ...] = ()
        self.known_fingerprint: str | None = None
        """The fingerprint of the image, if the file is sent unchanged and was read already."""
        self._digests: dict[str, Digest] = {}
        self._stamp = _stamp(file)

    def find(self, view: StoreView) -> Image | Offer:
        """The image that was made of the same file before, or an upload. Raises FileError and OptionError.

        The file is read for this only if the store has an image that was made of one, or an image of the same size.
        """
        request = self.request
        held = view.by_fingerprint(request.expected or self.sent)
        if held is None and not request.expected:
            held = self._made_before(view)
        if held and not held.cached:
            return held
        found = self.recognized
        request.require_usable(found.type)
        if request.checksum:
            self.require_checksum()
            held = held or self._by_digest(view)
        size = self.image_size
        if size is not None and held is None and view.may_have_size(size):
            held = view.by_fingerprint(self.fingerprint())
        if held and not held.cached:
            request.note_missing(held, self.keys)
            return held
        return RootfsUpload(self, held, view.may_have_size)

    def record_missing(self, store: Store) -> None:
        """Record the keys by which the image is recognized."""
        self.request.record_missing(store)

    def _made_before(self, view: StoreView) -> Image | None:
        return self.request.by_checksum(view) if self.request.checksum else self._by_digest(view)

    def _by_digest(self, view: StoreView) -> Image | None:
        return view.by_rootfs_key(self.key) if view.has_rootfs_keys else None

    @cached_property
    def recognized(self) -> Recognized:
        """What the file is."""
        # Imported late: an unchanged file does not need it.
        from ..disks.recognition import recognize

        return recognize(self.request.name, self.file.files[0], self.request.deadline)

    def fingerprint(self) -> str:
        """The fingerprint of the image of a file that is sent unchanged. Raises FileError if another is expected."""
        if self.known_fingerprint is None:
            with self.image_files() as files:
                self.known_fingerprint = files.digest()
        if self.request.expected:
            require_fingerprint(self.request.name, self.known_fingerprint, self.request.expected)
        return self.known_fingerprint

    def require_checksum(self) -> None:
        """Raises FileError unless the file has the right checksum. Reads the file if there is one."""
        checksum = self.request.checksum
        if checksum:
            checksum.require(self.digest(checksum.algorithm), self.request.name)

    @property
    def image_size(self) -> int | None:
        """The bytes of the image; None if the file has to be converted."""
        found = self.recognized
        known = self.file.size if found.is_sent_unchanged else None
        return self.request.image_size(found.type, known)

    @property
    def key(self) -> str:
        """What identifies the image. Reads the file."""
        return self.request.key(SHA256, self.digest(SHA256))

    @property
    def keys(self) -> list[str]:
        """What identifies the image, by each algorithm that is of use. Raises FileError if the file has changed."""
        checksum = self.request.checksum
        algorithms = {SHA256, *([checksum.algorithm] if checksum else [])}
        keys = self.request.keys({algorithm: self.digest(algorithm) for algorithm in algorithms})
        if _stamp(self.file) != self._stamp:
            raise FileError(
                f"{self.request.name} changed while it was being read", "Run the task again."
            )
        return keys

    def digest(self, algorithm: str) -> str:
        """The digest of the file as it is."""
        return self.start_digest(algorithm).result()

    def start_digest(self, algorithm: str, after: Digest | None = None) -> Digest:
        """The same in the background, when ``after`` has ended."""
        if algorithm not in self._digests:
            self._digests[algorithm] = Digest(self.file, algorithm=algorithm, after=after)
        return self._digests[algorithm]

    def image_files(self) -> ContextManager[ImageFiles]:
        """The files of the image, open as long as the context lasts; a disk is converted for it."""
        from ..disks.conversion import image_files

        request = self.request
        return image_files(
            request.name,
            self.file.files[0],
            self.recognized,
            request.facts,
            request.workspace,
            request.deadline,
        )


class RootfsUpload(Offer):
    """An upload of what is made of a file. Its fingerprint may be known only afterwards.

    ``may_have_size`` is whether the store may have an image of so many bytes. If it has none, a converted disk is
    hashed while the server works on it, and not before it is sent.
    """

    route = "upload"
    records_content = True

    def __init__(
        self,
        source: RootfsFileSource,
        replaces: Image | None,
        may_have_size: Callable[[int], bool] = lambda _size: True,
    ) -> None:
        self._source = source
        self._may_have_size = may_have_size
        self.type = source.recognized.type
        self.fingerprint = source.request.expected
        self.size = source.image_size
        self.replaces = replaces

    def identify(self) -> str | None:
        if self.fingerprint is None and self.size is not None:
            self.fingerprint = self._source.fingerprint()
        elif self.fingerprint is None:
            self.origin_key = self._source.key
        return self.fingerprint

    def transfer(self, store: Store) -> TransferResult:
        # What may take long, or fail, comes before a cached copy is deleted.
        return self._transfer(store)

    def _transfer(self, store: Store) -> TransferResult:
        # Imported late, as all that only a transfer needs.
        from ..disks.workspace import discard_after

        source, expected = self._source, self._source.request.expected
        converted = self.size is None
        with source.image_files() as files:
            known = source.known_fingerprint
            if converted and (expected or self._may_have_size(files.size)):
                known = files.digest()
            made = FileSource(files, expected, digest=known)
            if known and expected:
                require_fingerprint(source.request.name, known, expected)
            if known and converted:
                # It is not sent if the store has it meanwhile, nor if the file has changed.
                self._require_missing(store, known, source.keys)
            self.delete_cached_copy(store)

            def on_sent(running: Digest | None) -> None:
                source.start_digest(SHA256, running)
                if converted:
                    discard_after(running, files.files[-1])

            if source.file.size > files.size:
                # To hash a sparse disk takes longer than the server's work on what was made of it.
                source.start_digest(SHA256)
            upload = made.upload(self.type, on_sent=on_sent)
            try:
                result = upload.transfer(store)
            except ConflictError:
                source.sent = upload.fingerprint
                record_rootfs_keys(store, upload.fingerprint or "", source.keys)
                raise
            finally:
                self.stored = upload.stored
        try:
            keys = source.keys
        except FileError:
            store.writer.delete_image(result.fingerprint)
            self.stored = None
            raise
        source.sent = self.fingerprint = result.fingerprint
        record_rootfs_keys(store, result.fingerprint, keys)
        return result

    def _require_missing(self, store: Store, fingerprint: str, keys: Iterable[str]) -> None:
        """Raises ConflictError if the store has the image, which is recognized from then on."""
        present = store.find_image(fingerprint)
        if present is None or (self.replaces and present.fingerprint == self.replaces.fingerprint):
            return
        if present.cached:
            store.writer.delete_image(fingerprint)
            return
        self._source.sent = fingerprint
        record_rootfs_keys(store, fingerprint, keys)
        raise ConflictError(f"the store has the image of {self._source.request.name}")


def _stamp(file: ImageFiles) -> tuple[int, ...]:
    """What changes when somebody writes to the file."""
    status = os.fstat(file.files[0].fileno())
    return status.st_size, status.st_mtime_ns

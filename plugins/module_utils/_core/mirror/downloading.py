# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Downloads and verifies the files of an image server: several at a time, and resumed, also by a later run."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from hashlib import sha256
from typing import IO, TYPE_CHECKING, Any, Callable, Collection, ContextManager, Mapping, Sequence

from ..catalog.record import Part
from ..catalog.web_root import WebRoot
from ..deadline import Deadline
from ..downloads import Download, OpenResponse, Retries
from ..errors import ApiError, ConnectionFailed, FileError, ImageStoreError, TimedOut
from ..simplestreams import File
from . import StagedFile
from .staging import Staging, disk_error, read_blocks

if TYPE_CHECKING:
    from ..transfer_progress import Transfer, TransferRecorder

Open = Callable[[File, Mapping[str, str]], OpenResponse]

_OUT_OF_RANGE = 416


@dataclass(frozen=True)
class RemoteFile:
    """A file of an image server, what it becomes in the tree, and the name of its image in messages."""

    file: File
    part: Part
    title: str = field(default="", compare=False)


@dataclass(frozen=True)
class SplitImage:
    """An image of two files. Its fingerprint is the SHA-256 of both, one after the other."""

    fingerprint: str
    metadata: RemoteFile
    root: RemoteFile


class Downloader:
    """The downloads of one task. ``retries`` is how often each is resumed. ``received`` counts bytes."""

    def __init__(
        self,
        open_file: Open,
        tree: WebRoot,
        staging: Staging,
        deadline: Deadline,
        retries: int,
        parallel: int,
        recorder: TransferRecorder | None = None,
    ) -> None:
        self._open = open_file
        self._tree = tree
        self._staging = staging
        self._deadline = deadline
        self._retries = retries
        self._parallel = parallel
        self._recorder = recorder
        self._obstacle: ImageStoreError | None = None
        self.received = 0
        self.errors: dict[str, ImageStoreError] = {}
        """Why a file (by its path in the tree) or an image (by its fingerprint) is missing."""
        self.staged: dict[str, StagedFile] = {}
        """The complete files, by their paths in the tree."""

    def run(
        self,
        files: Sequence[RemoteFile],
        images: Sequence[SplitImage],
        present: Collection[str],
    ) -> None:
        """Download ``files``, and verify the fingerprints of ``images``.

        ``present`` are the paths of the files that the tree has. Raises TimedOut, and FileError if nothing can be
        written; everything else is in ``errors``.
        """
        by_root: dict[str, list[SplitImage]] = {}
        for image in images:
            by_root.setdefault(image.root.part.path, []).append(image)
        missing = {one.part.path: one for one in files}
        roots = {image.root.part.path: image.root for image in images}
        first = [one for path, one in missing.items() if path not in roots]
        with ThreadPoolExecutor(self._parallel) as pool:
            self._collect(pool.map(lambda one: self._attempt(one, []), first))
            self._require_no_obstacle()
            self._collect(
                pool.map(
                    lambda path: self._root(roots[path], by_root[path], path in present), roots
                )
            )
            self._require_no_obstacle()

    def _collect(self, counts: Any) -> None:
        for count in counts:
            self.received += count

    def _require_no_obstacle(self) -> None:
        if isinstance(self._obstacle, (TimedOut, FileError)):
            raise self._obstacle

    def _root(self, remote: RemoteFile, images: Sequence[SplitImage], is_present: bool) -> int:
        """Download a root file system, or read it if the tree has it, and verify the images that it is part of.

        What is in the tree may be damaged, and is then downloaded as well.
        """
        received = 0
        begun: list[Any] = []
        try:
            for image in images:
                digest = self._read(image.metadata.part, [])
                if digest is None:
                    received += self._attempt(image.metadata, [])
                    digest = self._read(image.metadata.part, [])
                begun.append(digest or sha256())
            copies = [digest.copy() for digest in begun]
            if is_present and self._read(remote.part, copies):
                begun = copies
            else:
                received += self._attempt(remote, begun)
        except (TimedOut, FileError) as error:
            self._obstacle = error
            return received
        for image, digest in zip(images, begun):
            failed = {image.metadata.part.path, remote.part.path} & set(self.errors)
            if not failed and digest.hexdigest() != image.fingerprint:
                self.errors[image.fingerprint] = FileError(
                    f"its files have the fingerprint {digest.hexdigest()}, not {image.fingerprint}"
                )
        return received

    def _read(self, part: Part, others: Sequence[Any]) -> Any:
        """The digest of a file that is here, whose content is added to the ``others``; None if it is damaged."""
        if part.path in self.errors:
            return None
        # Another mirror of the same source may have moved it into the tree.
        paths = [self._tree.absolute(part)]
        if part.path in self.staged:
            paths.insert(0, self._staging.path_of(part))
        digest = sha256()
        for path in paths:
            try:
                with open(path, "rb", buffering=0) as content:
                    for block in read_blocks(content, self._deadline):
                        _update([digest, *others], block)
                break
            except FileNotFoundError:
                continue
            except OSError as error:
                raise disk_error(path, error) from error
        return digest if digest.hexdigest() == part.sha256 else None

    def _attempt(self, remote: RemoteFile, begun: list[Any]) -> int:
        """Download a file; the bytes received. ``begun`` digests are updated with all of its content."""
        if remote.part.path in self.staged or remote.part.path in self.errors:
            return 0
        if self._obstacle:
            self.errors[remote.part.path] = self._obstacle
            return 0
        retries = Retries(self._retries, self._deadline)
        transfer = _Transfer(remote, self._open, retries, self._deadline)
        try:
            with self._staging.download(remote.part) as file, self._recorded(remote) as recorded:
                try:
                    transfer.run(file, begun, recorded)
                    staged = self._staging.complete(remote.part, file)
                    self.staged[remote.part.path] = staged
                except OSError as error:
                    self._obstacle = disk_error(self._staging.path_of(remote.part), error)
                    # A full disk would hinder other programs, too.
                    file.truncate(0)
        except TimedOut as error:
            self._obstacle = error
        except ConnectionFailed as error:
            self.errors[remote.part.path] = error
            if error.unreachable:
                # The other downloads would fail as well, but only after a wait.
                self._obstacle = error
        except ImageStoreError as error:
            self.errors[remote.part.path] = error
        return transfer.received

    def _recorded(self, remote: RemoteFile) -> ContextManager[Transfer | None]:
        recorder = self._recorder
        return recorder.record(remote.title, remote.part.size) if recorder else nullcontext()


class _Transfer:
    """The download of one file. ``received`` counts bytes."""

    def __init__(
        self, remote: RemoteFile, open_file: Open, retries: Retries, deadline: Deadline
    ) -> None:
        self._remote = remote
        self._open = open_file
        self._retries = retries
        self._deadline = deadline
        self.received = 0

    def run(self, file: IO[bytes], begun: list[Any], recorded: Transfer | None) -> None:
        """Complete the file, which may have a beginning already. Afterwards, ``begun`` are the digests of all of it.

        Raises FileError if it is not the file that the index has, ApiError, ConnectionFailed, TimedOut, OSError.
        """
        part = self._remote.part
        while True:
            have = os.fstat(file.fileno()).st_size
            digests = [sha256(), *(digest.copy() for digest in begun)]
            try:
                self._complete(file, digests, have if have <= part.size else 0, recorded)
            except ConnectionFailed as error:
                self._retries.use(error)
                continue
            if digests[0].hexdigest() == part.sha256:
                os.fsync(file.fileno())
                begun[:] = digests[1:]
                return
            file.truncate(0)
            if not have:
                raise FileError(
                    f"{self._remote.file.path} has the SHA-256 {digests[0].hexdigest()}, not the"
                    f" {part.sha256} that the index gives"
                )
            # The existing beginning may be damaged.

    def _complete(
        self, file: IO[bytes], digests: Sequence[Any], have: int, recorded: Transfer | None
    ) -> None:
        """Read what is there, and append what is missing."""
        size = self._remote.part.size
        download = self._request(file, have) if have < size else None
        start = download.start if download else size
        file.truncate(start)
        file.seek(0)
        for block in read_blocks(file, self._deadline):
            _update(digests, block)
        for block in download or ():
            start += len(block)
            if start > size:
                raise self._wrong_size(f"more than {size} bytes")
            _update(digests, block)
            file.write(block)
            self.received += len(block)
            if recorded:
                recorded.moved = start
        if start != size:
            raise self._wrong_size(f"{start} bytes")

    def _request(self, file: IO[bytes], have: int) -> Download:
        """Request the missing part."""
        download = Download(
            lambda headers: self._open(self._remote.file, headers), self._retries, have
        )
        try:
            length = download.length
        except ApiError as error:
            if error.status != _OUT_OF_RANGE or not have:
                raise
            file.truncate(0)
            raise ConnectionFailed(error.message) from error
        if length not in (None, self._remote.part.size):
            download.opened.response.close()
            raise self._wrong_size(f"{length} bytes")
        return download

    def _wrong_size(self, found: str) -> FileError:
        return FileError(
            f"{self._remote.file.path} has {found}, not the {self._remote.part.size} that the index gives"
        )


def _update(digests: Sequence[Any], block: bytes) -> None:
    for digest in digests:
        digest.update(block)

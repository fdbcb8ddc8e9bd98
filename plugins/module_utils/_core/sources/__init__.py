# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where images come from. A source finds its image in the store, or offers to transfer it there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Iterable,
    Mapping,
    Protocol,
    runtime_checkable,
)

from ..errors import ConflictError, FileError, ImageStoreError
from ..images import ARCHIVE, ROOTFS

if TYPE_CHECKING:
    from ..access import Entitlement
    from ..images import Alias, Image
    from ..store import Store
    from ..store_view import StoreView


@dataclass(frozen=True)
class TransferResult:
    """The result of a transfer: the fingerprint that the server reports, and the bytes of image data that were sent."""

    fingerprint: str
    transferred: int


class Offer(ABC):
    """An image that the store lacks, and how to transfer it.

    ``route`` is how (``upload``, …); ``fingerprint`` and ``type`` are None while they are not known. ``replaces`` is
    a copy of it that is merely cached: LXD prunes those with their aliases, so it is replaced.
    """

    route: str
    fingerprint: str | None = None
    type: str | None = None
    replaces: Image | None = None
    size: int | None = None
    """Bytes of image data that a transfer moves; None if that is not known before."""
    stored: str | None = None
    """The fingerprint of the image as soon as the store has it, also if its transfer fails after that."""
    records_origin = False
    """Whether the server records the origin of the image, and so can keep it up to date."""
    records_content = False
    """Whether the transfer records on the image what it was made of (``record_archive``, ``record_rootfs_keys``)."""
    origin_key: str | None = None
    """What offers of the same image have in common while its fingerprint is not known; None if nothing is known."""

    @property
    def actions(self) -> tuple[str, ...]:
        """The actions of the transfer, as the task reports them."""
        return ("replace cached image", self.route) if self.replaces else (self.route,)

    @property
    def entitlements(self) -> tuple[Entitlement, ...]:
        """What the client has to be allowed to do in order to bring it."""
        from ..access import CREATE_IMAGES, VIEW_IMAGES, delete_image, edit_image

        noted = (edit_image(),) if self.records_content else ()
        replaced = (delete_image(self.replaces.fingerprint),) if self.replaces else ()
        return (VIEW_IMAGES, CREATE_IMAGES, *noted, *replaced)

    def identify(self) -> str | None:
        """The fingerprint, None if only a transfer tells; this may read all of a local file."""
        return self.fingerprint

    def transfer(self, store: Store) -> TransferResult:
        """Transfer the image to the store. Raises ConflictError if the store has it by now, and other errors.

        After an error the store is as it was before, except for a cached copy that was deleted first.
        """
        if self.replaces:
            self.delete_cached_copy(store)
        return self._transfer(store)

    def delete_cached_copy(self, store: Store) -> None:
        """Delete the cached copy that this image replaces: a transfer of the same image would leave it cached."""
        if self.replaces:
            store.writer.delete_image(self.replaces.fingerprint)

    @abstractmethod
    def _transfer(self, store: Store) -> TransferResult:
        """Transfer the image, with no cached copy in the way."""


def require_fingerprint(name: str, fingerprint: str, expected: str) -> None:
    """Raises FileError unless a file, or two, have the expected fingerprint."""
    if fingerprint != expected:
        raise FileError(
            f"the fingerprint of {name} is {fingerprint}, not {expected}",
            "Correct the option fingerprint, or use the right file.",
        )


def update_with_retry(
    store: Store, fingerprint: str, changes_for: Callable[[Image], Mapping[str, Any]]
) -> None:
    """Edit a new image (see ``Store.update_image``), again if another client edits it at the same time.

    Raises ConflictError if that does not end, or if the image was deleted.
    """
    for _others in range(4):
        try:
            return store.writer.update_image(fingerprint, changes_for)
        except ConflictError:
            continue
    return store.writer.update_image(fingerprint, changes_for)


def record_archive(store: Store, fingerprint: str, archive: str) -> None:
    """Record the directory that an image was made of, so that it is recognized in later runs."""
    update_with_retry(
        store, fingerprint, lambda image: {"properties": {**image.properties, ARCHIVE: archive}}
    )


def record_rootfs_keys(store: Store, fingerprint: str, keys: Iterable[str]) -> None:
    """Record the disk or root file system that an image was made of, so that it is recognized in later runs."""

    def changes(image: Image) -> Mapping[str, Any]:
        known = dict.fromkeys((*image.rootfs_keys, *keys))
        return {"properties": {**image.properties, ROOTFS: ", ".join(known)}}

    update_with_retry(store, fingerprint, changes)


@runtime_checkable
class Recording(Protocol):
    """A source that can recognize its image by more than what the store has recorded of it."""

    def record_missing(self, store: Store) -> None:
        """Record by what its image can be recognized, if that is not recorded yet. ``find`` has found it."""


def record_missing(source: object, store: Store) -> None:
    """Have a source record by what its image can be recognized. A failure only costs time in later runs."""
    if isinstance(source, Recording):
        with suppress(ImageStoreError):
            source.record_missing(store)


class Source(Protocol):
    """Where the image of a task comes from.

    ``aliases`` are those of the source that are to be copied; they are known after ``find``.
    """

    aliases: tuple[Alias, ...]

    def find(self, view: StoreView) -> Image | Offer:
        """The image if the store has it, else the offer to transfer it."""


@runtime_checkable
class Outdating(Protocol):
    """A source whose images take the place of earlier ones, which do not stay in the store beside them."""

    def outdated(self, view: StoreView, subject: Image | Offer) -> tuple[Image, ...]:
        """The images of the store whose place ``subject`` takes; none if that is not known before its transfer."""

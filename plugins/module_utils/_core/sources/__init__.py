# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where images come from. A source finds its image in the store, or offers to bring it there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Mapping, Protocol

from ..errors import ConflictError, ConnectionFailed, FileError
from ..images import ARCHIVE

if TYPE_CHECKING:
    from ..images import Alias, Image
    from ..store import Store
    from ..store_view import StoreView


@dataclass(frozen=True)
class TransferResult:
    """What an offer brought: the server's word on the fingerprint, and the bytes of image data that moved."""

    fingerprint: str
    transferred: int


class Offer(ABC):
    """An image that the store lacks, and the way to get it there.

    ``route`` is how (``upload``, …); ``fingerprint`` and ``type`` are None while they are not known. ``replaces`` is
    the same image, held but merely cached: LXD prunes such images with their aliases, so it makes way first.
    """

    route: str
    fingerprint: str | None = None
    type: str | None = None
    replaces: Image | None = None
    size: int | None = None
    """Bytes of image data that a transfer moves; None if that is not known before."""
    records_origin = False
    """Whether the server will know where the image came from, and so can keep it up to date."""

    @property
    def actions(self) -> tuple[str, ...]:
        """What bringing it does, as the task reports it."""
        return ("replace cached image", self.route) if self.replaces else (self.route,)

    def identify(self) -> str | None:
        """The fingerprint, if it can be told without a transfer; this may read all of a local file."""
        return self.fingerprint

    def transfer(self, store: Store) -> TransferResult:
        """Get the image into the store. Raises ConflictError if it is there by now, and whatever went wrong.

        After an error the store is as it was, but for a cached image that had to make way.
        """
        if self.replaces:
            self.delete_cached_copy(store)
        return self._transfer(store)

    def delete_cached_copy(self, store: Store) -> None:
        """Remove the image that this one replaces, since a server keeps the mark of a cached one."""
        if self.replaces:
            store.delete_image(self.replaces.fingerprint)

    @abstractmethod
    def _transfer(self, store: Store) -> TransferResult:
        """The part of ``transfer`` that each kind of offer has for itself."""


@dataclass(frozen=True)
class CopyRequest:
    """What a task asks of a source that is another server.

    ``name`` is an alias or fingerprint there; ``type`` None is whichever it stands for. With ``latest`` the source is
    asked on every run, else only where the store cannot tell. ``mode`` is a route or ``auto``. With ``auto_update``
    the target has to know the origin afterwards. ``alias`` is the first that the image is to have here, or None.
    """

    name: str
    type: str | None = None
    latest: bool = False
    copy_aliases: bool = False
    mode: str = "auto"
    retries: int = 3
    auto_update: bool = False
    alias: str | None = None

    @property
    def always_ask(self) -> bool:
        """Whether nothing that the store holds can answer it alone."""
        return self.latest or self.copy_aliases


def require_fingerprint(name: str, fingerprint: str, expected: str) -> None:
    """Raises FileError unless what is in a file is what the task expects."""
    if fingerprint != expected:
        raise FileError(
            f"{name} has the fingerprint {fingerprint}, not {expected}",
            "Correct the option fingerprint, or get the right file.",
        )


def update_with_retry(
    store: Store, fingerprint: str, changes_for: Callable[[Image], Mapping[str, Any]]
) -> None:
    """Edit an image that has just come, whoever else edits it meanwhile (see ``Store.update_image``).

    Raises ConflictError if there is no end to that, or if the image is gone.
    """
    for _others in range(4):
        try:
            return store.update_image(fingerprint, changes_for)
        except ConflictError:
            continue
    return store.update_image(fingerprint, changes_for)


def record_archive(store: Store, fingerprint: str, archive: str) -> None:
    """Note on an image what directory it was made of, so that the same directory is known again."""
    update_with_retry(
        store, fingerprint, lambda image: {"properties": {**image.properties, ARCHIVE: archive}}
    )


def with_fingerprint_hint(
    error: ConnectionFailed, request: CopyRequest, view: StoreView
) -> ConnectionFailed:
    """What to raise when a source that has to be asked cannot be: it also names the way to do without it."""
    present = view.by_alias(request.alias) if request.alias else None
    if request.always_ask:
        return error
    fingerprint = present.fingerprint if present else "<fingerprint>"
    return ConnectionFailed(
        error.message,
        f"{error.hint} With image={fingerprint} a source is asked only while the store lacks that image.".strip(),
    )


class Source(Protocol):
    """A place that has the image a task is about.

    ``aliases`` are those that the image has there and is to have here too; they are known once it was found.
    """

    aliases: tuple[Alias, ...]

    def find(self, view: StoreView) -> Image | Offer:
        """The image, where the store holds it, or the offer to bring it."""

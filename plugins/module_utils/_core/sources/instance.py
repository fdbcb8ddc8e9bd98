# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An image that the server makes of an instance, or of a snapshot of one."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..access import Entitlement, edit_image, edit_instance, update_state
from ..errors import ConflictError, ImageStoreError, OperationFailed, OptionError, TimedOut
from ..images import INSTANCE, Alias, Image, format_time, is_fingerprint, short_fingerprint
from ..instances import Instance, Instances, PublishResult
from ..store import Store
from ..store_view import StoreView
from . import Offer, TransferResult, update_with_retry

MAX_RECORDED = 20
"""How many instances an image records as those that it was made of; the oldest are dropped."""


@dataclass(frozen=True)
class PublishRequest:
    """What to publish: an instance, or its ``snapshot``. With ``force`` a running instance is stopped meanwhile.

    ``compression`` and ``format`` None are the server's defaults.
    """

    instance: str
    snapshot: str | None = None
    force: bool = False
    compression: str | None = None
    format: str | None = None

    @property
    def name(self) -> str:
        """What is published, as the API names it: ``c1``, or ``c1/snap0``."""
        return f"{self.instance}/{self.snapshot}" if self.snapshot else self.instance


class InstanceSource:
    """What ``request`` names, in the project of ``store``.

    An image is recognized by its property ``imagestore.instance``, since the server finds out its fingerprint only by
    making it.
    """

    def __init__(self, store: Store, request: PublishRequest) -> None:
        self.request = request
        self.instances = Instances(store)
        self.aliases: tuple[Alias, ...] = ()
        self._store = store

    def find(self, view: StoreView) -> Image | Offer:
        """The image that was made of it before, or the offer to make one. Raises OptionError."""
        request = self.request
        if request.format and not self._store.server.dialect.supports("publishes_formats"):
            raise OptionError(
                f"{self._store.server.address} cannot choose the format of the image",
                "That requires Incus 6.13 or later. Remove format.",
            )
        instance = self.instances.get(request.instance)
        if request.snapshot:
            since = self.instances.snapshot_time(instance.name, request.snapshot)
        elif instance.is_stopped or request.force:
            since = instance.started_at
        else:
            raise OptionError(
                f"the instance {instance.name} is running",
                "Stop it first, set force to have it stopped meanwhile, or set snapshot to publish a snapshot.",
            )
        return view.by_instance(self.identity(instance, since)) or Publish(self, instance, since)

    def identity(self, instance: Instance, since: datetime) -> str:
        """What is published, as an image records it. ``since`` is the time of the snapshot or of the last start."""
        times = (format_time(instance.created_at), format_time(since))
        return " ".join((self._store.project, self.request.name, *times))


class Publish(Offer):
    """An image that the server makes. The fingerprint is known afterwards."""

    route = "publish"

    def __init__(self, source: InstanceSource, instance: Instance, since: datetime) -> None:
        self.type = instance.type
        self._source = source
        self._instance = instance
        self._since = since

    @property
    def entitlements(self) -> tuple[Entitlement, ...]:
        needed = (*super().entitlements, edit_image())
        name = self._instance.name
        if self._stops:
            needed += (update_state(name),)
        if self._stops and self._instance.ephemeral:
            needed += (edit_instance(name),)
        return needed

    def _transfer(self, store: Store) -> TransferResult:
        published = self._publish()
        self.size = published.size
        if not published.is_new:
            # The plan did not know which image it is, so it has to be made anew.
            self.type = None
        try:
            record_instance(store, published.fingerprint, self._identity())
        except ConflictError:
            raise
        except ImageStoreError as error:
            if published.is_new:
                _delete_again(store, published, error)
            raise
        return TransferResult(published.fingerprint, 0)

    def _identity(self) -> str:
        """What to record: of an instance that was stopped meanwhile, the start that ended this."""
        source, instance, since = self._source, self._instance, self._since
        if self._stops:
            since = source.instances.get(instance.name).started_at
        return source.identity(instance, since)

    @property
    def _stops(self) -> bool:
        return not (self._instance.is_stopped or self._source.request.snapshot)

    def _publish(self) -> PublishResult:
        instances, request = self._source.instances, self._source.request
        published: PublishResult | None = None
        try:
            with instances.stopped(self._instance) if self._stops else nullcontext():
                published = instances.publish(
                    request.name, bool(request.snapshot), request.compression, request.format
                )
        except TimedOut as error:
            if not self._stops:
                raise
            raise TimedOut(
                f"{error.message}; the instance {request.instance} was started again",
                f"{error.hint} Delete an image without aliases that appears in the store: the instance may have changed"
                " while it was made.",
            ) from error
        except OperationFailed as error:
            # A cluster keeps an image that it could not hand on to all members (lxd/images.go, imagesPost).
            stored = error.metadata.get("fingerprint")
            self.fingerprint = (
                stored if isinstance(stored, str) and is_fingerprint(stored) else None
            )
            raise
        except ImageStoreError as error:
            if published:
                raise _but_stored(error, published) from error
            raise
        return published


def _delete_again(store: Store, published: PublishResult, error: ImageStoreError) -> None:
    """Delete a new image: no later run would recognize it. If that fails, the error says that it is there."""
    try:
        store.writer.delete_if_unaliased(published.fingerprint)
    except ImageStoreError:
        raise _but_stored(error, published) from error


def _but_stored(error: ImageStoreError, published: PublishResult) -> ImageStoreError:
    name = short_fingerprint(published.fingerprint)
    return ImageStoreError(f"{error.message}; the image {name} is in the store", error.hint)


def record_instance(store: Store, fingerprint: str, identity: str) -> None:
    """Record what an image was made of, besides what it was made of before."""

    def changes_for(image: Image) -> dict[str, Any]:
        recorded = [one for one in image.instances if one != identity]
        kept = ", ".join((*recorded, identity)[-MAX_RECORDED:])
        return {"properties": {**image.properties, INSTANCE: kept}}

    update_with_retry(store, fingerprint, changes_for)

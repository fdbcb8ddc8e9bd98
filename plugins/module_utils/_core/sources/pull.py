# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images that the target downloads by itself."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from typing import Any, Callable, Mapping

from ..access import CREATE_IMAGES, VIEW_IMAGES, Entitlement
from ..all_projects import is_in_another_project
from ..errors import ApiError, ConflictError, ImageStoreError, OperationFailed
from ..images import Image, short_fingerprint
from ..store import Store
from . import Offer, TransferResult
from .attributes import set_source_attributes


class Pull(Offer):
    """An image that the target downloads from ``source`` (as in ``POST /1.0/images``).

    ``source_image`` is the image as its source describes it, None if unknown: a target that has the image in another
    project downloads nothing and uses the attributes that it has there, so those of the source are set afterwards. (A
    task that is killed in between leaves the image with the attributes of the other project.)
    ``secret`` issues the secret that a private image requires; if the source refuses, ``fallback`` returns the offer to
    use instead. The server may find another image at the source than this task did: ``check`` is called with the image
    that the server got, None for one that it had before, and raises if that is not acceptable.
    """

    route = "pull"

    def __init__(
        self,
        fingerprint: str,
        image_type: str | None,
        source: Mapping[str, Any],
        replaces: Image | None,
        records_origin: bool = False,
        source_image: Image | None = None,
        secret: Callable[[], AbstractContextManager[str]] | None = None,
        check: Callable[[Image | None], None] | None = None,
        fallback: Callable[[], Offer] | None = None,
    ) -> None:
        self.fingerprint: str = fingerprint
        self.type = image_type
        self.replaces = replaces
        self.records_origin = records_origin
        self._source = source
        self._source_image = source_image
        self._secret = secret
        self._check = check
        self._fallback = fallback

    @property
    def entitlements(self) -> tuple[Entitlement, ...]:
        # Every server that tells entitlements also takes the mark of a cached image away by itself.
        return (VIEW_IMAGES, CREATE_IMAGES)

    def delete_cached_copy(self, store: Store) -> None:
        # A newer LXD turns a cached image into a regular one when it is asked to copy it.
        if not store.server.dialect.supports("clears_cached_mark"):
            super().delete_cached_copy(store)

    def _transfer(self, store: Store) -> TransferResult:
        with ExitStack() as secrets:
            try:
                secret = secrets.enter_context(self._secret()) if self._secret else ""
            except ApiError as error:
                if error.status != 403:
                    raise
                return self._without_secret(store, error)
            return self._pull(store, secret)

    def _without_secret(self, store: Store, refusal: ApiError) -> TransferResult:
        """Bring a private image that its source lets this client read, and hand on to nobody else."""
        if not self._fallback:
            raise ImageStoreError(
                f"{refusal.message} (it was asked for a secret, by which {store} could fetch the private image)",
                "With mode: relay no secret is needed. For a pull, an identity needs can_edit_images at the source.",
            ) from refusal
        other = self._fallback()
        self.route = other.route
        return other.transfer(store)

    def _pull(self, store: Store, secret: str) -> TransferResult:
        before = store.fingerprints() if self._check else frozenset()
        elsewhere = is_in_another_project(store, self.fingerprint)
        try:
            image, is_new = store.writer.pull({**self._source, "secret": secret})
        except (OperationFailed, ApiError) as error:
            raise self._explained(store, error) from error
        if self._check:
            try:
                self._check(image)
            except ImageStoreError as error:
                is_ours = is_new and image.fingerprint not in before
                raise _after_unexpected(store, image, is_ours, error) from error
        if image.cached:
            raise ConflictError(
                f"{store} only caches the image {short_fingerprint(image.fingerprint)}, for an instance"
            )
        if self._source_image and image.fingerprint == self._source_image.fingerprint:
            set_source_attributes(store, image, self._source_image)
        fetched = is_new and not (elsewhere and image.fingerprint == self.fingerprint)
        return TransferResult(image.fingerprint, image.size if fetched else 0)

    def _explained(self, store: Store, error: OperationFailed | ApiError) -> ImageStoreError:
        """The error for a failed pull: ConflictError if it failed because the target has the image.

        Incus reports that if the image has aliases (``cmd/incusd/images.go``, imagesPost).
        """
        if isinstance(error, OperationFailed) and store.server.dialect.is_already_exists(error.err):
            if self._check and not store.has_image(self.fingerprint):
                self._check(None)
            return ConflictError(f"{store} received the image from another client")
        from ..urls import mask_credentials

        where = mask_credentials(
            self._source.get("url") or self._source.get("server") or "its registry"
        )
        message = f"{error.message} (while it was fetching the image from {where})"
        hint = "If the server cannot reach it, mode: relay streams the image through this host."
        if isinstance(error, OperationFailed):
            return OperationFailed(message, error.err, hint)
        return ImageStoreError(message, hint)


def _after_unexpected(
    store: Store, image: Image, is_ours: bool, error: ImageStoreError
) -> ImageStoreError:
    """The error for a pull that brought an image which is not acceptable.

    The image is deleted if it came with this pull (``is_ours``) and has no alias. Otherwise it may belong to another
    client, so it stays, and the error says so.
    """
    if is_ours:
        try:
            store.writer.delete_if_unaliased(image.fingerprint)
            return error
        except ConflictError:
            pass
    return ImageStoreError(
        f"{error.message}; the image {short_fingerprint(image.fingerprint)} stays in {store},"
        " since it may belong to another client",
        error.hint,
    )

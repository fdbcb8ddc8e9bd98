# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Offers that the target's server fetches for itself."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Callable, Mapping

from ..errors import ApiError, ConflictError, ImageStoreError, OperationFailed
from ..images import Image
from ..store import Store
from . import Offer, TransferResult


class Pull(Offer):
    """An image that the target fetches from ``source`` (as in ``POST /1.0/images``).

    ``secret`` issues the key that a private image takes. A server may see something else at the source than we did:
    what it got is given back if ``check`` raises. (It gets None for something that was there before.)
    """

    route = "pull"

    def __init__(
        self,
        fingerprint: str,
        image_type: str | None,
        source: Mapping[str, Any],
        replaces: Image | None,
        records_origin: bool = False,
        secret: Callable[[], AbstractContextManager[str]] | None = None,
        check: Callable[[Image | None], None] | None = None,
    ) -> None:
        self.fingerprint = fingerprint
        self.type = image_type
        self.replaces = replaces
        self.records_origin = records_origin
        self._source = source
        self._secret = secret
        self._check = check

    def delete_cached_copy(self, store: Store) -> None:
        # A newer LXD takes the mark of a cached image away when it is asked for the image.
        if not store.server.dialect.supports("clears_cached_mark"):
            super().delete_cached_copy(store)

    def _transfer(self, store: Store) -> TransferResult:
        with self._secret() if self._secret else nullcontext("") as secret:
            try:
                fingerprint, transferred = store.pull({**self._source, "secret": secret})
            except (OperationFailed, ApiError) as error:
                self._explain(store, error)
                from ..downloads import mask_credentials

                where = mask_credentials(
                    self._source.get("url") or self._source.get("server") or "its registry"
                )
                message = f"{error.message} (it was to fetch the image from {where})"
                hint = "If it cannot get it from there, mode: relay streams the image through this host."
                if isinstance(error, OperationFailed):
                    raise OperationFailed(message, error.err, hint) from error
                raise ImageStoreError(message, hint) from error
        if self._check:
            try:
                self._check(store.current_image(fingerprint))
            except ImageStoreError:
                if transferred:
                    store.delete_image(fingerprint)
                raise
        return TransferResult(fingerprint, transferred)

    def _explain(self, store: Store, error: OperationFailed | ApiError) -> None:
        """Raises ConflictError if a pull failed because the target has what it fetched.

        Incus says so where the image has aliases (``cmd/incusd/images.go``, imagesPost).
        """
        if not isinstance(error, OperationFailed) or not store.server.dialect.is_already_exists(
            error.err
        ):
            return
        if self._check and not store.has_image(self.fingerprint or ""):
            self._check(None)
        raise ConflictError(f"{store} got the image from somebody else") from error

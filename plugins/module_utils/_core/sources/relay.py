# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Offers that this task streams from their source to the target, without storing anything."""

from __future__ import annotations

from typing import Any, Callable

from ..downloads import Retries
from ..errors import ConflictError, ConnectionFailed, ImageStoreError
from ..images import Image, short_fingerprint
from ..store import Store
from ..transport import Stream
from . import Offer, TransferResult, update_with_retry


class Relay(Offer):
    """An image whose content ``stream`` opens anew for each attempt.

    ``source_image`` is the image at its source: what a server would have learned from there is set afterwards, since an
    upload has only what is in the files.
    """

    route = "relay"

    def __init__(
        self,
        fingerprint: str,
        image_type: str | None,
        stream: Callable[[Retries], Stream],
        replaces: Image | None,
        retries: int,
        source_image: Image | None = None,
    ) -> None:
        self.fingerprint = fingerprint
        self.type = image_type
        self.replaces = replaces
        self._stream = stream
        self._retries = retries
        self._source_image = source_image

    def _transfer(self, store: Store) -> TransferResult:
        retries = Retries(self._retries, store.server.transport.deadline)
        while True:
            try:
                stream = self._stream(retries)
                fingerprint = store.upload(stream, self.fingerprint)
                break
            except ConnectionFailed as error:
                retries.use(error)
        source_image = self._source_image
        if source_image is None:
            return TransferResult(fingerprint, stream.content)
        copy_source_attributes(store, fingerprint, source_image)
        return TransferResult(fingerprint, source_image.size)


def copy_source_attributes(store: Store, fingerprint: str, origin: Image) -> None:
    """Give an image that was sent here what a pull brings along of it besides its content.

    What others have changed of it by now stays. Where that cannot be done the image goes again: the next run would
    take it for complete.
    """
    sent: Image | None = None

    def changes(image: Image) -> dict[str, Any]:
        nonlocal sent
        sent = sent or image
        theirs = {
            name: value
            for name, value in image.properties.items()
            if sent.properties.get(name) != value
        }
        as_sent = image.expires_at == sent.expires_at
        return {
            "properties": {**origin.properties, **theirs},
            "expires_at": origin.expires_at if as_sent else image.expires_at,
        }

    try:
        update_with_retry(store, fingerprint, changes)
    except ConflictError:
        raise
    except ImageStoreError as error:
        try:
            store.delete_if_unaliased(fingerprint)
        except ImageStoreError:
            raise ImageStoreError(
                f"{error.message}; the image {short_fingerprint(fingerprint)} is in the store,"
                " without the properties and expiry that it has at its source",
                "Delete it before the next run, which would take it for complete.",
            ) from error
        raise

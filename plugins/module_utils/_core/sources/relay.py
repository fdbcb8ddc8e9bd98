# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images that this task streams from their source to the target, without storing them."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Callable

from ..downloads import Retries
from ..errors import ConnectionFailed
from ..images import Image
from ..store import Store
from ..store_secrets import takes_upload_tokens, upload_token
from ..transport.body import Stream
from . import Offer, TransferResult
from .attributes import set_source_attributes


class Relay(Offer):
    """An image that is uploaded from a ``stream``, which is opened again for each attempt.

    ``source_image`` is the image as its source describes it, None if unknown. The files do not contain what was edited
    at the source, so properties and expiry are stored in an upload token first. The server applies them when it creates
    the image: a task that is killed leaves either the complete image or none. If a token is not safe (in a cluster),
    they are set right after the upload instead, and a task that is killed in between leaves the image without them.
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
        filename: str = "",
    ) -> None:
        self.fingerprint: str = fingerprint
        self.type = image_type
        self.replaces = replaces
        self._stream = stream
        self._retries = retries
        self._source_image = source_image
        self._filename = filename

    def _transfer(self, store: Store) -> TransferResult:
        source_image = self._source_image
        by_token = source_image is not None and takes_upload_tokens(store)
        retries = Retries(self._retries, store.server.transport.deadline)
        while True:
            try:
                stream = self._stream(retries)
                token = upload_token(store, source_image) if source_image and by_token else None
                with token or nullcontext("") as secret:
                    fingerprint = store.writer.upload(
                        stream, self.fingerprint, self._filename, secret
                    )
                break
            except ConnectionFailed as error:
                retries.use(error)
        if source_image is None:
            return TransferResult(fingerprint, stream.content)
        if not by_token:
            set_source_attributes(store, store.writer.current_image(fingerprint), source_image)
        return TransferResult(fingerprint, source_image.size)

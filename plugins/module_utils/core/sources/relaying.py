# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Offers that this task streams from their source to the target, without storing anything."""

from __future__ import annotations

from typing import Callable

from ..downloads import Retries
from ..errors import Unreachable
from ..images import Image
from ..store import Store
from ..transport import Stream
from . import Arrival, Offer


class Relay(Offer):
    """An image whose content ``stream`` opens anew for each attempt.

    ``brings`` is the image at its source: what a server would have learned from there is set afterwards, since an
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
        brings: Image | None = None,
    ) -> None:
        self.fingerprint = fingerprint
        self.type = image_type
        self.replaces = replaces
        self._stream = stream
        self._retries = retries
        self._brings = brings

    def transfer(self, store: Store) -> Arrival:
        retries = Retries(self._retries, store.server.transport.deadline)
        while True:
            try:
                stream = self._stream(retries)
                fingerprint = store.upload(stream, self.fingerprint)
                break
            except Unreachable as error:
                retries.spend(error)
        brings = self._brings
        if brings is None:
            return Arrival(fingerprint, stream.content)
        store.edit(fingerprint, lambda _image: attributes_of(brings))
        return Arrival(fingerprint, brings.size)


def attributes_of(image: Image) -> dict[str, object]:
    """What a pull would bring along of an image at its source, besides its content."""
    return {"properties": dict(image.properties), "expires_at": image.expires_at}

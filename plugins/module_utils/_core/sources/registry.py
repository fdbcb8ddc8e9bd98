# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images of an image registry that the target server knows by name.

From ``client/lxd_image_registries.go`` and ``shared/api/image.go``; not tested with a
server yet, since none that was available has registries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..architectures import architecture_name
from ..contents import Contents
from ..errors import ApiError, ImageNotFound, OptionError
from ..images import CONTAINER, VIRTUAL_MACHINE, Alias, Image, is_prefix
from ..store import Store
from ..store_view import StoreView
from ..transport import url_path
from . import Offer
from .copy_request import CopyRequest
from .pull import Pull
from .routes import PULL, PUSH, RELAY, always_possible, choose_route

if TYPE_CHECKING:
    from ..server import Server


class RegistrySource:
    """The image that ``request`` names in a registry of the target."""

    def __init__(self, name: str, target: Store, request: CopyRequest) -> None:
        self._name = name
        self._target = target
        self._request = request
        self.aliases: tuple[Alias, ...] = ()

    def find(self, view: StoreView) -> Image | Offer:
        """The image in the target, or an offer to pull it. Raises ImageNotFound, OptionError."""
        image = self._resolve()
        if self._request.copy_aliases:
            self.aliases = tuple(sorted(image.aliases, key=lambda alias: alias.name))
        held = view.by_fingerprint(image.fingerprint)
        if held and not held.cached:
            return held
        choose_route(
            self._request.mode, {PULL: always_possible, PUSH: _only_pull, RELAY: _only_pull}
        )
        by_alias = not is_prefix(self._request.name.lower())
        named = {"alias": self._request.name} if by_alias else {"fingerprint": image.fingerprint}
        source = {"image_registry": self._name, "image_type": image.type, **named}
        offer = Pull(image.fingerprint, image.type, source, held, by_alias, image)
        offer.size = image.size
        return offer

    def _resolve(self) -> Image:
        name, wanted = self._request.name, self._request.type
        own = architecture_name(self._target.server.architectures[0])
        images = images_of_registry(self._target.server, self._name)
        for image_type in (wanted,) if wanted else (CONTAINER, VIRTUAL_MACHINE):
            fitting = [image for image in images if image.type == image_type]
            # Prefer the native architecture, as servers do.
            fitting.sort(key=lambda image: architecture_name(image.architecture) != own)
            found = Contents(tuple(fitting)).resolve(name)
            if found:
                return found
        hint = Contents(tuple(images)).not_found(name).hint
        raise ImageNotFound(f"the image registry {self._name} has no image {name}", hint)


def _only_pull() -> str:
    return "an image of a registry can only be pulled"


def images_of_registry(server: Server, registry: str) -> list[Image]:
    """The images of an image registry of this server (``client/lxd_image_registries.go``). Raises OptionError."""
    if not server.dialect.supports("has_image_registries"):
        raise OptionError(
            f"{server.address} has no image registries",
            "That requires the API extension image_registries. Use source_server or source_remote.",
        )
    path = url_path("/1.0/image-registries/{}/images", registry)
    try:
        images = server.call("GET", path).metadata or []
    except ApiError as error:
        if error.status != 404:
            raise
        raise OptionError(f"{server.address} has no image registry {registry}") from error
    with server.validating_response("the images of a registry"):
        return [Image.parse(image) for image in images]

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images of OCI registries, which Incus fetches by itself (``client/oci_images.go``).

What a name stands for is asked of the registry here: the server tells only by fetching the image, and when it is asked
for one that it has, it resets the attributes of that. It is left to the server where this host does not reach the
registry.

An image that ``latest`` replaces is not refreshed by ``POST /1.0/images/FINGERPRINT/refresh``: that reports success
when it fails, uses the credentials of the earlier pull, and turns auto_update on. What it does otherwise, this does
too: aliases move to the new image, and the old one is deleted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Mapping
from urllib.parse import quote

from ..all_projects import is_in_another_project
from ..contents import Contents
from ..errors import (
    ApiError,
    ConflictError,
    ConnectionFailed,
    ImageStoreError,
    OperationFailed,
    OptionError,
)
from ..images import CONTAINER, NEVER, Alias, Image, Origin, is_fingerprint, short_fingerprint
from ..oci_registry import OciRegistry
from ..oci_registry.names import OciName
from ..store import Store
from ..store_view import StoreView
from ..urls import mask_credentials
from . import Offer, TransferResult, update_with_retry
from .attributes import set_source_attributes
from .copy_request import CopyRequest, with_fingerprint_hint

OCI = "oci"


def server_with_credentials(address: str, credentials: tuple[str, str] | None) -> str:
    """The address of a registry as Incus takes it: user name and password are a part of it."""
    if not credentials:
        return address
    user, password = (quote(part, safe="") for part in credentials)
    scheme, mark, rest = address.partition("//")
    return f"{scheme}{mark}{user}:{password}@{rest}"


class OciSource:
    """The image that ``request`` names in a registry, for the store ``target``.

    ``server`` is the registry's address with the credentials for it. ``is_pinned``: the registry has to prove who it is
    to this task, so that the question cannot be left to the server.
    """

    def __init__(
        self,
        registry: OciRegistry,
        server: str,
        target: Store,
        request: CopyRequest,
        is_pinned: bool,
    ) -> None:
        self._registry = registry
        self._server = server
        self._target = target
        self._request = request
        self._is_pinned = is_pinned
        self._digits = request.name.lower() if is_fingerprint(request.name.lower()) else None
        self._name = OciName("") if self._digits else OciName.parse(request.name, registry.address)
        self._asked = False
        self._fingerprint: str | None = None
        self._size: int | None = None
        self.aliases: tuple[Alias, ...] = ()

    def find(self, view: StoreView) -> Image | Offer:
        """The image in the target, or an offer to pull it. Raises ImageNotFound, OptionError, AuthenticationError."""
        if self._digits:
            return self._find_by_fingerprint(view, self._digits)
        present = None if self._request.latest else self._find_by_origin(view)
        if present:
            return present
        fault = self._target.server.dialect.why_no_oci()
        if fault:
            raise OptionError(
                f"{self._target.server.address} {fault}", "Use an image for LXD or Incus."
            )
        try:
            self._ask()
        except ConnectionFailed as error:
            if self._is_pinned:
                raise with_fingerprint_hint(error, self._request, view) from error
            self._asked = True
        held = view.by_fingerprint(self._fingerprint)
        if held and not held.cached:
            return held
        source = {"server": self._server, "protocol": OCI, "alias": self._request.name}
        return OciPull(source, view.list_all(), self._fingerprint, self._size, held, self._learn)

    def outdated(self, view: StoreView, subject: Image | Offer) -> tuple[Image, ...]:
        """With ``latest``, the images that were fetched by the same name before."""
        if not self._request.latest or self._digits or subject.fingerprint is None:
            return ()
        images = view.list_all().images
        return tuple(
            image
            for image in images
            if image.fingerprint != subject.fingerprint
            and not image.cached
            and image.origin
            and image.origin.is_at(self._registry.address, OCI)
            and self._has_requested_name(image.origin, image)
        )

    def _find_by_fingerprint(self, view: StoreView, fingerprint: str) -> Image:
        held = view.by_fingerprint(fingerprint)
        if held and not held.cached:
            return held
        raise OptionError(
            f"{self._target} does not have the image {short_fingerprint(fingerprint)},"
            " and a registry has no images by fingerprint",
            "Name the image by a tag or digest.",
        )

    def _find_by_origin(self, view: StoreView) -> Image | None:
        """The image that the target has fetched by the requested name."""
        address, preferred = self._registry.address, self._request.alias
        return view.by_origin(address, OCI, self._has_requested_name, preferred)

    def _has_requested_name(self, origin: Origin, _image: Image) -> bool:
        try:
            return OciName.parse(origin.alias, self._registry.address) == self._name
        except OptionError:
            return False

    def _ask(self) -> None:
        """Ask the registry, once in a task, what the name stands for."""
        if self._asked:
            return
        server = self._target.server
        found = self._registry.find(self._name, server.architectures[0])
        self._fingerprint = server.dialect.oci_fingerprint(found.digest, found.layers)
        self._size = found.size
        self._asked = True

    def _learn(self, fingerprint: str) -> None:
        """The server has told which image the name stands for."""
        self._fingerprint = fingerprint


class OciPull(Offer):
    """An image that the target fetches from ``source`` (as in ``POST /1.0/images``).

    ``before`` is what the target held before. ``learn`` is called with the fingerprint if the target has the image
    already, which only the transfer tells while ``fingerprint`` is None.
    """

    route = "pull"

    def __init__(
        self,
        source: Mapping[str, str],
        before: Contents,
        fingerprint: str | None,
        size: int | None,
        replaces: Image | None,
        learn: Callable[[str], None],
    ) -> None:
        self.fingerprint = fingerprint
        # An image that only the server can identify may take the place of others: that has to be planned afterwards.
        self.type = CONTAINER if fingerprint else None
        self.size = size
        self.replaces = replaces
        self.records_origin = "@" not in source["alias"]
        self._source = source
        self._before = before
        self._learn = learn

    def _transfer(self, store: Store) -> TransferResult:
        elsewhere = self.fingerprint is not None and is_in_another_project(store, self.fingerprint)
        try:
            image, is_new = store.writer.pull(self._source)
        except (ApiError, OperationFailed) as error:
            image, is_new = self._image_already_there(store, error), False
        before = None if self.replaces else self._before.by_fingerprint(image.fingerprint)
        if before:
            _restore(store, before)
        if before or image.cached:
            self._learn(image.fingerprint)
            raise ConflictError(f"{store} has the image {short_fingerprint(image.fingerprint)}")
        if elsewhere:
            set_source_attributes(store, image, self._as_fetched(image))
        fetched = is_new and not elsewhere
        return TransferResult(image.fingerprint, (self.size or image.size) if fetched else 0)

    def _image_already_there(self, store: Store, error: ApiError | OperationFailed) -> Image:
        """The image of an operation that failed because it is there and has aliases.

        Incus sets the aliases of an image that it has once more, and fails over that (``cmd/incusd/images.go``,
        imagesPost). Raises the error, explained, if it is another.
        """
        if isinstance(error, OperationFailed) and store.server.dialect.is_already_exists(error.err):
            fingerprint = error.metadata.get("fingerprint")
            if isinstance(fingerprint, str) and is_fingerprint(fingerprint):
                return store.writer.current_image(fingerprint)
        raise self._explained(store, error) from error

    def _explained(self, store: Store, error: ApiError | OperationFailed) -> ImageStoreError:
        registry = mask_credentials(self._source["server"])
        message = f"{error.message} (while it was fetching {self._source['alias']} from {registry})"
        reason = error.err if isinstance(error, OperationFailed) else error.reason
        tool = store.server.dialect.missing_oci_tool(reason)
        if tool:
            hint = f"Install the package {tool} on the server."
        else:
            hint = "The server must reach the registry itself, and its system must trust the registry's certificate."
        if isinstance(error, OperationFailed):
            return OperationFailed(message, error.err, hint)
        return ImageStoreError(message, hint)

    def _as_fetched(self, image: Image) -> Image:
        """The image with the attributes that Incus gives it when it fetches it.

        One that it has in another project gets the attributes that it has there.
        """
        server = mask_credentials(self._source["server"]).rpartition("@")[2].rpartition("//")[2]
        name = OciName.parse(self._source["alias"], f"https://{server}")
        properties = {
            "architecture": image.architecture,
            "type": OCI,
            "description": f"{server}/{name.repository} (OCI)",
            "id": self._source["alias"],
        }
        return replace(image, properties=properties, expires_at=NEVER)


def _restore(store: Store, before: Image) -> None:
    """Give an image the attributes back that a server resets when it is asked to fetch the image once more."""
    reset = {name: before.attributes[name] for name in ("public", "auto_update", "profiles")}
    update_with_retry(store, before.fingerprint, lambda _image: reset)

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The image store of one project on one server: its images and aliases, read and written through the API.

Every write is conditional on the state that was read before. If the store has changed since, ConflictError is raised
and nothing is written.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import (
    TYPE_CHECKING,
    Any,
    Iterable,
    Mapping,
)

from .contents import Contents
from .errors import (
    ApiError,
    ImageNotFound,
    ImageStoreError,
)
from .images import CONTAINER, Image
from .server import Server
from .transport import url_path

if TYPE_CHECKING:
    from .store_writer import StoreWriter
    from .transport.response import Response


class Store:
    """The images and aliases of ``project`` on ``server``."""

    def __init__(self, server: Server, project: str) -> None:
        self.server = server
        self.project = project
        self.query = {"project": project}
        """What makes a request one about this project."""

    @cached_property
    def writer(self) -> StoreWriter:
        """Changes the store."""
        from .store_writer import StoreWriter

        return StoreWriter(self)

    def __str__(self) -> str:
        return f"project {self.project} on {self.server.address}"

    def contents(self) -> Contents:
        """The current images of the store, in one request. Raises OptionError if there is no such project.

        Servers cut off a list that takes ten seconds without an error: what is missing may exist (see ``store_view``).
        """
        try:
            images = self.server.get_list("/1.0/images", "its images", self.query)
        except ApiError as error:
            if error.status != 404 and not self.server.dialect.why_invalid_project(self.project):
                raise
            from .store_access import no_project

            raise no_project(self) from error
        with self.server.validating_response("its images"):
            return sorted_contents(images)

    def fingerprints(self) -> frozenset[str]:
        """The fingerprints of all images that are in the store now."""
        return frozenset(self.server.get_names("/1.0/images", "its images", self.query))

    def get_alias(self, name: str) -> tuple[str, str] | None:
        """The fingerprint and the type of the image that an alias points to; None if this client sees no such alias."""
        try:
            path = url_path("/1.0/images/aliases/{}", name)
            alias = self.server.get_object(path, "an alias", self.query)
        except ApiError as error:
            if error.status not in (403, 404):
                raise
            return None
        with self.server.validating_response("an alias"):
            return str(alias["target"]), str(alias.get("type") or CONTAINER)

    def get_image(self, digits: str) -> Image:
        """The image whose fingerprint is, or begins with, ``digits``. Raises ImageNotFound."""
        image = self.find_image(digits)
        if image is None:
            raise self.image_not_found(digits)
        return image

    def has_image(self, fingerprint: str) -> bool:
        """Whether the store has this image now, as far as this client can see."""
        return self.find_image(fingerprint) is not None

    def find_image(self, digits: str) -> Image | None:
        """The image whose fingerprint is, or begins with, ``digits``; None if this client sees no such image.

        Raises ImageNotFound if there are several.
        """
        path = url_path("/1.0/images/{}", digits)
        try:
            image = self.server.get_object(path, "an image", self.query)
        except ApiError as error:
            if error.status in (403, 404):
                return None
            if self.server.dialect.is_ambiguous_prefix(error.reason):
                raise ImageNotFound(
                    f"{self} has several images whose fingerprints begin with {digits}",
                    "Give more digits.",
                ) from error
            raise
        with self.server.validating_response("an image"):
            return Image.parse(image)

    def image_not_found(self, name: str) -> ImageNotFound:
        """The error for an image that this client does not see, with a hint."""
        public = "" if self.server.is_trusted else "public "
        hint = ""
        with suppress(ImageStoreError):
            hint = self.contents().not_found(name).hint
        from .store_access import with_visibility_hint

        return with_visibility_hint(
            self, ImageNotFound(f"{self} has no {public}image {name}", hint)
        )

    def export(self, fingerprint: str, headers: Mapping[str, str]) -> Response:
        """The response with the image's file, or a form with its two files; its body is not read yet.

        ``POST /1.0/images`` accepts the same body with the same content type.
        """
        return self.server.stream(
            url_path("/1.0/images/{}/export", fingerprint), self.query, headers
        )


def sorted_contents(images: Iterable[Mapping[str, Any]] | None) -> Contents:
    """The listed images, sorted by project and fingerprint, since Incus lists them in random order."""
    by_name = sorted(
        images or (), key=lambda image: (image.get("project", ""), image["fingerprint"])
    )
    return Contents(tuple(Image.parse(image) for image in by_name))

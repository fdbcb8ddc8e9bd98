# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The image store of one project on one server: its images and aliases, read and written through the API.

Every write is conditional on the state that was read before. If the store has changed since, ConflictError is raised
and nothing is written.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Collection,
    Iterable,
    Mapping,
)

from .errors import (
    ApiError,
    ConflictError,
    ImageNotFound,
    ImageStoreError,
    OperationFailed,
    OptionError,
)
from .images import CONTAINER, Contents, Image, format_time, parse_time, short_fingerprint
from .server import ApiResponse, Server
from .transport import url_path

if TYPE_CHECKING:
    from .transport.body import Body, Stream
    from .transport.response import Response


class Store:
    """The images and aliases of ``project`` on ``server``."""

    def __init__(self, server: Server, project: str) -> None:
        self.server = server
        self.project = project
        self.query = {"project": project}
        """What makes a request one about this project."""

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
            raise self.no_project() from error
        with self.server.validating_response("its images"):
            return sorted_contents(images)

    def current_image(self, fingerprint: str) -> Image:
        """The current state of an image. Raises ConflictError if it was deleted."""
        return self._read(fingerprint)[0]

    def upload(
        self, body: Body | Stream, fingerprint: str | None, filename: str = "", secret: str = ""
    ) -> str:
        """Upload an image; the fingerprint that the server computed. Raises ConflictError if the store has the image.

        If ``fingerprint`` is set, the server rejects any other image. ``filename`` is recorded for a unified image (a
        form contains its own); ``secret`` is the secret of an upload token. Properties are never sent: LXD crashes on
        them if the image's metadata has none (``lxd/images.go``, getImgPostInfo).
        """
        named = {"fingerprint": fingerprint, "filename": _header_text(filename), "secret": secret}
        dialect = self.server.dialect
        headers = {dialect.header(name): value for name, value in named.items() if value}
        try:
            ended = self.server.operations.run(
                "POST", "/1.0/images", self.query, body=body, headers=headers
            )
        except OperationFailed as error:
            if dialect.is_already_exists(error.err):
                raise ConflictError(f"{self} received the image from another client") from error
            raise
        return self.server.operations.stored_fingerprint(ended)

    def pull(self, source: Mapping[str, Any]) -> tuple[Image, bool]:
        """Have the server download an image; the resulting image, and whether it was stored during this operation.

        ``source`` is that of ``POST /1.0/images``. The request contains nothing else: if the store has the image and
        the request sets one attribute, a server resets all others (``lxd/images.go``, imgPostRemoteInfo).
        """
        source = {"type": "image", "mode": "pull", **source}
        ended = self.server.operations.run("POST", "/1.0/images", self.query, {"source": source})
        image = self.current_image(self.server.operations.stored_fingerprint(ended))
        with self.server.validating_response("the operation that it has started"):
            return image, image.uploaded_at >= parse_time(ended["created_at"])

    def fingerprints(self) -> frozenset[str]:
        """The fingerprints of all images that are in the store now."""
        return frozenset(self.server.get_names("/1.0/images", "its images", self.query))

    def is_in_another_project(self, fingerprint: str) -> bool:
        """Whether another project of this server has the image, as far as this client can see.

        A pull of such an image downloads nothing, and the new image gets the attributes of the other project's
        (``lxd/daemon_images.go``, ImageDownload).
        """
        try:
            names = self.server.get_names("/1.0/projects", "its projects")
        except ApiError as error:
            if error.status not in (403, 404):
                raise
            return False
        others = (Store(self.server, name) for name in names if name != self.project)
        return any(other.has_image(fingerprint) for other in others)

    def update_image(
        self, fingerprint: str, changes_for: Callable[[Image], Mapping[str, Any]]
    ) -> None:
        """Set the attributes that ``changes_for`` returns for the current image, and keep all others.

        Raises ConflictError. A PUT replaces all attributes (a PATCH ignores profiles and expiry), so the others are
        sent as they were read.
        """
        image, etag = self._read(fingerprint)
        changes = changes_for(image)
        if all(image.attributes[name] == value for name, value in changes.items()):
            return
        whole = {name: image.raw.get(name) for name in image.attributes}
        whole.update(
            (
                name,
                format_time(value)
                if name == "expires_at"
                else list(value)
                if name == "profiles"
                else value,
            )
            for name, value in changes.items()
        )
        self._write("PUT", url_path("/1.0/images/{}", fingerprint), whole, etag)

    def delete_image(self, fingerprint: str) -> None:
        """Delete an image and its aliases, unless it is deleted already."""
        try:
            self.server.operations.run(
                "DELETE", url_path("/1.0/images/{}", fingerprint), self.query
            )
        except ApiError as error:
            if error.status != 404:
                raise
        except OperationFailed:
            # Another client deleted it after the server had accepted the request; there is no error code for that.
            if self.has_image(fingerprint):
                raise

    def delete_if_unaliased(
        self, fingerprint: str, expected: Collection[str] = frozenset()
    ) -> None:
        """Delete an image without aliases other than those expected. Raises ConflictError if it has one by now."""
        if self.current_image(fingerprint).alias_names - set(expected):
            raise ConflictError(f"the image {short_fingerprint(fingerprint)} has an alias again")
        self.delete_image(fingerprint)

    def add_alias(self, name: str, fingerprint: str, description: str = "") -> None:
        """Create an alias. Raises ConflictError if the alias exists by now, or the image was deleted."""
        asked = {"name": name, "target": fingerprint, "description": description}
        self._write("POST", "/1.0/images/aliases", asked)

    def move_alias(
        self, name: str, fingerprint: str, current: str, description: str | None = None
    ) -> None:
        """Point an alias of the image ``current`` to another image, in one step: at no moment is it missing.

        Its description is kept if none is given. This is a PUT, since a PATCH hangs for half a minute on LXD 5.0
        (``lxd/images.go``, imageAliasPatch). Raises ConflictError if the alias has been moved or the image deleted.
        """
        alias, etag = self._read_alias(name, current)
        kept = alias.get("description") or ""
        changed = {
            "description": kept if description is None else description,
            "target": fingerprint,
        }
        self._write("PUT", url_path("/1.0/images/aliases/{}", name), changed, etag)

    def rename_alias(self, name: str, new_name: str, current: str) -> None:
        """Rename an alias of the image ``current``: create the new one, unless it exists, and remove the old one.

        At every moment at least one of them exists. (On LXD 5.0 the API's own call for it blocks the server for ten
        seconds.) Raises ConflictError if the old alias has been moved, or the new one is another image's.
        """
        alias = self._read_alias(name, current)[0]
        try:
            self.add_alias(new_name, current, alias.get("description") or "")
        except ConflictError:
            self._read_alias(new_name, current)
        self.remove_alias(name, current)

    def remove_alias(self, name: str, current: str) -> None:
        """Remove an alias of the image ``current``. Raises ConflictError if the alias has been moved."""
        etag = self._read_alias(name, current)[1]
        self._write("DELETE", url_path("/1.0/images/aliases/{}", name), None, etag)

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

    def images_of_registry(self, registry: str) -> list[Image]:
        """The images of an image registry of this server (``client/lxd_image_registries.go``). Raises OptionError."""
        if not self.server.dialect.supports("has_image_registries"):
            raise OptionError(
                f"{self.server.address} has no image registries",
                "That requires the API extension image_registries. Use source_server or source_remote.",
            )
        path = url_path("/1.0/image-registries/{}/images", registry)
        try:
            images = self.server.call("GET", path).metadata or []
        except ApiError as error:
            if error.status != 404:
                raise
            raise OptionError(f"{self.server.address} has no image registry {registry}") from error
        with self.server.validating_response("the images of a registry"):
            return [Image.parse(image) for image in images]

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

    def _read(self, fingerprint: str) -> tuple[Image, str | None]:
        answer = self._get(
            url_path("/1.0/images/{}", fingerprint),
            f"the image {short_fingerprint(fingerprint)} is gone",
        )
        with self.server.validating_response("an image"):
            return Image.parse(answer.metadata), answer.etag

    def _read_alias(self, name: str, current: str) -> tuple[Mapping[str, Any], str | None]:
        answer = self._get(
            url_path("/1.0/images/aliases/{}", name), f"the alias {name} was deleted"
        )
        with self.server.validating_response("an alias"):
            target = answer.metadata["target"]
        if target != current:
            raise ConflictError(f"the alias {name} has been moved to another image")
        return answer.metadata, answer.etag

    def _get(self, path: str, gone: str) -> ApiResponse:
        try:
            return self.server.call("GET", path, self.query)
        except ApiError as error:
            if error.status != 404:
                raise
            raise ConflictError(gone) from error

    def _write(self, method: str, path: str, json: Any, etag: str | None = None) -> None:
        try:
            self.server.call(
                method, path, self.query, json, headers={"If-Match": etag} if etag else None
            )
        except ApiError as error:
            # Deleted, already there, or changed since it was read.
            if error.status not in (404, 409, 412):
                raise
            raise ConflictError(error.message) from error

    def no_project(self) -> OptionError:
        fault = self.server.dialect.why_invalid_project(self.project)
        if fault:
            return OptionError(
                f"{self.server.address} has no project {self.project}: {fault}",
                "Correct the option project.",
            )
        hint = "Create the project, or correct the option project."
        if self.server.dialect.supports("tells_entitlements"):
            hint += (
                " An identity needs can_view to see it, which an administrator grants with:"
                f" lxc auth group permission add GROUP project {self.project} can_view"
            )
        return OptionError(
            f"{self.server.address} has no project {self.project}, or this client may not see it",
            hint,
        )


def _header_text(filename: str) -> str:
    """A file name as a header can have it: what is not printable ASCII becomes an underscore."""
    return re.sub(r"[^ -~]", "_", filename).strip()[:255]


def sorted_contents(images: Iterable[Mapping[str, Any]] | None) -> Contents:
    """The listed images, sorted by project and fingerprint, since Incus lists them in random order."""
    by_name = sorted(
        images or (), key=lambda image: (image.get("project", ""), image["fingerprint"])
    )
    return Contents(tuple(Image.parse(image) for image in by_name))

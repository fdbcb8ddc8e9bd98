# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The image store of one project on one server, in its own words.

Every write is conditional on what the store held when it was read; where that has changed, ConflictError is raised and
nothing was written.
"""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Callable, ContextManager, Iterable, Iterator, Mapping

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
from .transport import Body, Stream, url_path

if TYPE_CHECKING:
    import requests


class Store:
    """The images and aliases of ``project`` on ``server``."""

    def __init__(self, server: Server, project: str) -> None:
        self.server = server
        self.project = project
        self._query = {"project": project}

    def __str__(self) -> str:
        return f"project {self.project} on {self.server.address}"

    def contents(self) -> Contents:
        """All that the store holds now, in one request. Raises OptionError if there is no such project.

        A list that takes ten seconds is cut off in silence: what it lacks may be there (see ``store_view``).
        """
        try:
            images = self.server.get_list("/1.0/images", "its images", self._query)
        except ApiError as error:
            if error.status != 404:
                raise
            raise self._no_project() from error
        with self.server.validating_response("its images"):
            return _sorted_contents(images)

    def visibility_warning(self) -> str:
        """Why this client may see less than the store holds, or an empty text. LXD then answers with what is public."""
        if not self.server.is_trusted:
            return (
                f"{self.server.address} does not trust this client, which sees public images only."
            )
        try:
            self._require_project()
        except OptionError as error:
            return f"{error} It sees public images only."
        return ""

    def with_visibility_hint(self, error: ImageNotFound) -> ImageNotFound:
        """The error, or one that also says why the image may be hidden from this client."""
        narrow = self.visibility_warning()
        return ImageNotFound(error.message, f"{narrow} {error.hint}".strip()) if narrow else error

    def contents_of_all_projects(self) -> Contents:
        """The images of all projects that this client may see; each image's ``raw`` names its ``project``.

        Raises AuthenticationError: a stranger is shown no projects.
        """
        self.server.require_trust()
        if self.server.dialect.supports("lists_all_projects"):
            images = self.server.get_list("/1.0/images", "its images", {"all-projects": "true"})
            with self.server.validating_response("its images"):
                return _sorted_contents(images)
        projects = self.server.get_list("/1.0/projects", "its projects")
        with self.server.validating_response("its projects"):
            # The others share the images of the default project.
            names = [
                str(project["name"])
                for project in projects
                if project["config"].get("features.images") == "true"
            ]
        found: list[Mapping[str, Any]] = []
        for name in names:
            images_of_project = Store(self.server, name).contents().images
            found += [{**image.raw, "project": name} for image in images_of_project]
        return _sorted_contents(found)

    def current_image(self, fingerprint: str) -> Image:
        """One image as it is now. Raises ConflictError if it is gone."""
        return self._read(fingerprint)[0]

    def require_write_access(self) -> None:
        """Check that this client may write here. Raises AuthenticationError, OptionError."""
        self.server.require_trust()
        self._require_project()

    def require_valid_aliases(self, aliases: Iterable[str]) -> None:
        """Check that the server takes these names for new aliases. Raises OptionError."""
        for name in aliases:
            fault = self.server.dialect.why_invalid_alias(name)
            if fault:
                raise OptionError(f"{self.server.address} takes no alias {name!r}: {fault}")

    def require_profiles_and_visibility(self, profiles: tuple[str, ...], public: bool) -> None:
        """Check that there are these profiles, and that an image here can be ``public``. Raises OptionError."""
        if profiles:
            listed = self.server.get_list("/1.0/profiles", "its profiles", self._query)
            with self.server.validating_response("its profiles"):
                known = sorted(str(profile["name"]) for profile in listed)
            for missing in sorted(set(profiles) - set(known)):
                raise OptionError(
                    f"project {self.project} on {self.server.address} has no profile {missing}",
                    f"It has: {', '.join(known)}.",
                )
        if (
            public
            and self.project != "default"
            and self.server.dialect.supports("public_in_default_only")
        ):
            raise OptionError(
                f"{self.server.address} lets images be public in its project default only",
                f"Leave out public for project {self.project}.",
            )

    def upload(
        self, body: Body | Stream, fingerprint: str | None, filename: str = "", secret: str = ""
    ) -> str:
        """Upload an image and return the fingerprint that the server found. Raises ConflictError if it was there.

        With ``fingerprint`` the server refuses anything else. ``filename`` is what the server notes for a unified
        image (a form has its own); ``secret`` is that of an upload token. Properties are never sent along: LXD
        crashes on them when the image's metadata has none (``lxd/images.go``, getImgPostInfo).
        """
        named = {"fingerprint": fingerprint, "filename": _header_text(filename), "secret": secret}
        dialect = self.server.dialect
        headers = {dialect.header(name): value for name, value in named.items() if value}
        try:
            ended = self.server.run("POST", "/1.0/images", self._query, body=body, headers=headers)
        except OperationFailed as error:
            if dialect.is_already_exists(error.err):
                raise ConflictError(f"{self} got the image from somebody else") from error
            raise
        return self.server.stored_fingerprint(ended)

    def pull(self, source: Mapping[str, Any]) -> tuple[Image, bool]:
        """Have the server fetch an image: the image that it has then, and whether it got it during this operation.

        ``source`` as in ``POST /1.0/images``. Nothing but the source is asked for: if the store has the image, a
        server would overwrite all of its attributes as soon as one is named (``lxd/images.go``, imgPostRemoteInfo).
        """
        source = {"type": "image", "mode": "pull", **source}
        ended = self.server.run("POST", "/1.0/images", self._query, {"source": source})
        image = self.current_image(self.server.stored_fingerprint(ended))
        with self.server.validating_response("the operation that it has started"):
            return image, image.uploaded_at >= parse_time(ended["created_at"])

    def fingerprints(self) -> frozenset[str]:
        """The fingerprints of all images that the store holds now."""
        return frozenset(self.server.get_names("/1.0/images", "its images", self._query))

    def is_in_another_project(self, fingerprint: str) -> bool:
        """Whether another project of this server has the image, as far as this client may see.

        A server that is to fetch such an image fetches nothing (``lxd/daemon_images.go``, ImageDownload): the new image
        gets the other one's attributes.
        """
        names = self.server.get_names("/1.0/projects", "its projects")
        others = (Store(self.server, name) for name in names if name != self.project)
        return any(other.has_image(fingerprint) for other in others)

    def update_image(
        self, fingerprint: str, changes_for: Callable[[Image], Mapping[str, Any]]
    ) -> None:
        """Set the attributes that ``changes_for`` names, given the image as it is; all others stay.

        Raises ConflictError.

        A PUT replaces the whole (a PATCH ignores profiles and expiry), so what is not named is sent as it was read.
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
        """Delete an image and its aliases. That it is gone already is fine."""
        try:
            self.server.run("DELETE", url_path("/1.0/images/{}", fingerprint), self._query)
        except ApiError as error:
            if error.status != 404:
                raise
        except OperationFailed:
            # Somebody else was quicker, after the server had taken the request: it has no code for that.
            if self.has_image(fingerprint):
                raise

    def delete_if_unaliased(self, fingerprint: str) -> None:
        """Delete an image that has no alias. Raises ConflictError if it has one (again)."""
        if self.current_image(fingerprint).aliases:
            raise ConflictError(f"the image {short_fingerprint(fingerprint)} has got an alias")
        self.delete_image(fingerprint)

    def add_alias(self, name: str, fingerprint: str, description: str = "") -> None:
        """Make an alias. Raises ConflictError if there is one by now, or the image is gone."""
        asked = {"name": name, "target": fingerprint, "description": description}
        self._write("POST", "/1.0/images/aliases", asked)

    def move_alias(
        self, name: str, fingerprint: str, holder: str, description: str | None = None
    ) -> None:
        """Point an alias from the image ``holder`` to another, in one step: no reader finds it missing.

        Its description stays, unless another is given. A PUT, since a PATCH hangs for half a minute on LXD 5.0
        (``lxd/images.go``, imageAliasPatch). Raises ConflictError if it points elsewhere by now, or the image is gone.
        """
        alias, etag = self._read_alias(name, holder)
        kept = alias.get("description") or ""
        changed = {
            "description": kept if description is None else description,
            "target": fingerprint,
        }
        self._write("PUT", url_path("/1.0/images/aliases/{}", name), changed, etag)

    def rename_alias(self, name: str, new_name: str, holder: str) -> None:
        """Rename an alias of the image ``holder``: make the new one, unless that is done, and remove the old one.

        At no moment neither exists. (LXD 5.0 has a call for it, which keeps everybody waiting for ten seconds.)
        Raises ConflictError if the old alias points elsewhere by now, or the new one is of another image.
        """
        alias = self._read_alias(name, holder)[0]
        try:
            self.add_alias(new_name, holder, alias.get("description") or "")
        except ConflictError:
            self._read_alias(new_name, holder)
        self.remove_alias(name, holder)

    def remove_alias(self, name: str, holder: str) -> None:
        """Remove an alias from the image ``holder``. Raises ConflictError if it points elsewhere by now."""
        etag = self._read_alias(name, holder)[1]
        self._write("DELETE", url_path("/1.0/images/aliases/{}", name), None, etag)

    def get_alias(self, name: str) -> tuple[str, str] | None:
        """The fingerprint behind an alias, and the type of that image; None if this client can see no such alias."""
        try:
            path = url_path("/1.0/images/aliases/{}", name)
            alias = self.server.get_object(path, "an alias", self._query)
        except ApiError as error:
            if error.status not in (403, 404):
                raise
            return None
        with self.server.validating_response("an alias"):
            return str(alias["target"]), str(alias.get("type") or CONTAINER)

    def get_image(self, digits: str) -> Image:
        """The image with this fingerprint, or with one that begins so. Raises ImageNotFound."""
        image = self.find_image(digits)
        if image is None:
            raise self.image_not_found(digits)
        return image

    def has_image(self, fingerprint: str) -> bool:
        """Whether this image is in the store now, and this client may see it."""
        return self.find_image(fingerprint) is not None

    def find_image(self, digits: str) -> Image | None:
        """The image with this fingerprint, or with one that begins so; None if this client can see no such image.

        Raises ImageNotFound if there are several.
        """
        path = url_path("/1.0/images/{}", digits)
        try:
            image = self.server.get_object(path, "an image", self._query)
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
        """What an image registry of this server offers (``client/lxd_image_registries.go``). Raises OptionError."""
        if not self.server.dialect.supports("has_image_registries"):
            raise OptionError(
                f"{self.server.address} has no image registries",
                "They come with the API extension image_registries. Use source_server or source_remote.",
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
        """What to raise when this client sees no such image."""
        public = "" if self.server.is_trusted else "public "
        hint = ""
        with suppress(ImageStoreError):
            hint = self.contents().not_found(name).hint
        return self.with_visibility_hint(ImageNotFound(f"{self} has no {public}image {name}", hint))

    def export(self, fingerprint: str, headers: Mapping[str, str]) -> requests.Response:
        """The image's file, or a form with its two files, as an answer whose body is still to be read.

        The same body, with its content type, is what ``POST /1.0/images`` takes.
        """
        return self.server.stream(
            url_path("/1.0/images/{}/export", fingerprint), self._query, headers
        )

    def export_secret(self, fingerprint: str) -> ContextManager[str]:
        """A key with which somebody else can fetch a private image, for as long as the context lasts."""
        path = url_path("/1.0/images/{}/secret", fingerprint)
        return self._secret_of(self.server.call("POST", path, self._query).metadata)

    @property
    def takes_upload_tokens(self) -> bool:
        """Whether an upload with a token is safe here.

        In a cluster another member than the one that issued the token may get the upload, and then crashes on the
        token's attributes, which it expects in its own memory (``lxd/images.go``, getImgPostInfo).
        """
        clustered = self.server.environment.get("server_clustered")
        return self.server.dialect.supports("pushes") and not clustered

    def upload_token(self, image: Image) -> ContextManager[str]:
        """A secret with which this image can be uploaded here, for as long as the context lasts.

        The image then has the properties and the expiry of ``image`` from its first moment on, whatever its metadata
        says.
        """
        asked = {
            "source": {"type": "image", "mode": "push", "fingerprint": image.fingerprint},
            "properties": dict(image.properties),
            # In the source's own words: families write differently that there is none.
            "expires_at": image.raw.get("expires_at") or format_time(image.expires_at),
        }
        return self._secret_of(self.server.call("POST", "/1.0/images", self._query, asked).metadata)

    def push(self, fingerprint: str, invitation: Mapping[str, Any]) -> None:
        """Send an image to the server that issued the invitation (``shared/api/image.go``, ImageExportPost)."""
        path = url_path("/1.0/images/{}/export", fingerprint)
        self.server.run("POST", path, self._query, dict(invitation))

    @contextmanager
    def _secret_of(self, operation: Mapping[str, Any]) -> Iterator[str]:
        """The secret of a token. It would live on, so it is withdrawn, be it used or not."""
        path = f"/1.0/operations/{self.server.operation_id(operation)}"
        with self.server.validating_response("a secret"):
            secret = str(operation["metadata"]["secret"])
        try:
            yield secret
        except BaseException:
            with suppress(ImageStoreError):
                # What went wrong before is what has to be told.
                self.server.cancel(path, self._query)
            raise
        with suppress(ApiError):
            # It was used, and so is gone.
            self.server.cancel(path, self._query)

    def _read(self, fingerprint: str) -> tuple[Image, str | None]:
        answer = self._get(
            url_path("/1.0/images/{}", fingerprint),
            f"the image {short_fingerprint(fingerprint)} is gone",
        )
        with self.server.validating_response("an image"):
            return Image.parse(answer.metadata), answer.etag

    def _read_alias(self, name: str, holder: str) -> tuple[Mapping[str, Any], str | None]:
        answer = self._get(url_path("/1.0/images/aliases/{}", name), f"the alias {name} is gone")
        with self.server.validating_response("an alias"):
            target = answer.metadata["target"]
        if target != holder:
            raise ConflictError(f"the alias {name} was pointed to another image")
        return answer.metadata, answer.etag

    def _get(self, path: str, gone: str) -> ApiResponse:
        try:
            return self.server.call("GET", path, self._query)
        except ApiError as error:
            if error.status != 404:
                raise
            raise ConflictError(gone) from error

    def _write(self, method: str, path: str, json: Any, etag: str | None = None) -> None:
        try:
            self.server.call(
                method, path, self._query, json, headers={"If-Match": etag} if etag else None
            )
        except ApiError as error:
            # Not found, in conflict with another, changed since it was read.
            if error.status not in (404, 409, 412):
                raise
            raise ConflictError(error.message) from error

    def _require_project(self) -> None:
        try:
            self.server.call("GET", url_path("/1.0/projects/{}", self.project))
        except ApiError as error:
            if error.status == 404:
                raise self._no_project() from error
            if error.status != 403:
                raise
            raise OptionError(
                f"{self.server.address} does not let this client use the project {self.project}",
                "Its certificate may be restricted to other projects.",
            ) from error

    def _no_project(self) -> OptionError:
        return OptionError(
            f"{self.server.address} has no project {self.project}, or this client may not see it",
            "Create it first, or correct the option project.",
        )


def _header_text(filename: str) -> str:
    """A file name as a header can have it: what is not printable ASCII becomes an underscore."""
    return re.sub(r"[^ -~]", "_", filename).strip()[:255]


def _sorted_contents(images: Iterable[Mapping[str, Any]] | None) -> Contents:
    """The images of an answer by project and fingerprint: Incus lists them in another order each time."""
    by_name = sorted(
        images or (), key=lambda image: (image.get("project", ""), image["fingerprint"])
    )
    return Contents(tuple(Image.parse(image) for image in by_name))

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes of an image store. Each is conditional on what was read before.

If the store has changed since, ConflictError is raised and nothing is written.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Callable, Collection, Mapping

from .errors import ApiError, ConflictError, OperationFailed
from .images import Image, format_time, parse_time, short_fingerprint
from .transport import url_path

if TYPE_CHECKING:
    from .server import ApiResponse
    from .store import Store
    from .transport.body import Body, Stream


class StoreWriter:
    """Changes one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

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
        dialect = self._store.server.dialect
        headers = {dialect.header(name): value for name, value in named.items() if value}
        try:
            ended = self._store.server.operations.run(
                "POST", "/1.0/images", self._store.query, body=body, headers=headers
            )
        except OperationFailed as error:
            if dialect.is_already_exists(error.err):
                raise ConflictError(
                    f"{self._store} received the image from another client"
                ) from error
            raise
        return self._store.server.operations.stored_fingerprint(ended)

    def pull(self, source: Mapping[str, Any]) -> tuple[Image, bool]:
        """Have the server download an image; the resulting image, and whether it was stored during this operation.

        ``source`` is that of ``POST /1.0/images``. The request contains nothing else: if the store has the image and
        the request sets one attribute, a server resets all others (``lxd/images.go``, imgPostRemoteInfo).
        """
        source = {"type": "image", "mode": "pull", **source}
        ended = self._store.server.operations.run(
            "POST", "/1.0/images", self._store.query, {"source": source}
        )
        image = self.current_image(self._store.server.operations.stored_fingerprint(ended))
        with self._store.server.validating_response("the operation that it has started"):
            return image, image.uploaded_at >= parse_time(ended["created_at"])

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
            self._store.server.operations.run(
                "DELETE", url_path("/1.0/images/{}", fingerprint), self._store.query
            )
        except ApiError as error:
            if error.status != 404:
                raise
        except OperationFailed:
            # Another client deleted it after the server had accepted the request; there is no error code for that.
            if self._store.has_image(fingerprint):
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

    def _read(self, fingerprint: str) -> tuple[Image, str | None]:
        answer = self._get(
            url_path("/1.0/images/{}", fingerprint),
            f"the image {short_fingerprint(fingerprint)} is gone",
        )
        with self._store.server.validating_response("an image"):
            return Image.parse(answer.metadata), answer.etag

    def _read_alias(self, name: str, current: str) -> tuple[Mapping[str, Any], str | None]:
        answer = self._get(
            url_path("/1.0/images/aliases/{}", name), f"the alias {name} was deleted"
        )
        with self._store.server.validating_response("an alias"):
            target = answer.metadata["target"]
        if target != current:
            raise ConflictError(f"the alias {name} has been moved to another image")
        return answer.metadata, answer.etag

    def _get(self, path: str, gone: str) -> ApiResponse:
        try:
            return self._store.server.call("GET", path, self._store.query)
        except ApiError as error:
            if error.status != 404:
                raise
            raise ConflictError(gone) from error

    def _write(self, method: str, path: str, json: Any, etag: str | None = None) -> None:
        try:
            self._store.server.call(
                method, path, self._store.query, json, headers={"If-Match": etag} if etag else None
            )
        except ApiError as error:
            # Deleted, already there, or changed since it was read.
            if error.status not in (404, 409, 412):
                raise
            raise ConflictError(error.message) from error


def _header_text(filename: str) -> str:
    """A file name as a header can have it: what is not printable ASCII becomes an underscore."""
    return re.sub(r"[^ -~]", "_", filename).strip()[:255]

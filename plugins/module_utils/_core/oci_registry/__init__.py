# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""OCI registries: what a name stands for, as the distribution specification has it, without any of the image's data.

See https://github.com/opencontainers/distribution-spec and https://distribution.github.io/distribution/spec/auth/.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Callable, Mapping, TypeVar
from urllib.parse import urlencode, urlsplit

from ..contents import similar_names
from ..deadline import Deadline
from ..downloads import OpenResponse, WebClient
from ..errors import (
    ApiError,
    AuthenticationError,
    ConnectionFailed,
    ImageNotFound,
)
from ..transport.verification import Verification
from ..urls import mask_credentials
from .manifests import ACCEPT, MAX_DOCUMENT_BYTES, Manifest, parse_tags, parse_token, platforms_of
from .names import DOCKER_HUB, OciName

_DOCKER_HUB_API = "https://registry-1.docker.io"

Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class OciImage:
    """What a name stands for at one moment.

    ``digest`` is that of the document behind the name (of an index, if the name has several architectures). ``layers``
    are the digests of the layers of one architecture, with ``sha256:`` before each, and ``size`` their bytes.
    """

    digest: str
    layers: tuple[str, ...]
    size: int


class OciRegistry:
    """The registry at ``address``, which may have a path: ``https://HOST[:PORT][/PATH]``.

    ``authorization`` is the header for a user name and password, which is sent only if the registry asks for it.
    """

    def __init__(
        self,
        address: str,
        deadline: Deadline,
        verification: Verification,
        authorization: Mapping[str, str] | None = None,
    ) -> None:
        self.address = address.rstrip("/")
        self._deadline = deadline
        self._verification = verification
        self._authorization = authorization
        parts = urlsplit(self.address)
        self._api = f"{parts.scheme}://{parts.netloc}"
        if parts.hostname == DOCKER_HUB:
            self._api = _DOCKER_HUB_API
        self._path = parts.path.strip("/")
        self._web = self._client()

    def find(self, name: OciName, architecture: str) -> OciImage:
        """What a name stands for on servers of this architecture (by LXD's name).

        Raises ImageNotFound, AuthenticationError, ApiError, and ConnectionFailed if the registry cannot be asked.
        """
        named = manifest = self._manifest(name, name.reference)
        if named.is_index:
            manifest = self._manifest(name, self._choose(name, named, architecture))
        return OciImage(named.digest, manifest.layers, manifest.size)

    def _choose(self, name: OciName, index: Manifest, architecture: str) -> str:
        """The digest of the manifest for an architecture. Raises ImageNotFound."""
        usable = platforms_of(architecture)
        for platform in usable:
            if platform in index.platforms:
                return index.platforms[platform]
        offered = ", ".join(sorted(index.platforms)[:20])
        raise ImageNotFound(
            f"{self.address} has no image {name} for {usable[0]}",
            f"It has images for {offered}." if offered else "",
        )

    def _manifest(self, name: OciName, reference: str) -> Manifest:
        """The document behind a tag or digest."""
        opened = self._get(name, f"manifests/{reference}")
        if opened.response.status_code == 404:
            opened.response.close()
            raise self._not_found(name)
        manifest = self._parsed(Manifest.parse, opened, f"no manifest of {name.repository}")
        if reference.startswith("sha256:") and manifest.digest != reference:
            raise ConnectionFailed(
                f"{self.address} sends a manifest with the digest {manifest.digest} for {reference}"
            )
        return manifest

    def _not_found(self, name: OciName) -> ImageNotFound:
        message = f"{self.address} has no image {name}"
        if name.digest:
            return ImageNotFound(message)
        try:
            opened = self._get(name, "tags/list?n=1000")
            tags = self._parsed(parse_tags, opened, "no list of tags")
        except (ApiError, AuthenticationError, ConnectionFailed):
            tags = []
        if not tags:
            return ImageNotFound(message, "It has no such repository, or no tags in it.")
        return ImageNotFound(message, similar_names(name.tag, [[tag] for tag in tags]))

    def _get(self, name: OciName, path: str) -> OpenResponse:
        """The response to a request about a repository; if the registry asks for a token, one is fetched first."""
        repository = "/".join(filter(None, (self._path, name.repository)))
        url = f"{self._api}/v2/{repository}/{path}"
        opened = self._web.get(url, {"Accept": ACCEPT})
        if opened.response.status_code == 401:
            challenge = opened.response.headers.get("WWW-Authenticate", "")
            opened.response.close()
            self._authenticate(challenge)
            opened = self._web.get(url, {"Accept": ACCEPT})
        status = opened.response.status_code
        if status in (200, 404):
            return opened
        opened.response.close()
        if status in (401, 403):
            raise self._refused()
        message = f"{mask_credentials(url)} responds with the HTTP status {status}"
        if status >= 500:
            raise ConnectionFailed(message)
        hint = "The registry limits requests. Try again later, or set source_username."
        raise ApiError(message, status, hint=hint if status == 429 else "")

    def _authenticate(self, challenge: str) -> None:
        """Do as a registry asks: send the credentials, or fetch a token with them."""
        scheme, _space, rest = challenge.partition(" ")
        if scheme.lower() == "basic":
            if not self._authorization:
                raise self._refused()
            self._web = self._client(self._authorization)
            return
        fields = dict(_FIELD.findall(rest))
        realm = fields.pop("realm", "")
        if scheme.lower() != "bearer" or not realm.startswith("https://"):
            raise self._refused()
        query = urlencode({name: fields[name] for name in ("service", "scope") if name in fields})
        web = WebClient(self._deadline, self._verification, realm, self._authorization)
        opened = web.get(f"{realm}{'&' if '?' in realm else '?'}{query}")
        status = opened.response.status_code
        if status != 200:
            opened.response.close()
            if status < 500:
                raise self._refused()
            raise ConnectionFailed(
                f"{mask_credentials(realm)} responds with the HTTP status {status}"
            )
        token = self._parsed(parse_token, opened, "no token for the registry")
        self._web = self._client({"Authorization": f"Bearer {token}"})

    def _client(self, headers: Mapping[str, str] | None = None) -> WebClient:
        return WebClient(self._deadline, self._verification, self._api, headers)

    def _parsed(
        self, parse: Callable[[bytearray], Parsed], opened: OpenResponse, missing: str
    ) -> Parsed:
        """The body of a response as ``parse`` reads it. Raises ConnectionFailed."""
        content = opened.transport.read(opened.response, MAX_DOCUMENT_BYTES)
        try:
            return parse(content)
        except ValueError as error:
            raise ConnectionFailed(
                f"{opened.transport.address} responds with {missing} that can be used",
                "Is that the address of an OCI registry?",
            ) from error

    def _refused(self) -> AuthenticationError:
        if self._authorization:
            return AuthenticationError(
                f"{self.address} does not accept the user name and password for this image",
                "Correct source_username and source_password.",
            )
        return AuthenticationError(
            f"{self.address} does not show this image without a user name and password",
            "Set source_username and source_password, or correct the name: some registries do not"
            " tell whether an image exists.",
        )


_FIELD = re.compile(r'(\w+)="([^"]*)"')

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""OCI registries: what a name stands for, as the distribution specification has it, without any of the image's data.

See https://github.com/opencontainers/distribution-spec and https://distribution.github.io/distribution/spec/auth/.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from dataclasses import dataclass
from typing import Any, Mapping
from urllib.parse import urlencode, urlsplit

from .deadline import Deadline
from .downloads import OpenResponse, WebClient
from .errors import ApiError, AuthenticationError, ConnectionFailed, ImageNotFound, OptionError
from .images import similar_names
from .json_reader import parse_json
from .transport.verification import Verification
from .urls import mask_credentials

MAX_DOCUMENT_BYTES = 4 << 20
"""What a registry has to accept as a manifest, at least, and hardly any allows more."""

MAX_VALUES = 100_000
"""Values in one document."""

_DOCKER_HUB = "docker.io"
_DOCKER_HUB_API = "https://registry-1.docker.io"

_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_ACCEPT = ", ".join((*_INDEXES, *_MANIFESTS))

_ARM = ("arm/v8", "arm/v7", "arm/v6", "arm/v5", "arm")
_PLATFORMS = {
    "i686": ("386",),
    "x86_64": ("amd64",),
    "armv6l": _ARM[2:],
    "armv7l": _ARM[1:],
    "armv8l": _ARM,
    "aarch64": ("arm64",),
    "loongarch64": ("loong64",),
}
"""What registries call the architectures that LXD has another name for; the preferred one first."""

_INVALID = (AttributeError, KeyError, TypeError, ValueError)


@dataclass(frozen=True)
class OciName:
    """The name of an image in a registry: its repository, and its digest, or else its tag."""

    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str, server: str) -> OciName:
        """From ``REPOSITORY``, ``REPOSITORY:TAG`` or ``REPOSITORY@DIGEST``; see ``server`` in ``is_same``.

        As with Incus, a tag beside a digest is ignored. Raises OptionError if it is no such name.
        """
        found = _NAME.match(text)
        if not found:
            raise OptionError(
                f"image is {text!r}, which is not the name of an image in an OCI registry",
                "Use REPOSITORY:TAG or REPOSITORY@sha256:DIGEST, as in library/nginx:1.27.",
            )
        repository, tag, digest = found.groups(default="")
        if urlsplit(server).hostname == _DOCKER_HUB and "/" not in repository:
            repository = f"library/{repository}"
        return cls(repository, "" if digest else tag or "latest", digest)

    @property
    def reference(self) -> str:
        """The digest or the tag."""
        return self.digest or self.tag


_NAME = re.compile(
    r"([a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*)*)"
    r"(?::(\w[\w.-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?\Z",
    re.ASCII,
)


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

    ``credentials`` are a user name and password.
    """

    def __init__(
        self,
        address: str,
        deadline: Deadline,
        verification: Verification,
        credentials: tuple[str, str] | None = None,
    ) -> None:
        self.address = address.rstrip("/")
        self._deadline = deadline
        self._verification = verification
        self._credentials = credentials
        parts = urlsplit(self.address)
        self._api = f"{parts.scheme}://{parts.netloc}"
        if parts.hostname == _DOCKER_HUB:
            self._api = _DOCKER_HUB_API
        self._path = parts.path.strip("/")
        self._web = self._client()

    def find(self, name: OciName, architecture: str) -> OciImage:
        """What a name stands for on servers of this architecture (by LXD's name).

        Raises ImageNotFound, AuthenticationError, ApiError, and ConnectionFailed if the registry cannot be asked.
        """
        content, document = self._manifest(name, name.reference)
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        try:
            if "manifests" in document:
                chosen = self._choose(name, document["manifests"], architecture)
                document = self._manifest(name, chosen)[1]
            layers = [
                (str(layer["digest"]), max(0, int(layer["size"]))) for layer in document["layers"]
            ]
        except _INVALID as error:
            raise self._not_oci(name) from error
        return OciImage(
            digest, tuple(digest for digest, _ in layers), sum(size for _, size in layers)
        )

    def _choose(self, name: OciName, manifests: Any, architecture: str) -> str:
        """The digest of the manifest for an architecture. Raises ImageNotFound, and as in ``_INVALID``."""
        usable = _PLATFORMS.get(architecture, (architecture,))
        offered: dict[str, str] = {}
        for entry in manifests:
            platform = entry.get("platform") or {}
            if platform.get("os") == "linux":
                variant = platform.get("variant") or ""
                base = str(platform["architecture"])
                for spelling in (f"{base}/{variant}" if variant else base, base):
                    offered.setdefault(spelling, str(entry["digest"]))
        for spelling in usable:
            if spelling in offered:
                return offered[spelling]
        raise ImageNotFound(
            f"{self.address} has no image {name.repository}:{name.reference} for {usable[0]}",
            f"It has images for {', '.join(sorted(offered)[:20])}." if offered else "",
        )

    def _manifest(self, name: OciName, reference: str) -> tuple[bytearray, Mapping[str, Any]]:
        """The document behind a tag or digest: its bytes, and what they say."""
        opened = self._get(name, f"manifests/{reference}")
        if opened.response.status_code == 404:
            opened.response.close()
            raise self._not_found(name)
        content = self._content(opened)
        if reference.startswith("sha256:"):
            found = hashlib.sha256(content).hexdigest()
            if found != reference.partition(":")[2]:
                raise ConnectionFailed(
                    f"{self.address} sends a manifest with the digest sha256:{found} for {reference}"
                )
        return content, self._parsed(name, content)

    def _not_found(self, name: OciName) -> ImageNotFound:
        message = f"{self.address} has no image {name.repository}{'@' if name.digest else ':'}{name.reference}"
        if name.digest:
            return ImageNotFound(message)
        try:
            content = self._content(self._get(name, "tags/list?n=1000"))
            tags = self._parsed(name, content).get("tags") or []
            listed = [[tag] for tag in tags if isinstance(tag, str)]
        except (ApiError, AuthenticationError, ConnectionFailed):
            listed = []
        if not listed:
            return ImageNotFound(message, "It has no such repository, or no tags in it.")
        return ImageNotFound(message, similar_names(name.tag, listed))

    def _get(self, name: OciName, path: str) -> OpenResponse:
        """The response to a request about a repository; if the registry asks for a token, one is fetched first."""
        repository = "/".join(filter(None, (self._path, name.repository)))
        url = f"{self._api}/v2/{repository}/{path}"
        opened = self._web.get(url, {"Accept": _ACCEPT})
        if opened.response.status_code == 401:
            challenge = opened.response.headers.get("WWW-Authenticate", "")
            opened.response.close()
            self._authenticate(challenge)
            opened = self._web.get(url, {"Accept": _ACCEPT})
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
            if not self._credentials:
                raise self._refused()
            self._web = self._client(self._basic)
            return
        fields = dict(_FIELD.findall(rest))
        realm = fields.pop("realm", "")
        if scheme.lower() != "bearer" or not realm.startswith("https://"):
            raise self._refused()
        query = urlencode({name: fields[name] for name in ("service", "scope") if name in fields})
        headers = {"Authorization": self._basic} if self._credentials else {}
        web = WebClient(self._deadline, self._verification, realm, headers)
        opened = web.get(f"{realm}{'&' if '?' in realm else '?'}{query}")
        status = opened.response.status_code
        if status != 200:
            opened.response.close()
            if status < 500:
                raise self._refused()
            raise ConnectionFailed(
                f"{mask_credentials(realm)} responds with the HTTP status {status}"
            )
        try:
            answer = parse_json(self._content(opened), MAX_VALUES)
            token = str(answer.get("token") or answer["access_token"])
        except _INVALID as error:
            raise ConnectionFailed(
                f"{mask_credentials(realm)} responds with no token for the registry"
            ) from error
        if not _TOKEN.match(token):
            raise ConnectionFailed(f"{mask_credentials(realm)} responds with an invalid token")
        self._web = self._client(f"Bearer {token}")

    @property
    def _basic(self) -> str:
        return "Basic " + b64encode(":".join(self._credentials or ()).encode()).decode()

    def _client(self, authorization: str = "") -> WebClient:
        private = {"Authorization": authorization} if authorization else {}
        return WebClient(self._deadline, self._verification, self._api, private)

    def _content(self, opened: OpenResponse) -> bytearray:
        return opened.transport.read(opened.response, MAX_DOCUMENT_BYTES)

    def _parsed(self, name: OciName, content: bytearray) -> Mapping[str, Any]:
        try:
            document = parse_json(content, MAX_VALUES)
        except ValueError as error:
            raise self._not_oci(name) from error
        if not isinstance(document, dict):
            raise self._not_oci(name)
        return document

    def _not_oci(self, name: OciName) -> ConnectionFailed:
        return ConnectionFailed(
            f"{self.address} responds with no manifest of {name.repository} that can be used",
            "Is that the address of an OCI registry?",
        )

    def _refused(self) -> AuthenticationError:
        if self._credentials:
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
_TOKEN = re.compile(r"[!-~]{1,65536}\Z")

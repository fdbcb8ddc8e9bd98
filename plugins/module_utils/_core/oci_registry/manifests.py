# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documents of OCI registries: manifests of images, and indexes of manifests for several architectures.

Both OCI's and Docker's, which have the same fields
(https://github.com/opencontainers/image-spec/blob/main/manifest.md).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any, Mapping

from ..json_reader import parse_json

MAX_DOCUMENT_BYTES = 4 << 20
"""The size of a manifest that every registry must accept. Hardly any accepts more."""

MAX_VALUES = 100_000
"""Values in one document."""

ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
"""The types of documents that can be read, as a request has to name them."""

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

_INVALID = (AttributeError, KeyError, OverflowError, TypeError, ValueError)


def platforms_of(architecture: str) -> tuple[str, ...]:
    """What registries call an architecture, by LXD's name; the preferred one first."""
    return _PLATFORMS.get(architecture, (architecture,))


@dataclass(frozen=True)
class Manifest:
    """A document behind a name or digest.

    Of an image it has the digests of the ``layers``, with ``sha256:`` before each, and their ``size`` in bytes. Of an
    index it has the digest of the manifest for each platform: ``amd64``, ``arm/v7`` (and ``arm``).
    """

    digest: str
    layers: tuple[str, ...] = ()
    size: int = 0
    platforms: Mapping[str, str] = field(default_factory=dict)
    is_index: bool = False

    @classmethod
    def parse(cls, content: bytes | bytearray) -> Manifest:
        """From the bytes of a document. Raises ValueError if it is none, or not one that can be read."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        document = parse_object(content)
        try:
            if "manifests" in document:
                platforms = _platforms(document["manifests"])
                return cls(digest, platforms=platforms, is_index=True)
            layers = document["layers"]
            return cls(
                digest,
                tuple(_digest(layer["digest"]) for layer in layers),
                sum(max(0, int(layer["size"])) for layer in layers),
            )
        except _INVALID as error:
            raise ValueError("is not a manifest") from error


def _platforms(manifests: Any) -> dict[str, str]:
    """The digest for each platform; the first of several."""
    found: dict[str, str] = {}
    for entry in manifests:
        platform = entry.get("platform") or {}
        if platform.get("os") != "linux":
            continue
        name, variant = _text(platform["architecture"]), platform.get("variant")
        for spelling in (f"{name}/{variant}" if variant else name, name):
            found.setdefault(spelling, _digest(entry["digest"]))
    return found


def parse_object(content: bytes | bytearray) -> Mapping[str, Any]:
    """A JSON object, within bounds. Raises ValueError if it is none."""
    document = parse_json(content, MAX_VALUES)
    if not isinstance(document, dict):
        raise ValueError("is not a JSON object")
    return document


def parse_tags(content: bytes | bytearray) -> list[str]:
    """The tags of a repository that a registry lists. Raises ValueError."""
    tags = parse_object(content).get("tags") or []
    return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []


def parse_token(content: bytes | bytearray) -> str:
    """The token for a registry in the answer of its authorization service. Raises ValueError if there is none."""
    answer = parse_object(content)
    return _text(answer.get("token") or answer.get("access_token"))


def _text(value: Any) -> str:
    if not isinstance(value, str) or not _TEXT.match(value):
        raise ValueError("is not as it should be")
    return value


def _digest(value: Any) -> str:
    """A digest, which is safe in a path."""
    if not _DIGEST.match(_text(value)):
        raise ValueError("is not a digest")
    return str(value)


_TEXT = re.compile(r"[!-~]{1,65536}\Z")
_DIGEST = re.compile(r"[a-z0-9+._-]{1,32}:[0-9a-fA-F]{32,128}\Z")

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of images in OCI registries."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..errors import OptionError

DOCKER_HUB = "docker.io"
"""Docker Hub by the name that people know. Its registry has another address, and its own rules for names."""


@dataclass(frozen=True)
class OciName:
    """The name of an image in a registry: its repository, and its digest, or else its tag."""

    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str, server: str) -> OciName:
        """From ``REPOSITORY``, ``REPOSITORY:TAG`` or ``REPOSITORY@DIGEST``. Raises OptionError if it is no such name.

        ``server`` is the registry's address: on Docker Hub, a name without a slash is in ``library``. As with Incus, a
        tag beside a digest is ignored.
        """
        found = _NAME.match(text)
        if not found:
            raise OptionError(
                f"image is {text!r}, which is not the name of an image in an OCI registry",
                "Use REPOSITORY:TAG or REPOSITORY@sha256:DIGEST, as in library/nginx:1.27.",
            )
        repository, tag, digest = found.groups(default="")
        if urlsplit(server).hostname == DOCKER_HUB and "/" not in repository:
            repository = f"library/{repository}"
        return cls(repository, "" if digest else tag or "latest", digest)

    def __str__(self) -> str:
        return f"{self.repository}{'@' if self.digest else ':'}{self.reference}"

    @property
    def reference(self) -> str:
        """The digest or the tag."""
        return self.digest or self.tag


_NAME = re.compile(
    r"([a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*)*)"
    r"(?::(\w[\w.-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?\Z",
    re.ASCII,
)

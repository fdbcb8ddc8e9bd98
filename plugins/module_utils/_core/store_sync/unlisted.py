# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which images of a store go, since no entry is about them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Mapping

from ..contents import Contents
from ..images import Image
from ..planning.desired_state import RESERVED_PREFIX

ENTRY_PROPERTY = f"{RESERVED_PREFIX}entry"
"""The property that has the label of the entry which an image came with."""


@dataclass(frozen=True)
class Unlisted:
    """What stays although no entry is about it: images with an alias that fits one of the patterns ``protect``, and
    for each entry the ``retain`` newest of those that it has replaced."""

    protect: tuple[str, ...] = ()
    retain: int = 0

    def choose(self, contents: Contents, listed: Mapping[str, str]) -> list[Image]:
        """The images to delete, by fingerprint; ``listed`` has the label of each fingerprint that an entry is about."""
        labels = set(listed.values())
        candidates = [
            image
            for image in contents.images
            if image.fingerprint not in listed and not image.cached and not self._protects(image)
        ]
        retained: set[str] = set()
        for label in labels:
            replaced = [
                image
                for image in candidates
                if image.properties.get(ENTRY_PROPERTY) == label and not image.aliases
            ]
            replaced.sort(key=lambda image: image.uploaded_at, reverse=True)
            retained |= {image.fingerprint for image in replaced[: self.retain]}
        return [image for image in candidates if image.fingerprint not in retained]

    def _protects(self, image: Image) -> bool:
        return any(
            fnmatchcase(alias, pattern) for alias in image.alias_names for pattern in self.protect
        )

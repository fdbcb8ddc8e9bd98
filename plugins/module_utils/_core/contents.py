# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a store holds at one moment, and what to say to somebody who asks for an image that is not there.

No requests are made here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterable, Sequence

from .errors import ImageNotFound, OptionError
from .images import ARCHIVE, MIN_PREFIX_DIGITS, ROOTFS, Image, Origin, is_prefix, short_fingerprint


@dataclass(frozen=True)
class Contents:
    """The images of one store at one moment."""

    images: tuple[Image, ...] = ()

    def by_fingerprint(self, fingerprint: str | None) -> Image | None:
        """The image with this whole fingerprint."""
        return next((image for image in self.images if image.fingerprint == fingerprint), None)

    def by_alias(self, alias: str) -> Image | None:
        """The image that an alias points to."""
        return next((image for image in self.images if alias in image.alias_names), None)

    def by_origin(
        self,
        server: str,
        protocol: str,
        alias: Callable[[Origin, Image], bool],
        preferred: str | None = None,
    ) -> Image | None:
        """The image to keep that was fetched from a server under a name that ``alias`` accepts.

        Of several the one that the alias ``preferred`` points to, else the newest upload. Those that are merely
        cached do not count.
        """
        found = [
            image
            for image in self.images
            if image.origin
            and not image.cached
            and image.origin.is_at(server, protocol)
            and alias(image.origin, image)
        ]
        favored = [image for image in found if preferred in image.alias_names]
        return max(favored or found, key=lambda image: image.uploaded_at, default=None)

    def resolve(self, name: str) -> Image | None:
        """The image that a person means by an alias, or by 12 or more digits of a fingerprint; None if there is none.

        An alias wins over a fingerprint, as with ``lxc``. Raises ImageNotFound if the digits fit several, and
        OptionError if the name is empty.
        """
        if not name:
            raise OptionError("the name of the image is empty", "Give an alias or a fingerprint.")
        aliased = self.by_alias(name)
        if aliased or not is_prefix(name.lower()):
            return aliased
        found = [image for image in self.images if image.fingerprint.startswith(name.lower())]
        if len(found) > 1:
            raise ImageNotFound(
                f"{name} is the beginning of {len(found)} fingerprints",
                "Give more digits: "
                + ", ".join(_apart(image.fingerprint for image in found))
                + ".",
            )
        return found[0] if found else None

    def not_found(self, name: str, where: str = "") -> ImageNotFound:
        """What to raise where none of these images is called ``name``; ``where`` is added to the message."""
        names = [
            sorted(image.alias_names) or [short_fingerprint(image.fingerprint)]
            for image in self.images
        ]
        fingerprints = [image.fingerprint for image in self.images]
        return ImageNotFound(
            f"there is no image {name}{where}", similar_names(name, names, fingerprints)
        )

    def without(self, gone: Image) -> Contents:
        """The same, but for one image."""
        return Contents(tuple(image for image in self.images if image is not gone))

    @property
    def has_archives(self) -> bool:
        """Whether any image was made of a directory."""
        return any(ARCHIVE in image.properties for image in self.images)

    def by_archive(self, digest: str) -> Image | None:
        """The image that was made of the directory with this digest; rather one to keep than a cached one."""
        found = [image for image in self.images if image.properties.get(ARCHIVE) == digest]
        return min(found, key=lambda image: image.cached, default=None)

    @property
    def has_rootfs_keys(self) -> bool:
        """Whether any image was made of a bare disk or root file system."""
        return any(ROOTFS in image.properties for image in self.images)

    def by_rootfs_key(self, key: str) -> Image | None:
        """The image that was made of this disk or root file system; rather one to keep than a cached one."""
        found = [image for image in self.images if key in image.rootfs_keys]
        return min(found, key=lambda image: image.cached, default=None)

    def by_instance(self, identity: str) -> Image | None:
        """The image to keep that was made of this instance or snapshot; see ``INSTANCE``. The newest of several."""
        found = [one for one in self.images if identity in one.instances and not one.cached]
        return max(found, key=lambda image: image.uploaded_at, default=None)

    def has_size(self, size: int) -> bool:
        """Whether any image has just this many bytes. If none has, a file of that size is certainly not there."""
        return any(image.size == size for image in self.images)


MAX_NAMES_SHOWN = 10


def similar_names(
    name: str, names: Sequence[Sequence[str]], fingerprints: Sequence[str] = ()
) -> str:
    """A hint for somebody who asked for an image by a ``name`` that none has.

    ``names`` are those of each image, ``fingerprints`` those of all. The hint says what is similar, else what there is
    if that is little.
    """
    from difflib import get_close_matches

    begun = [text for text in fingerprints if len(name) >= 4 and text.startswith(name.lower())]
    known = sorted({alias for own in names for alias in own if len(alias) <= 256})
    similar = (begun and _apart(begun)[:3]) or get_close_matches(name[:256], known, 3)
    if similar:
        return f"Did you mean {' or '.join(similar)}?"
    if not names:
        return "No image is visible."
    if len(names) <= MAX_NAMES_SHOWN:
        return f"Known images: {', '.join(own[0][:100] for own in names)}."
    if is_prefix(name.lower()):
        return "No fingerprint begins with these digits."
    return f"Use an alias, or at least {MIN_PREFIX_DIGITS} digits of a fingerprint."


def _apart(fingerprints: Iterable[str]) -> list[str]:
    """The fingerprints, cut as short as still tells them apart."""
    whole = sorted(fingerprints)
    length = next(
        n for n in range(MIN_PREFIX_DIGITS, 65) if len({text[:n] for text in whole}) == len(whole)
    )
    return [text[:length] for text in whole]

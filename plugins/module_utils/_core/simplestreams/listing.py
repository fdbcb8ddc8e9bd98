# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The images of a simplestreams server, by alias and by fingerprint."""

from __future__ import annotations

from functools import cached_property
from typing import Iterable, Iterator, Mapping

from ..architectures import architecture_name
from ..contents import similar_names
from ..errors import ImageNotFound
from ..images import CONTAINER, VIRTUAL_MACHINE, Image, is_prefix, short_fingerprint
from . import ROOTS
from .reading import PublishedImage

_PREFERENCE = {ftype: number for number, ftype in enumerate(["tar.gz", *ROOTS])}


class Listing:
    """All images of a server, in the order in which aliases are assigned: the first image gets its names.

    Images of fallbacks come last, so that a name stands for the image that the server itself would choose.

    ``native`` is the architecture of the images that aliases without an architecture stand for.
    """

    def __init__(self, server: str, images: Iterable[PublishedImage], native: str) -> None:
        self.server = server
        self.native = native
        self._images = by_preference(images)
        self._images.sort(key=lambda one: one.serial, reverse=True)
        self._images.sort(key=_by_name)
        self._images.sort(key=lambda one: one.rank)

    @cached_property
    def _aliases(self) -> Mapping[tuple[str, str, str], PublishedImage]:
        """The image behind each (alias, type, architecture)."""
        aliases: dict[tuple[str, str, str], PublishedImage] = {}
        done: set[tuple[int, str]] = set()
        for one in self._images:
            # Whatever the first image of a product does not get, no later one of the same type gets either.
            key = id(one.product), one.type
            if key in done:
                continue
            done.add(key)
            for name in one.product.names:
                for spelling in (name, f"{name}/{one.product.arch}"):
                    aliases.setdefault((spelling, one.type, one.product.architecture), one)
        return aliases

    @cached_property
    def _names(self) -> Mapping[int, list[str]]:
        """The aliases of each image for a client of the native architecture, by the image's ``id()``."""
        names: dict[int, list[str]] = {}
        for (name, _type, architecture), one in self._aliases.items():
            is_native = architecture == self.native
            if is_native or _stem(name, one.product.arch) in one.product.names:
                names.setdefault(id(one), []).append(name)
        return names

    def images(self) -> list[Image]:
        """Every image, with the aliases that it has for a client of the native architecture."""
        return [one.with_aliases(self.aliases_of(one)) for one in self._images]

    def aliases_of(self, one: PublishedImage) -> tuple[str, ...]:
        """The aliases of an image of this listing, as ``lxc image info`` shows them."""
        return tuple(self._names.get(id(one), ()))

    def find(self, name: str, image_type: str | None) -> PublishedImage:
        """The image that an alias stands for, or 12 or more digits of a fingerprint. Raises ImageNotFound.

        An alias may end in any name of an architecture. Without a type, a container's image is preferred.
        """
        types = (image_type,) if image_type else (CONTAINER, VIRTUAL_MACHINE)
        for kind in types:
            for spelling, architecture in self._spellings(name):
                found = self._aliases.get((spelling, kind, architecture))
                if found:
                    return found
        if is_prefix(name.lower()):
            return self._by_fingerprint(name.lower(), image_type)
        raise ImageNotFound(
            f"{self.server} has no image {name}{self._others(name, image_type)}",
            self._similar(name),
        )

    def _spellings(self, name: str) -> Iterator[tuple[str, str]]:
        yield name, self.native
        stem, _slash, last = name.rpartition("/")
        architecture = architecture_name(last)
        if stem and architecture:
            yield stem, architecture

    def _by_fingerprint(self, digits: str, image_type: str | None) -> PublishedImage:
        found = {one.fingerprint: one for one in self._images if one.fingerprint.startswith(digits)}
        if len(found) > 1:
            raise ImageNotFound(
                f"{self.server} has {len(found)} images whose fingerprints begin with {digits}",
                "Give more digits.",
            )
        if not found:
            raise ImageNotFound(
                f"{self.server} has no image with the alias or fingerprint {digits}",
                self._similar(digits),
            )
        one = next(iter(found.values()))
        if image_type and one.type != image_type:
            raise ImageNotFound(
                f"the image {short_fingerprint(one.fingerprint)} on {self.server} is of the type {one.type}"
            )
        return one

    def _similar(self, name: str) -> str:
        """A hint about names that are like this one."""
        if any(alias == name for alias, _type, _architecture in self._aliases):
            return ""
        shown = {one.fingerprint: one for one in self._images}
        names = [names for one in shown.values() for names in [self.aliases_of(one)] if names]
        return similar_names(name, names, list(shown))

    def _others(self, name: str, image_type: str | None) -> str:
        """The types and architectures for which the server has that name instead."""
        others = sorted(
            {(kind, architecture) for alias, kind, architecture in self._aliases if alias == name}
        )
        if not others:
            return f" for {image_type}s" if image_type else ""
        listed = ", ".join(f"{kind} {architecture}" for kind, architecture in others)
        return f" for {image_type or 'any type'} on {self.native}, only for {listed}"


def by_preference(images: Iterable[PublishedImage]) -> list[PublishedImage]:
    """The images of one version in the order in which they get its aliases; those of several keep their order."""
    return sorted(images, key=lambda one: _PREFERENCE[one.ftype])


def _stem(name: str, arch: str) -> str:
    """The alias without the architecture at its end, which has to be there; else empty."""
    return name[: -len(arch) - 1] if name.endswith(f"/{arch}") else ""


def _by_name(one: PublishedImage) -> tuple[bool | str, ...]:
    """Known operating systems first; the unnamed come last in each group."""
    product = one.product
    texts = (product.os, product.release, product.variant)
    return tuple(part for text in texts for part in (not text, text))

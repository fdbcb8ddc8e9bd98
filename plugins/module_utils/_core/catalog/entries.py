# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task says of the images to publish, one by one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Iterator, Mapping, Sequence

from ..archives.image_info import ImageInfo
from ..errors import OptionError
from ..images import architecture_name, parse_properties, short_fingerprint
from .record import Part, Product, Version

LONGEST_NAME = 100

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+/-]*\Z")
_VERSION = re.compile(r"(\d{8})(?:_?(\d{4}))?\Z")


@dataclass(frozen=True)
class Given:
    """One element of the option ``images``. None is: left out.

    ``paths`` are the file or files as they were named; ``version`` is in LXD's form, ``architecture`` LXD's name.
    """

    name: str
    paths: tuple[str, ...] = ()
    version: str | None = None
    architecture: str | None = None
    type: str | None = None
    os: str | None = None
    release: str | None = None
    variant: str | None = None
    aliases: tuple[str, ...] | None = None
    requirements: Mapping[str, str] | None = None
    absent: bool = False

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Given:
        """From one dict of the option. Raises OptionError."""
        name = _name(raw["name"])
        absent = raw["state"] == "absent"
        paths = (raw["src"],) if raw["src"] else (raw["metadata"], raw["rootfs"])
        if absent:
            for option in _ONLY_PRESENT:
                if raw[option] is not None:
                    raise OptionError(
                        f"{option} of the image {name} is of no use with state: absent",
                        "Leave it out.",
                    )
        elif not all(paths):
            raise OptionError(
                f"the image {name} has no file",
                "Give src, or metadata and rootfs; or state: absent.",
            )
        aliases = raw["aliases"]
        return cls(
            name=name,
            paths=() if absent else tuple(paths),
            version=None if raw["version"] is None else _version(name, raw["version"]),
            architecture=_architecture(name, raw["architecture"]),
            type=raw["image_type"],
            os=raw["os"],
            release=raw["release"],
            variant=raw["variant"],
            aliases=None if aliases is None else tuple(dict.fromkeys(map(_name, aliases))),
            requirements=None
            if raw["requirements"] is None
            else parse_properties(raw["requirements"]),
            absent=absent,
        )

    def __str__(self) -> str:
        return f"the image {self.name}" + (f" {self.version}" if self.version else "")

    def fits(self, product: Product) -> bool:
        """Whether this is about that product."""
        return (
            product.name == self.name
            and self.type in (None, product.type)
            and self.architecture in (None, product.architecture)
        )


@dataclass(frozen=True)
class Publication:
    """An image to publish, and what its files are. Raises OptionError where the two disagree."""

    given: Given
    described: ImageInfo

    def __post_init__(self) -> None:
        for option, said, found in (
            ("image_type", self.given.type, self.described.type),
            ("architecture", self.given.architecture, self.described.architecture),
        ):
            if said not in (None, found):
                raise OptionError(
                    f"{option} of {self.given} is given as {said}, and its file is for {found}",
                    "Leave the option out, or give the right file.",
                )

    @property
    def product(self) -> Product:
        """The product that it is a version of, so far as this image alone tells."""
        given, described = self.given, self.described
        return Product(
            name=given.name,
            type=described.type,
            architecture=described.architecture,
            os=_printable(described.os if given.os is None else given.os),
            release=_printable(described.release if given.release is None else given.release),
            variant=_printable(described.variant if given.variant is None else given.variant),
            aliases=given.aliases or (),
            requirements={
                _printable(name): _printable(value)
                for name, value in (given.requirements or {}).items()
            },
            versions=(self.version,),
        )

    @property
    def version(self) -> Version:
        """The version that it is."""
        described = self.described
        return Version(
            name=self.given.version or _version_of(described.created, self.given),
            fingerprint=described.fingerprint,
            created=described.created,
            parts=tuple(Part(*part) for part in described.parts),
        )


def parse_images(raw: Sequence[Mapping[str, Any]]) -> list[Given]:
    """The option ``images``. Raises OptionError."""
    return [Given.parse(one) for one in raw]


def require_consistent(publications: Sequence[Publication], withdrawals: Sequence[Given]) -> None:
    """Raises OptionError where one element of the option contradicts another."""
    seen: dict[tuple[str, ...], str] = {}
    for one in publications:
        product, version = one.product, one.version
        other = seen.setdefault((*product.key, version.name), version.fingerprint)
        if other != version.fingerprint:
            raise OptionError(
                f"{product} is given twice as version {version.name},"
                f" with different content: {other} and {version.fingerprint}",
                "Give each its own version.",
            )
        for gone in withdrawals:
            if gone.fits(product) and gone.version in (None, version.name):
                raise OptionError(
                    f"{product} {version.name} ({short_fingerprint(version.fingerprint)}) is to be present and absent",
                    "Leave one of the two out.",
                )


def spellings(product: Product) -> Iterator[str]:
    """All that a name or alias of this product can be written as; servers take an architecture at its end, too."""
    from ..images import common_architecture

    for name in product.names:
        yield name
        yield f"{name}/{common_architecture(product.architecture)}"


_ONLY_PRESENT = (
    "src",
    "metadata",
    "rootfs",
    "os",
    "release",
    "variant",
    "aliases",
    "requirements",
)


def _name(text: str) -> str:
    odd = not _NAME.match(text) or "//" in text or text.endswith("/")
    if odd or ".." in text.split("/") or "." in text.split("/") or len(text) > LONGEST_NAME:
        raise OptionError(
            f"{text!r} cannot be the name or alias of an image here: it becomes part of an address",
            "It takes letters and digits of ASCII, and . _ + - / between them;"
            f" at the most {LONGEST_NAME} characters.",
        )
    return text


def _printable(text: str) -> str:
    """The text without half characters, which YAML lets through and no document can hold."""
    return text.encode("utf-8", "replace").decode()


def _version(name: str, text: str) -> str:
    """A version as LXD reads it. YAML takes ``20261124_0730`` for a number and drops the underscore."""
    match = _VERSION.match(text.strip())
    day, time = match.groups() if match else ("", None)
    try:
        datetime.strptime(day + (time or "0000"), "%Y%m%d%H%M")
    except ValueError as error:
        raise OptionError(
            f"the version of the image {name} is {text!r}, which is no date",
            "Write YYYYMMDD or YYYYMMDD_HHMM: servers pass over all others.",
        ) from error
    return f"{day}_{time}" if time else day


def _version_of(created: int, given: Given) -> str:
    try:
        return datetime.fromtimestamp(created, timezone.utc).strftime("%Y%m%d_%H%M")
    except (OverflowError, OSError, ValueError) as error:
        raise OptionError(
            f"{given} has the creation date {created}, which is none", "Give it a version."
        ) from error


def _architecture(name: str, text: str | None) -> str | None:
    if text is None:
        return None
    known = architecture_name(text)
    if not known:
        raise OptionError(
            f"architecture of the image {name} is {text!r}, which LXD does not know",
            "Write x86_64 or aarch64, for instance.",
        )
    return known

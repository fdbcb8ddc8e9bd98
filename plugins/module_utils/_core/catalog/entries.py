# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The entries of a catalog that a task publishes or withdraws."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Iterator, Mapping, Sequence

from ..architectures import common_architecture
from ..archives.image_info import ImageInfo, change_stamp
from ..errors import OptionError
from ..images import short_fingerprint
from .names import MAX_TEXT_CHARACTERS, check_text, version_of
from .record import Part, Product, Version

if TYPE_CHECKING:
    from .bare_file import BareFile


@dataclass(frozen=True)
class EntrySpec:
    """What a task says of one entry. None is: omitted.

    ``paths`` are the file or files as they were named. ``architecture`` is LXD's name. All texts are valid by the rules
    of ``names.py``.
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

    def __str__(self) -> str:
        return f"the image {self.name}" + (f" {self.version}" if self.version else "")

    def matches(self, product: Product) -> bool:
        """Whether this entry is about that product."""
        return (
            product.name == self.name
            and self.type in (None, product.type)
            and self.architecture in (None, product.architecture)
        )


@dataclass(frozen=True)
class EntryFiles:
    """The file or files of an entry, as they were named.

    ``stamp`` distinguishes what is made of them from all else, and from itself once they have changed. ``paths`` is
    None while they are on the controller only.
    """

    stamp: str
    paths: tuple[str, ...] | None = None


@dataclass(frozen=True)
class CatalogEntry:
    """One entry of a catalog: what the task says of it, where its files are, and what they contain.

    ``files`` is None for an entry to withdraw, and until its files were looked for. ``facts`` is None until they have
    been read. ``bare`` is for a disk or root file system without metadata.
    """

    spec: EntrySpec
    files: EntryFiles | None = None
    facts: ImageInfo | None = None
    bare: BareFile | None = None

    def with_files(self) -> CatalogEntry:
        """The same entry with its files, which are on this host unless they are known.

        Raises FileError, and what the request for a checksum file raises.
        """
        if self.spec.absent:
            return self
        paths = self.spec.paths
        files = self.files or EntryFiles(change_stamp(paths), paths)
        if self.bare:
            files = replace(files, stamp=self.bare.stamp(files.stamp))
        return replace(self, files=files)

    def with_facts(self, facts: ImageInfo, now: int) -> CatalogEntry:
        """The same entry once its files were read, with its version.

        Raises OptionError where the task says something else of them, or where they do not tell the version.
        """
        spec = self.spec
        for option, said, found in (
            ("image_type", spec.type, facts.type),
            ("architecture", spec.architecture, facts.architecture),
        ):
            if said not in (None, found):
                raise OptionError(
                    f"{option} of {spec} is {said}, but its file is for {found}",
                    "Remove the option, or use the right file.",
                )
        version = spec.version
        if version is None:
            try:
                version = version_of(facts.created, now)
            except ValueError as error:
                raise OptionError(
                    f"{spec} has no usable version: {error}", "Set version, as YYYYMMDD."
                ) from error
        return replace(self, spec=replace(spec, version=version), facts=facts)

    @property
    def product(self) -> Product:
        """The product that it is a version of, as far as this entry alone tells. Raises OptionError."""
        spec, facts = self.spec, self._known_facts
        return Product(
            name=spec.name,
            type=facts.type,
            architecture=facts.architecture,
            os=self._text("os", spec.os, facts.os),
            release=self._text("release", spec.release, facts.release),
            variant=self._text("variant", spec.variant, facts.variant),
            description=check_text(facts.description[:MAX_TEXT_CHARACTERS]),
            aliases=spec.aliases or (),
            requirements=spec.requirements or {},
            versions=(self.version,),
        )

    @property
    def version(self) -> Version:
        """The version that it is."""
        facts = self._known_facts
        return Version(
            name=self.spec.version or "",
            fingerprint=facts.fingerprint,
            created=facts.created,
            parts=tuple(Part(*part) for part in facts.parts),
        )

    @property
    def _known_facts(self) -> ImageInfo:
        if self.facts is None:
            raise ValueError(f"the files of {self.spec} have not been read")
        return self.facts

    def _text(self, option: str, said: str | None, found: str) -> str:
        try:
            return check_text(found) if said is None else said
        except ValueError as error:
            raise OptionError(
                f"the {option} in the metadata of {self.spec} is too long: {error}",
                f"Set {option}.",
            ) from error


def require_consistent(
    publications: Sequence[CatalogEntry], withdrawals: Sequence[EntrySpec]
) -> None:
    """Raises OptionError where one entry of a task contradicts another."""
    seen: dict[tuple[str, ...], str] = {}
    for entry in publications:
        product, version = entry.product, entry.version
        other = seen.setdefault((*product.key, version.name), version.fingerprint)
        if other != version.fingerprint:
            raise OptionError(
                f"{product} is listed twice as version {version.name},"
                f" with different content: {other} and {version.fingerprint}",
                "Use a separate version for each.",
            )
        for withdrawal in withdrawals:
            if withdrawal.matches(product) and withdrawal.version in (None, version.name):
                raise OptionError(
                    f"{product} {version.name} ({short_fingerprint(version.fingerprint)}) is listed as present and"
                    " as absent",
                    "Remove one of the two.",
                )


def spellings(product: Product) -> Iterator[str]:
    """All forms of the name and the aliases of a product; clients may add an architecture."""
    for name in product.names:
        yield name
        yield f"{name}/{common_architecture(product.architecture)}"

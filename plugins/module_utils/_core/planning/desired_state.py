# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task wants of an image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Iterable, Mapping, Sequence

from ..errors import OptionError
from ..images import NEVER, Image, parse_properties, parse_time

RESERVED_PREFIX = "imagestore."
"""Image properties that begin so are this collection's own notes; no task manages them."""

_SAID_IN_THIS_ORDER = ("public", "properties", "profiles", "expires_at", "auto_update")


@dataclass(frozen=True)
class DesiredState:
    """What a task wants of an image. None is: not managed, stays as it is.

    An empty value in ``properties`` removes that property; ``expires_at`` is ``NEVER`` for none.
    """

    aliases: tuple[str, ...] | None = None
    purge_aliases: bool = False
    fail_on_conflict: bool = False
    delete_replaced: bool = False
    properties: Mapping[str, str] | None = None
    purge_properties: bool = False
    public: bool | None = None
    profiles: tuple[str, ...] | None = None
    expires_at: datetime | None = None
    auto_update: bool | None = None

    @classmethod
    def parse(cls, params: Mapping[str, Any]) -> DesiredState:
        """From the options of the documentation fragment ``image``. Raises OptionError."""
        aliases = _names("aliases", params["aliases"])
        profiles = _names("profiles", params["profiles"])
        if params["delete_replaced"] and not aliases:
            raise OptionError(
                "delete_replaced is set without aliases",
                "It deletes the image that loses its last alias to this task, so name the aliases.",
            )
        if params["purge_aliases"] and aliases is None:
            raise OptionError(
                "purge_aliases is set without aliases", "An empty list removes all aliases."
            )
        if params["purge_properties"] and params["properties"] is None:
            raise OptionError(
                "purge_properties is set without properties",
                "An empty dict removes all properties.",
            )
        return cls(
            aliases=aliases,
            purge_aliases=params["purge_aliases"],
            fail_on_conflict=params["alias_conflict"] == "fail",
            delete_replaced=params["delete_replaced"],
            properties=_properties(params["properties"]),
            purge_properties=params["purge_properties"],
            public=params["public"],
            profiles=None if profiles is None else tuple(sorted(profiles)),
            expires_at=_expiry(params["expires_at"]),
            auto_update=params.get("auto_update"),
        )

    def changes_for(self, have: Image) -> dict[str, Any]:
        """The managed attributes as they should be, given the image as it is. Shapes as in ``Image.attributes``."""
        plain = {
            "public": self.public,
            "profiles": self.profiles,
            "expires_at": self.expires_at,
            "auto_update": self.auto_update,
        }
        attributes: dict[str, Any] = {
            name: value for name, value in plain.items() if value is not None
        }
        if self.properties is not None:
            kept = {
                name: value
                for name, value in have.properties.items()
                if name.startswith(RESERVED_PREFIX) or not self.purge_properties
            }
            attributes["properties"] = {
                name: value for name, value in {**kept, **self.properties}.items() if value != ""
            }
        return attributes

    def add_aliases(self, aliases: Iterable[str]) -> DesiredState:
        """The same, with more aliases."""
        more = tuple(aliases)
        if not more:
            return self
        return replace(self, aliases=tuple(dict.fromkeys((*(self.aliases or ()), *more))))

    def with_defaults_from(self, image: Image) -> DesiredState:
        """The same, and what is not managed as this image has it."""
        aliases = (
            self.aliases
            if self.purge_aliases
            else (*(self.aliases or ()), *sorted(image.alias_names))
        )
        own = {**image.properties, **(self.properties or {})}
        return replace(
            self,
            aliases=tuple(dict.fromkeys(aliases or ())),
            properties=self.properties if self.purge_properties else own,
            public=image.public if self.public is None else self.public,
            profiles=image.profiles if self.profiles is None else self.profiles,
            expires_at=image.expires_at if self.expires_at is None else self.expires_at,
        )

    @property
    def managed(self) -> tuple[str, ...]:
        """The attributes that are managed, in the order in which they are said."""
        desired = set(self.changes_for(EMPTY_IMAGE))
        if not self.properties and not self.purge_properties:
            desired.discard("properties")
        return tuple(name for name in _SAID_IN_THIS_ORDER if name in desired)


EMPTY_IMAGE = Image(fingerprint="", type="", architecture="", size=0)


def _names(option: str, given: Sequence[str] | None) -> tuple[str, ...] | None:
    """A list of names without repetitions. A lone empty one is what ``aliases=`` in an ad-hoc command gives."""
    if given is None:
        return None
    if list(given) == [""]:
        return ()
    if "" in given:
        raise OptionError(
            f"{option} has an empty name in it", "A lone empty string stands for the empty list."
        )
    return tuple(dict.fromkeys(given))


def _properties(given: Mapping[str, Any] | None) -> dict[str, str] | None:
    if given is None:
        return None
    texts = parse_properties(given)
    for name in texts:
        if name.startswith(RESERVED_PREFIX):
            raise OptionError(
                f"the property {name} is this collection's own note", "Leave it out of properties."
            )
    return texts


def _expiry(given: str | None) -> datetime | None:
    if given is None:
        return None
    if given.strip().lower() == "never":
        return NEVER
    try:
        return parse_time(given)
    except ValueError as error:
        raise OptionError(
            f"expires_at: {error}", "Write 2030-12-31, 2030-12-31T23:59:59Z, or never."
        ) from error

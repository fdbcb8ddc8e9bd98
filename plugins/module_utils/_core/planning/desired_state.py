# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The desired state of an image."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Iterable, Mapping

from ..images import Alias, Image

RESERVED_PREFIX = "imagestore."
"""Image properties with this prefix are reserved for this collection; tasks cannot manage them."""

_ATTRIBUTE_ORDER = ("public", "properties", "profiles", "expires_at", "auto_update")


@dataclass(frozen=True)
class DesiredState:
    """The desired state of an image. None: not managed, left unchanged.

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
    alias_descriptions: Mapping[str, str] = field(default_factory=dict)
    delete_outdated: bool = False
    """Whether the images that a source calls outdated go (see ``sources.Outdating``)."""

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

    def add_aliases(self, aliases: Iterable[Alias]) -> DesiredState:
        """The same, with more aliases, which keep their descriptions where they are made or moved here."""
        more = tuple(aliases)
        if not more:
            return self
        return replace(
            self,
            aliases=tuple(dict.fromkeys((*(self.aliases or ()), *(alias.name for alias in more)))),
            alias_descriptions={
                **self.alias_descriptions,
                **{alias.name: alias.description for alias in more},
            },
        )

    def together_with(self, other: DesiredState) -> DesiredState:
        """The union of two desired states of one image, which do not contradict each other."""
        aliases = dict.fromkeys((*(self.aliases or ()), *(other.aliases or ())))
        properties = {**(self.properties or {}), **(other.properties or {})}
        return replace(
            self,
            aliases=None if self.aliases is other.aliases is None else tuple(aliases),
            alias_descriptions={**self.alias_descriptions, **other.alias_descriptions},
            purge_aliases=self.purge_aliases or other.purge_aliases,
            fail_on_conflict=self.fail_on_conflict or other.fail_on_conflict,
            delete_replaced=self.delete_replaced or other.delete_replaced,
            delete_outdated=self.delete_outdated or other.delete_outdated,
            properties=None if self.properties is other.properties is None else properties,
            purge_properties=self.purge_properties or other.purge_properties,
            public=other.public if self.public is None else self.public,
            profiles=other.profiles if self.profiles is None else self.profiles,
            expires_at=other.expires_at if self.expires_at is None else self.expires_at,
            auto_update=other.auto_update if self.auto_update is None else self.auto_update,
        )

    def with_settings_from(self, image: Image) -> DesiredState:
        """The same, with what is set in the store of this image and not managed: all but properties and expiry."""
        return replace(
            self,
            public=image.public if self.public is None else self.public,
            profiles=image.profiles if self.profiles is None else self.profiles,
            auto_update=image.auto_update if self.auto_update is None else self.auto_update,
        )

    def with_defaults_from(self, image: Image) -> DesiredState:
        """The same, with the values of this image for whatever is not managed."""
        aliases = (
            self.aliases
            if self.purge_aliases
            else (*(self.aliases or ()), *sorted(image.alias_names))
        )
        own = {**image.properties, **(self.properties or {})}
        return replace(
            self,
            aliases=tuple(dict.fromkeys(aliases or ())),
            alias_descriptions={
                **{alias.name: alias.description for alias in image.aliases},
                **self.alias_descriptions,
            },
            properties=self.properties if self.purge_properties else own,
            public=image.public if self.public is None else self.public,
            profiles=image.profiles if self.profiles is None else self.profiles,
            expires_at=image.expires_at if self.expires_at is None else self.expires_at,
        )

    @property
    def managed(self) -> tuple[str, ...]:
        """The attributes that are managed, in the order in which they are reported."""
        desired = set(self.changes_for(EMPTY_IMAGE))
        if not self.properties and not self.purge_properties:
            desired.discard("properties")
        return tuple(name for name in _ATTRIBUTE_ORDER if name in desired)


EMPTY_IMAGE = Image(fingerprint="", type="", architecture="", size=0)

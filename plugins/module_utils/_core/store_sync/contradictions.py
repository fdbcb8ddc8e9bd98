# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What entries of one store want that cannot all be. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any, Iterable

from ..errors import OptionError
from ..images import Image
from ..planning.desired_state import DesiredState

_ATTRIBUTES = ("public", "profiles", "expires_at", "auto_update")


@dataclass(frozen=True)
class Claim:
    """What one entry wants of the store.

    ``identity`` is what claims about one image have in common: its fingerprint, or where it comes from; None if there
    is no image. ``desired`` None: the image is to be absent. ``name`` is the name under which an image of the store is
    meant, or an empty text.
    """

    title: str
    identity: str | None
    desired: DesiredState | None
    name: str = ""

    @property
    def aliases(self) -> tuple[str, ...]:
        """The aliases that it wants to point to its image."""
        return (self.desired.aliases or ()) if self.desired else ()


def require_consistent(claims: Iterable[Claim], held: dict[str, Image | None]) -> None:
    """Raises OptionError, naming both, if two entries contradict each other.

    ``held`` has the image that each wanted alias points to now.
    """
    for one, other in combinations(claims, 2):
        for first, second in ((one, other), (other, one)):
            _require_alias_kept(first, second, held)
        common = set(one.aliases) & set(other.aliases)
        same = one.identity == other.identity and one.identity is not None
        if common and not same:
            raise _contradiction(
                one, other, f"want the alias {min(common)} to point to different images"
            )
        if same or (one.name and one.name == other.name):
            _require_same_image(one, other)


def _require_alias_kept(one: Claim, other: Claim, held: dict[str, Image | None]) -> None:
    """One entry must not delete, or mean by its name, an image whose alias the other takes away."""
    if one.desired is None and one.name in other.aliases:
        raise _contradiction(one, other, f"delete the image {one.name} and want that alias")
    for alias in other.aliases:
        image = held.get(alias)
        if image is None or image.fingerprint == other.identity:
            continue
        if one.desired is None and image.fingerprint == one.identity:
            raise _contradiction(
                one, other, f"delete an image and move its alias {alias} to another"
            )
        if one.name == alias and one.identity == image.fingerprint:
            raise _contradiction(one, other, f"mean different images by {alias}")


def _require_same_image(one: Claim, other: Claim) -> None:
    if one.desired is None or other.desired is None:
        if one.desired is not other.desired:
            raise _contradiction(one, other, "want one image to be present and absent")
        return
    for name in _ATTRIBUTES:
        values: list[Any] = [getattr(claim.desired, name) for claim in (one, other)]
        if None not in values and values[0] != values[1]:
            raise _contradiction(one, other, f"want different values of {name} for one image")
    mine, theirs = one.desired.properties or {}, other.desired.properties or {}
    for name in sorted(set(mine) & set(theirs)):
        if mine[name] != theirs[name]:
            raise _contradiction(
                one, other, f"want different values of the property {name} for one image"
            )
    for first, second in ((one.desired, other.desired), (other.desired, one.desired)):
        if first.purge_aliases and set(second.aliases or ()) - set(first.aliases or ()):
            raise _contradiction(one, other, "want to add and to purge aliases of one image")
        if first.purge_properties and set(second.properties or {}) - set(first.properties or {}):
            raise _contradiction(one, other, "want to set and to purge properties of one image")


def _contradiction(one: Claim, other: Claim, what: str) -> OptionError:
    return OptionError(
        f"two entries contradict each other: {one.title} and {other.title} {what}",
        "Nothing was changed. Correct one of them.",
    )

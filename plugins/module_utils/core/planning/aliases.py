# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans for single aliases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ..errors import NoSuchImage, WrongValue
from ..images import Contents, Image
from . import Plan
from .steps import AddAlias, DescribeAlias, MoveAlias, RemoveAlias, RenameAlias, Step


@dataclass(frozen=True)
class AliasWish:
    """What a task wants of an alias. None is: not managed. ``target`` is an alias or fingerprint."""

    name: str
    target: str | None = None
    description: str | None = None
    new_name: str | None = None
    absent: bool = False

    @classmethod
    def parse(cls, params: Mapping[str, Any]) -> AliasWish:
        """From the options of ``lxd_image_alias``. Raises WrongValue."""
        absent = params["state"] == "absent"
        for name in ("target", "description", "new_name"):
            if absent and params[name] is not None:
                raise WrongValue(f"{name} is of no use with state: absent", "Leave it out.")
        for name in ("name", "new_name"):
            if params[name] == "":
                raise WrongValue(f"{name} is empty", "Give the alias a name.")
        return cls(
            params["name"], params["target"], params["description"], params["new_name"], absent
        )

    @property
    def final_name(self) -> str:
        """The name that it has in the end."""
        return self.new_name or self.name


def alias_settled(contents: Contents, wish: AliasWish) -> Plan:
    """The plan for one alias.

    Raises NoSuchImage, and WrongValue if another alias has the new name, or if the image will not stay.
    """
    holder = contents.behind(wish.name)
    if wish.absent:
        before = shown(contents, wish.name)
        steps: tuple[Step, ...] = (RemoveAlias(wish.name),) if holder else ()
        return Plan(holder, steps, before, {})
    renames: tuple[Step, ...] = ()
    renamed = contents.behind(wish.final_name)
    if wish.new_name and wish.new_name != wish.name and holder:
        # Both names on one image are a rename that did not come to its end.
        if renamed and renamed.fingerprint != holder.fingerprint:
            raise WrongValue(
                f"{wish.name} cannot become {wish.new_name}: there is an alias of that name",
                "Remove one of the two first.",
            )
        renames = (RenameAlias(wish.name, wish.new_name, holder.fingerprint),)
        before = shown(contents, wish.name)
    else:
        holder, before = renamed, shown(contents, wish.final_name)
    target = _target(contents, wish, holder)
    target.require_kept()
    # The new alias, if it is there already, keeps its own.
    described = shown(contents, wish.final_name) or before
    description = described.get("description", "")
    steps = (*renames, *_steps(wish, target, holder, description))
    after = {
        "name": wish.final_name,
        "target": target.fingerprint,
        "type": target.type,
        "description": description if wish.description is None else wish.description,
    }
    return Plan(target, steps, before, after)


def shown(contents: Contents, name: str) -> dict[str, Any]:
    """An alias as the LXD API describes it; empty if there is none."""
    image = contents.behind(name)
    if image is None:
        return {}
    return {
        "name": name,
        "target": image.fingerprint,
        "type": image.type,
        "description": next(alias.description for alias in image.aliases if alias.name == name),
    }


def _target(contents: Contents, wish: AliasWish, holder: Image | None) -> Image:
    """The image that the alias is to point to."""
    if wish.target is None:
        if holder:
            return holder
        raise NoSuchImage(f"there is no alias {wish.final_name}", "Give a target to make one.")
    target = contents.named(wish.target)
    if target is None:
        raise NoSuchImage(
            f"there is no image {wish.target} for the alias {wish.final_name} to point to",
            "Give an alias, or twelve and more digits of a fingerprint.",
        )
    return target


def _steps(
    wish: AliasWish, target: Image, holder: Image | None, description: str
) -> tuple[Step, ...]:
    """What the alias takes under its final name. ``holder`` and ``description`` are what it has there so far."""
    name = wish.final_name
    if holder is None:
        return (AddAlias(name, wish.description or ""),)
    if holder.fingerprint != target.fingerprint:
        return (MoveAlias(name, holder.fingerprint, wish.description),)
    if wish.description is not None and wish.description != description:
        return (DescribeAlias(name, wish.description),)
    return ()

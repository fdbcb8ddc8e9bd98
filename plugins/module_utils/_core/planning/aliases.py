# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans for single aliases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..contents import Contents
from ..errors import ImageNotFound, OptionError
from ..images import Image
from . import Plan
from .steps import AddAlias, DescribeAlias, MoveAlias, RemoveAlias, RenameAlias, Step


@dataclass(frozen=True)
class DesiredAlias:
    """The desired state of an alias. None: not managed. ``target`` is an alias or fingerprint."""

    name: str
    target: str | None = None
    description: str | None = None
    new_name: str | None = None
    absent: bool = False

    @property
    def final_name(self) -> str:
        """The name that it has in the end."""
        return self.new_name or self.name


def plan_alias(contents: Contents, desired: DesiredAlias) -> Plan:
    """The plan for one alias.

    Raises ImageNotFound, and OptionError if another alias has the new name, or if the image is only cached.
    """
    current = contents.by_alias(desired.name)
    if desired.absent:
        before = alias_state(contents, desired.name)
        steps: tuple[Step, ...] = (RemoveAlias(desired.name),) if current else ()
        return Plan(current, steps, before, {})
    renames: tuple[Step, ...] = ()
    renamed = contents.by_alias(desired.final_name)
    if desired.new_name and desired.new_name != desired.name and current:
        # Both names on one image are a rename that did not come to its end.
        if renamed and renamed.fingerprint != current.fingerprint:
            raise OptionError(
                f"{desired.name} cannot be renamed to {desired.new_name}: that alias exists",
                "Remove one of the two first.",
            )
        renames = (RenameAlias(desired.name, desired.new_name, current.fingerprint),)
        before = alias_state(contents, desired.name)
    else:
        current, before = renamed, alias_state(contents, desired.final_name)
    target = _target(contents, desired, current)
    target.require_not_cached()
    # The new alias, if it is there already, keeps its own.
    described = alias_state(contents, desired.final_name) or before
    description = described.get("description", "")
    steps = (*renames, *_steps(desired, target, current, description))
    after = {
        "name": desired.final_name,
        "target": target.fingerprint,
        "type": target.type,
        "description": description if desired.description is None else desired.description,
    }
    return Plan(target, steps, before, after)


def alias_state(contents: Contents, name: str) -> dict[str, Any]:
    """An alias as the LXD API describes it; empty if there is none."""
    image = contents.by_alias(name)
    if image is None:
        return {}
    return {
        "name": name,
        "target": image.fingerprint,
        "type": image.type,
        "description": next(alias.description for alias in image.aliases if alias.name == name),
    }


def _target(contents: Contents, desired: DesiredAlias, current: Image | None) -> Image:
    """The image that the alias is to point to."""
    if desired.target is None:
        if current:
            return current
        raise ImageNotFound(f"there is no alias {desired.final_name}", "Set target to create it.")
    target = contents.resolve(desired.target)
    if target is None:
        raise contents.not_found(desired.target, f" for the alias {desired.final_name} to point to")
    return target


def _steps(
    desired: DesiredAlias, target: Image, current: Image | None, description: str
) -> tuple[Step, ...]:
    """The steps for the alias under its final name, which has the image ``current`` and ``description`` so far."""
    name = desired.final_name
    if current is None:
        return (AddAlias(name, desired.description or ""),)
    if current.fingerprint != target.fingerprint:
        return (MoveAlias(name, current.fingerprint, desired.description),)
    if desired.description is not None and desired.description != description:
        return (DescribeAlias(name, desired.description),)
    return ()

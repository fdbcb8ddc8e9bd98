# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans for an image: that it is as desired, or absent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Iterable, Sequence

from ..contents import Contents
from ..errors import OptionError
from ..images import NEVER, Image, format_time, short_fingerprint
from . import NEW_IMAGE, Plan
from .desired_state import EMPTY_IMAGE, RESERVED_PREFIX, DesiredState

if TYPE_CHECKING:
    from ..sources import Offer
    from .steps import Step


def plan_present(
    contents: Contents,
    subject: Image | Offer,
    desired: DesiredState,
    done: Iterable[Step] = (),
    transferred: str | None = None,
    outdated: Sequence[Image] = (),
) -> Plan:
    """The plan for one image that is in the store or on offer. ``done`` are the steps of this task so far.

    Nothing is assumed of an image on offer, nor of the one that this task has ``transferred`` (its fingerprint): all
    desired attributes are set and reported. It takes the place of the images that are ``outdated``: their aliases are
    moved to it, and a new image is public, has profiles and is updated as the newest of them, if nothing else is
    desired. Raises OptionError if an alias cannot be moved.
    """
    done = tuple(done)
    if not desired.purge_aliases:
        desired = desired.add_aliases(alias for image in outdated for alias in image.aliases)
    full = desired
    if desired.auto_update:
        _require_origin(subject)
    deleted: list[Image] = []
    before, after = _alias_targets(contents, subject, desired)
    if isinstance(subject, Image):
        names = _changed_attributes(subject, desired)
        if subject.fingerprint == transferred:
            from .steps import SetAttributes

            already_set = {
                name for step in done if isinstance(step, SetAttributes) for name in step.names
            }
            names = tuple(name for name in desired.managed if name not in already_set)
        before.update(_managed_values(subject, desired))
        after.update(_managed_values(_with_desired(subject, desired), desired))
    else:
        names = desired.managed
        after.update(_managed_values(_with_desired(EMPTY_IMAGE, desired), desired))
        if subject.replaces:
            # It is deleted together with its attributes: those that are not managed have to be restored.
            deleted.append(subject.replaces)
            contents = contents.without(subject.replaces)
            full = desired.with_defaults_from(subject.replaces)
    if outdated and (not isinstance(subject, Image) or subject.fingerprint == transferred):
        full = full.with_settings_from(max(outdated, key=lambda image: image.uploaded_at))
    steps: list[Step] = []
    if names or full is not desired:
        from .steps import SetAttributes

        steps.append(SetAttributes(names, full))
    steps += _alias_steps(contents, subject, full, outdated)
    if desired.delete_outdated and outdated:
        from .steps import DeleteReplaced

        kept = frozenset(desired.aliases or ())
        steps += [DeleteReplaced(image.fingerprint, image.alias_names - kept) for image in outdated]
        deleted += outdated
        for image in outdated:
            contents = contents.without(image)
    if desired.delete_replaced and (done or steps):
        from .steps import DeleteReplaced

        replaced = _replaced(contents, subject, (*done, *steps))
        steps += [DeleteReplaced(image.fingerprint) for image in replaced]
        deleted += replaced
    return Plan(subject, tuple(steps), before, after, tuple(deleted))


def _alias_targets(
    contents: Contents, subject: Image | Offer, desired: DesiredState
) -> tuple[dict[str, Any], dict[str, Any]]:
    """For each managed alias the image that it points to, before and after; empty if no aliases are managed."""
    if desired.aliases is None:
        return {}, {}
    names = set(desired.aliases)
    if desired.purge_aliases and isinstance(subject, Image):
        names |= subject.alias_names
    held = {name: contents.by_alias(name) for name in sorted(names)}
    target = short_fingerprint(subject.fingerprint) if subject.fingerprint else NEW_IMAGE
    before = {name: short_fingerprint(image.fingerprint) for name, image in held.items() if image}
    return {"aliases": before}, {"aliases": dict.fromkeys(sorted(desired.aliases), target)}


def _require_origin(subject: Image | Offer) -> None:
    """Raises OptionError unless the server can keep the image up to date: it has to know the origin by an alias."""
    if isinstance(subject, Image):
        if subject.origin and subject.origin.can_change:
            return
        raise OptionError(
            f"auto_update cannot work for the image {short_fingerprint(subject.fingerprint)}:"
            " the server has not recorded its origin",
            "A server records the origin only of an image that it pulled by alias from a public source."
            " Delete the image and copy it this way, or use state: latest instead.",
        )
    if not subject.records_origin:
        raise OptionError(
            f"auto_update does not work with mode {subject.route}, nor with a fingerprint, a private image,"
            " or a source project other than default: the server would not record the origin of the image",
            "Use state: latest instead.",
        )


def _changed_attributes(image: Image, desired: DesiredState) -> tuple[str, ...]:
    """The attributes that are not as they should be."""
    should, are = desired.changes_for(image), image.attributes
    return tuple(name for name in desired.managed if should[name] != are[name])


def _alias_steps(
    contents: Contents, subject: Image | Offer, desired: DesiredState, outdated: Sequence[Image]
) -> list[Step]:
    if desired.aliases is None:
        return []
    targets = {name: contents.by_alias(name) for name in desired.aliases}
    unwanted: frozenset[str] = frozenset()
    if desired.purge_aliases and isinstance(subject, Image):
        unwanted = subject.alias_names - set(desired.aliases)
    if not unwanted and all(
        image and image.fingerprint == subject.fingerprint for image in targets.values()
    ):
        return []
    from .steps import AddAlias, MoveAlias, RemoveAlias

    steps: list[Step] = []
    for name, current in targets.items():
        if current is None:
            steps.append(AddAlias(name, desired.alias_descriptions.get(name, "")))
        elif current.fingerprint != subject.fingerprint:
            if current not in outdated:
                _require_movable(name, current, subject, desired)
            steps.append(MoveAlias(name, current.fingerprint, desired.alias_descriptions.get(name)))
    return [*steps, *(RemoveAlias(name) for name in sorted(unwanted))]


def _require_movable(
    name: str, current: Image, subject: Image | Offer, desired: DesiredState
) -> None:
    """Raises OptionError if this alias must not be moved from the image that it points to."""
    if subject.type and current.type != subject.type:
        raise OptionError(
            f"the alias {name} belongs to the {current.type} image {short_fingerprint(current.fingerprint)},"
            f" and this is a {subject.type} image",
            "Choose another alias.",
        )
    if desired.fail_on_conflict:
        raise OptionError(
            f"the alias {name} points to another image, {short_fingerprint(current.fingerprint)},"
            " and alias_conflict is fail",
            "Choose another alias, or alias_conflict=move.",
        )


def _replaced(contents: Contents, subject: Image | Offer, steps: Sequence[Step]) -> list[Image]:
    """The images whose last alias these steps take away."""
    from .steps import MoveAlias

    moved = {step.name: step.current for step in steps if isinstance(step, MoveAlias)}
    images = (contents.by_fingerprint(current) for current in dict.fromkeys(moved.values()))
    return [
        image
        for image in images
        if image and image.fingerprint != subject.fingerprint and image.alias_names <= set(moved)
    ]


def _with_desired(image: Image, desired: DesiredState) -> Image:
    """The image with the attributes that the plan gives it."""
    return replace(image, **desired.changes_for(image))


def _managed_values(image: Image, desired: DesiredState) -> dict[str, Any]:
    """The managed attributes of an image, in plain values."""
    shown: dict[str, Any] = {name: image.attributes[name] for name in desired.managed}
    if "expires_at" in shown:
        shown["expires_at"] = (
            "never" if image.expires_at == NEVER else format_time(image.expires_at)
        )
    if "profiles" in shown:
        shown["profiles"] = list(image.profiles)
    if "properties" in shown:
        shown["properties"] = {
            name: value
            for name, value in sorted(image.properties.items())
            if name in (desired.properties or {})
            or (desired.purge_properties and not name.startswith(RESERVED_PREFIX))
        }
    return shown


def plan_absent(image: Image | None) -> Plan:
    """The plan to delete this image; None: there is none."""
    if image is None:
        return Plan(None, (), {}, {}, removes=True)
    from .steps import DeleteImage

    return Plan(image, (DeleteImage(image.fingerprint),), {}, {}, (image,), removes=True)

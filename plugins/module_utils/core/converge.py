# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The loop that every task runs: look, resolve, plan, apply, and again from look if somebody was quicker."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable

from .errors import ImageStoreError, NoSuchImage, OperationFailed, Overtaken
from .images import Contents, Image
from .planning import Plan
from .planning.settling import absent, settled
from .planning.steps import Step
from .planning.wanted import Wanted
from .sources import Offer, Source
from .store import Store

ROUNDS = 5
"""How often the store may change under a task before it gives up."""


@dataclass
class Done:
    """What a task has done so far; it outlives a failure."""

    steps: list[Step] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    transferred: int = 0
    stored: str | None = None
    """The fingerprint of the image that it brought, or that came into the store though bringing it failed."""


@dataclass(frozen=True)
class Result:
    """How a task ended. ``image`` is as the server describes it; for a removed one as it was; None is: not there."""

    fingerprint: str | None
    image: dict[str, Any] | None
    actions: list[str]
    transferred: int
    before: dict[str, Any]
    after: dict[str, Any]


def bring(
    store: Store, source: Source, asked: Wanted, done: Done, check_mode: bool = False
) -> Result:
    """Make the store hold the source's image, as asked. In check mode say what that would do, and write nothing."""

    def plan(contents: Contents) -> Plan:
        subject = source.find(contents)
        return settled(contents, subject, asked.also(source.aliases), done.steps, done.stored)

    return converge(store, plan, done, check_mode, asked)


def keep(store: Store, name: str, asked: Wanted, done: Done, check_mode: bool = False) -> Result:
    """Give an image of the store the attributes and aliases that are asked. Raises NoSuchImage if there is none."""

    def plan(contents: Contents) -> Plan:
        image = contents.named(name)
        if image is None:
            raise NoSuchImage(f"there is no image {name}", "Give an alias, or 12 and more digits.")
        image.require_kept()
        return settled(contents, image, asked, done.steps)

    return converge(store, plan, done, check_mode, asked)


def remove(store: Store, name: str, done: Done, check_mode: bool = False) -> Result:
    """Have no image of this name in the store."""
    return converge(store, lambda contents: absent(contents.named(name)), done, check_mode)


def converge(
    store: Store,
    plan_for: Callable[[Contents], Plan],
    done: Done,
    check_mode: bool = False,
    asked: Wanted | None = None,
) -> Result:
    """Carry out the plan for what the store holds; make it anew when somebody was quicker.

    Rights, and whether the server can have what is ``asked``, are checked before anything is written, and before it is
    said that there is no such image: a client without rights is shown public images only.
    """
    first: Plan | None = None
    overtaken: Overtaken | None = None
    for _round in range(ROUNDS):
        try:
            plan = plan_for(store.contents())
        except NoSuchImage:
            store.require_rights()
            raise
        first = first or plan
        if plan.says or plan.subject is None:
            store.require_rights()
        if plan.says:
            store.require_names(plan.new_aliases)
            if asked:
                store.require_possible(asked.profiles or (), bool(asked.public))
        if check_mode:
            return _foreseen(plan)
        try:
            if isinstance(plan.subject, Offer) and not _arrived(store, plan.subject, done):
                continue
            image = _carried_out(store, plan, done)
        except Overtaken as error:
            overtaken = error
            continue
        fingerprint = image.fingerprint if image else None
        raw = dict(image.raw) if image else None
        return Result(fingerprint, raw, done.actions, done.transferred, first.before, plan.after)
    raise ImageStoreError(
        f"the store changed {ROUNDS} times while this task was at work (the last time: {overtaken})",
        "Run it again when fewer others work on the same image and aliases.",
    )


def _arrived(store: Store, offer: Offer, done: Done) -> bool:
    """Bring what is on offer. False is: its type was not known before, so the plan has to be made anew with it."""
    try:
        arrival = offer.bring(store)
    except OperationFailed:
        # A cluster keeps what it could not hand on to all of its members (lxd/images.go, imageSyncBetweenNodes).
        if offer.fingerprint and store.holds(offer.fingerprint):
            done.stored = offer.fingerprint
        raise
    done.actions += offer.says
    done.transferred += arrival.transferred
    done.stored = offer.fingerprint = arrival.fingerprint
    return offer.type is not None


def _carried_out(store: Store, plan: Plan, done: Done) -> Image | None:
    """Do the steps of a plan; the image that it is about, as it is then, or as it was if it is gone."""
    subject = plan.subject
    fingerprint = subject.fingerprint if subject else None
    for step in plan.steps:
        step.do(store, fingerprint or "")
        done.steps.append(step)
        done.actions += step.says
    if isinstance(subject, Image) and (plan.removes or not plan.steps):
        return subject
    return store.image(fingerprint) if fingerprint else None


def _foreseen(plan: Plan) -> Result:
    """What a plan would do, for check mode."""
    subject = plan.subject
    if subject is None or isinstance(subject, Image):
        present, fingerprint = subject, subject.fingerprint if subject else None
    else:
        present, fingerprint = subject.replaces, subject.identify()
    image = dict(present.raw) if present else None
    return Result(fingerprint, image, list(plan.says), 0, plan.before, plan.after)

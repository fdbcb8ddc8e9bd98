# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One entry of a store on its way, and what becomes of several that are about one image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, Iterable, Sequence

from ..convergence import PlanFor, Progress, Result
from ..errors import ImageStoreError
from ..planning import Plan
from ..planning.desired_state import DesiredState
from ..sources import Offer, Outdating, Source


@dataclass
class Entry:
    """What an entry wants, what it is planned to do, and what came of it.

    ``attempt`` is what it does, as in "import web.tar.xz", and ``title`` what it is called, for messages. ``desired``
    None: its image is to be absent. ``make_plan`` makes the function that plans it for a desired state; ``source`` is
    where its image comes from, None if it has to be in the store; ``name`` is then the image's name there.
    """

    label: str
    title: str
    attempt: str
    desired: DesiredState | None
    make_plan: Callable[[DesiredState | None], PlanFor]
    progress: Progress
    source: Source | None = None
    name: str = ""
    plan: Plan | None = None
    result: Result | None = None
    error: ImageStoreError | None = None
    leader: Entry | None = None
    """The entry that does the work of this one, since both are about one image."""

    @property
    def offer(self) -> Offer | None:
        """The image that it has to bring, if it has to."""
        subject = self.plan.subject if self.plan else None
        return subject if isinstance(subject, Offer) else None

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of its image, None while it is not known."""
        if self.result:
            return self.result.fingerprint
        if self.leader:
            return self.leader.fingerprint
        subject = self.plan.subject if self.plan else None
        return subject.fingerprint if subject else None

    @property
    def identity(self) -> str | None:
        """What entries about one image have in common: its fingerprint, or until that is known, where it comes from."""
        if self.leader:
            return self.leader.identity
        offer = self.offer
        return self.fingerprint or ((offer.origin_key or self.attempt) if offer else None)

    @property
    def wanted(self) -> DesiredState | None:
        """The desired state, with the aliases that the source adds."""
        if self.desired is None or self.source is None:
            return self.desired
        return self.desired.add_aliases(self.source.aliases)

    @property
    def works(self) -> bool:
        """Whether it has something to do by itself: it has not failed, and no other entry does its work."""
        return self.error is None and self.leader is None

    @property
    def plan_for(self) -> PlanFor:
        """What to do, as a function of what the store holds; images that it replaces stay."""
        if self.desired is None:
            return self.make_plan(None)
        return self.make_plan(replace(self.desired, delete_replaced=False, delete_outdated=False))

    @property
    def plan_with_deletions(self) -> PlanFor:
        """What to do in the end, when nothing has failed: images that it replaces are deleted."""
        return self.make_plan(self.desired)

    @property
    def deletes(self) -> bool:
        """Whether it may have to delete images."""
        return self.desired is None or self.desired.delete_replaced or self.outdates

    @property
    def outdates(self) -> bool:
        """Whether its image takes the place of earlier ones."""
        wanted = self.desired is not None and self.desired.delete_outdated
        return wanted and isinstance(self.source, Outdating)

    @property
    def actions(self) -> list[str]:
        """What was done, or in check mode would be."""
        if self.leader:
            return []
        return self.result.actions if self.result else self.progress.actions

    def follow(self) -> None:
        """Take over what came of the leader, which has done all that there was to do."""
        if self.leader:
            self.error = self.leader.error
            result = self.leader.result
            if result:
                self.result = replace(
                    result, actions=[], transferred=0, before={}, after={}, would_transfer=0
                )


def follow_names(entries: Sequence[Entry]) -> None:
    """Let an entry that names an image by an alias which another entry brings be about the image of that one."""
    brings = {
        alias: entry
        for entry in reversed(entries)
        if entry.source and entry.desired
        for alias in entry.desired.aliases or ()
    }
    for entry in entries:
        if entry.name and entry.desired:
            entry.leader = brings.get(entry.name)


def unfollow(entries: Iterable[Entry]) -> list[Entry]:
    """The entries whose leaders have failed before anything was done: now they stand for themselves."""
    alone = [entry for entry in entries if entry.leader and entry.leader.error]
    for entry in alone:
        entry.leader = None
    return alone


def lead(entries: Iterable[Entry]) -> list[Entry]:
    """Let the first of several entries about one image do the work of all; those that got more to do by it."""
    groups: dict[tuple[str, bool], list[Entry]] = {}
    for entry in entries:
        if entry.identity and not entry.error:
            groups.setdefault((entry.identity, entry.desired is None), []).append(entry)
    leaders = []
    for group in groups.values():
        leader, *followers = sorted(group, key=lambda entry: entry.leader is not None)
        if not followers:
            continue
        for follower in followers:
            follower.leader = leader
        leader.desired = _together([leader, *followers])
        leaders.append(leader)
    return leaders


def _together(entries: Sequence[Entry]) -> DesiredState | None:
    """What all of them want of one image; they do not contradict each other."""
    whole, *others = (entry.wanted for entry in entries)
    for other in others:
        if whole and other:
            whole = whole.together_with(other)
    return whole

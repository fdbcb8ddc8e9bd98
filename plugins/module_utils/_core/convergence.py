# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The loop of every task: look, resolve, plan, apply; and again from look if the store changed meanwhile."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, ContextManager, Sequence

from .contents import Contents
from .errors import ConflictError, ImageNotFound, ImageStoreError, OperationFailed
from .images import Image
from .planning import Plan, diff
from .planning.images import plan_absent, plan_present
from .sources import Offer, Outdating
from .store_view import StoreView

if TYPE_CHECKING:
    from .planning.desired_state import DesiredState
    from .planning.steps import Step
    from .sources import Source
    from .store import Store
    from .store_view import Prefetch
    from .transfer_progress import Transfer, TransferRecorder

MAX_ROUNDS = 5
"""How often the store may change under a task before it gives up."""


@dataclass
class Progress:
    """What a task has done so far; it outlives a failure."""

    steps: list[Step] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    transferred: int = 0
    stored: str | None = None
    """The fingerprint of the image that was transferred, or is in the store although its transfer failed."""
    prefetch: Prefetch | None = None
    """The first look at the store, if it was started early."""
    name: str = ""
    """The name of the image in messages about its progress."""
    recorder: TransferRecorder | None = None
    """Records the transfer, if its progress is shown."""

    def next_view(self, store: Store) -> StoreView:
        """The view of the store for the next round."""
        prefetch, self.prefetch = self.prefetch, None
        return prefetch.result() if prefetch else StoreView(store)

    def recorded(self, size: int | None) -> ContextManager[Transfer | None]:
        """A transfer of ``size`` bytes (None if unknown) that is recorded while the context lasts, if it is to be."""
        return self.recorder.record(self.name, size) if self.recorder else nullcontext()


@dataclass(frozen=True)
class Result:
    """How a task ended. ``image`` is as the server describes it, or did before it was deleted; None: absent."""

    fingerprint: str | None
    image: dict[str, Any] | None
    actions: list[str]
    transferred: int
    before: dict[str, Any]
    after: dict[str, Any]
    arrives: bool = False
    """Whether its image was, or would be, transferred."""
    would_transfer: int | None = 0
    """Bytes of image data that a prediction expects to move; None if that is not known."""


PlanFor = Callable[[StoreView], Plan]
"""Makes the plan of a task for what the store holds."""


def planned_image(source: Source, desired: DesiredState, progress: Progress) -> PlanFor:
    """The plan that the store has the source's image in the desired state."""

    def plan(view: StoreView) -> Plan:
        view.likely_aliases = desired.aliases or ()
        # Once transferred, the image stays the subject, whatever the source offers by now.
        subject = view.by_fingerprint(progress.stored) or source.find(view)
        complete = desired.add_aliases(source.aliases)
        outdated = source.outdated(view, subject) if isinstance(source, Outdating) else ()
        contents = _relevant_contents(view, complete, progress)
        return plan_present(contents, subject, complete, progress.steps, progress.stored, outdated)

    return plan


def planned_attributes(name: str, desired: DesiredState, progress: Progress) -> PlanFor:
    """The plan that an image of the store has the desired state. Making it raises ImageNotFound if there is none."""

    def plan(view: StoreView) -> Plan:
        image = view.resolve(name)
        if image is None:
            raise view.not_found(name)
        image.require_not_cached()
        return plan_present(
            _relevant_contents(view, desired, progress), image, desired, progress.steps
        )

    return plan


def planned_absence(name: str) -> PlanFor:
    """The plan that the store has no image of this name."""
    return lambda view: plan_absent(view.resolve(name))


def _relevant_contents(view: StoreView, desired: DesiredState, progress: Progress) -> Contents:
    """The images that a plan has to know: those of its aliases, and those whose aliases this task has moved."""
    view.see(desired.aliases or ())
    if progress.steps:
        from .planning.steps import MoveAlias

        moved = (step.current for step in progress.steps if isinstance(step, MoveAlias))
        view.see(fingerprints=moved)
    return view.contents()


def converge(
    store: Store,
    plan_for: PlanFor,
    progress: Progress,
    check_mode: bool = False,
    desired: DesiredState | None = None,
    earlier: Sequence[Plan] = (),
) -> Result:
    """Carry out the plan for what the store holds; plan again if the store changed meanwhile.

    The client's rights, and whether the server supports what is desired, are checked before anything is written, and
    before an image is reported missing: a client without rights sees public images only. ``earlier`` are plans whose
    transfers are already done; they belong to the diff.
    """
    plans = list(earlier)
    conflict: ConflictError | None = None
    for _round in range(MAX_ROUNDS):
        try:
            plan = plan_for(progress.next_view(store))
        except ImageNotFound:
            from .access import VIEW_ALIASES, VIEW_IMAGES
            from .store_access import require_write_access

            require_write_access(store, (VIEW_IMAGES, VIEW_ALIASES))
            raise
        plans.append(plan)
        require_possible(store, plan, desired)
        if check_mode:
            return predict(plans)
        try:
            if isinstance(plan.subject, Offer) and not transfer(store, plan.subject, progress):
                continue
            image = _apply(store, plan, progress)
        except ConflictError as error:
            conflict = error
            if isinstance(plan.subject, Offer) and progress.stored is None:
                plans.pop()  # another client transferred the image
            continue
        fingerprint = image.fingerprint if image else None
        raw = dict(image.raw) if image else None
        before, after = diff(plans, fingerprint)
        return Result(fingerprint, raw, progress.actions, progress.transferred, before, after)
    raise ImageStoreError(
        f"the store changed {MAX_ROUNDS} times during this task (the last time: {conflict})",
        "Run the task again when fewer clients work on the same image and aliases.",
    )


def require_possible(store: Store, plan: Plan, desired: DesiredState | None) -> None:
    """Check the rights for a plan, and whether the server can have what is desired. Asks nothing for an empty plan."""
    if plan.subject and not plan.actions:
        return
    from .store_access import (
        require_profiles_and_visibility,
        require_valid_aliases,
        require_write_access,
    )

    require_write_access(store, plan.entitlements)
    if plan.actions:
        require_valid_aliases(store, plan.new_aliases)
        if desired:
            require_profiles_and_visibility(store, desired.profiles or (), bool(desired.public))


def transfer(store: Store, offer: Offer, progress: Progress) -> bool:
    """Transfer the image of an offer. False: its type was unknown before, so the plan has to be made again."""
    try:
        with progress.recorded(offer.size) as store.server.transfer:
            transferred = offer.transfer(store)
    except OperationFailed:
        # A cluster keeps what it could not hand on to all of its members (lxd/images.go, imageSyncBetweenNodes).
        if offer.fingerprint and store.has_image(offer.fingerprint):
            progress.stored = offer.fingerprint
        raise
    except ConflictError:
        raise
    except ImageStoreError:
        progress.stored = offer.stored
        raise
    finally:
        store.server.transfer = None
    progress.actions += offer.actions
    progress.transferred += transferred.transferred
    progress.stored = offer.fingerprint = transferred.fingerprint
    return offer.type is not None


def _apply(store: Store, plan: Plan, progress: Progress) -> Image | None:
    """Apply the steps of a plan. Returns its image as it is then, or as it was before it was deleted."""
    subject = plan.subject
    fingerprint = subject.fingerprint if subject else None
    for step in plan.steps:
        step.apply(store, fingerprint or "")
        progress.steps.append(step)
        progress.actions += step.actions
    if isinstance(subject, Image) and (plan.removes or not plan.steps):
        return subject
    return store.writer.current_image(fingerprint) if fingerprint else None


def predict(plans: Sequence[Plan]) -> Result:
    """What the last of these plans would do, for check mode."""
    plan = plans[-1]
    subject = plan.subject
    arrives = isinstance(subject, Offer)
    if isinstance(subject, Offer):
        present, fingerprint, size = subject.replaces, subject.identify(), subject.size
    else:
        present, fingerprint, size = subject, subject.fingerprint if subject else None, 0
    before, after = diff(plans, fingerprint)
    image = dict(present.raw) if present else None
    return Result(fingerprint, image, list(plan.actions), 0, before, after, arrives, size)

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides what to do. Pure: from what a store holds and what is desired to the steps between the two.

Check mode, diff and idempotency all come from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Sequence

from ..images import Image, short_fingerprint

if TYPE_CHECKING:
    from ..access import Entitlement
    from ..sources import Offer
    from .steps import Step


@dataclass(frozen=True)
class Plan:
    """The steps from the current to the desired state.

    ``subject`` is the image that the plan is about: one of the store, an offer to transfer it, or None if it is absent
    and should be. ``before`` and ``after`` are the managed values, for the diff; ``deleted`` are the images that the
    steps delete. ``removes`` tells that the subject is one of them.
    """

    subject: Image | Offer | None
    steps: tuple[Step, ...]
    before: dict[str, Any]
    after: dict[str, Any]
    deleted: tuple[Image, ...] = ()
    removes: bool = False

    @property
    def new_aliases(self) -> tuple[str, ...]:
        """The names of the aliases that it creates."""
        return tuple(step.new_alias for step in self.steps if step.new_alias)

    @property
    def entitlements(self) -> tuple[Entitlement, ...]:
        """What the client has to be allowed to do for it. That nothing is there can be told only with a view of all."""
        from ..access import VIEW_ALIASES, VIEW_IMAGES

        subject, fingerprint = self.subject, ""
        needed: list[Entitlement] = []
        if isinstance(subject, Image):
            fingerprint = subject.fingerprint
        else:
            needed += subject.entitlements if subject else (VIEW_IMAGES, VIEW_ALIASES)
        for step in self.steps:
            needed += step.entitlements(fingerprint)
        return tuple(dict.fromkeys(needed))

    @property
    def actions(self) -> tuple[str, ...]:
        """What it does, in order, as the task reports it."""
        transferred = (
            self.subject.actions if self.subject and not isinstance(self.subject, Image) else ()
        )
        return (*transferred, *(already_set for step in self.steps for already_set in step.actions))


NEW_IMAGE = "new image"
"""What an image is called in a diff while its fingerprint is not known."""


def diff(plans: Sequence[Plan], fingerprint: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The managed values before the first and after the last of these plans, which a task carries out in order.

    ``images`` has the deleted images in ``before``, and in ``after`` the transferred one, whose ``fingerprint`` is None
    while it is unknown. Sizes are in bytes.
    """
    before, after = dict(plans[0].before), dict(plans[-1].after)
    deleted = {image.fingerprint: image for plan in plans for image in plan.deleted}
    if deleted:
        before["images"] = {
            short_fingerprint(image.fingerprint): {
                "aliases": sorted(image.alias_names),
                "size": image.size,
            }
            for image in deleted.values()
        }
    offers = [
        plan.subject for plan in plans if plan.subject and not isinstance(plan.subject, Image)
    ]
    if offers:
        name = short_fingerprint(fingerprint) if fingerprint else NEW_IMAGE
        if "aliases" in after:
            # A fingerprint that only the transfer told is not in the plan.
            targets = after["aliases"].items()
            after["aliases"] = {
                alias: name if target == NEW_IMAGE else target for alias, target in targets
            }
        size = {} if offers[-1].size is None else {"size": offers[-1].size}
        after["images"] = {name: {**size, "route": offers[-1].route}}
    return before, after

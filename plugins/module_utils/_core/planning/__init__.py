# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides what to do. Pure: what the store holds and what is wanted go in, the steps between the two come out.

Check mode, diff and idempotency all come from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..images import Image

if TYPE_CHECKING:
    from ..sources import Offer
    from .steps import Step


@dataclass(frozen=True)
class Plan:
    """The way from what is to what is wanted.

    ``subject`` is the image that it is about: the one that is there, the offer to bring it, or None if there is none
    and none is wanted. ``before`` and ``after`` hold what the task manages, for people to compare. ``removes`` tells
    that the image is gone afterwards.
    """

    subject: Image | Offer | None
    steps: tuple[Step, ...]
    before: dict[str, Any]
    after: dict[str, Any]
    removes: bool = False

    @property
    def new_aliases(self) -> tuple[str, ...]:
        """The names of the aliases that it makes."""
        return tuple(step.new_alias for step in self.steps if step.new_alias)

    @property
    def actions(self) -> tuple[str, ...]:
        """All that it does, in order."""
        brought = (
            self.subject.actions if self.subject and not isinstance(self.subject, Image) else ()
        )
        return (*brought, *(said for step in self.steps for said in step.actions))

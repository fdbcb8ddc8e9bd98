# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which way an image takes: decided from known facts before anything moves, and never changed on the way."""

from __future__ import annotations

from typing import Callable, Mapping

from ..errors import OptionError

PULL, PUSH, RELAY = "pull", "push", "relay"

Barriers = Mapping[str, Callable[[], str]]
"""What bars each route, to be asked only if it matters; an empty answer is: nothing."""


def choose_route(mode: str, obstacles: Barriers, prefer_relay: bool = False) -> str:
    """The route for a ``mode``, which is one of them or ``auto``. Raises OptionError if it is barred.

    ``auto`` has the target fetch the image where it can, and streams it otherwise. It never pushes: that takes more
    than a pull on either side and brings nothing more.
    """
    if mode == "auto":
        return RELAY if prefer_relay or obstacles[PULL]() else PULL
    barred = obstacles[mode]()
    if barred:
        way_out = PULL if obstacles[RELAY]() else RELAY
        raise OptionError(
            f"mode: {mode} does not work here, since {barred}", f"Use mode: {way_out}."
        )
    return mode


def always_possible() -> str:
    """Nothing bars it."""
    return ""

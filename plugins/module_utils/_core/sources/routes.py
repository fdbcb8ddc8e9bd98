# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How an image is transferred: decided from known facts before the transfer, and never changed during it."""

from __future__ import annotations

from typing import Callable, Mapping

from ..errors import OptionError

PULL, PUSH, RELAY = "pull", "push", "relay"

Obstacles = Mapping[str, Callable[[], str]]
"""For each route a function that returns why it is not possible, or an empty text. Called only if needed."""


def choose_route(mode: str, obstacles: Obstacles, prefer_relay: bool = False) -> str:
    """The route for a ``mode``: one of the routes, or ``auto``. Raises OptionError if the route is not possible.

    ``auto`` pulls if possible, and relays otherwise. It never pushes, which has more requirements than a pull and no
    advantage.
    """
    if mode == "auto":
        return RELAY if prefer_relay or obstacles[PULL]() else PULL
    obstacle = obstacles[mode]()
    if obstacle:
        alternative = PULL if obstacles[RELAY]() else RELAY
        raise OptionError(
            f"mode: {mode} is not possible, because {obstacle}", f"Use mode: {alternative}."
        )
    return mode


def always_possible() -> str:
    """No obstacle."""
    return ""

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can go wrong on a line, and when it does."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from .requestlog import Request


class Direction(Enum):
    """Which way bytes go: ``UP`` from client to server, ``DOWN`` from server to client."""

    UP = "up"
    DOWN = "down"


class Action(Enum):
    """What a fault does to the connection that it strikes."""

    CUT = "cut"  # both ends see it closed
    RESET = "reset"  # the same, without a goodbye (on TCP)
    STALL = "stall"  # nothing goes on in this direction, and nothing is closed
    DRIP = "drip"  # one byte at a time goes on
    CORRUPT = "corrupt"  # one byte is changed, the rest goes on


@dataclass(eq=False)
class Fault:
    """A fault that waits for a connection: it lets ``after`` bytes pass, and strikes at the next.

    Bytes are counted per connection, from the moment on when the fault was armed. ``times`` says
    how many connections it strikes, ``None`` all of them.
    """

    action: Action
    direction: Direction
    after: int = 0
    times: int | None = 1
    interval: float = 1.0  # seconds between the bytes of a drip
    struck: int = 0
    over: bool = False
    counts: Counter[int] = field(default_factory=Counter)


@dataclass(eq=False)
class Hold:
    """Keeps the first request that ``matches``, and what comes after it on its connection, from the server."""

    matches: Callable[[Request], bool]
    reached: bool = False  # whether there was such a request
    over: bool = False

    def takes(self, request: Request) -> bool:
        """Whether this is that request."""
        if self.reached or self.over or not self.matches(request):
            return False
        self.reached = True
        return True


class Faults:
    """The faults of a proxy. Safe to use from several threads."""

    def __init__(self) -> None:
        self._armed: list[Fault] = []
        self._holds: list[Hold] = []
        self._changed = threading.Condition()

    def arm(self, fault: Fault) -> Fault:
        """Have a fault wait for connections from now on."""
        with self._changed:
            self._armed.append(fault)
        return fault

    def hold(self, hold: Hold) -> Hold:
        """Have a hold wait for its request from now on."""
        with self._changed:
            self._holds.append(hold)
        return hold

    def heal(self) -> None:
        """End all faults: what is stalled, held or drips goes on as usual."""
        with self._changed:
            for fault in self._armed:
                fault.over = True
            for hold in self._holds:
                hold.over = True
            self._armed.clear()
            self._holds.clear()
            self._changed.notify_all()

    def wake(self) -> None:
        """Have all that ``wait`` look at their conditions again."""
        with self._changed:
            self._changed.notify_all()

    def wait(self, done: Callable[[], bool], seconds: float | None = None) -> None:
        """Wait until it is done, or for so many seconds."""
        with self._changed:
            self._changed.wait_for(done, seconds)

    def holding(self, request: Request) -> Hold | None:
        """What keeps this request from the server."""
        with self._changed:
            return next((hold for hold in self._holds if hold.takes(request)), None)

    def admit(self, link: int, direction: Direction, length: int) -> tuple[int, Fault | None]:
        """Of ``length`` bytes of a connection: how many may pass, and the fault that comes then."""
        with self._changed:
            waiting = [
                fault
                for fault in self._armed
                if fault.direction is direction
                and (fault.times is None or fault.struck < fault.times)
                and fault.counts[link] >= 0
            ]
            room, striking = length, None
            for fault in waiting:
                left = fault.after - fault.counts[link]
                if left < room:
                    room, striking = left, fault
            for fault in waiting:
                fault.counts[link] += room
            if striking is not None:
                striking.struck += 1
                striking.counts[link] = -1  # it strikes a connection only once
            return room, striking

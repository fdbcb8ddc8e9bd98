# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The end of a task's time."""

from __future__ import annotations

import socket
import threading
import time
import weakref
from typing import Callable

from .errors import TimedOut


class Deadline:
    """The moment at which a task must have ended, shared by all that it waits for.

    ``clock`` counts seconds. The sockets under its guard are shut down when it passes: a server that sends a byte a
    second would otherwise outlive every timeout, since those count from the last byte.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end = clock() + seconds
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._timer: threading.Timer | None = None

    @property
    def passed(self) -> bool:
        """Whether it is over."""
        return self._clock() >= self._end

    def left(self) -> float:
        """Seconds left, more than none. Raises TimedOut."""
        left = self._end - self._clock()
        if left <= 0:
            raise self.error()
        return left

    def error(self) -> TimedOut:
        """What to raise when it has passed."""
        return TimedOut(
            f"the {self.seconds:g} seconds of this task are over",
            "Raise timeout if it needs longer.",
        )

    def guard(self, sock: socket.socket) -> None:
        """Shut this socket down when the deadline passes."""
        self._sockets.add(sock)
        if self._timer is None:
            seconds = min(max(self._end - self._clock(), 0), threading.TIMEOUT_MAX)
            self._timer = threading.Timer(seconds, self._shut_down)
            self._timer.daemon = True
            self._timer.start()

    def _shut_down(self) -> None:
        for sock in list(self._sockets):
            try:
                # Not sock.shutdown(): that of a TLS socket first drops the state which its reader is using.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                # It is closed already, which is all that is wanted.
                continue

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The end of a task's time."""

from __future__ import annotations

import socket
import threading
import time
import weakref
from typing import Callable, Iterator, TypeVar

from .errors import TimedOut

T = TypeVar("T")


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
            f"timed out after {self.seconds:g} seconds",
            "Increase timeout if the task needs longer.",
        )

    def call(self, function: Callable[[], T], patience: float = 0) -> T:
        """Call a function that may block without end, such as a read from an unreachable file server.

        It runs in a thread, which is abandoned ``patience`` seconds after the deadline. Raises what the function does,
        and TimedOut.
        """
        results: list[T] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                results.append(function())
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.join(thread, patience)
        if errors:
            raise errors[0]
        return results[0]

    def join(self, thread: threading.Thread, patience: float = 0) -> None:
        """Wait for a thread, until ``patience`` seconds after the deadline. Raises TimedOut."""
        thread.join(min(self.left() + patience, threading.TIMEOUT_MAX))
        if thread.is_alive():
            raise self.error()

    def iterate(self, items: Iterator[T]) -> Iterator[T]:
        """The items of an iterator that may block without end, as in ``call``. Raises TimedOut.

        The thread reads one item ahead, and ends if the consumer does.
        """
        from queue import Empty, Full, Queue

        # (item, None) for each, then (None, what ended it).
        queue: Queue[tuple[T | None, BaseException | None]] = Queue(1)
        unwanted = threading.Event()

        def put(entry: tuple[T | None, BaseException | None]) -> bool:
            while not unwanted.is_set():
                try:
                    queue.put(entry, timeout=1)
                except Full:
                    continue
                return True
            return False

        def run() -> None:
            end: BaseException = StopIteration()
            try:
                for item in items:
                    if not put((item, None)):
                        return
            except BaseException as error:
                end = error
            put((None, end))

        threading.Thread(target=run, daemon=True).start()
        try:
            while True:
                try:
                    item, end = queue.get(timeout=min(self.left(), threading.TIMEOUT_MAX))
                except Empty:
                    raise self.error() from None
                if isinstance(end, StopIteration):
                    return
                if end:
                    raise end
                yield item  # type: ignore[misc]
        finally:
            unwanted.set()

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

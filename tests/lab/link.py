# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One connection through a proxy: a client, a server, and a way to end both at any moment."""

from __future__ import annotations

import select
import socket
import struct
import threading
from contextlib import suppress

from .faults import Direction
from .plaintext import RequestReader

_BLOCK = 256 * 1024


class Link:
    """Two sockets, used by two threads: one for each direction. The last to leave closes them."""

    def __init__(self, number: int, client: socket.socket, server: socket.socket) -> None:
        self.number = number
        self.closed = False
        self.reader = RequestReader()
        self._ends = {Direction.UP: (client, server), Direction.DOWN: (server, client)}
        # Neither thread may be stuck in a call when the other one closes: they wait for this, too.
        self._alarm, self._bell = socket.socketpair()
        self._lock = threading.Lock()
        self._users = 2
        for end in (client, server):
            end.setblocking(False)

    def receive(self, direction: Direction) -> bytes:
        """The next bytes that come; none when there are no more."""
        source = self._ends[direction][0]
        while self._ready(source, select.POLLIN):
            with suppress(BlockingIOError):
                return source.recv(_BLOCK)
        return b""

    def send(self, direction: Direction, data: bytes) -> None:
        """Pass bytes on; nothing where the link is closed."""
        target = self._ends[direction][1]
        view = memoryview(data)
        while view and self._ready(target, select.POLLOUT):
            with suppress(BlockingIOError):
                view = view[target.send(view) :]

    def finish(self, direction: Direction) -> None:
        """Tell the other end that no more will come."""
        with suppress(OSError):
            self._ends[direction][1].shutdown(socket.SHUT_WR)

    def close(self, *, reset: bool = False) -> None:
        """End both connections."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
            for end in self._ends[Direction.UP]:
                with suppress(OSError):
                    if not reset:
                        end.shutdown(socket.SHUT_RDWR)
                    elif end.family != socket.AF_UNIX:
                        # Closed like this, it sends a reset.
                        linger = struct.pack("ii", 1, 0)
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._bell.close()

    def leave(self) -> bool:
        """Say that one of the two threads is through; ``True`` for the last one."""
        with self._lock:
            self._users -= 1
            if self._users:
                return False
        self.closed = True
        for end in (*self._ends[Direction.UP], self._alarm, self._bell):
            end.close()
        return True

    def _ready(self, end: socket.socket, event: int) -> bool:
        """Wait until one can read or write; ``False`` when the link was closed meanwhile."""
        if self.closed:
            return False
        poll = select.poll()
        poll.register(end, event)
        poll.register(self._alarm, select.POLLIN)
        poll.poll()
        return not self.closed

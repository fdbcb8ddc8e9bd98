# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A proxy that puts faults between a client and a real server, on TCP and on Unix sockets."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from .addresses import free_host
from .errors import LabError
from .faults import Action, Direction, Fault, Faults, Hold
from .link import Link
from .requestlog import Request

UP = Direction.UP
DOWN = Direction.DOWN


class Proxy:
    """Passes bytes between clients and ``target``: a URL, or the path of a Unix socket.

    Clients find it at ``url`` or ``socket``. TLS goes through untouched, so the server's own
    certificate is what they see. It works while it is used as a context manager.

    A fault lets ``after`` bytes of a connection pass, in its direction and since it was armed, and
    strikes at the next one; ``times`` is the number of connections it strikes, ``None`` all. More
    than one can be armed. ``heal`` ends them all.
    """

    def __init__(self, target: str | Path) -> None:
        self._target = target
        self._folder: Path | None = None
        self._faults = Faults()
        self._links: list[Link] = []
        self._lock = threading.Lock()
        self._closing = False
        self._threads: list[threading.Thread] = []
        self._requests: list[Request] = []
        self._plain = True
        self.latency = 0.0  #: seconds that each block of bytes is held back, in both directions
        self.passed = {UP: 0, DOWN: 0}  #: bytes passed on
        self.connections = 0  #: connections accepted

    def __enter__(self) -> Proxy:
        if isinstance(self._target, Path):
            self._folder = Path(tempfile.mkdtemp(prefix="lab-proxy-", dir="/tmp"))
            self.socket = self._folder / "unix.socket"
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(self.socket))
        else:
            parts = urlsplit(self._target)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise LabError(f"a proxy's target is a URL or the Path of a socket: {self._target}")
            self._plain = parts.scheme == "http"
            self._listener = socket.socket()
            self._listener.bind((free_host(), 0))
            host, port = self._listener.getsockname()
            self.address = f"{host}:{port}"
            self.url = parts._replace(netloc=self.address).geturl()
        self._listener.listen(128)
        self._spawn(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._faults.heal()
        self.drop()
        for thread in self._threads:
            thread.join(5)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    # Faults

    def cut(
        self, after: int, direction: Direction = UP, *, times: int | None = 1, reset: bool = False
    ) -> Fault:
        """Close connections, on TCP with ``reset`` by a reset."""
        action = Action.RESET if reset else Action.CUT
        return self._faults.arm(Fault(action, direction, after, times))

    def stall(self, after: int, direction: Direction = UP, *, times: int | None = 1) -> Fault:
        """Pass nothing more in this direction, and close nothing, until ``heal``."""
        return self._faults.arm(Fault(Action.STALL, direction, after, times))

    def drip(
        self,
        after: int,
        direction: Direction = UP,
        *,
        times: int | None = 1,
        interval: float = 1.0,
    ) -> Fault:
        """Pass one byte every ``interval`` seconds, until ``heal``."""
        return self._faults.arm(Fault(Action.DRIP, direction, after, times, interval))

    def corrupt(self, after: int, direction: Direction = UP, *, times: int | None = 1) -> Fault:
        """Change one byte. Over TLS this ends the connection, else only a digest tells."""
        return self._faults.arm(Fault(Action.CORRUPT, direction, after, times))

    def hold(self, matches: Callable[[Request], bool]) -> Hold:
        """Keep the next request that ``matches`` from the server, until ``heal``. It cannot be encrypted."""
        return self._faults.hold(Hold(matches))

    def heal(self) -> None:
        """End all faults and the latency: what is stalled, held or drips goes on as usual."""
        self.latency = 0.0
        self._faults.heal()

    def drop(self) -> None:
        """Close all connections that are open now."""
        with self._lock:
            links = list(self._links)
        for link in links:
            self._close(link)

    @property
    def requests(self) -> list[Request]:
        """The requests that were passed on, in order; none where they are encrypted."""
        with self._lock:
            return list(self._requests)

    # The threads: one accepts, and each connection has one for each direction.

    def _spawn(self, run: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        thread.start()
        self._threads = [*filter(threading.Thread.is_alive, self._threads), thread]

    def _accept(self) -> None:
        while not self._closing:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            try:
                server = self._connect()
            except OSError:
                client.close()  # as the server's own machine would refuse it
                continue
            with self._lock:
                self.connections += 1
                link = Link(self.connections, client, server)
                self._links.append(link)
            self._spawn(self._pump, link, UP)
            self._spawn(self._pump, link, DOWN)

    def _connect(self) -> socket.socket:
        if isinstance(self._target, Path):
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._target))
            return server
        parts = urlsplit(self._target)
        port = parts.port or (80 if self._plain else 443)
        return socket.create_connection((parts.hostname or "", port), timeout=60)

    def _pump(self, link: Link, direction: Direction) -> None:
        try:
            while data := link.receive(direction):
                if self.latency:
                    self._faults.wait(lambda: link.closed, self.latency)
                self._pass(link, direction, data)
            link.finish(direction)
        except OSError:
            self._close(link)
        if link.leave():
            with self._lock:
                self._links.remove(link)

    def _pass(self, link: Link, direction: Direction, data: bytes) -> None:
        while data and not link.closed:
            room, fault = self._faults.admit(link.number, direction, len(data))
            self._send(link, direction, data[:room])
            data = data[room:]
            if fault is None:
                continue
            if fault.action in (Action.CUT, Action.RESET):
                self._close(link, reset=fault.action is Action.RESET)
            elif fault.action is Action.STALL:
                self._hold(link, fault)
            elif fault.action is Action.CORRUPT:
                self._send(link, direction, bytes([data[0] ^ 0xFF]))
                data = data[1:]
            else:
                self._drip(link, direction, data, fault)
                data = b""

    def _drip(self, link: Link, direction: Direction, data: bytes, fault: Fault) -> None:
        """Pass bytes one by one, those at hand and those to come, until the fault is over."""
        while data:
            while data and not fault.over:
                self._hold(link, fault, fault.interval)
                self._send(link, direction, data[:1])
                data = data[1:]
            self._send(link, direction, data)
            data = b"" if fault.over else link.receive(direction)

    def _hold(self, link: Link, fault: Fault | Hold, seconds: float | None = None) -> None:
        """Wait until the fault is over or the link is closed, or for so many seconds."""
        self._faults.wait(lambda: fault.over or link.closed, seconds)

    def _close(self, link: Link, *, reset: bool = False) -> None:
        link.close(reset=reset)
        self._faults.wake()  # the other direction may be held

    def _send(self, link: Link, direction: Direction, data: bytes) -> None:
        requests = link.reader.feed(data) if direction is UP and self._plain else []
        for request in requests:
            if hold := self._faults.holding(request):
                self._hold(link, hold)
        link.send(direction, data)
        with self._lock:
            self.passed[direction] += len(data)
            self._requests += requests

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP over a Unix socket, by the standard library alone: requests takes longer to import than most tasks take."""

from __future__ import annotations

import http.client
import socket
from typing import TYPE_CHECKING, Any, Mapping

from ..errors import ConnectionFailed, ImageStoreError
from .causes import error_text
from .response import Headers, Response, StrictResponse

if TYPE_CHECKING:
    from ..deadline import Deadline
    from .body import Body, Stream

CONNECT_SECONDS = 20
"""How long a server may be too busy to accept a connection."""

_SEND_BUFFER_BYTES = 4 << 20
_SO_SNDBUFFORCE = 32
"""``SO_SNDBUFFORCE`` of Linux (``asm-generic/socket.h``), which Python does not name."""


class UnixSocketClient:
    """Sends requests to the server behind ``address``, as in ``unix:///path/of/socket``.

    A connection is used again once the body of its response was read to the end. Threads may share a client.
    """

    errors = (http.client.HTTPException, OSError, ValueError)

    def __init__(self, address: str, deadline: Deadline) -> None:
        self._path = "/" + address[len("unix:") :].lstrip("/")
        self._deadline = deadline
        self._idle: list[_Connection] = []

    def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | Body | Stream | None,
        patience: float,
    ) -> Response:
        """Send a request; see ``HttpClient``."""
        length = getattr(body, "len", None)
        # Of a Body, parts of files remain parts of files.
        pieces = getattr(body, "pieces", None)
        given = {**headers, "Content-Length": str(length)} if length else dict(headers)
        connection = self._connection()
        try:
            connection.set_patience(patience)
            try:
                connection.request(method, target, pieces() if pieces else body, given)
            except (BrokenPipeError, ConnectionResetError):
                # A server that refuses a request need not read its body, but responds.
                connection.is_reusable = False
            received = connection.getresponse()
        except BaseException:
            connection.close()
            raise
        return self._response(connection, received)

    def explain(self, error: Exception, cause: BaseException) -> ImageStoreError | None:
        """What errors mean that only this kind of connection has; see ``HttpClient``."""
        return None

    def _connection(self) -> _Connection:
        """A connection that the server has kept open, or a new one. Raises ConnectionFailed."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return _Connection(self._path, self._deadline)
            if connection.is_open:
                return connection
            connection.close()

    def _response(self, connection: _Connection, received: http.client.HTTPResponse) -> Response:
        unused = [connection]

        def close() -> None:
            if unused:
                released = unused.pop()
                if received.isclosed() and released.is_reusable and released.sock is not None:
                    self._idle.append(released)
                else:
                    received.close()
                    released.close()

        headers = Headers(received.headers.get_all)
        return Response(received.status, received.reason, headers, received.read, close)


class _Connection(http.client.HTTPConnection):
    """A connection to a Unix socket. Files are sent with sendfile."""

    response_class = StrictResponse
    is_reusable = True

    def __init__(self, path: str, deadline: Deadline) -> None:
        super().__init__("unix.socket")
        self._path = path
        self._deadline = deadline

    @property
    def is_open(self) -> bool:
        """Whether the server has neither closed it nor sent what nobody asked for."""
        self.sock.settimeout(0)
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def set_patience(self, seconds: float) -> None:
        """Set how long the server may keep silent, and connect if need be. Raises ConnectionFailed."""
        if self.sock is None:
            self.connect()
        self.sock.settimeout(seconds)

    def connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(min(self._deadline.left(), CONNECT_SECONDS))
        try:
            sock.connect(self._path)
        except OSError as error:
            sock.close()
            raise ConnectionFailed(
                f"cannot connect to the socket {self._path}: {error_text(error)}", _hint(error)
            ) from error
        _enlarge_send_buffer(sock)
        self.sock = sock
        self._deadline.guard(sock)

    def send(self, data: Any) -> None:
        if isinstance(data, (bytes, bytearray, memoryview)):
            super().send(data)
        elif self.sock.sendfile(data.file, data.start, data.size) != data.size:
            raise data.shrunk()


def _enlarge_send_buffer(sock: socket.socket) -> None:
    """Let the server lag behind by some megabytes: an upload then takes a tenth less time to be sent."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _SEND_BUFFER_BYTES)
    except OSError:
        # Only root may exceed the limit of the system, below which it makes no difference.
        return


def _hint(error: OSError) -> str:
    """What to do about a socket that takes no connection."""
    if isinstance(error, FileNotFoundError):
        return "Is the server installed and running, and is this the host it runs on?"
    if isinstance(error, PermissionError):
        return "Run the task as root (become: true) or as a member of the server's group."
    if isinstance(error, ConnectionRefusedError):
        return (
            "The server behind this socket is not running. Start it: snap start lxd,"
            " systemctl start lxd or systemctl start incus"
        )
    return ""

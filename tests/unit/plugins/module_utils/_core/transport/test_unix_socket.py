# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import threading
from contextlib import suppress

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.deadline import Deadline
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import (
    ConnectionFailed,
    FileError,
    TimedOut,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.transport import Transport
from ansible_collections.imagestore.lxd.plugins.module_utils._core.transport.body import (
    Body,
    Segment,
    Stream,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Peer:
    """A server at a Unix socket that answers each request as its script says.

    ``answers`` has the bytes for each request, in order; None closes the connection, and so does the word "close" in an
    answer. ``connections`` counts them, and ``received`` has the bytes of each request. A request ends with ``end``;
    nothing of it is read unless ``reads``.
    """

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, "socket")
        self.answers: list[bytes | None] = []
        self.received: list[bytes] = []
        self.connections = 0
        self.end = b"\r\n\r\n"
        self.reads = True
        self.has_closed = threading.Event()
        self._held: list[socket.socket] = []
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(self.path)
        self._listening.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def transport(self, seconds: float = 30, stall: float | None = None) -> Transport:
        return Transport(f"unix://{self.path}", Deadline(seconds), stall=stall)

    def says_more(self) -> None:
        """Send on the first connection what nobody has asked for."""
        self._held[0].sendall(OK)

    def close(self) -> None:
        for sock in (self._listening, *self._held):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listening.accept()[0]
            except OSError:
                return
            self.connections += 1
            self._held.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            while self._reply(connection):
                pass
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()
        self.has_closed.set()

    def _reply(self, connection: socket.socket) -> bool:
        request = b""
        while self.reads and not request.endswith(self.end):
            some = connection.recv(1 << 16)
            if not some:
                return False
            request += some
        self.received.append(request)
        answer = self.answers.pop(0) if self.answers else None
        connection.sendall(answer or b"")
        return self.reads and answer is not None and b"close" not in answer


@pytest.fixture
def peer():
    # Not in tmp_path, whose path may be too long for a socket.
    folder = tempfile.mkdtemp()
    made = Peer(folder)
    yield made
    made.close()
    shutil.rmtree(folder)


def read(transport: Transport, path: str = "/") -> bytes:
    return bytes(transport.read(transport.send("GET", path), 1000))


class TestConnection:
    def test_is_used_again_once_a_response_was_read(self, peer):
        peer.answers = [OK, OK, OK]
        transport = peer.transport()
        assert [read(transport) for _number in range(3)] == [b"ok"] * 3
        assert peer.connections == 1

    def test_is_used_again_after_a_response_without_a_body(self, peer):
        peer.answers = [b"HTTP/1.1 204 No Content\r\n\r\n", OK]
        transport = peer.transport()
        assert [read(transport) for _number in range(2)] == [b"", b"ok"]
        assert peer.connections == 1

    def test_is_not_used_again_while_a_response_is_being_read(self, peer):
        peer.answers = [OK, OK]
        transport = peer.transport()
        first = transport.send("GET", "/")
        assert read(transport) == b"ok"
        assert bytes(transport.read(first, 10)) == b"ok"
        assert peer.connections == 2

    def test_is_closed_with_a_response_that_was_not_read(self, peer):
        peer.answers = [OK, OK]
        transport = peer.transport()
        response = transport.send("GET", "/")
        response.close()
        response.close()
        assert read(transport) == b"ok"
        assert peer.connections == 2

    @pytest.mark.parametrize("header", [b"Connection: close\r\n", b"X-Said: close\r\n"])
    def test_that_the_server_has_closed_is_replaced(self, peer, header):
        peer.answers = [OK.replace(b"\r\n\r\n", b"\r\n" + header + b"\r\n"), OK]
        transport = peer.transport()
        assert read(transport) == b"ok"
        assert peer.has_closed.wait(30)
        assert read(transport) == b"ok"
        assert peer.connections == 2

    def test_on_which_something_else_has_arrived_is_replaced(self, peer):
        peer.answers = [OK, OK]
        transport = peer.transport()
        assert read(transport) == b"ok"
        peer.says_more()
        assert read(transport) == b"ok"
        assert peer.connections == 2


class TestRequest:
    def test_has_the_path_and_query_as_they_are_given(self, peer):
        peer.answers = [OK]
        transport = peer.transport()
        transport.read(transport.send("GET", "/1.0/%2E%2E", {"project": "a b/ü"}), 10)
        line = peer.received[0].partition(b"\r\n")[0]
        assert line == b"GET /1.0/%2E%2E?project=a+b%2F%C3%BC HTTP/1.1"

    def test_can_have_a_json_body(self, peer):
        peer.answers, peer.end = [OK], b"}"
        transport = peer.transport()
        transport.read(transport.send("POST", "/", json={"a": "ü"}), 10)
        head, _gap, body = peer.received[0].partition(b"\r\n\r\n")
        assert b"\r\nContent-Type: application/json" in head
        assert f"\r\nContent-Length: {len(body)}".encode() in head
        assert body == b'{"a": "\\u00fc"}'

    def test_can_have_files_as_its_body(self, peer, tmp_path):
        (tmp_path / "file").write_bytes(b"1234")
        peer.answers, peer.end = [OK], b">"
        with open(tmp_path / "file", "rb", buffering=0) as file:
            body = Body([b"<", Segment(file, 4), b">"], "text/plain")
            transport = peer.transport()
            transport.read(transport.send("POST", "/", body=body), 10)
        head, _gap, sent = peer.received[0].partition(b"\r\n\r\n")
        assert sent == b"<1234>"
        assert b"\r\nContent-Length: 6" in head

    def test_with_a_file_that_became_shorter_fails(self, peer, tmp_path):
        (tmp_path / "file").write_bytes(b"123")
        peer.end = b"1234"
        with open(tmp_path / "file", "rb", buffering=0) as file:
            body = Body([Segment(file, 4)], "text/plain")
            with pytest.raises(FileError, match="became shorter"):
                peer.transport().send("POST", "/", body=body)

    @pytest.mark.parametrize(
        ("length", "sent"), [(4, b"1234"), (None, b"2\r\n12\r\n2\r\n34\r\n0\r\n\r\n")]
    )
    def test_can_have_a_stream_as_its_body(self, peer, length, sent):
        peer.answers, peer.end = [OK], sent
        transport = peer.transport()
        stream = Stream([b"12", b"34"], "text/plain", length)
        transport.read(transport.send("POST", "/", body=stream), 10)
        assert peer.received[0].endswith(b"\r\n\r\n" + sent)

    def test_that_is_refused_before_its_body_was_read_has_its_response(self, peer):
        peer.reads = False
        peer.answers = [b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nclose"]
        body = Body([b"x" * (1 << 20)] * 8, "text/plain")
        assert peer.transport().send("POST", "/", body=body).status_code == 413


class TestResponse:
    def test_has_its_headers_by_names_in_any_case(self, peer):
        peer.answers = [b"HTTP/1.1 200 Fine\r\nA-b: 1\r\na-B: 2\r\nContent-Length: 0\r\n\r\n"]
        response = peer.transport().send("GET", "/")
        assert response.reason == "Fine"
        assert response.headers.get("a-b") == "1, 2"
        assert response.headers.values("A-B") == ["1", "2"]
        assert response.headers.get("other") is None

    def test_can_come_in_chunks(self, peer):
        peer.answers = [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"
        ]
        assert read(peer.transport()) == b"abc"

    @pytest.mark.parametrize(
        ("answer", "said"),
        [
            (b"Content-Length: 9\r\n\r\nclose", "closed the connection after 5 of 9 bytes"),
            (
                b"Transfer-Encoding: chunked\r\n\r\n5\r\nclose\r\n5\r\nab",
                "closed the connection after",
            ),
            (b"Transfer-Encoding: chunked\r\n\r\n-1\r\nclose", "a chunk of -1 bytes"),
        ],
    )
    def test_that_breaks_off_is_an_error(self, peer, answer, said):
        peer.answers = [b"HTTP/1.1 200 OK\r\n" + answer]
        with pytest.raises(ConnectionFailed, match=said):
            read(peer.transport())

    @pytest.mark.parametrize(
        ("answer", "said"),
        [(None, "closed connection without response"), (b"what is this\r\nclose", "what is this")],
    )
    def test_that_is_none_is_an_error(self, peer, answer, said):
        peer.answers = [answer]
        with pytest.raises(ConnectionFailed, match=f"{peer.path} failed: .*{said}"):
            read(peer.transport())

    @pytest.mark.parametrize("begun", [b"HTTP/1.1 200", OK[:-1]])
    def test_that_stalls_is_an_error(self, peer, begun):
        peer.answers = [begun]
        with pytest.raises(ConnectionFailed, match=r"has not responded for 0\.1 seconds"):
            read(peer.transport(stall=0.1))

    @pytest.mark.parametrize("begun", [b"HTTP/1.1 200", OK[:-1]])
    def test_does_not_outlive_the_deadline(self, peer, begun):
        peer.answers = [begun]
        with pytest.raises(TimedOut):
            read(peer.transport(0.1))

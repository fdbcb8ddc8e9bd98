# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import io
import socket

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core import transport
from ansible_collections.imagestore.lxd.plugins.module_utils._core.deadline import Deadline
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import (
    ConnectionFailed,
    FileError,
    TimedOut,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.transport import (
    BLOCK,
    Body,
    Segment,
    Transport,
    Verification,
    url_path,
)


@pytest.fixture
def silent():
    """The address of somebody who takes connections and says nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"https://127.0.0.1:{listening.getsockname()[1]}"


class TestAServerThatKeepsSilent:
    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch):
        monkeypatch.setattr(transport.sockets, "CONNECT_SECONDS", 0.1)

    @pytest.mark.parametrize("seconds", [60, 10**12])
    def test_is_not_waited_for_until_the_deadline(self, silent, seconds):
        with pytest.raises(ConnectionFailed, match=f"{silent} takes the connection and then keeps"):
            Transport(silent, Deadline(seconds), Verification(validate=False)).send("GET", "/")

    def test_is_given_up_when_the_deadline_has_passed(self, silent):
        with pytest.raises(TimedOut, match=r"the 0\.05 seconds of this task are over"):
            Transport(silent, Deadline(0.05), Verification(validate=False)).send("GET", "/")


class TestBody:
    def test_is_its_parts_one_after_the_other(self):
        content = bytes(range(256)) * 9000
        body = Body([b"<", Segment(io.BytesIO(content), len(content)), b">"], "text/plain")
        assert body.len == len(content) + 2
        assert b"".join(body) == b"<" + content + b">"

    def test_hands_files_on_in_blocks(self):
        segment = Segment(io.BytesIO(b"x" * (BLOCK + 1)), BLOCK + 1)
        assert [len(block) for block in segment.blocks()] == [BLOCK, 1]

    def test_can_be_sent_again(self):
        body = Body([Segment(io.BytesIO(b"abc"), 3)], "text/plain")
        assert b"".join(body) == b"".join(body) == b"abc"

    def test_a_file_that_becomes_shorter_is_an_error(self):
        with pytest.raises(FileError, match="became shorter"):
            list(Segment(io.BytesIO(b"abc"), 4).blocks())


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("web", "web"),
        ("alpine/3.20", "alpine%2F3%2E20"),
        ("..", "%2E%2E"),
        ("a b?c#d%e", "a%20b%3Fc%23d%25e"),
        ("größe", "gr%C3%B6%C3%9Fe"),
    ],
)
def test_a_name_stays_one_part_of_the_path(name, quoted):
    assert url_path("/1.0/images/aliases/{}", name) == f"/1.0/images/aliases/{quoted}"

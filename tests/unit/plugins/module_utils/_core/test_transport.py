# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import io
import socket
import ssl
import subprocess
import threading
from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.deadline import Deadline
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import (
    ConnectionFailed,
    FileError,
    TimedOut,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.transport import (
    BLOCK,
    Transport,
    sockets,
    url_path,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.transport.body import (
    Body,
    Segment,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.transport.certificate_dates import (
    why_not_valid_now,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.transport.proxies import (
    proxy_for,
    shown_proxy,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.transport.verification import (
    Verification,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def silent():
    """The address of a server that accepts connections and never responds."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"https://127.0.0.1:{listening.getsockname()[1]}"


class TestSilentServer:
    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch):
        monkeypatch.setattr(sockets, "CONNECT_SECONDS", 0.1)

    @pytest.mark.parametrize("seconds", [60, 10**12])
    def test_is_not_awaited_until_the_deadline(self, silent, seconds):
        with pytest.raises(ConnectionFailed, match=f"{silent} accepts the connection and does not"):
            Transport(silent, Deadline(seconds), Verification(validate=False)).send("GET", "/")

    def test_is_abandoned_after_the_deadline(self, silent):
        with pytest.raises(TimedOut, match=r"timed out after 0\.05 seconds"):
            Transport(silent, Deadline(0.05), Verification(validate=False)).send("GET", "/")


def test_a_name_that_is_not_resolved_in_time_does_not_keep_the_task(monkeypatch):
    end = threading.Event()
    numeric = socket.getaddrinfo

    def slow(host, *arguments, **options):
        if options.get("flags"):
            return numeric(host, *arguments, **options)
        end.wait(600)
        raise OSError("too late")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with pytest.raises(TimedOut):
        Transport("https://slow.example", Deadline(0.1)).send("GET", "/")
    monkeypatch.setattr(sockets, "CONNECT_SECONDS", 0.1)
    with pytest.raises(ConnectionFailed, match=r"slow\.example was not resolved within"):
        Transport("https://slow.example", Deadline(60)).send("GET", "/")
    end.set()


class TestProxies:
    @pytest.fixture(autouse=True)
    def _variables(self, monkeypatch):
        for name in ("http_proxy", "https_proxy", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.setenv("https_proxy", "proxy.example:3128")

    @pytest.mark.parametrize(
        "host",
        ["localhost", "LOCALHOST.", "127.0.0.1", "127.99.3.4", "[::1]", "[::ffff:127.0.0.1]"],
    )
    def test_are_not_used_for_this_host(self, host):
        assert proxy_for(f"https://{host}:8443") is None

    @pytest.mark.parametrize("host", ["lxd.example", "10.0.0.1", "localhost.example", "[fd42::1]"])
    def test_are_used_for_others(self, host):
        assert proxy_for(f"https://{host}:8443") == "http://proxy.example:3128"

    def test_are_chosen_by_the_scheme_of_the_server(self):
        assert proxy_for("http://images.example") is None

    def test_are_shown_without_credentials(self):
        assert shown_proxy("http://me:pw@proxy:3128") == "http://proxy:3128"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dates")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]
    command += ["-nodes", "-days", "10", "-subj", "/CN=x", "-keyout", folder / "key"]
    subprocess.run([*command, "-out", folder / "crt"], check=True, capture_output=True)
    return ssl.PEM_cert_to_DER_cert((folder / "crt").read_text())


class TestCertificateDates:
    @pytest.mark.parametrize(
        ("days", "said"), [(0, ""), (9, ""), (11, "expired on 2"), (-1, "is not valid before 2")]
    )
    def test_are_read_of_any_certificate(self, certificate, days, said):
        now = datetime.now(timezone.utc) + timedelta(days=days)
        found = why_not_valid_now(certificate, now)
        assert found.startswith(said)
        assert bool(found) is bool(said)

    def test_are_compared_with_the_present_otherwise(self, certificate):
        assert why_not_valid_now(certificate) == ""

    @given(st.data())
    def test_are_left_out_where_they_cannot_be_read(self, certificate, data):
        spoiled = bytearray(certificate)
        for _number in range(data.draw(st.integers(1, 8))):
            at = data.draw(st.integers(0, len(spoiled) - 1))
            spoiled[at] = data.draw(st.integers(0, 255))
        assert isinstance(why_not_valid_now(bytes(spoiled[: data.draw(st.integers(0, 500))])), str)


class TestBody:
    def test_consists_of_its_parts_in_order(self):
        content = bytes(range(256)) * 9000
        body = Body([b"<", Segment(io.BytesIO(content), len(content)), b">"], "text/plain")
        assert body.len == len(content) + 2
        assert b"".join(body) == b"<" + content + b">"

    def test_reads_files_in_blocks(self):
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
def test_a_name_is_a_single_segment_of_the_path(name, quoted):
    assert url_path("/1.0/images/aliases/{}", name) == f"/1.0/images/aliases/{quoted}"

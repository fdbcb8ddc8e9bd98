# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections: sockets, proxies, client configurations, wrong addresses, timeouts."""

from __future__ import annotations

import json
import lzma
import os
import re
import ssl
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from hostile import Answer, Hostile

from lab import (
    DOWN,
    UP,
    Authority,
    ConnectProxy,
    Image,
    KeyPair,
    Proxy,
    Server,
    build_image,
    build_large,
    client_certificate,
    client_config,
)
from runner import Modules, files, timed_out


class TestBehindAProxy:
    """Pins and authorities apply to the server, not to the proxy, and no proxy is used for this host."""

    @pytest.fixture
    def proxy(self, lxd: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[ConnectProxy]:
        for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        with ConnectProxy({"lxd.example": lxd.url.removeprefix("https://")}) as proxy:
            monkeypatch.setenv("https_proxy", proxy.url)
            yield proxy

    def test_a_server_is_pinned_by_its_certificate_or_its_fingerprint(
        self, lxd: Server, tls: Modules, proxy: ConnectProxy
    ) -> None:
        there = tls.with_options(server="https://lxd.example")
        there.done("lxd_image_info")
        pin = lxd.certificate_fingerprint
        there.without("server_cert").with_options(server_cert_fingerprint=pin).done(
            "lxd_image_info"
        )
        assert set(proxy.asked) == {"lxd.example:8443"}

    def test_a_wrong_pin_is_detected(
        self, lxd: Server, other: Server, tls: Modules, proxy: ConnectProxy
    ) -> None:
        there = tls.with_options(server="https://lxd.example", server_cert=str(other.certificate))
        assert "does not match" in there.fails("lxd_image_info")
        wrong = there.without("server_cert").with_options(server_cert_fingerprint="0" * 64)
        assert f"shows the certificate {lxd.certificate_fingerprint}, not" in wrong.fails(
            "lxd_image_info"
        )

    def test_an_authority_verifies_the_name_of_the_server_not_the_proxy(
        self, authority: Authority, pair: KeyPair, proxy: ConnectProxy
    ) -> None:
        given = {
            "server_cert": str(authority.certificate),
            "client_cert": str(pair.certificate),
            "client_key": str(pair.key),
        }
        signed = authority.issue("proxied", "signed.example")
        with Hostile(signed) as site:
            for name in ("signed.example", "other.example"):
                proxy.hosts[name] = site.url.removeprefix("https://")
            fits = Modules(server="https://signed.example", **given).fails("lxd_image_info")
            differs = Modules(server="https://other.example", **given).fails("lxd_image_info")
        # The connection works; the response is not LXD's.
        assert "which is not LXD's API" in fits
        assert "it is for another host name" in differs
        assert len(site.requests) == 1

    def test_a_web_server_is_verified_by_url_ca_path(
        self, modules: Modules, authority: Authority, image: Image, proxy: ConnectProxy
    ) -> None:
        signed = authority.issue("site", "images.example")
        with Hostile(signed) as site:
            proxy.hosts["images.example"] = site.url.removeprefix("https://")
            site.answers["/web"] = Answer(body=image.metadata.read_bytes())
            source = {"url": "https://images.example/web", "fingerprint": image.fingerprint}
            ca = {"url_ca_path": str(authority.certificate)}
            assert modules.done("lxd_image_import", **source, **ca).actions == ["relay"]

    @pytest.mark.parametrize(
        ("variables", "uses_it"),
        [
            ({"HTTPS_PROXY": "{}"}, True),
            ({"https_proxy": "{}", "no_proxy": "lxd.example"}, False),
            ({"https_proxy": "{}", "NO_PROXY": ".example"}, False),
        ],
    )
    def test_the_variables_are_respected_in_either_case(
        self,
        tls: Modules,
        proxy: ConnectProxy,
        monkeypatch: pytest.MonkeyPatch,
        variables: dict[str, str],
        uses_it: bool,
    ) -> None:
        monkeypatch.delenv("https_proxy")
        for name, value in variables.items():
            monkeypatch.setenv(name, value.format(proxy.url))
        there = tls.with_options(server="https://lxd.example", timeout=5)
        assert there.run("lxd_image_info").failed is not uses_it
        assert bool(proxy.asked) is uses_it

    def test_no_proxy_is_used_for_this_host(
        self, lxd: Server, tls: Modules, modules: Modules, proxy: ConnectProxy
    ) -> None:
        tls.done("lxd_image_info")
        modules.done("lxd_image_info")
        for host in ("localhost", "[::1]"):
            msg = tls.with_options(server=f"https://{host}:9").fails("lxd_image_info")
            assert f"cannot connect to https://{host}:9" in msg
        assert proxy.asked == []

    def test_the_error_of_a_broken_proxy_does_not_contain_its_password(
        self, tls: Modules, proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        msg = tls.with_options(server="https://unknown.example").fails("lxd_image_info")
        assert (
            f"the connection to https://unknown.example:8443 through the proxy {proxy.url}" in msg
        )
        assert "502" in msg
        monkeypatch.setenv("https_proxy", "http://me:hunter2@127.0.0.1:9")
        msg = tls.with_options(server="https://lxd.example").fails("lxd_image_info")
        assert (
            "cannot connect to the proxy http://127.0.0.1:9 (for https://lxd.example:8443)" in msg
        )
        assert "https_proxy" in msg
        assert "hunter2" not in msg


class TestClientConfiguration:
    @pytest.fixture
    def config(self, lxd: Server, other: Server, tmp_path: Path) -> str:
        return str(client_config(tmp_path / "lxc", [lxd, other]).folder)

    def test_is_sufficient_to_connect_to_a_remote(
        self, lxd: Server, other: Server, config: str, image: Image
    ) -> None:
        Modules(remote="two", config_dir=config).import_image(image)
        assert set(other.images()) == {image.fingerprint}
        assert lxd.images() == {}

    def test_selects_the_project_of_the_remote(
        self, other: Server, config: str, image: Image
    ) -> None:
        other.run("project", "create", "site")
        path = Path(config, "config.yml")
        path.write_text(path.read_text().replace("project: default", "project: site"))
        Modules(remote="two", config_dir=config).import_image(image)
        assert set(other.images("site")) == {image.fingerprint}
        Modules(remote="two", config_dir=config, project="default").import_image(image)
        assert set(other.images()) == {image.fingerprint}

    def test_has_the_client_certificate_for_a_url_as_well(self, lxd: Server, config: str) -> None:
        pin = lxd.certificate_fingerprint
        Modules(server=lxd.url, server_cert_fingerprint=pin, config_dir=config).done(
            "lxd_image_info"
        )

    def test_without_that_remote_lists_the_existing_ones(self, config: str) -> None:
        msg = Modules(remote="three", config_dir=config).fails("lxd_image_info")
        assert "there is no remote three" in msg
        assert "one, two" in msg

    def test_rejects_an_image_server_as_the_target(self, config: str) -> None:
        msg = Modules(remote="images", config_dir=config).fails("lxd_image_info")
        assert "the remote images is an image server (simplestreams)" in msg


class TestLocalServer:
    def test_is_found_without_options(self, lxd: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in lxd.environment.items():
            monkeypatch.setenv(name, value)
        assert Modules().done("lxd_image_info")["images"] == []

    def test_that_does_not_exist_is_a_clear_error(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        msg = Modules(server=f"unix://{tmp_path}/unix.socket").fails("lxd_image_info")
        assert (
            f"cannot connect to the socket {tmp_path}/unix.socket: No such file or directory" in msg
        )

    def test_that_was_stopped_is_a_clear_error(self, lxd: Server, modules: Modules) -> None:
        lxd.kill()
        try:
            assert (
                "Connection refused. The server behind this socket is not running"
                in modules.fails("lxd_image_info")
            )
        finally:
            lxd.start()

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("server_cert_fingerprint", "0" * 64),
            ("server_cert", "/etc/hosts"),
            ("trust_token", "some-secret"),
            ("validate_certs", False),
        ],
    )
    def test_does_not_mind_the_options_of_a_remote_one(
        self, modules: Modules, option: str, value: object
    ) -> None:
        assert modules.done("lxd_image_info", **{option: value})["images"] == []


IMPORTED_LATE = {
    "requests",
    "urllib3",
    "access",
    "client_config",
    "dialect",
    "downloads",
    "operations",
    "planning.steps",
    "store_access",
    "store_writer",
    "tokens",
    "transport.body",
    "transport.network",
    "transport.verification",
}
"""What an unchanged task over a Unix socket has no use for. Each import costs time in every task."""


class TestWithoutRequests:
    """The modules in processes of their own, in which the library requests cannot be imported."""

    @pytest.fixture(autouse=True)
    def _no_requests(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "requests.py").write_text("raise ImportError('no requests here')")
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))

    @staticmethod
    def start(module: str, options: dict[str, object]) -> subprocess.CompletedProcess[str]:
        plugin = f"ansible_collections.imagestore.lxd.plugins.modules.{module}"
        return subprocess.run(
            [sys.executable, "-X", "importtime", "-m", plugin],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": options}),
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, module: str, /, **options: object) -> dict[str, Any]:
        outcome: dict[str, Any] = json.loads(self.start(module, options).stdout)
        return outcome

    def imported_by(self, module: str, options: dict[str, object]) -> set[str]:
        """The modules that a task imports, those of the library without ``….module_utils._core``."""
        told = self.start(module, options).stderr
        names = re.findall(r"^import time: .*\| +(\S+)$", told, re.MULTILINE)
        return {name.rpartition("._core.")[2] for name in names}

    @pytest.mark.families("lxd")
    def test_the_error_names_the_package(self) -> None:
        msg = self.run("lxd_image_info", server="https://127.0.0.1:1", validate_certs=False)["msg"]
        assert "(requests)" in msg
        assert "apt install python3-requests" in msg

    def test_images_are_imported_and_copied_over_unix_sockets(
        self, lxd: Server, other: Server, tmp_path: Path
    ) -> None:
        """The third run changes nothing: it imports nothing that is needed for changes, for TLS or for errors only."""
        socket, other_socket = (f"unix://{server.socket}" for server in (lxd, other))
        image = build_image("split", tmp_path)
        tasks: list[tuple[str, dict[str, object]]] = [
            ("lxd_image_import", {"server": socket, "aliases": ["web"], **files(image)}),
            (
                "lxd_image_copy",
                {
                    "server": other_socket,
                    "source_server": socket,
                    "image": "web",
                    "aliases": ["web"],
                },
            ),
            ("lxd_image", {"server": other_socket, "name": "web", "public": True}),
        ]
        for module, options in tasks:
            results = [self.run(module, **options) for _time in range(2)]
            assert [result.get("changed") for result in results] == [True, False], results
            imported = self.imported_by(module, options)
            assert imported >= {"store_view", "transport.unix_socket"}
            assert imported.isdisjoint(IMPORTED_LATE), imported & IMPORTED_LATE


class TestWrongAddress:
    def test_without_a_listener_is_a_clear_error(self, tls: Modules) -> None:
        msg = tls.with_options(server="https://127.0.0.1:9").fails("lxd_image_info")
        assert "cannot connect to https://127.0.0.1:9: Connection refused" in msg
        assert "lxc config set core.https_address :8443" in msg

    def test_that_does_not_exist_is_a_clear_error(self, tls: Modules) -> None:
        msg = tls.with_options(server="https://lxd.invalid").fails("lxd_image_info")
        assert "cannot connect to https://lxd.invalid:8443: " in msg

    @pytest.mark.parametrize("module", ["lxd_image_copy", "lxd_image_info"])
    def test_of_an_image_server_without_a_protocol_names_the_option(
        self, modules: Modules, website: str, tmp_path: Path, module: str
    ) -> None:
        source = {"source_server": "https://127.0.0.1:9"}
        image = {"image": "alpine/3.23"} if module == "lxd_image_copy" else {}
        suggestion = "set source_protocol=simplestreams"
        assert suggestion in modules.fails(module, **image, **source)
        assert suggestion not in modules.fails(module, **image, **source, source_protocol="lxd")
        certificate = client_certificate(tmp_path, "site")
        with serve_website(certificate) as url:
            pin = {"source_cert": str(certificate.certificate)}
            assert suggestion in modules.fails(module, **image, source_server=url, **pin)
        with_path = {"source_server": "https://images.example.com/releases"}
        assert "source_protocol=simplestreams" in modules.fails(module, **image, **with_path)

    def test_that_speaks_no_tls_is_a_clear_error(self, tls: Modules, website: str) -> None:
        msg = tls.with_options(server=website.replace("http:", "https:")).fails("lxd_image_info")
        assert "the connection to https://127.0.0.1" in msg

    def test_of_a_website_is_a_clear_error(self, tls: Modules, tmp_path: Path) -> None:
        certificate = client_certificate(tmp_path, "site")
        with serve_website(certificate) as url:
            given = tls.with_options(server=url, server_cert=str(certificate.certificate))
            msg = given.fails("lxd_image_info")
        assert "responds with text/html (HTTP status 200), which is not LXD's API" in msg

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ('{"type": "sync", "metadata": null}', "no description of itself"),
            (
                '{"type": "sync", "metadata": [{"fingerprint": 5, "size": "?"}]}',
                "no description of its images",
            ),
            ('{"type": "sync", "metadata": ["/1.0"]}', "no list of its images"),
            ("[" * 100_000, "text/html that is not valid JSON: it is nested too deeply"),
            ('{"type": "error", "error": ["?"]}', "says: ['?']"),
        ],
    )
    def test_of_another_api_is_a_clear_error(
        self, tls: Modules, tmp_path: Path, content: str, said: str
    ) -> None:
        certificate = client_certificate(tmp_path, "site")
        with serve_website(certificate, content) as url:
            given = tls.with_options(server=url, server_cert=str(certificate.certificate))
            assert said in given.fails("lxd_image_info")
            source = {"source_server": url, "source_cert": str(certificate.certificate)}
            assert url in tls.fails("lxd_image_copy", image="x", **source)


class TestTimeout:
    """Applies whatever the server does, and the message says what happens to the operation."""

    @pytest.mark.parametrize("fault", ["stall", "drip"])
    def test_ends_the_wait_for_an_answer(self, lxd: Server, fault: str) -> None:
        with Proxy(lxd.socket) as proxy:
            getattr(proxy, fault)(20, DOWN)
            msg = Modules(server=f"unix://{proxy.socket}", timeout=2).fails("lxd_image_info")
        assert "timed out after 2 seconds" in msg

    def test_ends_an_upload(self, lxd: Server, tmp_path: Path) -> None:
        image = build_large(tmp_path, 16 << 20)
        with Proxy(lxd.socket) as proxy:
            proxy.stall(4 << 20, UP)
            msg = Modules(server=f"unix://{proxy.socket}", timeout=2).import_fails(image)
        assert "timed out after 2 seconds" in msg
        assert lxd.images() == {}

    def test_ends_the_wait_for_an_operation_that_continues(
        self, lxd: Server, modules: Modules, tmp_path: Path
    ) -> None:
        image = slow_image(tmp_path / "slow.tar.xz")
        msg = timed_out(
            lambda seconds: modules.import_fails(image, timeout=seconds), "seconds; operation "
        )
        assert "cannot be canceled and goes on" in msg
        assert "the next run will find the image" in msg
        modules.import_image(image, aliases=["slow"])
        assert len(lxd.images()) == 1

    def test_is_a_number_of_seconds(self, modules: Modules, tls: Modules) -> None:
        assert "timeout is 0" in modules.fails("lxd_image_info", timeout=0)
        # Longer than the timeout of a socket or a thread can be.
        for given in (modules, tls):
            given.done("lxd_image_info", timeout=10**12)


def slow_image(path: Path) -> Path:
    """A small image that keeps a server busy for some seconds: its metadata comes after gigabytes of zeros."""
    blocks, block = 24, 64 << 20
    large = tarfile.TarInfo("rootfs/zeros")
    large.size = blocks * block
    metadata = tarfile.TarInfo("metadata.yaml")
    content = b"architecture: x86_64\ncreation_date: 1700000000\n"
    metadata.size = len(content)
    with path.open("wb") as file:
        # Concatenated xz streams are a valid xz file.
        file.write(lzma.compress(large.tobuf()))
        file.write(lzma.compress(bytes(block), preset=0) * blocks)
        file.write(lzma.compress(metadata.tobuf() + content.ljust(512, b"\0") + bytes(1024)))
    return path


@pytest.fixture
def website() -> Iterator[str]:
    """A website without TLS."""
    with serve_website() as url:
        yield url


WELCOME = "<!DOCTYPE html><title>Welcome</title>"


@contextmanager
def serve_website(certificate: KeyPair | None = None, content: str = WELCOME) -> Iterator[str]:
    """A website on this machine, with TLS if there is a certificate."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.certificate, certificate.key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}"
        server.shutdown()

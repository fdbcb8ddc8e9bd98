# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections: sockets, TLS, pins, certificates, tokens, client configurations, projects, timeouts."""

from __future__ import annotations

import json
import lzma
import os
import re
import ssl
import stat
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from copies import Copies, add_to_source
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
from runner import Modules, files


@pytest.fixture
def pair(tmp_path: Path) -> KeyPair:
    return client_certificate(tmp_path / "pair")


@pytest.fixture
def tls(lxd: Server, pair: KeyPair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Modules:
    """The modules with a client certificate that the server trusts, and with the server's certificate pinned."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    lxd.trust(pair.certificate)
    return Modules().over_tls(lxd, pair)


def with_options(modules: Modules, *names: str, **others: object) -> Modules:
    """The same modules without some options, and with other ones."""
    kept = {name: value for name, value in modules.defaults.items() if name not in names}
    return Modules(**{**kept, **others})


class TestTls:
    @pytest.mark.parametrize("kind", ["tar.gz", "split"])
    def test_transfers_an_image(
        self, lxd: Server, tls: Modules, build: Callable[..., Image], kind: str
    ) -> None:
        image = build(kind)
        assert tls.import_image(image, aliases=["web"]).actions == ["upload", "add alias web"]
        assert set(lxd.images()) == {image.fingerprint}
        assert not tls.import_image(image, aliases=["web"])["changed"]

    def test_accepts_a_pinned_fingerprint_in_any_notation(self, lxd: Server, tls: Modules) -> None:
        digits = lxd.certificate_fingerprint
        colons = ":".join(digits[at : at + 2] for at in range(0, 64, 2)).upper()
        for pin in (digits, colons):
            with_options(tls, "server_cert", server_cert_fingerprint=pin).done("lxd_image_info")

    def test_with_a_pin_does_not_check_the_name(self, lxd: Server, tls: Modules) -> None:
        # The certificate is valid for 127.0.0.1, not for the address of the server.
        assert "127.0.0.1:" not in lxd.url
        tls.done("lxd_image_info")

    def test_with_a_wrong_fingerprint_is_refused(self, lxd: Server, tls: Modules) -> None:
        mark = lxd.mark()
        msg = with_options(tls, "server_cert", server_cert_fingerprint="0" * 64).fails(
            "lxd_image_info"
        )
        assert f"shows the certificate {lxd.certificate_fingerprint}, not {'0' * 64}" in msg
        assert lxd.requests(mark) == []

    def test_with_another_servers_certificate_is_refused(
        self, lxd: Server, other: Server, tls: Modules
    ) -> None:
        msg = with_options(tls, server_cert=str(other.certificate)).fails("lxd_image_info")
        assert f"shows a certificate that {other.certificate} does not match" in msg

    def test_without_a_pin_requires_an_authority(self, lxd: Server, tls: Modules) -> None:
        msg = with_options(tls, "server_cert").fails("lxd_image_info")
        assert f"{lxd.url} shows a certificate that this host does not trust" in msg
        assert "Set server_cert" in msg

    def test_is_not_verified_with_validate_certs_false(self, tls: Modules) -> None:
        with_options(tls, "server_cert", validate_certs=False).done("lxd_image_info")
        msg = with_options(tls, validate_certs=False).fails("lxd_image_info")
        assert "validate_certs=false cannot be used with server_cert" in msg

    def test_works_with_an_ipv6_address(self, lxd: Server, tls: Modules) -> None:
        lxd.run("config", "set", "core.https_address", "[::1]:58443")
        try:
            here = with_options(tls, server="https://[::1]:58443/")
            here.done("lxd_image_info")
            # The name is checked only with an authority; a server's own certificate is valid for ::1 anyway.
            with_options(
                here, "server_cert", server_cert_fingerprint=lxd.certificate_fingerprint
            ).done("lxd_image_info")
        finally:
            lxd.run("config", "set", "core.https_address", lxd.url.removeprefix("https://"))


class TestAuthority:
    """A server whose certificate is signed by a private authority."""

    @pytest.fixture
    def authority(self, tmp_path: Path) -> Authority:
        return Authority(tmp_path / "authority")

    @pytest.fixture
    def signed(self, authority: Authority) -> Iterator[Server]:
        with Server("signed") as server:
            pair = authority.issue("server", server.url.split("/")[2].split(":")[0])
            for name, path in (("crt", pair.certificate), ("key", pair.key)):
                (server.directory / f"server.{name}").write_bytes(path.read_bytes())
            server.restart()
            yield server

    def test_verifies_the_server_and_its_name(
        self, signed: Server, authority: Authority, pair: KeyPair
    ) -> None:
        signed.trust(pair.certificate)
        certs = {"client_cert": str(pair.certificate), "client_key": str(pair.key)}
        Modules(server=signed.url, server_cert=str(authority.certificate), **certs).done(
            "lxd_image_info"
        )
        with Proxy(signed.url) as elsewhere:
            msg = Modules(
                server=elsewhere.url, server_cert=str(authority.certificate), **certs
            ).fails("lxd_image_info")
            assert "it is for another host name" in msg
            own = Modules(server=elsewhere.url, server_cert=str(signed.certificate), **certs)
            own.done("lxd_image_info")


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
        there = with_options(tls, server="https://lxd.example")
        there.done("lxd_image_info")
        pin = lxd.certificate_fingerprint
        with_options(there, "server_cert", server_cert_fingerprint=pin).done("lxd_image_info")
        assert set(proxy.asked) == {"lxd.example:8443"}

    def test_a_wrong_pin_is_detected(
        self, lxd: Server, other: Server, tls: Modules, proxy: ConnectProxy
    ) -> None:
        there = with_options(tls, server="https://lxd.example", server_cert=str(other.certificate))
        assert "does not match" in there.fails("lxd_image_info")
        wrong = with_options(there, "server_cert", server_cert_fingerprint="0" * 64)
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
        there = with_options(tls, server="https://lxd.example", timeout=5)
        assert there.run("lxd_image_info").failed is not uses_it
        assert bool(proxy.asked) is uses_it

    def test_no_proxy_is_used_for_this_host(
        self, lxd: Server, tls: Modules, modules: Modules, proxy: ConnectProxy
    ) -> None:
        tls.done("lxd_image_info")
        modules.done("lxd_image_info")
        for host in ("localhost", "[::1]"):
            msg = with_options(tls, server=f"https://{host}:9").fails("lxd_image_info")
            assert f"cannot connect to https://{host}:9" in msg
        assert proxy.asked == []

    def test_the_error_of_a_broken_proxy_does_not_contain_its_password(
        self, tls: Modules, proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        msg = with_options(tls, server="https://unknown.example").fails("lxd_image_info")
        assert (
            f"the connection to https://unknown.example:8443 through the proxy {proxy.url}" in msg
        )
        assert "502" in msg
        monkeypatch.setenv("https_proxy", "http://me:hunter2@127.0.0.1:9")
        msg = with_options(tls, server="https://lxd.example").fails("lxd_image_info")
        assert (
            "cannot connect to the proxy http://127.0.0.1:9 (for https://lxd.example:8443)" in msg
        )
        assert "https_proxy" in msg
        assert "hunter2" not in msg


class TestUntrustedClient:
    def test_gets_an_error_with_a_solution(self, lxd: Server, tls: Modules, image: Image) -> None:
        lxd.run("config", "trust", "remove", lxd.trusted()[0])
        msg = tls.import_fails(image)
        assert "does not trust the client certificate" in msg
        assert "trust_token" in msg
        assert lxd.images() == {}

    @pytest.mark.parametrize("module", ["lxd_image_import", "lxd_image_copy"])
    def test_gets_that_error_if_the_task_needs_the_servers_architecture(
        self, lxd: Server, tls: Modules, module: str
    ) -> None:
        lxd.run("config", "trust", "remove", lxd.trusted()[0])
        source = {
            "lxd_image_import": {"url": "https://images.invalid/web"},
            "lxd_image_copy": {
                "image": "web",
                "source_server": "https://images.invalid",
                "source_protocol": "simplestreams",
            },
        }[module]
        msg = tls.fails(module, **source)
        assert f"{lxd.url} does not trust the client certificate" in msg
        assert "trust_token" in msg

    def test_without_a_certificate_is_told_to_set_one(
        self, lxd: Server, tls: Modules, image: Image
    ) -> None:
        msg = with_options(tls, "client_cert", "client_key").import_fails(image)
        assert "trusts only clients with a certificate, and this task uses none" in msg

    def test_becomes_trusted_by_a_token_once(self, lxd: Server, tls: Modules, image: Image) -> None:
        lxd.run("config", "trust", "remove", lxd.trusted()[0])
        token = lxd.token("me")
        given = with_options(tls, trust_token=token)
        assert "does not trust this client yet" in given.import_fails(image, check=True)
        assert "does not trust this client yet" in given.fails("lxd_image_info")
        assert lxd.trusted() == []
        first = given.import_image(image)
        assert first.actions == ["trust this client", "upload"]
        assert token not in str(first)
        assert not given.import_image(image)["changed"]
        lxd.run("config", "trust", "remove", lxd.trusted()[0])
        msg = given.import_fails(image)
        assert "did not accept trust_token" in msg
        assert "A token can be used once and for a limited time" in msg

    @pytest.mark.parametrize("validate", [True, False])
    def test_needs_no_pin_beside_a_token_even_once_it_is_used_up(
        self, lxd: Server, tls: Modules, image: Image, validate: bool
    ) -> None:
        lxd.run("config", "trust", "remove", lxd.trusted()[0])
        token = lxd.token("me")
        given = with_options(tls, "server_cert", validate_certs=validate, trust_token=token)
        assert given.import_image(image).actions == ["trust this client", "upload"]
        assert not given.import_image(image)["changed"]

    @pytest.mark.parametrize("pin", ["server_cert", "server_cert_fingerprint", "validate_certs"])
    def test_sends_its_token_to_no_server_but_the_one_that_issued_it(
        self, lxd: Server, other: Server, tls: Modules, image: Image, pin: str
    ) -> None:
        lxd.run("config", "trust", "remove", lxd.trusted()[0])
        pins = {
            "server_cert": str(lxd.certificate),
            "server_cert_fingerprint": lxd.certificate_fingerprint,
            "validate_certs": False,
        }
        token = other.token("me")
        given = with_options(tls, "server_cert", **{pin: pins[pin]}, trust_token=token)
        mark = lxd.mark()
        msg = given.import_fails(image)
        assert f"{lxd.url} shows the certificate {lxd.certificate_fingerprint}" in msg
        assert f"the server with the certificate {other.certificate_fingerprint}" in msg
        assert token not in msg
        assert lxd.requests(mark) == []

    def test_needs_a_pin_beside_a_trust_password(
        self, lxd: Server, tls: Modules, image: Image
    ) -> None:
        mark = lxd.mark()
        given = with_options(tls, "server_cert", validate_certs=False, trust_token="secret")
        assert "trust_token contains no fingerprint" in given.import_fails(image)
        assert lxd.requests(mark) == []

    def test_gets_an_error_if_its_token_has_expired(
        self, lxd: Server, tls: Modules, image: Image
    ) -> None:
        lxd.run("config", "trust", "remove", lxd.trusted()[0])
        lxd.run("config", "set", "core.remote_token_expiry", "1S")
        try:
            token = lxd.token("late")
        finally:
            lxd.run("config", "unset", "core.remote_token_expiry")
        time.sleep(1)
        msg = with_options(tls, trust_token=token).import_fails(image)
        assert "did not accept trust_token" in msg
        assert "A token can be used once and for a limited time, this one until 20" in msg
        assert lxd.trusted() == []

    @pytest.mark.parametrize("spoil", ["cut", "nonsense"])
    def test_gets_an_error_if_its_token_is_invalid(
        self, lxd: Server, tls: Modules, image: Image, spoil: str
    ) -> None:
        lxd.run("config", "trust", "remove", lxd.trusted()[0])
        token = {"cut": lxd.token("me")[:-20], "nonsense": "Open, sesame!"}[spoil]
        msg = with_options(tls, trust_token=token).import_fails(image)
        assert "did not accept trust_token" in msg
        assert "It does not look like a token" in msg
        assert token not in msg
        assert (lxd.trusted(), lxd.images()) == ([], {})

    @pytest.mark.families("lxd")
    def test_becomes_trusted_by_the_trust_password_of_an_older_lxd(
        self, lxd: Server, tls: Modules, image: Image
    ) -> None:
        if lxd.is_lxd_since(5, 21):
            pytest.skip("this LXD has no core.trust_password any more")
        lxd.run("config", "trust", "remove", lxd.trusted()[0])
        lxd.run("config", "set", "core.trust_password", "secret")
        try:
            given = with_options(tls, trust_token="secret")
            assert given.import_image(image).actions == ["trust this client", "upload"]
        finally:
            lxd.run("config", "unset", "core.trust_password")


class TestRestrictedClient:
    @pytest.fixture
    def restricted(self, lxd: Server, tls: Modules) -> Modules:
        """The modules of a client restricted to the project ``site``; ``default`` has an image ``web``."""
        lxd.run("project", "create", "site")
        lxd.run("config", "trust", "remove", lxd.trusted()[0])
        lxd.trust(Path(tls.defaults["client_cert"]), projects="site")
        return tls

    # Incus also shows it the images of other projects.
    @pytest.mark.families("lxd")
    @pytest.mark.parametrize("shares", [False, True])
    def test_lists_of_all_projects_what_it_may_see(
        self,
        lxd: Server,
        modules: Modules,
        restricted: Modules,
        build: Callable[..., Image],
        shares: bool,
    ) -> None:
        inside, outside = build(), build()
        modules.import_image(inside, project="site")
        modules.import_image(outside)
        seen = {(inside.fingerprint, "site")}
        if shares:
            # This project has the images of default.
            lxd.run("project", "create", "sharing", "-c", "features.images=false")
            client = f"/1.0/certificates/{lxd.trusted()[0]}"
            known = lxd.api("GET", client)
            lxd.api("PUT", client, {**known, "projects": ["site", "sharing"]})
            seen.add((outside.fingerprint, "default"))
        listed = restricted.done("lxd_image_info", all_projects=True)["images"]
        assert {(image["fingerprint"], image["project"]) for image in listed} == seen

    def test_can_manage_its_project(
        self, lxd: Server, other: Server, restricted: Modules, image: Image, tmp_path: Path
    ) -> None:
        at_site = Modules(**restricted.defaults, project="site")
        name = {"name": "web"}
        (tmp_path / "out").mkdir()
        done = at_site.done
        assert at_site.import_image(image, aliases=["web"]).actions == ["upload", "add alias web"]
        assert not at_site.import_image(image, aliases=["web"])["changed"]
        assert done("lxd_image", **name, properties={"a": "b"}).actions == ["set properties"]
        assert done("lxd_image_alias", name="www", target="web").actions == ["add alias www"]
        assert done("lxd_image_export", **name, dest=str(tmp_path / "out"))["changed"]
        assert len(done("lxd_image_info")["images"]) == 1
        assert done("lxd_image", **name, state="absent")["changed"]
        fingerprint = add_to_source(other, image, "web")
        source = {"source_server": other.url, "source_cert": str(other.certificate)}
        for mode in ("pull", "relay"):
            copy = {"image": "web", "mode": mode, **source}
            assert done("lxd_image_copy", **copy).actions == [mode]
            assert done("lxd_image", name=fingerprint, state="absent")["changed"]
        assert lxd.images("site") == {}

    def test_gets_an_error_for_another_project(
        self, lxd: Server, other: Server, restricted: Modules, image: Image
    ) -> None:
        add_to_source(other, image, "web")
        source = {"source_server": other.url, "source_cert": str(other.certificate)}
        mark = lxd.mark()
        for module, params in (
            ("lxd_image_import", files(image)),
            ("lxd_image_copy", {"image": "web", "mode": "pull", **source}),
            ("lxd_image_copy", {"image": "web", "mode": "relay", **source}),
        ):
            for check in (True, False):
                msg = restricted.fails(module, check, **params)
                assert "default" in msg
                assert "may be restricted to other projects" in msg
        assert lxd.writes(mark) == []
        assert lxd.images() == {}

    def test_gets_a_warning_about_images_it_cannot_see(
        self, lxd: Server, modules: Modules, restricted: Modules, image: Image
    ) -> None:
        modules.import_image(image, aliases=["web"])
        mark = lxd.mark()
        for module, params in (
            ("lxd_image", {"name": "web", "public": True}),
            ("lxd_image", {"name": "web", "state": "absent"}),
            ("lxd_image_alias", {"name": "www", "target": "web"}),
            ("lxd_image_alias", {"name": "web", "state": "absent"}),
            ("lxd_image_export", {"name": "web", "dest": "/tmp"}),
        ):
            assert "may be restricted to other projects" in restricted.fails(module, **params)
        assert lxd.writes(mark) == []

    def test_copies_from_its_project_only(
        self, lxd: Server, modules: Modules, restricted: Modules, build: Callable[..., Image]
    ) -> None:
        inside, outside = build(), build()
        modules.import_image(inside, aliases=["in"], project="site")
        modules.import_image(outside, aliases=["out"])
        source = {
            "source_server": lxd.url,
            "source_cert": restricted.defaults["server_cert"],
            "source_client_cert": restricted.defaults["client_cert"],
            "source_client_key": restricted.defaults["client_key"],
        }
        with Server("target") as target:
            copies = Copies(Modules().at(target), **source)
            assert copies("in", source_project="site").actions == ["pull"]
            msg = copies.fails("out")
            assert "has no image out" in msg
            assert "may be restricted to other projects" in msg
            assert set(target.images()) == {inside.fingerprint}

    def test_becomes_trusted_by_one_token_in_several_tasks_at_once(
        self, lxd: Server, tls: Modules, image: Image
    ) -> None:
        lxd.run("config", "trust", "remove", lxd.trusted()[0])
        given = with_options(tls, trust_token=lxd.token("me"))
        runs = [given.start("lxd_image_import", **files(image)) for _ in range(4)]
        outcomes = [run.wait() for run in runs]
        assert [outcome.get("msg") for outcome in outcomes if outcome.failed] == []
        assert sum("trust this client" in outcome.actions for outcome in outcomes) == 1
        assert len(lxd.trusted()) == 1


@pytest.fixture
def invalid_files(pair: KeyPair, tmp_path: Path) -> dict[str, str]:
    """Paths of files that are not valid certificates or keys, by the kind of problem."""
    other = client_certificate(tmp_path / "other")
    encrypted, der = tmp_path / "encrypted.key", tmp_path / "der.crt"
    for words in (
        ["pkey", "-in", pair.key, "-aes256", "-passout", "pass:secret", "-out", encrypted],
        ["x509", "-in", pair.certificate, "-outform", "DER", "-out", der],
    ):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
    damaged = tmp_path / "damaged.pem"
    damaged.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    cut = tmp_path / "cut.pem"
    cut.write_text(pair.certificate.read_text()[:100])
    return {
        "absent": str(tmp_path / "absent"),
        "a folder": str(tmp_path),
        "DER": str(der),
        "a key": str(pair.key),
        "another's key": str(other.key),
        "a certificate": str(pair.certificate),
        "encrypted": str(encrypted),
        "damaged": str(damaged),
        "cut short": str(cut),
    }


class TestInvalidCertificateFile:
    """Is an error before any connection."""

    @pytest.mark.parametrize(
        ("what", "said"),
        [
            ("absent", "the certificate (server_cert): No such file or directory"),
            ("a folder", "the certificate (server_cert): Is a directory"),
            ("DER", "given as the certificate (server_cert), is not in PEM form"),
            ("a key", "given as the certificate (server_cert), contains no certificate"),
            ("damaged", "given as the certificate (server_cert), is damaged"),
            ("cut short", "is not a certificate in PEM form"),
        ],
    )
    def test_given_for_the_server(
        self, lxd: Server, tls: Modules, invalid_files: dict[str, str], what: str, said: str
    ) -> None:
        mark = lxd.mark()
        msg = with_options(tls, server_cert=invalid_files[what]).fails("lxd_image_info")
        assert invalid_files[what] in msg
        assert said in msg
        assert lxd.requests(mark) == []

    @pytest.mark.parametrize(
        ("option", "what", "said"),
        [
            ("client_cert", "absent", "the client certificate: No such file or directory"),
            ("client_cert", "a key", "given as the client certificate, contains no certificate"),
            ("client_cert", "DER", "given as the client certificate, is not in PEM form"),
            ("client_key", "a folder", "the key of the client certificate: Is a directory"),
            (
                "client_key",
                "a certificate",
                "given as the key of the client certificate, is not a private key",
            ),
            ("client_key", "another's key", "is not the key of the client certificate"),
            ("client_key", "encrypted", "is encrypted. Use a copy without a password"),
        ],
    )
    def test_given_for_the_client(
        self,
        lxd: Server,
        tls: Modules,
        invalid_files: dict[str, str],
        option: str,
        what: str,
        said: str,
    ) -> None:
        mark = lxd.mark()
        msg = with_options(tls, **{option: invalid_files[what]}).fails("lxd_image_info")
        assert invalid_files[what] in msg
        assert said in msg
        assert lxd.requests(mark) == []


class TestSpecialFile:
    """A FIFO would block for ever, and a device has no end, so both are refused at once."""

    @pytest.mark.parametrize("option", ["server_cert", "client_cert", "client_key", "config_dir"])
    @pytest.mark.parametrize("kind", ["FIFO", "device", "huge"])
    def test_is_refused_at_once(
        self, lxd: Server, tls: Modules, tmp_path: Path, option: str, kind: str
    ) -> None:
        path = tmp_path / "config.yml"
        if kind == "FIFO":
            os.mkfifo(path)
        elif kind == "device":
            os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero
        else:
            with path.open("wb") as file:
                file.truncate(1 << 40)
        given = {option: str(path)}
        if option == "config_dir":
            given = {option: str(tmp_path), "remote": "site"}
        modules = with_options(tls, "server") if option == "config_dir" else tls
        msg = modules.limited(seconds=5).fails("lxd_image_info", **given)
        assert f"cannot read {path}" in msg
        said = {"FIFO": "a FIFO (named pipe)", "device": "a device", "huge": "larger than"}[kind]
        assert said in msg


class TestExpiredCertificate:
    """The error names the owner of the certificate, the date, and what to renew."""

    @pytest.fixture
    def expired(self, authority: Authority) -> KeyPair:
        pair = authority.issue("expired", "127.0.0.1")
        authority.expire(pair)
        return pair

    @pytest.mark.parametrize("verified_by", ["itself", "its fingerprint", "an authority", "system"])
    def test_of_a_server_is_an_error_however_it_is_verified(
        self,
        tls: Modules,
        authority: Authority,
        expired: KeyPair,
        monkeypatch: pytest.MonkeyPatch,
        verified_by: str,
    ) -> None:
        trust = {
            "itself": {"server_cert": str(expired.certificate)},
            "its fingerprint": {"server_cert_fingerprint": expired.fingerprint},
            "an authority": {"server_cert": str(authority.certificate)},
            "system": {},
        }[verified_by]
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
        with Hostile(expired) as site:
            msg = with_options(tls, "server_cert", server=site.url, **trust).fails("lxd_image_info")
        assert re.search(r"expired on \d{4}-\d\d-\d\d \d\d:\d\d UTC", msg)
        assert site.url in msg
        assert "Renew it on the server" in msg
        # The server is at most asked for its certificate, without this client's own.
        assert [(method, path) for method, path, _headers in site.requests] in ([], [("HEAD", "/")])

    def test_of_a_web_server_is_an_error(
        self, modules: Modules, authority: Authority, expired: KeyPair
    ) -> None:
        with Hostile(expired) as site:
            source = {"url": f"{site.url}/web", "url_ca_path": str(authority.certificate)}
            msg = modules.fails("lxd_image_import", **source)
        assert f"the certificate of {site.url} expired on" in msg

    def test_is_ignored_with_validate_certs_false(self, tls: Modules, expired: KeyPair) -> None:
        with Hostile(expired) as site:
            given = with_options(tls, "server_cert", server=site.url, validate_certs=False)
            assert "which is not LXD's API" in given.fails("lxd_image_info")

    def test_of_the_client_is_named_when_the_server_does_not_trust_it(
        self, lxd: Server, tls: Modules, expired: KeyPair, image: Image
    ) -> None:
        given = with_options(tls, client_cert=str(expired.certificate), client_key=str(expired.key))
        msg = given.import_fails(image)
        assert f"the client certificate {expired.certificate}, which expired on" in msg
        assert "Create a new one" in msg


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
        msg = with_options(tls, server="https://127.0.0.1:9").fails("lxd_image_info")
        assert "cannot connect to https://127.0.0.1:9: Connection refused" in msg
        assert "lxc config set core.https_address :8443" in msg

    def test_that_does_not_exist_is_a_clear_error(self, tls: Modules) -> None:
        msg = with_options(tls, server="https://lxd.invalid").fails("lxd_image_info")
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
        msg = with_options(tls, server=website.replace("http:", "https:")).fails("lxd_image_info")
        assert "the connection to https://127.0.0.1" in msg

    def test_of_a_website_is_a_clear_error(self, tls: Modules, tmp_path: Path) -> None:
        certificate = client_certificate(tmp_path, "site")
        with serve_website(certificate) as url:
            given = with_options(tls, server=url, server_cert=str(certificate.certificate))
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
            given = with_options(tls, server=url, server_cert=str(certificate.certificate))
            assert said in given.fails("lxd_image_info")
            source = {"source_server": url, "source_cert": str(certificate.certificate)}
            assert url in tls.fails("lxd_image_copy", image="x", **source)


class TestTimeout:
    """Applies whatever the server does, and the message says what happens to the operation."""

    @pytest.mark.parametrize("fault", ["stall", "drip"])
    def test_ends_the_wait_for_an_answer(self, lxd: Server, fault: str) -> None:
        with Proxy(lxd.socket) as proxy:
            getattr(proxy, fault)(20, DOWN)
            started = time.monotonic()
            msg = Modules(server=f"unix://{proxy.socket}", timeout=2).fails("lxd_image_info")
        assert "timed out after 2 seconds" in msg
        assert time.monotonic() - started < 5

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
        msg = modules.import_fails(image, timeout=2)
        assert "timed out after 2 seconds; operation " in msg
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

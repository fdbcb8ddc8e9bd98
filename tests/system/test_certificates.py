# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Certificates of servers and clients: pins, authorities, invalid files, expiry."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hostile import Hostile

from lab import (
    Authority,
    Image,
    KeyPair,
    Proxy,
    Server,
    client_certificate,
)
from runner import Modules


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
            tls.without("server_cert").with_options(server_cert_fingerprint=pin).done(
                "lxd_image_info"
            )

    def test_with_a_pin_does_not_check_the_name(self, lxd: Server, tls: Modules) -> None:
        # The certificate is valid for 127.0.0.1, not for the address of the server.
        assert "127.0.0.1:" not in lxd.url
        tls.done("lxd_image_info")

    def test_with_a_wrong_fingerprint_is_refused(self, lxd: Server, tls: Modules) -> None:
        mark = lxd.mark()
        msg = (
            tls.without("server_cert")
            .with_options(server_cert_fingerprint="0" * 64)
            .fails("lxd_image_info")
        )
        assert f"shows the certificate {lxd.certificate_fingerprint}, not {'0' * 64}" in msg
        assert lxd.requests(mark) == []

    def test_with_another_servers_certificate_is_refused(
        self, lxd: Server, other: Server, tls: Modules
    ) -> None:
        msg = tls.with_options(server_cert=str(other.certificate)).fails("lxd_image_info")
        assert f"shows a certificate that {other.certificate} does not match" in msg

    def test_without_a_pin_requires_an_authority(self, lxd: Server, tls: Modules) -> None:
        msg = tls.without("server_cert").fails("lxd_image_info")
        assert f"{lxd.url} shows a certificate that this host does not trust" in msg
        assert "Set server_cert" in msg

    def test_is_not_verified_with_validate_certs_false(self, tls: Modules) -> None:
        tls.without("server_cert").with_options(validate_certs=False).done("lxd_image_info")
        msg = tls.with_options(validate_certs=False).fails("lxd_image_info")
        assert "validate_certs=false cannot be used with server_cert" in msg

    def test_works_with_an_ipv6_address(self, lxd: Server, tls: Modules) -> None:
        lxd.run("config", "set", "core.https_address", "[::1]:58443")
        try:
            here = tls.with_options(server="https://[::1]:58443/")
            here.done("lxd_image_info")
            # The name is checked only with an authority; a server's own certificate is valid for ::1 anyway.
            here.without("server_cert").with_options(
                server_cert_fingerprint=lxd.certificate_fingerprint
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
        msg = tls.with_options(server_cert=invalid_files[what]).fails("lxd_image_info")
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
        msg = tls.with_options(**{option: invalid_files[what]}).fails("lxd_image_info")
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
        modules = tls.without("server") if option == "config_dir" else tls
        msg = modules.limited().fails("lxd_image_info", **given)
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
            msg = (
                tls.without("server_cert")
                .with_options(server=site.url, **trust)
                .fails("lxd_image_info")
            )
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
            given = tls.without("server_cert").with_options(server=site.url, validate_certs=False)
            assert "which is not LXD's API" in given.fails("lxd_image_info")

    def test_of_the_client_is_named_when_the_server_does_not_trust_it(
        self, lxd: Server, tls: Modules, expired: KeyPair, image: Image
    ) -> None:
        given = tls.with_options(client_cert=str(expired.certificate), client_key=str(expired.key))
        msg = given.import_fails(image)
        assert f"the client certificate {expired.certificate}, which expired on" in msg
        assert "Create a new one" in msg

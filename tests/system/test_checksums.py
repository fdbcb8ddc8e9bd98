# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checksum files of a real web server, with signatures of real keys."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.checksums import (
    ChecksumFile,
    fetch_checksum,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.deadline import Deadline
from ansible_collections.imagestore.lxd.plugins.module_utils._core.downloads import (
    Retries,
    WebClient,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import (
    ConnectionFailed,
    FileError,
    ImageStoreError,
    OptionError,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.transport.verification import (
    Verification,
)
from hostile import Answer, Hostile

from lab import Authority, SigningKey, WebServer

pytestmark = pytest.mark.families("lxd")  # independent of the family

DIGEST, OTHER = "a1" * 32, "b2" * 32
LISTED = f"{OTHER}  other.img\n{DIGEST} *disk.img\n"
REDIRECTS = """
    location = /insecure { return 302 http:///SHA256SUMS; }
    location = /secure { return 302 https:///SHA256SUMS; }
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[WebServer]:
    with WebServer(authority, tmp_path_factory.mktemp("www"), REDIRECTS) as server:
        yield server


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SigningKey]:
    with SigningKey(tmp_path_factory.mktemp("keys") / "key.gpg") as key:
        yield key


@pytest.fixture(scope="module")
def expired_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SigningKey]:
    with SigningKey(tmp_path_factory.mktemp("keys") / "expired.gpg", expired=True) as key:
        yield key


@pytest.fixture
def sums(site: WebServer) -> Iterator[Path]:
    """A checksum file of the web server."""
    file = site.root / "SHA256SUMS"
    file.write_text(LISTED)
    yield file
    for made in site.root.glob("*"):
        made.unlink()


@pytest.fixture
def fetch(authority: Authority) -> Any:
    """Fetches a checksum file; returns the digest of disk.img."""

    def fetched(url: str, keyring: Path | None = None, timeout: float = 120, **headers: str) -> str:
        file = ChecksumFile("sha256", url, str(keyring) if keyring else None, headers)
        deadline = Deadline(timeout)
        trust = Verification(str(authority.certificate), option="url_ca_path", takes_pin=False)
        web = WebClient(deadline, trust, file.url, file.headers)
        return fetch_checksum(file, "/images/disk.img", web, Retries(1, deadline)).digest

    return fetched


def test_the_digest_is_looked_up(site: WebServer, sums: Path, fetch: Any) -> None:
    assert fetch(f"{site.url}/SHA256SUMS") == DIGEST
    assert fetch(f"{site.url}/secure") == DIGEST


def test_a_redirect_to_plain_http_is_not_followed(site: WebServer, sums: Path, fetch: Any) -> None:
    with pytest.raises(ConnectionFailed, match="which is less secure"):
        fetch(f"{site.url}/insecure")


def test_without_a_keyring_a_signature_inside_is_ignored(
    site: WebServer, sums: Path, fetch: Any, key: SigningKey
) -> None:
    sums.write_text(f"{DIGEST}\n")
    key.sign_inside(sums)
    assert fetch(f"{site.url}/SHA256SUMS") == DIGEST


class TestSignature:
    @pytest.mark.parametrize("suffix", [".gpg", ".sign", ".asc"])
    def test_beside_the_file_is_verified(
        self, site: WebServer, sums: Path, fetch: Any, key: SigningKey, suffix: str
    ) -> None:
        key.sign(sums, suffix, armored=suffix != ".gpg")
        assert fetch(f"{site.url}/SHA256SUMS", key.keyring) == DIGEST
        sums.write_text(LISTED.replace("a1", "a2"))
        with pytest.raises(FileError, match="it does not match the content"):
            fetch(f"{site.url}/SHA256SUMS", key.keyring)

    def test_inside_the_file_is_verified(
        self, site: WebServer, sums: Path, fetch: Any, key: SigningKey
    ) -> None:
        key.sign_inside(sums)
        assert fetch(f"{site.url}/SHA256SUMS", key.keyring) == DIGEST
        sums.write_text(sums.read_text().replace("a1", "a2"))
        with pytest.raises(FileError, match="it does not match the content"):
            fetch(f"{site.url}/SHA256SUMS", key.keyring)

    def test_inside_the_file_says_nothing_about_the_text_around_it(
        self, site: WebServer, sums: Path, fetch: Any, key: SigningKey
    ) -> None:
        sums.write_text(f"{OTHER}  other.img\n")
        key.sign_inside(sums)
        around = f"{DIGEST}  disk.img\n"
        sums.write_text(f"{around}{sums.read_text()}{around}")
        with pytest.raises(FileError, match=r"does not list disk\.img; it lists other\.img"):
            fetch(f"{site.url}/SHA256SUMS", key.keyring)

    def test_that_is_a_signed_message_of_its_own_is_refused(
        self, site: WebServer, sums: Path, fetch: Any, key: SigningKey
    ) -> None:
        signature = site.root / "SHA256SUMS.gpg"
        signature.write_text("whatever the publisher has signed\n")
        key.sign_inside(signature)
        with pytest.raises(FileError, match="cannot be verified"):
            fetch(f"{site.url}/SHA256SUMS", key.keyring)

    def test_of_another_key_is_refused(
        self,
        site: WebServer,
        sums: Path,
        fetch: Any,
        key: SigningKey,
        tmp_path: Path,
    ) -> None:
        with SigningKey(tmp_path / "other.gpg") as other:
            other.sign(sums, ".gpg")
        with pytest.raises(FileError, match=r"key\.gpg does not contain the key [0-9A-F]{16} that"):
            fetch(f"{site.url}/SHA256SUMS", key.keyring)

    def test_of_an_expired_key_is_refused(
        self, site: WebServer, sums: Path, fetch: Any, expired_key: SigningKey
    ) -> None:
        expired_key.sign(sums, ".gpg")
        with pytest.raises(FileError, match="the key that made it has expired"):
            fetch(f"{site.url}/SHA256SUMS", expired_key.keyring)

    def test_that_is_missing_is_an_error(
        self, site: WebServer, sums: Path, fetch: Any, key: SigningKey
    ) -> None:
        with pytest.raises(FileError, match=r"is not signed: .*\(\.gpg, \.sign, \.asc\)"):
            fetch(f"{site.url}/SHA256SUMS", key.keyring)

    def test_that_is_no_signature_is_refused(
        self, site: WebServer, sums: Path, fetch: Any, key: SigningKey
    ) -> None:
        (site.root / "SHA256SUMS.sign").write_text("<html>Not found</html>\n")
        with pytest.raises(FileError, match="it is not an OpenPGP signature"):
            fetch(f"{site.url}/SHA256SUMS", key.keyring)


class TestKeyring:
    def test_may_be_armored_and_have_several_keys(
        self,
        site: WebServer,
        sums: Path,
        fetch: Any,
        key: SigningKey,
        expired_key: SigningKey,
        tmp_path: Path,
    ) -> None:
        armored = [key.export_armored(tmp_path / "1"), expired_key.export_armored(tmp_path / "2")]
        keyring = tmp_path / "keys.asc"
        keyring.write_text("".join(one.read_text() for one in reversed(armored)))
        key.sign(sums, ".gpg")
        assert fetch(f"{site.url}/SHA256SUMS", keyring) == DIGEST

    def test_without_keys_is_an_error(
        self, site: WebServer, sums: Path, fetch: Any, tmp_path: Path
    ) -> None:
        (tmp_path / "keys").write_text("no keys\n")
        with pytest.raises(FileError, match="contains no OpenPGP keys"):
            fetch(f"{site.url}/SHA256SUMS", tmp_path / "keys")
        with pytest.raises(FileError, match=r"the keyring .*: No such file"):
            fetch(f"{site.url}/SHA256SUMS", tmp_path / "missing")

    def test_requires_gpgv(
        self,
        site: WebServer,
        sums: Path,
        fetch: Any,
        key: SigningKey,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("PATH", "")
        with pytest.raises(OptionError, match="Install the package gpgv"):
            fetch(f"{site.url}/SHA256SUMS", key.keyring)

    def test_requires_some_room_for_temporary_files(
        self,
        site: WebServer,
        sums: Path,
        fetch: Any,
        key: SigningKey,
        full_folder: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        key.sign(sums, ".gpg")
        monkeypatch.setattr(tempfile, "tempdir", str(full_folder))
        with pytest.raises(FileError, match="to verify a signature: No space left on device"):
            fetch(f"{site.url}/SHA256SUMS", key.keyring)


class TestHostileServer:
    @pytest.fixture
    def hostile(self, authority: Authority) -> Iterator[Hostile]:
        with Hostile(authority.issue("checksums", "127.0.0.1")) as server:
            yield server

    @pytest.mark.parametrize(
        ("answer", "said"),
        [
            (Answer(body=b"a" * (1 << 16), endless=True, length=-1), "has more than 1024 KiB"),
            (Answer(404), "responds with the HTTP status 404"),
            (Answer(500), "responds with the HTTP status 500"),
            (Answer(body=b""), "is not a checksum file"),
            (Answer(body=b"\0\xff" * 9999), "is not a checksum file"),
        ],
    )
    def test_is_a_clear_error(self, hostile: Hostile, fetch: Any, answer: Any, said: str) -> None:
        hostile.answers = {"/SHA256SUMS": answer}
        with pytest.raises(ImageStoreError, match=said):
            fetch(f"{hostile.url}/SHA256SUMS")

    def test_does_not_get_the_credentials_of_another(
        self, hostile: Hostile, authority: Authority, fetch: Any
    ) -> None:
        with Hostile(authority.issue("checksums", "127.0.0.1")) as other:
            target = (("Location", f"{other.url}/SHA256SUMS"),)
            hostile.answers = {"/SHA256SUMS": Answer(302, target)}
            other.answers = {"/SHA256SUMS": Answer(body=LISTED.encode())}
            assert fetch(f"{hostile.url}/SHA256SUMS", Authorization="Basic c2VjcmV0") == DIGEST
            assert "Authorization" in hostile.requests[0][2]
            assert "Authorization" not in other.requests[0][2]

    def test_that_is_slow_is_bound_by_the_timeout(self, hostile: Hostile, fetch: Any) -> None:
        hostile.answers = {"/SHA256SUMS": Answer(body=LISTED.encode(), drip=60)}
        with pytest.raises(ImageStoreError, match="timed out after 1 seconds"):
            fetch(f"{hostile.url}/SHA256SUMS", timeout=1)

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.checksums.listing import (
    find_digest,
    path_of_url,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.checksums.signatures import (
    CleartextMessage,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import FileError

A, B = "a1" * 32, "b2" * 32
LONG = "c3" * 64


def find(text, path="disk.qcow2", algorithm="sha256"):
    return find_digest(text, algorithm, path, "https://a/SHA256SUMS")


@pytest.mark.parametrize(
    "text",
    [
        f"{B}  other.qcow2\n{A}  disk.qcow2\n",
        f"{A} *disk.qcow2\r\n",
        f"{A}  ./disk.qcow2\n",
        f"{A.upper()}\tdisk.qcow2",
        f"{A}  disk.qcow2\n{A}  disk.qcow2\n",
        f"# disk.qcow2: 12 bytes\nSHA256 (disk.qcow2) = {A}\n",
        f"SHA2-256(disk.qcow2)= {A}\n",
        f"SHA512 (disk.qcow2) = {LONG}\nSHA256 (disk.qcow2) = {A}\n",
        f"\ufeff{A}\n",
        f"{B}  not-disk.qcow2\n{B}  disk.qcow2.xz\n{A}  disk.qcow2\n",
    ],
    ids=[
        "two blanks",
        "an asterisk and CR",
        "with ./",
        "capitals and a tab",
        "listed twice",
        "BSD style",
        "OpenSSL",
        "two algorithms",
        "a lone digest",
        "similar names",
    ],
)
def test_finds_the_digest_of_a_file(text):
    assert find(text) == A


def test_finds_a_sha512():
    assert find(f"{LONG}  disk.qcow2\n", algorithm="sha512") == LONG


def test_names_may_contain_blanks_and_parentheses():
    assert find(f"{A}  my disk (1).img", "my disk (1).img") == A
    assert find(f"SHA256 (my disk (1).img) = {A}", "my disk (1).img") == A


def test_a_name_with_directories_has_to_fit_the_path():
    text = f"{A}  amd64/disk.qcow2\n{B}  arm64/disk.qcow2\n"
    assert find(text, "/9/amd64/disk.qcow2") == A
    assert find(text, "/9/arm64/disk.qcow2") == B
    with pytest.raises(FileError, match=r"does not list disk\.qcow2"):
        find(text, "/disk.qcow2")


def test_the_longest_name_that_fits_counts():
    assert find(f"{B}  disk.qcow2\n{A}  amd64/disk.qcow2\n", "/amd64/disk.qcow2") == A


def test_the_path_of_a_url_is_unquoted_and_has_no_query():
    assert path_of_url("https://a/x/my%20disk.img?token=1") == "/x/my disk.img"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not a checksum file"),
        ("<!doctype html>\n<p>Not found", "is not a checksum file"),
        (f"{A}\n{B}\n", "is not a checksum file"),
        (f"{A}  other\n", "does not list disk.qcow2; it lists other"),
        ("\n".join(f"{A}  {name}" for name in "wxyz"), "it lists w, x, y, …"),
        (f"{A}  disk.qcow2\n{B}  disk.qcow2\n", "with 2 different sha256 digests"),
        (f"{LONG}  disk.qcow2\n", "no sha256 digest. Set checksum to sha512: and the URL"),
        (f"{LONG}\n", "contains no sha256 digest"),
        (f"{'d' * 40}  disk.qcow2\n", "no sha256 digest. Check the URL"),
    ],
)
def test_a_file_without_one_digest_for_the_name_is_an_error(text, said):
    with pytest.raises(FileError, match=said):
        find(text)


def test_of_a_signed_message_the_text_is_found_whatever_is_around_it():
    message = (
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n"
        f"{A}  disk.qcow2\n"
        "-----BEGIN PGP SIGNATURE-----\n\niHUE\n-----END PGP SIGNATURE-----\n"
    ).encode()
    found = CleartextMessage.find(b"before\n" + message + b"after\n")
    assert found.message == message
    assert found.unverified_text == f"{A}  disk.qcow2".encode()


def test_a_signed_message_that_is_cut_off_is_none():
    assert CleartextMessage.find(b"-----BEGIN PGP SIGNED MESSAGE-----\n\ntext\n") is None


@pytest.mark.parametrize("path", ["", "/", "/images/"])
def test_a_url_without_a_file_name_is_an_error(path):
    with pytest.raises(FileError, match="the URL has no file name to look up in https://a/SHA256"):
        find(f"{A}  disk.qcow2\n", path)

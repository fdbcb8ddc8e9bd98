# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.checksums import (
    Checksum,
    ChecksumFile,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import OptionError
from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.checksum import (
    checksum,
    parse_checksum,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.web import WebAddress
from parameters import parameters

LISTING = "https://a/SHA256SUMS"
BASIC = {"Authorization": "Basic bWU6cHc="}


def parsed(value=None, keyring=None, file=None, **web):
    params = parameters(checksum(), checksum=value, checksum_keyring=keyring)
    params.update({"url_headers": None, "url_username": None, "url_password": None, **web})
    address = WebAddress.parse(file, "rootfs_url", checked_otherwise=True) if file else None
    return parse_checksum(params, address)


def test_is_none_if_it_was_omitted():
    assert parsed() is None


def test_may_be_a_digest():
    assert parsed(f" SHA256:{'AB' * 32} ") == Checksum("sha256", "ab" * 32)
    assert parsed(f"sha512:{'ab' * 64}") == Checksum("sha512", "ab" * 64)


def test_may_be_the_address_of_a_checksum_file():
    assert parsed(f"sha256:{LISTING}", "/k.gpg") == ChecksumFile("sha256", LISTING, "/k.gpg")


class TestChecksumFile:
    def test_gets_the_headers_and_credentials_of_the_options(self):
        web = {"url_headers": {"X-Key": "k"}, "url_username": "me", "url_password": "pw"}
        found = parsed(f"sha256:{LISTING}", file="https://b/disk", **web)
        assert found.headers == {"X-Key": "k", **BASIC}
        assert found.secrets == (BASIC["Authorization"],)

    def test_gets_the_credentials_of_its_own_address(self):
        found = parsed("sha256:https://me:pw@a/SHA256SUMS")
        assert (found.url, found.headers) == (LISTING, BASIC)

    def test_gets_those_of_the_file_on_the_same_server_only(self):
        assert parsed(f"sha256:{LISTING}", file="https://me:pw@a:443/disk").headers == BASIC
        assert parsed(f"sha256:{LISTING}", file="https://me:pw@b/disk").headers == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"value": " "}, "checksum is empty"),
        ({"value": "ab" * 32}, "invalid checksum"),
        ({"value": f"md5:{'ab' * 16}"}, "Expected sha256: or sha512:"),
        ({"value": "sha256:abc"}, "A sha256 digest has 64 hex digits"),
        ({"value": f"sha512:{'ab' * 32}"}, "A sha512 digest has 128 hex digits"),
        ({"value": "sha256:http://a/SHA256SUMS"}, "plain http can be intercepted"),
        ({"value": "sha256:ftp://a/SHA256SUMS"}, "invalid checksum"),
        ({"value": f"sha256:{'ab' * 32}", "keyring": "/k"}, "which has no signature"),
        (
            {
                "value": "sha256:https://me:pw@a/b",
                "url_username": "me",
                "url_password": "pw",
            },
            "checksum contains credentials",
        ),
    ],
)
def test_invalid_options_are_an_error(given, said):
    with pytest.raises(OptionError, match=said):
        parsed(**given)

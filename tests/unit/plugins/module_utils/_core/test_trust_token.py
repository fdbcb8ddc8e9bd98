# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import json

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.dialect import Dialect
from ansible_collections.imagestore.lxd.plugins.module_utils._core.trust_token import TrustToken

CONTENT = {
    "client_name": "me",
    "fingerprint": "ab" * 32,
    "addresses": ["10.0.0.1:8443"],
    "secret": "s",
    "expires_at": "0001-01-01T00:00:00Z",
}


def token(**changes):
    return base64.b64encode(json.dumps({**CONTENT, **changes}).encode()).decode()


def test_a_token_names_the_certificate_of_its_server():
    assert TrustToken.parse(token()).fingerprint == "ab" * 32
    assert TrustToken.parse(token(fingerprint="AB" * 32)).fingerprint == "ab" * 32


@pytest.mark.parametrize(
    "text",
    [
        "open sesame",
        "größe",
        "AAAA",
        token()[:-20],
        token(fingerprint=None),
        token(fingerprint=5),
        token(fingerprint="ab"),
        base64.b64encode(b"[]").decode(),
        base64.b64encode(b"[" * 30_000).decode(),
        base64.b64encode(b"\xff").decode(),
        token(client_name="x" * 100_000),
    ],
)
def test_anything_else_may_be_a_password(text):
    parsed = TrustToken.parse(text)
    assert (parsed.text, parsed.fingerprint) == (text, None)
    assert "does not look like a token" in parsed.hint_if_refused


@pytest.mark.parametrize(
    ("kind", "extensions", "path", "field"),
    [
        ("", ["explicit_trust_token"], "/1.0/certificates", "trust_token"),
        ("", [], "/1.0/certificates", "password"),
        (None, [], "/1.0/certificates", "password"),
        (
            "Client certificate",
            ["explicit_trust_token"],
            "/1.0/auth/identities/tls",
            "trust_token",
        ),
    ],
)
def test_its_type_decides_which_request_uses_it(kind, extensions, path, field):
    text = token(type=kind)
    used, body = TrustToken.parse(text).request(Dialect(extensions=frozenset(extensions)))
    assert (used, body[field]) == (path, text)


def test_its_text_is_not_in_what_python_shows_of_it():
    assert token() not in repr(TrustToken.parse(token()))

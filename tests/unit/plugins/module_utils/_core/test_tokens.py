# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import json

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.dialect import Dialect
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import (
    AuthenticationError,
    OptionError,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.tokens import (
    BearerToken,
    TrustToken,
)

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
    assert TrustToken.parse(token()).certificate_fingerprint == "ab" * 32
    assert TrustToken.parse(token(fingerprint="AB" * 32)).certificate_fingerprint == "ab" * 32


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
    assert (parsed.text, parsed.certificate_fingerprint) == (text, None)
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


@pytest.mark.parametrize(
    ("expires_at", "said"),
    [
        ("2026-01-02T03:04:05.123456789-04:00", "this one until 2026-01-02T07:04:05"),
        ("0001-01-01T00:00:00Z", "for a limited time: issue"),
        ("2999-01-01T00:00:00Z", "for a limited time: issue"),
        ("tomorrow", "for a limited time: issue"),
        (5, "for a limited time: issue"),
    ],
)
def test_one_that_has_expired_says_when(expires_at, said):
    assert said in TrustToken.parse(token(expires_at=expires_at)).hint_if_refused


def jwt(payload):
    encoded = base64.urlsafe_b64encode(payload).decode().rstrip("=")
    return f"eyJhbGciOiJIUzUxMiJ9.{encoded}.c2lnbmF0dXJl"


CLAIMS = {"aud": ["lxd:1"], "exp": 4_070_908_800, "server_cert_fingerprint": "ab" * 32}


def bearer(**changes):
    return BearerToken.parse(jwt(json.dumps({**CLAIMS, **changes}).encode()), "bearer_token")


class TestABearerToken:
    def test_claims_which_server_it_is_for_and_until_when(self):
        parsed = bearer()
        assert parsed.certificate_fingerprint == "ab" * 32
        assert parsed.audience == ("lxd:1",)
        assert parsed.expires_at.year == 2099
        parsed.require_current()

    @pytest.mark.parametrize("odd", ["\u00ff\u00fe\u00fb", "\u007e?>", "a", "ab", "abc"])
    def test_is_in_the_alphabet_of_addresses_and_without_padding(self, odd):
        assert bearer(sub=odd).audience == ("lxd:1",)

    def test_may_name_one_server_without_a_list(self):
        assert bearer(aud="lxd:1").audience == ("lxd:1",)

    @pytest.mark.parametrize(
        "text",
        [
            "opaque",
            "a.b",
            "a.b.c.d",
            "..",
            jwt(b""),
            jwt(b"[]"),
            jwt(b"\xff"),
            jwt(b"[" * 8_000),
            jwt(b'{"a": ' + b"[1]," * 2_000),
            jwt(b'{"exp": ' + b"9" * 10_000 + b"}"),
            jwt(b'{"exp": NaN}'),
            "a.=.c",
            "a.====.c",
        ],
    )
    def test_of_which_nothing_can_be_read_claims_nothing(self, text):
        parsed = BearerToken.parse(text, "bearer_token")
        assert (parsed.certificate_fingerprint, parsed.audience) == (None, ())
        parsed.require_current()

    @pytest.mark.parametrize("fingerprint", [5, None, "ab", "xy" * 32, ["ab" * 32]])
    def test_is_pinned_by_a_whole_fingerprint_only(self, fingerprint):
        assert bearer(server_cert_fingerprint=fingerprint).certificate_fingerprint is None

    @pytest.mark.parametrize("exp", [10**40, 1e300, -1, True, "1", None, [1]])
    def test_has_a_date_that_is_one_or_none(self, exp):
        bearer(exp=exp).require_current()

    @pytest.mark.parametrize("exp", [0, 1_767_225_600, 1_767_225_600.5])
    def test_says_when_it_has_expired(self, exp):
        with pytest.raises(
            AuthenticationError, match=r"source_bearer_token expired at (1970|2026)"
        ):
            BearerToken.parse(
                jwt(json.dumps({"exp": exp}).encode()), "source_bearer_token"
            ).require_current()

    def test_quotes_of_its_claims_what_is_safe_to_print(self):
        hint = bearer(aud=["\x1b]0;x\x07" + "x" * 150] * 50).hint_if_refused
        assert hint.isprintable()
        assert len(hint) < 1_000

    @pytest.mark.parametrize("text", ["", "a b", "a\nb", "größe", "a\0", "a" * 20_000])
    def test_is_one_that_a_header_can_hold(self, text):
        with pytest.raises(OptionError, match="bearer_token is not a bearer token"):
            BearerToken.parse(text, "bearer_token")

    def test_is_taken_without_the_white_space_around_it(self):
        assert BearerToken.parse(" abc\n", "bearer_token").text == "abc"

    def test_has_a_text_that_python_does_not_show(self):
        assert "c2lnbmF0dXJl" not in repr(bearer())

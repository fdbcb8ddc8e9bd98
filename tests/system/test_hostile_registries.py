# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Registries that ask for tokens, and those that answer with anything, are handled within bounds."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator

import pytest
from copies import Copies
from hostile import Answer, Hostile

from lab import Authority
from lab.registry import OciImage
from runner import Modules

pytestmark = pytest.mark.families("incus7")

IMAGE = OciImage("web")
TAG, TAGS = "/v2/team/web/manifests/1", "/v2/team/web/tags/list"
MANIFEST = Answer(body=IMAGE.blobs[IMAGE.digest])


@pytest.fixture
def registry(authority: Authority) -> Iterator[Hostile]:
    with Hostile(authority.issue("hostile-registry", "127.0.0.1")) as registry:
        registry.answers = {TAG: MANIFEST}
        yield registry


@pytest.fixture
def copies(modules: Modules, registry: Hostile, authority: Authority) -> Copies:
    return Copies(
        modules.limited(),
        source_server=registry.url,
        source_protocol="oci",
        source_cert=str(authority.certificate),
    )


def unauthorized(challenge: str) -> Answer:
    return Answer(401, [("WWW-Authenticate", challenge)])


class TestATokenForARegistry:
    """As Docker Hub asks for."""

    @pytest.fixture
    def asks(self, registry: Hostile) -> Hostile:
        challenge = (
            f'Bearer realm="{registry.url}/token",service="reg",scope="repository:team/web:pull"'
        )
        registry.answers = {
            TAG: [unauthorized(challenge), MANIFEST],
            "/token": Answer(body=b'{"token": "t0ken"}'),
        }
        return registry

    @pytest.mark.parametrize("field", ["token", "access_token"])
    def test_is_fetched_and_sent(self, asks: Hostile, copies: Copies, field: str) -> None:
        asks.answers["/token"] = Answer(body=json.dumps({field: "t0ken"}).encode())
        predicted = copies("team/web:1", check=True)
        assert predicted["fingerprint"] == IMAGE.fingerprint
        first, token, second = asks.requests
        assert token[1] == "/token?service=reg&scope=repository%3Ateam%2Fweb%3Apull"
        assert "Authorization" not in first[2].keys() | token[2].keys()
        assert second[2]["Authorization"] == "Bearer t0ken"

    def test_is_fetched_with_the_credentials(self, asks: Hostile, copies: Copies) -> None:
        outcome = copies("team/web:1", check=True, source_username="me", source_password="pa:ss")
        basic = "Basic " + b64encode(b"me:pa:ss").decode()
        assert [headers.get("Authorization") for _, _, headers in asks.requests] == [
            None,
            basic,
            "Bearer t0ken",
        ]
        assert "pa:ss" not in str(outcome)

    @pytest.mark.parametrize(
        ("answer", "said"),
        [
            (Answer(401), "without a user name and password"),
            (Answer(503), "/token responds with the HTTP status 503"),
            (Answer(body=b"<html>"), "responds with no token"),
            (Answer(body=b'["t"]'), "responds with no token"),
            (Answer(body=b'{"token": "a\\nb"}'), "responds with no token"),
            (Answer(body=b" " * (1 << 20), endless=True), "more than 4 MiB"),
        ],
    )
    def test_that_is_not_given_is_a_clear_error(
        self, asks: Hostile, copies: Copies, answer: Answer, said: str
    ) -> None:
        asks.answers["/token"] = answer
        assert said in copies.fails("team/web:1")

    @pytest.mark.parametrize(
        "challenge",
        ["", "Bearer", 'Bearer realm="http://127.0.0.1:1/token"', "Negotiate x", "Basic"],
    )
    def test_is_not_fetched_from_anywhere(
        self, registry: Hostile, copies: Copies, challenge: str
    ) -> None:
        registry.answers[TAG] = unauthorized(challenge)
        assert "without a user name and password" in copies.fails("team/web:1")
        assert len(registry.requests) == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(body=b"<html>"), "no manifest of team/web that can be used"),
        (Answer(body=b"[]"), "no manifest of team/web"),
        (Answer(body=b"{}"), "no manifest of team/web"),
        (Answer(body=b'{"layers": [{"digest": "a", "size": "b"}]}'), "no manifest of team/web"),
        (Answer(body=b'{"manifests": [[]]}'), "no manifest of team/web"),
        (Answer(body=b'{"manifests": 7}'), "no manifest of team/web"),
        (
            Answer(
                body=b'{"manifests": [{"digest": "../../../secret",'
                b' "platform": {"os": "linux", "architecture": "amd64"}}]}'
            ),
            "no manifest of team/web",
        ),
        (Answer(body=b'{"manifests": []}'), "has no image team/web:1 for amd64"),
        (Answer(body=b" " * (1 << 20), endless=True), "more than 4 MiB"),
        (Answer(body=b"{" + b'"a":0,' * 200_000), "no manifest of team/web"),
        (Answer(429), "429. The registry limits requests"),
        (Answer(500), "responds with the HTTP status 500"),
        (Answer(302, [("Location", "http://127.0.0.1:1/")]), "less secure"),
        (Answer(302, [("Location", TAG)]), "more than 5 redirects"),
    ],
)
def test_an_answer_that_is_no_manifest_is_a_clear_error(
    registry: Hostile, copies: Copies, answer: Answer, said: str
) -> None:
    registry.answers[TAG] = answer
    assert said in copies.fails("team/web:1", check=True)


def test_a_manifest_of_another_digest_is_a_clear_error(registry: Hostile, copies: Copies) -> None:
    digest = f"sha256:{'a' * 64}"
    registry.answers[f"/v2/team/web/manifests/{digest}"] = MANIFEST
    message = copies.fails(f"team/web@{digest}")
    assert f"sends a manifest with the digest {IMAGE.digest} for {digest}" in message


@pytest.mark.parametrize(
    "answer", [Answer(401), Answer(body=b"{"), Answer(body=b'{"tags": [1, "\\u001b[2J"]}')]
)
def test_tags_that_cannot_be_read_are_not_needed_to_say_that_one_is_missing(
    registry: Hostile, copies: Copies, answer: Answer
) -> None:
    registry.answers = {TAGS: answer}
    message = copies.fails("team/web:1")
    assert "has no image team/web:1" in message
    assert message.isprintable()

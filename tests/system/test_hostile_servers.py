# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server that claims to be a LXD and sends what no LXD would: one clear error, within bounds of time and memory."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hostile import Answer, Hostile

from lab import Image, KeyPair, Server, client_certificate
from runner import Modules, timed_out

FINGERPRINT = "a" * 64
MIB = 1 << 20


def api(metadata: object, **envelope: object) -> Answer:
    """An answer in LXD's envelope."""
    text = json.dumps({"type": "sync", "metadata": metadata, **envelope})
    return Answer(body=text.encode(), headers=[("Content-Type", "application/json")])


def refusal(error: object, **envelope: object) -> Answer:
    """An error in LXD's envelope."""
    return api(None, type="error", error=error, **envelope)


TRUSTED = api(
    {
        "auth": "trusted",
        "api_extensions": ["images_push_relay"],
        "environment": {
            "server": "lxd",
            "server_version": "5.0.2",
            "architectures": ["x86_64"],
            "addresses": [],
        },
    }
)
IMAGE = {"fingerprint": FINGERPRINT, "type": "container", "architecture": "x86_64", "size": 5}


@pytest.fixture
def peer(pair: KeyPair, tmp_path: Any) -> Iterator[Hostile]:
    """The hostile server: for now it has no images, and trusts whoever comes."""
    with Hostile(client_certificate(tmp_path, "peer")) as server:
        server.otherwise = replace(refusal("not found", error_code=404), status=404)
        server.answers["/1.0"] = TRUSTED
        server.answers["/1.0/images"] = api([])
        server.answers["/1.0/projects/default"] = api({"name": "default"})
        yield server


@pytest.fixture
def bounded(peer: Hostile, pair: KeyPair, tmp_path: Any) -> Modules:
    """The modules, for that server, each in a process with limits of memory and processor time."""
    return Modules(
        server=peer.url,
        server_cert=str(tmp_path / "peer.crt"),
        client_cert=str(pair.certificate),
        client_key=str(pair.key),
        timeout=120,
    ).limited()


def chunked(body: bytes, **more: Any) -> Answer:
    """An answer in chunks, as they stand."""
    return Answer(headers=[("Transfer-Encoding", "chunked")], body=body, length=-1, **more)


def envelope_around(content: str) -> bytes:
    return b'{"type": "sync", "metadata": ' + content.encode() + b"}"


def endless(body: bytes) -> Answer:
    return Answer(headers=[("Content-Type", "application/json")], body=body, endless=True)


WHATEVER_IS_SENT: dict[str, tuple[Callable[[], Answer], str]] = {
    "gzip that nobody asked for": (
        lambda: Answer(
            headers=[("Content-Encoding", "gzip")],
            body=gzip.compress(envelope_around("[" + " " * (64 * MIB) + "]"), 9),
        ),
        "compressed something, which was not asked for",
    ),
    "a body without an end": (
        lambda: endless(b" " * MIB),
        "responds with more than 16 MiB, which is too much",
    ),
    "chunks without an end": (
        lambda: chunked(b"%x\r\n%b\r\n" % (MIB, b" " * MIB), endless=True),
        "responds with more than 16 MiB, which is too much",
    ),
    "a chunk of -1 bytes": (
        lambda: chunked(b"-1\r\n" + b" " * (32 * MIB), endless=True),
        "a chunk of -1 bytes",
    ),
    "too many values": (
        lambda: Answer(body=envelope_around("[" + "{}," * 1_000_000 + "{}]")),
        "has more than 250000 values",
    ),
    "as many values as there may be": (
        lambda: Answer(body=envelope_around("[" + "{}," * 124_990 + "{}]")),
        "a list of its images with more than 20000 of them",
    ),
    "as many fields as there may be": (
        lambda: Answer(
            body=envelope_around(json.dumps({f"{n:x}": f"{n:x}" for n in range(249_990)}))
        ),
        "no list of its images",
    ),
    "characters that take four bytes each": (
        lambda: Answer(body=envelope_around('["\U0001f600' + "x" * (15 * MIB) + '"]')),
        "has more than 8 MiB, and is not all ASCII",
    ),
    "some of them": (
        lambda: Answer(body=envelope_around('["\U0001f600' + "x" * (7 * MIB) + '"]')),
        "no list of its images",
    ),
    "nesting without an end": (
        lambda: Answer(body=envelope_around("[" * 200_000)),
        "nested too deeply",
    ),
    "a number of a million digits": (
        lambda: Answer(body=envelope_around('[{"fingerprint": "a", "size": ' + "9" * MIB + "}]")),
        "no description of its images",
    ),
    "a size that no number can hold": (
        lambda: Answer(body=envelope_around('[{"fingerprint": "a", "size": 1e400}]')),
        "no description of its images",
    ),
    "an error of many megabytes with escape sequences": (
        lambda: refusal("\x1b]0;owned\x07\u202e" + "x" * (10 * MIB), error_code="abc"),
        "says: \\x1b]0;owned\\x07\\u202exxx",
    ),
    "an error that is no text": (lambda: refusal({"a": 1}, error_code=[1]), "says: {'a': 1}"),
}


@pytest.mark.parametrize("what", WHATEVER_IS_SENT)
def test_no_answer_exhausts_a_task(peer: Hostile, bounded: Modules, what: str) -> None:
    answer, said = WHATEVER_IS_SENT[what]
    peer.answers["/1.0/images"] = answer()
    msg = bounded.fails("lxd_image_info")
    assert said in msg
    assert msg.isprintable()
    assert len(msg) < 2000


@pytest.mark.parametrize("what", ["images", "aliases"])
def test_as_many_as_there_may_be_are_listed(peer: Hostile, bounded: Modules, what: str) -> None:
    images: list[Any]
    if what == "images":
        images = [{"fingerprint": f"{number:064x}"} for number in range(19_990)]
    else:
        images = [{**IMAGE, "aliases": [{"name": f"{number}"} for number in range(124_980)]}]
    peer.answers["/1.0/images"] = api(images, status="x" * 8 * MIB)
    assert len(bounded.done("lxd_image_info")["images"]) == len(images)


@pytest.mark.parametrize(
    "listed",
    [
        "images",
        5,
        [5],
        [None],
        [{}],
        [{**IMAGE, "fingerprint": None, "aliases": 5}],
        [{**IMAGE, "aliases": [{}]}],
        [{**IMAGE, "aliases": [{"name": 5}]}],
        [{**IMAGE, "aliases": {"name": "web"}}],
        [{**IMAGE, "properties": ["a"]}],
        [{**IMAGE, "properties": {"a": 5}}],
        [{**IMAGE, "profiles": [5, "a"]}],
        [{**IMAGE, "expires_at": 5}],
        [{**IMAGE, "uploaded_at": "yesterday"}],
        [{**IMAGE, "uploaded_at": "9999-12-31T23:59:59-12:00"}],
        [{**IMAGE, "size": [1]}],
        [{**IMAGE, "update_source": "images"}],
        [{**IMAGE, "update_source": {"server": 5, "protocol": "lxd", "alias": "web"}}],
    ],
)
def test_a_list_that_is_none_of_images_is_a_clear_error(
    peer: Hostile, bounded: Modules, listed: object
) -> None:
    peer.answers["/1.0/images"] = api(listed)
    msg = bounded.fails("lxd_image_info")
    assert "of its images, which is not LXD's API" in msg


def test_a_list_that_is_null_is_an_empty_one(peer: Hostile, bounded: Modules) -> None:
    peer.answers["/1.0/images"] = api(None)
    assert bounded.done("lxd_image_info")["images"] == []


def test_an_origin_that_is_no_address_is_another_one(
    peer: Hostile, bounded: Modules, lxd: Server
) -> None:
    origin = {"server": "https://a:99999", "protocol": "lxd", "alias": "web"}
    peer.answers["/1.0/images"] = api([{**IMAGE, "update_source": origin}])
    source = {"source_server": lxd.url, "source_cert": str(lxd.certificate)}
    assert "has no public image web" in bounded.fails("lxd_image_copy", image="web", **source)


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (None, "no description of itself"),
        (["/1.0"], "no description of itself"),
        ({"auth": "trusted", "api_extensions": 5}, "no description of itself"),
        ({"auth": "trusted", "environment": "lxd"}, "no description of itself"),
        ({"auth": "trusted", "environment": {"server": 5}}, "no list of its architectures"),
        ({"auth": "trusted", "environment": {"server_version": 5}}, "no description of itself"),
        (
            {"auth": "trusted", "environment": {"architectures": [5]}},
            "no list of its architectures",
        ),
        (
            {"auth": "trusted", "environment": {"architectures": "x86_64"}},
            "no list of its architectures",
        ),
    ],
)
def test_a_server_that_describes_itself_oddly_is_a_clear_error(
    peer: Hostile, bounded: Modules, server: object, said: str
) -> None:
    peer.answers["/1.0"] = api(server)
    url = "https://images.invalid/web"
    assert said in bounded.fails("lxd_image_import", url=url)


@pytest.mark.parametrize(
    ("started", "state", "said"),
    [
        (None, None, "no description of the operation that it has started"),
        ("/1.0/operations/1", None, "no description of the operation that it has started"),
        ({"id": 5}, None, "no description of the operation that it has started"),
        ({"id": "../../1.0"}, None, "no description of the operation that it has started"),
        ({"id": "1"}, None, "no description of the operation that it has started"),
        ({"id": "1"}, {"status_code": "200"}, "no status of the operation that it has started"),
        ({"id": "1"}, {"status_code": 200}, "no fingerprint of the image that it has stored"),
        ({"id": "1"}, {"status_code": 200, "metadata": [1]}, "no fingerprint of the image"),
        ({"id": "1"}, {"status_code": 400, "err": {"a": "\x1b[2J"}}, "says: {'a': '"),
        (
            {"id": "1"},
            {"status_code": 400, "err": "write: No space left on device"},
            "df -h shows which",
        ),
        ({"id": "1"}, {"status_code": 401, "err": None, "status": None}, "says: None"),
    ],
)
def test_an_odd_operation_is_a_clear_error(
    peer: Hostile, bounded: Modules, image: Image, started: object, state: object, said: str
) -> None:
    peer.answers["POST /1.0/images"] = api(started)
    peer.answers["/1.0/operations/1/wait"] = api(None)
    peer.answers["/1.0/operations/1"] = api(state)
    assert said in bounded.import_fails(image)


@pytest.mark.parametrize(
    "to_cancel", [refusal("no", error_code=400), Answer(length=5, then=600)], ids=["no", "silence"]
)
def test_an_operation_that_never_ends_is_given_up_at_the_deadline(
    peer: Hostile, bounded: Modules, image: Image, to_cancel: Answer
) -> None:
    peer.answers["DELETE /1.0/operations/1"] = to_cancel
    peer.answers["POST /1.0/images"] = api({"id": "1"})
    peer.answers["/1.0/operations/1/wait"] = api(None)
    peer.answers["/1.0/operations/1"] = api({"status_code": 103})
    timed_out(lambda seconds: bounded.import_fails(image, timeout=seconds), "operation 1 of")


def test_a_server_that_drips_its_tls_handshake_does_not_outlive_the_deadline(
    lxd: Server, bounded: Modules
) -> None:
    from lab import DOWN, Proxy

    with Proxy(lxd.url) as proxy:
        proxy.drip(0, DOWN, interval=0.3)
        msg = bounded.fails("lxd_image_info", server=proxy.url, timeout=2)
    assert "timed out after 2 seconds" in msg


@pytest.mark.families("lxd")
def test_a_fingerprint_that_is_a_path_does_not_lead_a_mirror_to_other_files(
    peer: Hostile, pair: KeyPair, tmp_path: Path
) -> None:
    victim = tmp_path / "other/file-src"
    victim.parent.mkdir()
    victim.write_text("mine")
    fingerprint = "../../../other/file"
    image = {
        **IMAGE,
        "fingerprint": fingerprint,
        "aliases": [{"name": "web"}],
        "uploaded_at": "2026-01-01T00:00:00Z",
    }
    peer.answers["/1.0/images"] = api([image])
    alias = {"name": fingerprint, "target": FINGERPRINT, "type": "container"}
    quoted = quote(fingerprint, safe="").replace(".", "%2E")
    peer.answers[f"/1.0/images/aliases/{quoted}"] = api(alias)
    peer.answers[f"/1.0/images/{FINGERPRINT}"] = api(IMAGE)
    peer.answers[f"/1.0/images/{FINGERPRINT}/export"] = Answer(
        body=b"other", headers=[("Content-Disposition", f"inline;filename={FINGERPRINT}.tar.xz")]
    )
    message = (
        Modules()
        .limited()
        .fails(
            "lxd_image_mirror",
            root=str(tmp_path / "www"),
            base_url="https://mirror.example.com",
            source_server=peer.url,
            source_cert=str(tmp_path / "peer.crt"),
            select=["*"],
        )
    )
    assert victim.read_text() == "mine"
    assert "has no images for alias=*" in message

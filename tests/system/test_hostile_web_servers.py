# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Importing by URL from a server with invalid responses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hostile import OWN, Answer, Hostile, good

from lab import Authority, Image, Proxy, Server
from runner import Modules, until

Build = Callable[..., Image]


class TestHostileResponses:
    """Each is a clear error of its own, and the store is unchanged."""

    @pytest.fixture
    def web(self, authority: Authority) -> Iterator[Hostile]:
        with Hostile(authority.issue("hostile", "127.0.0.1", "localhost")) as web:
            yield web

    def refused(self, lxd: Server, private: Modules, web: Hostile, **params: Any) -> str:
        mark = lxd.mark()
        msg = private.fails("lxd_image_import", url=f"{web.url}/it", **params)
        assert lxd.writes(mark) == []
        return msg

    @pytest.mark.parametrize(
        ("headers", "said"),
        [
            ([], "sends no header LXD-Image-Hash"),
            ([("LXD-Image-Hash", "HASH")], "sends LXD-Image-Hash, but no LXD-Image-URL"),
            ([("LXD-Image-URL", "FILE")], "sends LXD-Image-URL, but no LXD-Image-Hash"),
            (
                [
                    ("LXD-Image-Hash", "HASH"),
                    ("LXD-Image-Hash", "f" * 64),
                    ("LXD-Image-URL", "FILE"),
                ],
                "sends the header LXD-Image-Hash 2 times",
            ),
            ([("LXD-Image-Hash", "f" * 63), ("LXD-Image-URL", "FILE")], "is not a SHA-256"),
            ([("LXD-Image-Hash", "f" * 65), ("LXD-Image-URL", "FILE")], "is not a SHA-256"),
            ([("LXD-Image-Hash", "g" * 64), ("LXD-Image-URL", "FILE")], "is not a SHA-256"),
            (
                [("LXD-Image-Hash", "../../etc/passwd"), ("LXD-Image-URL", "FILE")],
                "is not a SHA-256",
            ),
            ([("LXD-Image-Hash", "HASH"), ("LXD-Image-URL", "/file")], "not an absolute http"),
            (
                [("LXD-Image-Hash", "HASH"), ("LXD-Image-URL", "file:///etc/passwd")],
                "not an absolute",
            ),
            ([("LXD-Image-Hash", "HASH"), ("LXD-Image-URL", "ftp://a/b")], "not an absolute http"),
            ([("LXD-Image-Hash", "HASH"), ("LXD-Image-URL", "https://u:pw1@a/b")], "credentials"),
            (
                [
                    ("LXD-Image-Hash", "HASH"),
                    ("LXD-Image-URL", "FILE"),
                    ("Incus-Image-Hash", "f" * 64),
                    ("Incus-Image-URL", "FILE"),
                ],
                "sends different headers for LXD and for Incus",
            ),
        ],
    )
    @pytest.mark.parametrize("check", [True, False])
    def test_with_invalid_headers(
        self,
        lxd: Server,
        private: Modules,
        web: Hostile,
        image: Image,
        headers: list[tuple[str, str]],
        said: str,
        check: bool,
    ) -> None:
        meant = {"HASH": image.fingerprint, "FILE": f"{web.url}/file"}
        web.answers["/it"] = Answer(
            headers=[(name, meant.get(value, value)) for name, value in headers]
        )
        web.answers["/file"] = Answer(body=image.metadata.read_bytes())
        msg = self.refused(lxd, private, web, check=check)
        assert said in msg
        assert "pw1" not in msg

    def test_upper_case_hashes_are_accepted_for_a_relay_only(
        self,
        trusting: Server,
        by_system: Modules,
        web: Hostile,
        image: Image,
    ) -> None:
        web.answers["/it"] = Answer(
            headers=[
                (f"{OWN}-Image-Hash", image.fingerprint.upper()),
                (f"{OWN}-Image-URL", f"{web.url}/file"),
            ]
        )
        web.answers["/file"] = Answer(body=image.metadata.read_bytes())
        msg = by_system.fails("lxd_image_import", url=f"{web.url}/it", mode="pull")
        assert f"sends {OWN}-Image-Hash in upper case" in msg
        assert by_system.import_url(f"{web.url}/it").actions == ["relay"]

    @pytest.fixture
    def two_faced(self, web: Hostile, build: Build) -> tuple[Image, Image]:
        """What the web server tells the task, and what it tells the server."""
        told, given = build(), build()
        web.answers["/it"] = [
            Answer(
                headers=[
                    (f"{OWN}-Image-Hash", image.fingerprint),
                    (f"{OWN}-Image-URL", f"{web.url}/file"),
                ]
            )
            for image in (told, given)
        ]
        web.answers["/file"] = Answer(body=given.metadata.read_bytes())
        return told, given

    def test_that_differ_for_the_server_leave_no_image(
        self, trusting: Server, by_system: Modules, web: Hostile, two_faced: tuple[Image, Image]
    ) -> None:
        told, given = two_faced
        msg = by_system.fails("lxd_image_import", url=f"{web.url}/it")
        assert f"gave the target the image {given.fingerprint}, not {told.fingerprint}" in msg
        assert trusting.images() == {}

    def test_that_differ_for_the_server_do_not_take_away_what_was_there_before(
        self, trusting: Server, by_system: Modules, web: Hostile, two_faced: tuple[Image, Image]
    ) -> None:
        _told, given = two_faced
        by_system.import_image(given)
        msg = by_system.fails("lxd_image_import", url=f"{web.url}/it")
        assert f"the image {given.fingerprint[:12]} stays in project default" in msg
        assert set(trusting.images()) == {given.fingerprint}

    def test_that_differ_for_the_server_do_not_take_away_what_somebody_has_named_meanwhile(
        self, trusting: Server, by_system: Modules, web: Hostile, two_faced: tuple[Image, Image]
    ) -> None:
        _told, given = two_faced
        with Proxy(trusting.socket) as proxy:
            waits = proxy.hold(lambda request: "/wait" in request.path)
            through = Modules(server=f"unix://{proxy.socket}")
            run = through.start("lxd_image_import", url=f"{web.url}/it")
            until(lambda: waits.reached and given.fingerprint in trusting.images())
            theirs = {"name": "theirs", "target": given.fingerprint}
            trusting.api("POST", "/1.0/images/aliases", theirs)
            proxy.heal()
            outcome = run.wait()
        assert f"the image {given.fingerprint[:12]} stays in project default" in outcome["msg"]
        assert trusting.aliases() == {"theirs": given.fingerprint}

    def test_with_another_status(
        self, lxd: Server, private: Modules, web: Hostile, image: Image
    ) -> None:
        web.answers["/it"] = good(web, image, status=404)
        assert "responds with the HTTP status 404" in self.refused(lxd, private, web)

    def test_to_head_only_are_requested_again(
        self, private: Modules, web: Hostile, image: Image
    ) -> None:
        web.answers["/it"] = good(web, image, head=405)
        web.answers["/file"] = Answer(body=image.metadata.read_bytes())
        assert private.import_url(f"{web.url}/it").actions == ["relay"]
        assert [request[0] for request in web.requests[:2]] == ["HEAD", "GET"]

    @pytest.mark.parametrize("times", [5, 6, 99])
    def test_with_redirects(
        self, lxd: Server, private: Modules, web: Hostile, image: Image, times: int
    ) -> None:
        for number in range(times):
            target = f"/{number + 1}" if times < 99 else "/it"
            path = "/it" if number == 0 else f"/{number}"
            web.answers[path] = Answer(302, [("Location", target)])
        web.answers[f"/{times}"] = good(web, image)
        web.answers["/file"] = Answer(body=image.metadata.read_bytes())
        if times == 5:
            assert private.import_url(f"{web.url}/it").actions == ["relay"]
        else:
            assert "has more than 5 redirects" in self.refused(lxd, private, web)

    @pytest.mark.parametrize("by", ["header", "redirect", "redirect of the file"])
    def test_that_lead_to_a_host_which_only_this_network_reaches(
        self, lxd: Server, private: Modules, web: Hostile, image: Image, by: str
    ) -> None:
        inside = web.url.replace("127.0.0.1", "localhost")
        web.answers["/it"] = good(web, image)
        web.answers["/file"] = Answer(body=image.metadata.read_bytes())
        if by == "header":
            headers = [("LXD-Image-Hash", image.fingerprint), ("LXD-Image-URL", f"{inside}/file")]
            web.answers["/it"] = Answer(headers=headers)
        elif by == "redirect":
            web.answers["/it"] = Answer(302, [("Location", f"{inside}/landing")])
            web.answers["/landing"] = good(web, image)
        else:
            web.answers["/file"] = Answer(302, [("Location", f"{inside}/content")])
            web.answers["/content"] = Answer(body=image.metadata.read_bytes())
        msg = self.refused(lxd, private, web)
        assert f"refers to {inside}/" in msg
        assert "set url_allowed_hosts=localhost" in msg
        outcome = private.import_url(f"{web.url}/it", url_allowed_hosts="elsewhere, LOCAL*")
        assert outcome.actions == ["relay"]
        assert set(lxd.images()) == {image.fingerprint}

    @pytest.mark.parametrize(
        ("target", "said"),
        [
            ("https://169.254.169.254/latest", "169.254.169.254 is neither a public address"),
            ("https://10.0.0.1/x", "10.0.0.1 is neither a public address"),
            ("https://[::1]/x", "::1 is neither a public address"),
            ("https://0x7f000002/x", "127.0.0.2 is neither a public address"),
            ("https://nowhere.invalid/x", "nowhere.invalid cannot be resolved"),
            ("http://127.0.0.1/x", "which is less secure"),
        ],
    )
    def test_with_an_address_that_is_not_public(
        self, lxd: Server, private: Modules, web: Hostile, image: Image, target: str, said: str
    ) -> None:
        headers = [("LXD-Image-Hash", image.fingerprint), ("LXD-Image-URL", target)]
        web.answers["/it"] = Answer(headers=headers)
        assert said in self.refused(lxd, private, web)

    @pytest.mark.parametrize("target", ["http://127.0.0.1/x", "ftp://a/b", "file:///etc/passwd"])
    def test_with_a_redirect_to_http(
        self, lxd: Server, private: Modules, web: Hostile, target: str
    ) -> None:
        web.answers["/it"] = Answer(302, [("Location", target)])
        assert f"redirects to {target}, which is less secure" in self.refused(lxd, private, web)

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (b"<!DOCTYPE html><title>Sorry</title>", "is an HTML page, not an image"),
            (b"Not found", "is plain text, not an image"),
            (b"PK\x03\x04", "is a zip file, not an image"),
            (b"", "is empty"),
        ],
    )
    @pytest.mark.parametrize("check", [True, False])
    def test_with_a_body_that_is_not_an_image(
        self,
        lxd: Server,
        private: Modules,
        web: Hostile,
        image: Image,
        body: bytes,
        said: str,
        check: bool,
    ) -> None:
        web.answers["/it"] = good(web, image)
        web.answers["/file"] = Answer(body=body)
        assert said in self.refused(lxd, private, web, check=check)

    @pytest.mark.parametrize("change", ["wrong", "longer", "shorter"])
    def test_with_a_body_that_does_not_match_the_headers(
        self, lxd: Server, private: Modules, web: Hostile, image: Image, change: str
    ) -> None:
        content = image.metadata.read_bytes()
        bodies = {
            "wrong": Answer(body=content[:-1] + b"x"),
            "longer": Answer(body=content + b"more"),
            "shorter": Answer(body=content[:-100], length=len(content)),
        }
        web.answers["/it"] = good(web, image)
        web.answers["/file"] = bodies[change]
        msg = private.fails("lxd_image_import", url=f"{web.url}/it", retries=1)
        said = {"shorter": "closed the connection after"}.get(change, "ingerprint")
        assert said in msg
        assert lxd.images() == {}
        assert not list((lxd.directory / "images").iterdir())

    def test_with_extra_bytes_after_the_image(
        self, lxd: Server, private: Modules, web: Hostile, image: Image
    ) -> None:
        content = image.metadata.read_bytes()
        web.answers["/it"] = good(web, image)
        web.answers["/file"] = Answer(body=content + b"more", length=len(content))
        assert private.import_url(f"{web.url}/it")["transferred"] == image.size
        assert set(lxd.images()) == {image.fingerprint}

    @pytest.mark.parametrize("length", ["abc", "²", "-5", "9" * 40])
    def test_with_an_invalid_length(
        self, lxd: Server, private: Modules, web: Hostile, image: Image, length: str
    ) -> None:
        web.answers["/it"] = good(web, image)
        body = image.metadata.read_bytes()
        web.answers["/file"] = Answer(headers=[("Content-Length", length)], body=body, length=-1)
        outcome = private.run("lxd_image_import", url=f"{web.url}/it", retries=0)
        # The HTTP library decides what it means; the image is complete, or there is none.
        if outcome.failed:
            assert "closed the connection after" in outcome["msg"]
        assert set(lxd.images()) == (set() if outcome.failed else {image.fingerprint})

    @pytest.mark.parametrize(
        ("target", "said"),
        [
            ("https://[bad/x", "redirects to 'https://[bad/x', which is not a valid URL"),
            ("https://a:99999/", "redirects to 'https://a:99999/', which is not a valid URL"),
            ("https://a..b/", "a..b cannot be resolved"),
            ("https://me:hunter2secret@127.0.0.1:1/x", "cannot connect to https://127.0.0.1:1"),
            ("http://me:hunter2secret@127.0.0.1:1/x", "redirects to http://***@127.0.0.1:1/x"),
        ],
    )
    def test_with_an_invalid_redirect(
        self, lxd: Server, private: Modules, web: Hostile, target: str, said: str
    ) -> None:
        web.answers["/it"] = Answer(302, [("Location", target)])
        msg = self.refused(lxd, private, web)
        assert said in msg
        assert "hunter2" not in msg

    @pytest.mark.parametrize("fault", [{"then": 60.0}, {"drip": 1.0}])
    def test_that_never_end(
        self, lxd: Server, private: Modules, web: Hostile, image: Image, fault: dict[str, Any]
    ) -> None:
        content = image.metadata.read_bytes()
        body = content[:-100] if "then" in fault else content
        web.answers["/it"] = good(web, image)
        web.answers["/file"] = Answer(body=body, length=len(content), **fault)
        msg = private.fails("lxd_image_import", url=f"{web.url}/it", timeout=4)
        assert "timed out after 4 seconds" in msg
        assert lxd.images() == {}

    def test_with_an_expired_certificate(
        self, lxd: Server, private: Modules, authority: Authority, image: Image
    ) -> None:
        pair = authority.issue("expired", "127.0.0.1")
        authority.expire(pair)
        with Hostile(pair) as web:
            web.answers["/it"] = good(web, image)
            msg = self.refused(lxd, private, web)
        assert f"the certificate of {web.url} expired on" in msg

    def test_with_an_untrusted_certificate(
        self, lxd: Server, modules: Modules, web: Hostile, image: Image
    ) -> None:
        web.answers["/it"] = good(web, image)
        msg = modules.fails("lxd_image_import", url=f"{web.url}/it")
        assert "shows a certificate that this host does not trust" in msg
        assert "Set url_ca_path" in msg
        web.answers["/file"] = Answer(body=image.metadata.read_bytes())
        unchecked = modules.import_url(f"{web.url}/it", url_validate_certs=False)
        assert unchecked.actions == ["relay"]

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Importing by URL, from a real nginx and from a server with invalid responses."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.common.parameters import PASS_VARS
from hostile import Answer, Hostile

from lab import DOWN, FAMILY, UP, Authority, Image, Proxy, Server, WebServer, build_large
from playbooks import play
from runner import Modules, Outcome, until

Build = Callable[..., Image]
MIB = 1 << 20
VERBOSE = {"_ansible_inject_invocation": True} if "inject_invocation" in PASS_VARS else {}
"""The answer has the options, which older versions of Ansible always return."""
OWN = "LXD" if FAMILY == "lxd" else "Incus"


class Site:
    """nginx with files and image headers."""

    def __init__(self, root: Path, authority: Authority) -> None:
        self.root = root
        self.server = WebServer(authority, root, f"include {root.parent}/headers;")
        (root.parent / "headers").write_text("")

    def put(self, image: Image, name: str = "web", family: str = OWN) -> str:
        """Serve an image under a name. Returns its URL."""
        for path in image.paths:
            (self.root / path.name).write_bytes(path.read_bytes())
        where = f"{self.server.url}/{image.metadata.name}"
        (self.root.parent / "headers").write_text(
            f"location = /images/{name} {{"
            f" add_header {family}-Image-Hash {image.fingerprint} always;"
            f" add_header {family}-Image-URL {where} always;"
            " return 200; }"
        )
        self.server.stop()
        self.server.start()
        return f"{self.server.url}/images/{name}"


@pytest.fixture
def site(tmp_path: Path, authority: Authority) -> Iterator[Site]:
    (tmp_path / "www").mkdir()
    site = Site(tmp_path / "www", authority)
    with site.server:
        yield site


@pytest.fixture
def private(modules: Modules, authority: Authority) -> Modules:
    """The modules with ``url_ca_path``."""
    return Modules(**modules.defaults, url_ca_path=str(authority.certificate))


def load(modules: Modules, url: str, check: bool = False, **params: Any) -> Outcome:
    return modules.done("lxd_image_import", check, url=url, **params)


class TestWebServerWithImageHeaders:
    def test_is_used_by_the_server_itself(
        self, trusting: Server, by_system: Modules, site: Site, image: Image
    ) -> None:
        url = site.put(image)
        predicted = load(by_system, url, check=True, aliases=["it"])
        first = load(by_system, url, aliases=["it"], properties={"mine": "1"})
        again = load(by_system, url, aliases=["it"])
        # From 6.9 on, LXD does not import by URL.
        how = "relay" if trusting.is_lxd_since(6, 9) else "pull"
        assert predicted.actions == [how, "add alias it"]
        assert predicted["fingerprint"] == first["fingerprint"] == image.fingerprint
        assert first.actions == [how, "set properties", "add alias it"]
        assert first["transferred"] == image.size
        assert not again["changed"]
        assert trusting.aliases() == {"it": image.fingerprint}

    def test_is_relayed_from_where_another_project_has_edited_the_image(
        self, trusting: Server, by_system: Modules, site: Site, image: Image
    ) -> None:
        for project in ("dev", "prod"):
            trusting.run("project", "create", project)
        edits = {"properties": {"env": "dev"}, "expires_at": "2031-01-01"}
        by_system.import_image(image, project="dev", **edits)
        url = site.put(image)
        assert load(by_system, url, project="prod").actions == ["relay"]
        stored = trusting.images("prod")[image.fingerprint]
        assert "env" not in stored["properties"]
        assert not stored["expires_at"].startswith("2031")
        msg = by_system.fails("lxd_image_import", url=url, mode="pull")
        assert "a pull would use its attributes. Use mode: relay." in msg

    @pytest.mark.parametrize("kind", ["tar.xz", "squashfs", "vm-unified"])
    def test_with_a_private_authority_is_relayed(
        self, lxd: Server, private: Modules, site: Site, build: Build, kind: str
    ) -> None:
        image = build(kind)
        url = site.put(image)
        predicted = load(private, url, check=True, aliases=["it"])
        first = load(private, url, aliases=["it"])
        again = load(private, url, aliases=["it"])
        assert predicted.actions == first.actions == ["relay", "add alias it"]
        assert first["transferred"] == image.size
        assert first["image"]["type"] == image.type
        assert not again["changed"]

    def test_gets_the_same_request_as_from_a_server(
        self, lxd: Server, modules: Modules, authority: Authority, image: Image
    ) -> None:
        with Hostile(authority.issue("asked", "127.0.0.1")) as web:
            web.answers["/it"] = good(web, image)
            web.answers["/file"] = Answer(body=image.metadata.read_bytes())
            private = Modules(**modules.defaults, url_ca_path=str(authority.certificate))
            load(private, f"{web.url}/it")
            method, _path, headers = web.requests[0]
        assert method == "HEAD"
        environment = lxd.api("GET", "/1.0")["environment"]
        assert headers[f"{OWN}-Server-Architectures"] == ", ".join(environment["architectures"])
        assert headers[f"{OWN}-Server-Version"] == environment["server_version"]

    def test_is_not_contacted_if_the_store_has_the_fingerprint(
        self, private: Modules, site: Site, image: Image
    ) -> None:
        url = site.put(image)
        load(private, url)
        site.server.stop()
        try:
            assert not load(private, url, fingerprint=image.fingerprint)["changed"]
            assert "cannot connect to" in private.fails("lxd_image_import", url=url)
        finally:
            site.server.start()

    def test_with_another_fingerprint_is_an_error(
        self, lxd: Server, private: Modules, site: Site, image: Image
    ) -> None:
        url = site.put(image)
        msg = private.fails("lxd_image_import", url=url, fingerprint="0" * 64)
        assert f"has the image {image.fingerprint}, not {'0' * 64}" in msg
        assert lxd.images() == {}

    def test_for_the_other_family_only_is_relayed(
        self, private: Modules, site: Site, image: Image
    ) -> None:
        (other,) = {"LXD", "Incus"} - {OWN}
        assert load(private, site.put(image, family=other)).actions == ["relay"]

    def test_that_needs_a_relay_rejects_pull(
        self, private: Modules, site: Site, image: Image
    ) -> None:
        msg = private.fails("lxd_image_import", url=site.put(image), mode="pull")
        assert "mode: pull is not possible" in msg
        assert "Use mode: relay" in msg

    def test_that_only_the_target_does_not_trust_is_a_clear_error(
        self,
        lxd: Server,
        modules: Modules,
        site: Site,
        image: Image,
        authority: Authority,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
        url = site.put(image)
        msg = modules.fails("lxd_image_import", url=url)
        assert "certificate signed by unknown authority" in msg
        assert f"while it was fetching the image from {url}" in msg
        assert "mode: relay streams the image" in msg
        assert load(modules, url, mode="relay").actions == ["relay"]

    def test_is_relayed_without_a_copy_on_disk_or_in_memory(
        self, lxd: Server, private: Modules, site: Site, tmp_path: Path
    ) -> None:
        image = build_large(tmp_path / "large", 128 * MIB)
        url = site.put(image)
        with Proxy(lxd.socket) as proxy:
            proxy.stall(100 * MIB, UP)
            run = private.start("lxd_image_import", url=url, server=f"unix://{proxy.socket}")
            # From now on, it cannot write to any file.
            resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (0, 0))
            until(lambda: proxy.passed[UP] >= 100 * MIB)
            status = Path(f"/proc/{run.pid}/status").read_text()
            proxy.heal()
            assert run.wait().actions == ["relay"]
        (peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
        assert int(peak) < 100 << 10, "KiB"


class TestPlainWebServer:
    def test_is_accepted_with_a_fingerprint(
        self, lxd: Server, private: Modules, site: Site, image: Image
    ) -> None:
        site.put(image)
        url = f"{site.server.url}/{image.metadata.name}"
        assert "sends no header LXD-Image-Hash" in private.fails("lxd_image_import", url=url)
        assert load(private, url, fingerprint=image.fingerprint).actions == ["relay"]

    def test_can_use_http_with_a_fingerprint(
        self, modules: Modules, site: Site, image: Image
    ) -> None:
        site.put(image)
        url = f"{site.server.url}/{image.metadata.name}".replace("https:", "http:")
        assert "plain http can be intercepted" in modules.fails("lxd_image_import", url=url)
        assert load(modules, url, fingerprint=image.fingerprint).actions == ["relay"]

    @pytest.mark.parametrize("kind", ["split", "vm"])
    def test_can_have_a_split_image(
        self, lxd: Server, private: Modules, site: Site, build: Build, kind: str
    ) -> None:
        image = build(kind)
        site.put(image)
        names = ("metadata_url", "rootfs_url")
        urls = {
            name: f"{site.server.url}/{path.name}"
            for name, path in zip(names, image.paths, strict=True)
        }
        desired: dict[str, Any] = {**urls, "fingerprint": image.fingerprint, "aliases": ["it"]}
        predicted = private.done("lxd_image_import", True, **desired)
        first = private.done("lxd_image_import", **desired)
        assert predicted.actions == first.actions == ["relay", "add alias it"]
        assert first["transferred"] == image.size
        assert first["image"]["type"] == image.type
        assert not private.done("lxd_image_import", **desired)["changed"]

    def test_can_require_a_password(
        self, lxd: Server, modules: Modules, authority: Authority, image: Image
    ) -> None:
        with Hostile(authority.issue("secret", "127.0.0.1")) as web:
            web.answers["/it"] = good(web, image)
            web.answers["/file"] = Answer(body=image.metadata.read_bytes())
            private = Modules(**modules.defaults, url_ca_path=str(authority.certificate))
            keys: dict[str, Any] = {"url_username": "me", "url_password": "hunter2secret"}
            outcome = load(private, f"{web.url}/it", url_headers={"X-Key": "opensesame"}, **keys)
            assert outcome.actions == ["relay"]
            assert "hunter2secret" not in str(outcome)
            assert "opensesame" not in str(outcome)
            for _method, _path, headers in web.requests:
                assert headers["Authorization"] == "Basic bWU6aHVudGVyMnNlY3JldA=="
                assert headers["X-Key"] == "opensesame"

    @pytest.mark.parametrize(
        "secret", ["me:hunter2secret", "me:hunter%32secret", "me:hunter2@secret", "hunter2secret"]
    )
    def test_can_have_its_password_in_the_url_which_is_masked(
        self, lxd: Server, modules: Modules, authority: Authority, image: Image, secret: str
    ) -> None:
        with Hostile(authority.issue("masked", "127.0.0.1")) as web:
            private = Modules(**modules.defaults, url_ca_path=str(authority.certificate), **VERBOSE)
            url = web.url.replace("//", f"//{secret}@")
            failed = private.run("lxd_image_import", url=f"{url}/absent")
            assert "responds with the HTTP status 404" in failed["msg"]
            web.answers["/it"] = good(web, image)
            web.answers["/file"] = Answer(body=image.metadata.read_bytes())
            done = load(private, f"{url}/it")
            assert web.requests[-1][2]["Authorization"].startswith("Basic ")
        nonsense = private.run("lxd_image_import", url=url, src="/x")
        late = private.run("lxd_image_import", url=url, timeout=0)
        for outcome in (failed, done, nonsense, late):
            assert outcome["invocation"]["module_args"]["url"].startswith("https://***@127.0.0.1")
            for part in ("hunter", "secret"):
                assert part not in str(outcome)

    def test_with_an_unquoted_password_is_an_error_that_does_not_contain_it(
        self, modules: Modules
    ) -> None:
        for secret in ("hunter2/secret", "hunter2#secret", "hunter2?secret", "hunter2/se@cret"):
            url = f"https://me:{secret}@images.example.com/it"
            failed = Modules(**modules.defaults, **VERBOSE).run("lxd_image_import", url=url)
            assert "invalid url" in failed["msg"]
            assert "hunter2" not in str(failed)
            assert "cret@" not in str(failed)

    def test_can_require_headers_whose_values_are_masked(
        self, lxd: Server, modules: Modules, authority: Authority, image: Image
    ) -> None:
        with Hostile(authority.issue("headers", "127.0.0.1")) as web:
            web.answers["/it"] = good(web, image)
            web.answers["/file"] = Answer(body=image.metadata.read_bytes())
            private = Modules(**modules.defaults, url_ca_path=str(authority.certificate), **VERBOSE)
            headers = {"X-Key": "opensesame", "DNT": 1, "X-Name": "größe"}
            done = load(private, f"{web.url}/it", url_headers=headers)
            nonsense = private.run("lxd_image_import", url=web.url, url_headers=headers, src="/x")
            assert web.requests[-1][2]["DNT"] == "1"
        assert done["fingerprint"] == image.fingerprint, "the digit 1 in it is no secret"
        for outcome in (done, nonsense):
            assert "opensesame" not in str(outcome)
            shown = outcome["invocation"]["module_args"]["url_headers"]
            assert set(shown.values()) == {"VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"}

    def test_secrets_are_masked_in_all_output_of_a_play(
        self,
        lxd: Server,
        authority: Authority,
        image: Image,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("ANSIBLE_VERBOSITY", "3")
        monkeypatch.setenv("ANSIBLE_INJECT_INVOCATION", "1")
        with Hostile(authority.issue("play", "127.0.0.1")) as web:
            web.answers["/it"] = good(web, image)
            web.answers["/file"] = Answer(body=image.metadata.read_bytes())
            desired = {
                "server": f"unix://{lxd.socket}",
                "url_ca_path": str(authority.certificate),
                "url_headers": {"X-Key": "{{ key }}"},
            }
            module = "imagestore.lxd.lxd_image_import"
            local = {
                "ansible_connection": "local",
                "ansible_python_interpreter": sys.executable,
                "key": "opensesame",
                "address": web.url.replace("//", "//me:hunter2secret@"),
            }
            played = play(
                tmp_path,
                {"name": "done", module: {**desired, "url": "{{ address }}/it"}},
                {
                    "name": "failed",
                    module: {**desired, "url": "{{ address }}/absent"},
                    "ignore_errors": True,
                },
                {"name": "wrong", module: {**desired, "url": "{{ address }}", "src": "/x"}},
                host=local,
            )
        assert played.results["done"]["actions"] == ["relay"], played.output
        assert "responds with the HTTP status 404" in played.results["failed"]["msg"]
        assert "mutually exclusive" in played.results["wrong"]["msg"]
        assert '"url_headers": {' in played.output
        for secret in ("opensesame", "hunter2secret"):
            assert secret not in played.output
            assert secret not in str(played.results)

    def test_gets_private_headers_only_if_it_is_the_server_of_the_url(
        self, lxd: Server, modules: Modules, authority: Authority, image: Image
    ) -> None:
        pair = authority.issue("two", "127.0.0.1")
        with Hostile(pair) as first, Hostile(pair) as second:
            first.answers["/it"] = good(second, image)
            second.answers["/file"] = Answer(body=image.metadata.read_bytes())
            private = Modules(**modules.defaults, url_ca_path=str(authority.certificate))
            load(private, f"{first.url}/it", url_headers={"X-Key": "opensesame"})
            assert all("X-Key" in headers for _method, _path, headers in first.requests)
            assert not any("X-Key" in headers for _method, _path, headers in second.requests)


class TestInterruptedDownload:
    def test_resumes(self, lxd: Server, modules: Modules, site: Site, tmp_path: Path) -> None:
        image = build_large(tmp_path / "large", 32 * MIB)
        site.put(image)
        with Proxy(site.server.url.replace("https:", "http:")) as proxy:
            proxy.cut(8 * MIB, DOWN)
            url = f"{proxy.url}/{image.metadata.name}"
            assert load(modules, url, fingerprint=image.fingerprint).actions == ["relay"]
            assert proxy.passed[DOWN] < image.size + 4 * MIB
        assert set(lxd.images()) == {image.fingerprint}

    def test_starts_again_if_the_file_has_changed(
        self, lxd: Server, modules: Modules, site: Site, tmp_path: Path
    ) -> None:
        image = build_large(tmp_path / "large", 32 * MIB)
        site.put(image)
        path = site.root / image.metadata.name
        with Proxy(site.server.url.replace("https:", "http:")) as proxy:
            proxy.stall(8 * MIB, DOWN)
            url = f"{proxy.url}/{image.metadata.name}"
            run = modules.start("lxd_image_import", url=url, fingerprint=image.fingerprint)
            while proxy.passed[DOWN] < 8 * MIB:
                pass
            content = bytearray(path.read_bytes())
            content[-1] ^= 0xFF
            path.unlink()
            path.write_bytes(content)
            proxy.drop()
            proxy.heal()
            msg = run.wait()["msg"]
        assert "ingerprint" in msg
        assert lxd.images() == {}

    @pytest.fixture
    def web(self, authority: Authority) -> Iterator[Hostile]:
        with Hostile(authority.issue("breaks", "127.0.0.1")) as web:
            yield web

    def asked(self, web: Hostile) -> list[str | None]:
        """The requested ranges of the file, except for the request of its beginning."""
        files = [request for request in web.requests if request[1] == "/file"]
        return [headers.get("Range") for _method, _path, headers in files[1:]]

    def breaking(self, web: Hostile, image: Image, begin: bytes, *rest: Answer) -> str:
        """Serve an image whose file breaks off after ``begin``, then ``rest``. Returns the requested range."""
        content = image.metadata.read_bytes()
        web.answers["/it"] = good(web, image)
        headers = [("ETag", '"a"'), ("Last-Modified", "Tue, 01 Jan 2030 00:00:00 GMT")]
        broken = Answer(headers=headers, body=begin, length=len(content))
        web.answers["/file"] = [Answer(body=content), broken, *rest]
        return f"{len(begin)}-{len(content) - 1}/{len(content)}"

    @pytest.mark.parametrize("change", ["ETag", "Last-Modified", "length", "no ranges", "nothing"])
    def test_starts_again_however_the_change_is_detected(
        self, lxd: Server, private: Modules, web: Hostile, image: Image, change: str
    ) -> None:
        content = image.metadata.read_bytes()
        half = len(content) // 2
        # The beginning of the old file does not belong to the new one, unless nothing has changed.
        old = content if change == "nothing" else content[:600] + bytes(len(content) - 600)
        headers = {
            "ETag": '"b"' if change == "ETag" else '"a"',
            "Last-Modified": f"Tue, 01 Jan 203{int(change == 'Last-Modified')} 00:00:00 GMT",
            "Content-Range": f"bytes {half}-{len(content) - 1}/{len(content)}",
        }
        if change == "length":
            headers["Content-Range"] = f"bytes {half}-{len(content)}/{len(content) + 1}"
        rest = Answer(206, list(headers.items()), content[half:])
        if change == "no ranges":
            rest = Answer(body=content)
        self.breaking(web, image, old[:half], rest, Answer(body=content))
        outcome = load(private, f"{web.url}/it")
        assert outcome.actions == ["relay"]
        assert set(lxd.images()) == {image.fingerprint}
        again = [] if change == "nothing" else [None]
        assert self.asked(web) == [None, f"bytes={half}-", *again]

    def test_with_an_undetectable_change_never_becomes_an_image(
        self, lxd: Server, private: Modules, web: Hostile, image: Image
    ) -> None:
        content = image.metadata.read_bytes()
        half = len(content) // 2
        where = self.breaking(web, image, content[:600] + bytes(half - 600))
        headers = [("ETag", '"a"'), ("Last-Modified", "Tue, 01 Jan 2030 00:00:00 GMT")]
        rest = Answer(206, [*headers, ("Content-Range", f"bytes {where}")], content[half:])
        answers = web.answers["/file"]
        assert isinstance(answers, list)
        answers.append(rest)
        assert "ingerprint" in private.fails("lxd_image_import", url=f"{web.url}/it")
        assert lxd.images() == {}
        assert not list((lxd.directory / "images").iterdir())


def good(web: Hostile, image: Image, **more: Any) -> Answer:
    """The headers of an image whose file is /file."""
    return Answer(
        headers=[("LXD-Image-Hash", image.fingerprint), ("LXD-Image-URL", f"{web.url}/file")],
        **more,
    )


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
        assert load(by_system, f"{web.url}/it").actions == ["relay"]

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
            proxy.latency = 0.15
            through = Modules(server=f"unix://{proxy.socket}")
            run = through.start("lxd_image_import", url=f"{web.url}/it")
            until(lambda: given.fingerprint in trusting.images())
            theirs = {"name": "theirs", "target": given.fingerprint}
            trusting.api("POST", "/1.0/images/aliases", theirs)
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
        assert load(private, f"{web.url}/it").actions == ["relay"]
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
            assert load(private, f"{web.url}/it").actions == ["relay"]
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
        outcome = load(private, f"{web.url}/it", url_allowed_hosts="elsewhere, LOCAL*")
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
        assert load(private, f"{web.url}/it")["transferred"] == image.size
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
        unchecked = load(modules, f"{web.url}/it", url_validate_certs=False)
        assert unchecked.actions == ["relay"]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"url": "images.example.com/x"}, "invalid url"),
        ({"url": "ftp://images.example.com/x"}, "invalid url"),
        ({"url": "https://[a/x"}, "invalid url"),
        ({"url": "https://a:99999/x"}, "invalid url"),
        ({"url": "https://a/\nb"}, "invalid url"),
        ({"url": "https://a..b/"}, "cannot connect to https://a..b"),
        ({"url": "https://a/b", "url_headers": {"a b": "c"}}, "which is not a header name"),
        ({"url": "https://a/b", "url_headers": {"a": "b\r\nc"}}, "that a header cannot contain"),
        ({"url": "https://a/b", "url_headers": {"a": "10 €"}}, "that a header cannot contain"),
        (
            {"url": "https://a/b", "url_headers": {"a": 1.10}},
            "the value of a is not a string. Quote it",
        ),
        ({"url": "https://a/b", "url_headers": {"Range": "bytes=0-"}}, "sets by itself"),
        (
            {"url": "https://me:it@a/b", "url_username": "me", "url_password": "other"},
            "url contains credentials, and url_username is set",
        ),
        (
            {
                "url": "https://a/b",
                "url_headers": {"authorization": "Bearer x"},
                "url_username": "me",
                "url_password": "other",
            },
            "url_headers contains Authorization, and a user name is given",
        ),
        (
            {
                "metadata_url": "https://me:hunter2@a/b",
                "rootfs_url": "https://a/c",
                "fingerprint": "0" * 64,
            },
            "need different credentials or headers",
        ),
        (
            {
                "metadata_url": "https://a/b",
                "rootfs_url": "https://b/c",
                "fingerprint": "0" * 64,
                "url_headers": {"X-Key": "opensesame"},
            },
            "or are on two servers",
        ),
        ({"url": "https://a/b", "remote_src": True}, "remote_src cannot be used with a web server"),
        (
            {"url": "https://a/b", "compression": "xz"},
            "compression can be used with a directory only",
        ),
        ({"url": "https://a/b", "src": "/x"}, "mutually exclusive"),
        ({"metadata_url": "https://a/b"}, "rootfs_url"),
        ({"metadata_url": "https://a/b", "rootfs_url": "https://a/c"}, "fingerprint"),
        ({"src": "/x", "remote_src": True, "mode": "relay"}, "cannot be used with files"),
        ({"src": "/x", "remote_src": True, "url_headers": {"a": "b"}}, "cannot be used with files"),
        (
            {"src": "/x", "remote_src": True, "url_validate_certs": False},
            "cannot be used with files",
        ),
    ],
)
def test_conflicting_options_are_errors(
    modules: Modules, params: dict[str, Any], said: str
) -> None:
    assert said in modules.fails("lxd_image_import", **params)

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Importing by URL, from a real nginx, and with interruptions."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.common.parameters import PASS_VARS
from hostile import OWN, Answer, Hostile, good

from lab import DOWN, UP, Authority, Image, Proxy, Server, WebServer, build_large
from playbooks import play
from runner import Modules, until

Build = Callable[..., Image]


MIB = 1 << 20


VERBOSE = {"_ansible_inject_invocation": True} if "inject_invocation" in PASS_VARS else {}
"""The answer has the options, which older versions of Ansible always return."""


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


class TestWebServerWithImageHeaders:
    def test_is_used_by_the_server_itself(
        self, trusting: Server, by_system: Modules, site: Site, image: Image
    ) -> None:
        url = site.put(image)
        predicted = by_system.import_url(url, check=True, aliases=["it"])
        first = by_system.import_url(url, aliases=["it"], properties={"mine": "1"})
        again = by_system.import_url(url, aliases=["it"])
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
        assert by_system.import_url(url, project="prod").actions == ["relay"]
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
        predicted = private.import_url(url, check=True, aliases=["it"])
        first = private.import_url(url, aliases=["it"])
        again = private.import_url(url, aliases=["it"])
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
            private.import_url(f"{web.url}/it")
            method, _path, headers = web.requests[0]
        assert method == "HEAD"
        environment = lxd.api("GET", "/1.0")["environment"]
        assert headers[f"{OWN}-Server-Architectures"] == ", ".join(environment["architectures"])
        assert headers[f"{OWN}-Server-Version"] == environment["server_version"]

    def test_is_not_contacted_if_the_store_has_the_fingerprint(
        self, private: Modules, site: Site, image: Image
    ) -> None:
        url = site.put(image)
        private.import_url(url)
        site.server.stop()
        try:
            assert not private.import_url(url, fingerprint=image.fingerprint)["changed"]
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
        assert private.import_url(site.put(image, family=other)).actions == ["relay"]

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
        assert modules.import_url(url, mode="relay").actions == ["relay"]

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
        assert private.import_url(url, fingerprint=image.fingerprint).actions == ["relay"]

    def test_can_use_http_with_a_fingerprint(
        self, modules: Modules, site: Site, image: Image
    ) -> None:
        site.put(image)
        url = f"{site.server.url}/{image.metadata.name}".replace("https:", "http:")
        assert "plain http can be intercepted" in modules.fails("lxd_image_import", url=url)
        assert modules.import_url(url, fingerprint=image.fingerprint).actions == ["relay"]

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
            outcome = private.import_url(
                f"{web.url}/it", url_headers={"X-Key": "opensesame"}, **keys
            )
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
            done = private.import_url(f"{url}/it")
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
            done = private.import_url(f"{web.url}/it", url_headers=headers)
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
            private.import_url(f"{first.url}/it", url_headers={"X-Key": "opensesame"})
            assert all("X-Key" in headers for _method, _path, headers in first.requests)
            assert not any("X-Key" in headers for _method, _path, headers in second.requests)


class TestInterruptedDownload:
    def test_resumes(self, lxd: Server, modules: Modules, site: Site, tmp_path: Path) -> None:
        image = build_large(tmp_path / "large", 32 * MIB)
        site.put(image)
        with Proxy(site.server.url.replace("https:", "http:")) as proxy:
            proxy.cut(8 * MIB, DOWN)
            url = f"{proxy.url}/{image.metadata.name}"
            assert modules.import_url(url, fingerprint=image.fingerprint).actions == ["relay"]
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
        outcome = private.import_url(f"{web.url}/it")
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

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The findings of the image server check, on a real web server with one fault in its tree or configuration."""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile import Answer, Hostile
from published_site import PublishedSite

from lab import Authority, KeyPair, WebServer
from runner import Modules, timed_out

pytestmark = pytest.mark.families("lxd")  # independent of the family


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[PublishedSite]:
    site = PublishedSite(tmp_path_factory.mktemp("check"), authority)
    with site.server:
        yield site


@pytest.fixture
def site(whole: PublishedSite) -> Iterator[PublishedSite]:
    yield whole
    whole.restore()


def test_the_web_server_of_the_guide_has_no_findings(site: PublishedSite) -> None:
    done = site.check(full=True)
    assert not done.failed, done["msg"]
    assert (done["images"], done["files"], done["findings"]) == (5, 6, [])
    assert done["requests"] == len(site.server.requests)
    (note,) = done["notes"]
    assert note.startswith("one/file (virtual-machine, x86_64) is in one file")
    assert note.endswith("earlier versions of Incus take it for a container image")


def test_files_are_read_only_with_full(site: PublishedSite) -> None:
    before = len(site.server.requests)
    done = site.check(without=["closed"])
    assert not done.failed, done["msg"]
    files = [one for one in site.server.requests[before:] if one.path.startswith("/files/")]
    assert len({one.path for one in files if one.method == "HEAD"}) == 6
    # A range of one file of each kind.
    kinds = {one.path.partition(".")[2] for one in files}
    assert len([one for one in files if one.method == "GET"]) == len(kinds)


def test_plain_http_is_checked_if_it_is_enabled(site: PublishedSite) -> None:
    done = site.check(connect_http=f"{site.server.host}:80")
    (finding,) = done["findings"]
    assert finding["subject"] == f"http://{site.server.host}/"
    assert finding["problem"] == f"leads to '', not to {site.server.url}/"


def damage(site: PublishedSite) -> str:
    with site.file(site.container.fingerprint).open("r+b") as file:
        file.write(b"XXXX")
    return "its content has the SHA-256"


def truncate(site: PublishedSite) -> str:
    path = site.file(site.container.fingerprint)
    path.write_bytes(path.read_bytes()[:-1])
    return f"has {site.container.size - 1} bytes, not {site.container.size}"


def lengthen(site: PublishedSite) -> str:
    path = site.file(site.container.fingerprint)
    path.write_bytes(path.read_bytes() + b"X")
    return f"sends more than {site.container.size} bytes"


def delete_a_file(site: PublishedSite) -> str:
    site.file(site.container.fingerprint).unlink()
    return "has the HTTP status 404"


def name_another_fingerprint(site: PublishedSite) -> str:
    for path in ("streams/v1/images.json", "catalog.json"):
        site.replace(path, site.split.fingerprint, "0" * 64)
    return f"its files have the fingerprint {site.split.fingerprint}, not {'0' * 64}"


def name_another_fingerprint_in_the_index(site: PublishedSite) -> str:
    site.replace("streams/v1/images.json", site.split.fingerprint, "0" * 64)
    return f"for Incus, but {site.split.fingerprint[:12]} in catalog.json"


def remove_a_fingerprint(site: PublishedSite) -> str:
    site.replace(
        "streams/v1/images.json", "combined_squashfs_sha256", "combined_sha256_of_squashfs"
    )
    return "LXD does not find it in the index, though catalog.json has it"


def rename_a_version(site: PublishedSite) -> str:
    site.replace("streams/v1/images.json", '"20231114_2213"', '"newest"')
    return "Servers ignore versions whose name does not begin with a date"


def remove_an_alias(site: PublishedSite) -> str:
    site.replace("streams/v1/images.json", '"busybox,bb"', '"busybox"')
    return "has the names 'busybox' for LXD, but 'bb, busybox' in catalog.json"


def remove_a_product_from_the_index(site: PublishedSite) -> str:
    site.replace("streams/v1/index.json", '"split:container:', '"other:container:')
    return "lists the product"


def damage_the_index(site: PublishedSite) -> str:
    (site.root / "streams/v1/index.json").write_text("<html>")
    return "streams/v1/index.json is not valid JSON"


def delete_the_page(site: PublishedSite) -> str:
    (site.root / "index.html").unlink()
    return "is not the web page"


def remove_an_image_from_the_page(site: PublishedSite) -> str:
    site.replace("index.html", 'id="split"', 'id="splat"')
    return "does not show the image split"


SPOILERS = (
    damage,
    truncate,
    lengthen,
    delete_a_file,
    name_another_fingerprint,
    name_another_fingerprint_in_the_index,
    remove_a_fingerprint,
    rename_a_version,
    remove_an_alias,
    remove_a_product_from_the_index,
    damage_the_index,
    delete_the_page,
    remove_an_image_from_the_page,
)


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda spoil: spoil.__name__)
def test_faults_of_a_tree_are_found(
    site: PublishedSite, spoil: Callable[[PublishedSite], str]
) -> None:
    message = spoil(site)
    done = site.check(full=True)
    assert done.failed
    assert message in done["msg"]
    assert any(message in f"{one['problem']}. {one['hint']}" for one in done["findings"])


@pytest.mark.parametrize(
    "spoil", [truncate, lengthen, delete_a_file], ids=lambda spoil: spoil.__name__
)
def test_files_of_another_length_are_found_without_reading_them(
    site: PublishedSite, spoil: Callable[[PublishedSite], str]
) -> None:
    spoil(site)
    assert site.container.fingerprint in site.check()["msg"]


def test_check_mode_makes_no_difference(site: PublishedSite) -> None:
    damage(site)
    options = {"url": site.server.url, "ca_path": str(site.authority.certificate), "full": True}
    assert (
        Modules().run("lxd_image_server_check", check=True, **options)["findings"]
        == site.check(full=True)["findings"]
    )


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("busybox", "busybux", "busybox for LXD on x86_64: "),
        ("x86_64=split", "x86_64=" + "0" * 64 + ".tar.xz", "though there is no such image"),
        ("/files/$lxd_image_file", "/file/$lxd_image_file", "it should be"),
    ],
)
def test_a_response_with_wrong_headers_is_found(
    site: PublishedSite, right: str, wrong: str, message: str
) -> None:
    text = site.map.read_text()
    assert right in text
    site.map.write_text(text.replace(right, wrong))
    site.server.reload()
    done = site.check()
    left_out = site.check(without=["headers"])
    site.restore()
    site.server.reload()
    assert message in done["msg"]
    assert not left_out.failed


ASPECTS = {
    "headers": "should redirect people to the image",
    "caching": "Files never change",
    "closed": "It should not be served",
}


@pytest.mark.parametrize("aspect", ASPECTS)
def test_aspects_that_a_server_lacks_can_be_left_out(site: PublishedSite, aspect: str) -> None:
    with WebServer(site.authority, site.root) as server:
        options = {"url": "https://images.example.com", "connect": [f"{server.host}:443"]}
        options["server_name"] = server.host
        lenient = site.check(**options, without=list(ASPECTS))
        strict = site.check(**options, without=[one for one in ASPECTS if one != aspect])
    assert not lenient.failed, lenient["msg"]
    assert ASPECTS[aspect] in strict["msg"]
    assert not any(ASPECTS[other] in strict["msg"] for other in set(ASPECTS) - {aspect})


def test_a_server_without_tls_1_3_is_found(site: PublishedSite) -> None:
    with Hostile(site.server.pair) as server:
        server.context.maximum_version = ssl.TLSVersion.TLSv1_2
        for path in ("streams/v1/index.json", "streams/v1/images.json", "catalog.json"):
            server.answers[f"/{path}"] = Answer(body=(site.root / path).read_bytes())
        done = site.check(url=server.url, server_name=site.server.host)
    assert {
        "subject": server.url,
        "problem": "negotiates TLSv1.2",
        "hint": "LXD requires TLS 1.3.",
    } in (done["findings"])


def test_a_document_root_without_access_is_found(site: PublishedSite) -> None:
    with Hostile(site.server.pair) as server:
        server.answers["/streams/v1/index.json"] = Answer(403)
        done = site.check(url=server.url, server_name=site.server.host)
    (finding,) = done["findings"]
    assert "the web server may not read it" in finding["problem"]
    assert "permission to enter every directory" in finding["hint"]


def test_what_a_private_server_shows_to_strangers_is_found(
    site: PublishedSite, tmp_path: Path
) -> None:
    """nginx executes the return of /images/ before it asks for a password, and plain http serves what https does."""
    passwords = tmp_path / "passwords"
    passwords.write_text("fleet:{PLAIN}secret\n")
    tmp_path.chmod(0o755)
    closed = f"auth_basic private; auth_basic_user_file {passwords};"
    settings = f"{closed} {site.settings}"
    with WebServer(site.authority, site.root, settings, f"include {site.map};") as server:
        done = site.check(
            connect=[f"{server.host}:443"],
            connect_http=f"{server.host}:80",
            server_name=server.host,
            username="fleet",
            password="secret",
        )
    shown = [one for one in done["findings"] if "for a client that shows" in one["problem"]]
    assert {one["subject"].rpartition("/images/")[2] for one in shown} == {"", "busybox", "none"}
    for client in ("no credentials", "a wrong password"):
        problems = [one["problem"] for one in shown if client in one["problem"]]
        assert len(problems) == 6
    assert "use them in a location that try_files leads to" in shown[0]["hint"]
    others = [one for one in done["findings"] if one not in shown]
    assert others
    assert {one["hint"] for one in others} == {"A private server serves nothing over plain http."}


def test_an_unexpected_certificate_is_a_finding(site: PublishedSite, tmp_path: Path) -> None:
    done = site.check(ca_path=str(Authority(tmp_path).certificate))
    (finding,) = done["findings"]
    assert "does not match" in finding["problem"]


def test_the_name_of_an_expected_certificate_is_checked(
    site: PublishedSite,
) -> None:
    own = str(site.server.pair.certificate)
    assert not site.check(ca_path=own).failed
    done = site.check(ca_path=own, server_name="images.example.com")
    assert "another host name" in done["msg"]


def test_a_server_is_checked_at_the_given_addresses(
    site: PublishedSite,
) -> None:
    address = f"{site.server.host}:443"
    done = site.check(
        url="https://images.example.com",
        connect=[address],
        server_name=site.server.host,
        without=["headers"],
    )
    assert not done.failed, done["msg"]


class NamedAuthority(Authority):
    """Its certificates are for images.example.com as well."""

    def issue(self, name: str, *hosts: str) -> KeyPair:
        return super().issue(name, *hosts, "images.example.com")


def test_all_addresses_have_to_serve_the_same(site: PublishedSite, tmp_path: Path) -> None:
    shutil.copytree(site.root, tmp_path / "other")
    (tmp_path / "other/streams/v1/index.json").write_text("{}")
    authority = NamedAuthority(tmp_path)
    first, other = (WebServer(authority, root) for root in (site.root, tmp_path / "other"))
    with first, other:
        done = site.check(
            url="https://images.example.com",
            ca_path=str(authority.certificate),
            connect=[f"{server.host}:443" for server in (first, other)],
            without=["headers", "caching", "closed"],
        )
    (finding,) = done["findings"]
    assert finding["subject"] == f"https://{other.host}:443/streams/v1/index.json"
    assert finding["problem"] == f"is not the document that https://{first.host}:443 serves"


def test_it_waits_until_the_server_has_loaded_what_was_installed(site: PublishedSite) -> None:
    right = asked_for_its_revision(site)
    assert not site.check(expect_revision=right).failed
    begun = time.monotonic()
    done = site.check(expect_revision="another", wait=1)
    assert time.monotonic() - begun >= 1
    (finding,) = done["findings"]
    assert f"serves the revision {right!r}, not 'another'" in finding["problem"]


@pytest.mark.parametrize("length", [None, 10**12])
def test_the_timeout_ends_an_endless_document(site: PublishedSite, length: int | None) -> None:
    with Hostile(site.server.pair) as server:
        server.answers["/streams/v1/index.json"] = Answer(
            body=b"[" * 1000, length=length or -1, drip=0.1
        )
        there = {"url": server.url, "server_name": site.server.host}
        said = timed_out(
            lambda seconds: str(site.check(**there, timeout=seconds).get("findings")), "'problem': "
        )
    assert said.count("'problem': ") == 1


def test_the_timeout_ends_the_wait_for_a_response() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        done = Modules().fails(
            "lxd_image_server_check", url="https://images.example.com", connect=[address], timeout=1
        )
    assert "1 second" in done


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "http://images.example.com"}, "https://HOST"),
        ({"url": "https://images.example.com/lxd"}, "https://HOST"),
        ({"url": "https://user:secret@images.example.com"}, "https://HOST"),
        ({"connect": ["images.example.com"]}, "HOST:PORT"),
        ({"connect_http": "127.0.0.1:http"}, "HOST:PORT"),
        ({"connect": ["127.0.0.1:70000"]}, "HOST:PORT"),
        ({"timeout": 0}, "at least 1"),
        ({"wait": 3}, "expect_revision"),
        ({"ca_path": "/nonexistent/ca.pem"}, "/nonexistent/ca.pem"),
    ],
)
def test_invalid_options_are_rejected(options: dict[str, Any], message: str) -> None:
    defaults = {"url": "https://images.example.com"}
    said = Modules().fails("lxd_image_server_check", **{**defaults, **options})
    assert message in said
    assert "secret" not in said


def test_a_long_list_of_architectures_is_rejected_quickly(
    site: PublishedSite,
) -> None:
    """The shortest of several times, of as many as it takes: others use this machine, too."""

    def takes(architectures: str, status: int) -> float:
        begun = time.monotonic()
        assert asked(site, architectures) == status
        return time.monotonic() - begun

    short = long = 60.0
    for _attempt in range(500):
        short = min(short, takes("x86_64, i686", 200))
        long = min(long, takes(",".join(["x"] * 3900), 404))
        if long < short + 0.03:
            break
    assert long < short + 0.03
    assert asked(site, f"{'vax, ' * 40}x86_64") == 200


def asked(site: PublishedSite, architectures: str) -> int:
    """The status for a client with these architectures that asks for an image by its address."""
    line = connection(site)
    line.request("GET", "/images/busybox", headers={"LXD-Server-Architectures": architectures})
    status = line.getresponse().status
    line.close()
    return status


def asked_for_its_revision(site: PublishedSite) -> str:
    """What the web server answers at /images/."""
    line = connection(site)
    line.request("GET", "/images/")
    revision = line.getresponse().read().decode().strip()
    line.close()
    return revision


def connection(site: PublishedSite) -> http.client.HTTPSConnection:
    context = ssl.create_default_context(cafile=str(site.authority.certificate))
    return http.client.HTTPSConnection(site.server.host, context=context, timeout=120)

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Image servers that ask for a password or a client certificate: a real nginx."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from copies import Copies
from hostile import Answer, Hostile
from simplestreams_tree import Tree

from lab import Authority, Image, Server, WebServer
from runner import Modules, Outcome

Build = Callable[..., Image]

USER, PASSWORD = "fleet", "s3cret of the fleet"
BASIC = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
LOGIN = {"source_username": USER, "source_password": PASSWORD}

#: No server is involved but the source.
NOWHERE = Modules(server="unix:///nowhere")


@pytest.fixture
def site(tree: Tree, authority: Authority, tmp_path: Path) -> Iterator[WebServer]:
    """It asks for a password, for everything."""
    tree.write()
    passwords = tmp_path / "passwords"
    passwords.write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
    with WebServer(
        authority, tree.root, f"auth_basic private; auth_basic_user_file {passwords};"
    ) as server:
        yield server


def source(url: str, authority: Authority, **more: str) -> dict[str, str]:
    """An image server, as options."""
    certificate = {"source_cert": str(authority.certificate)}
    return {"source_server": url, "source_protocol": "simplestreams", **certificate, **more}


@pytest.fixture
def copies(modules: Modules, site: WebServer, authority: Authority) -> Copies:
    return Copies(modules, **source(site.url, authority, **LOGIN))


def without_secrets(outcome: Outcome) -> str:
    """All that a module has returned, which has no secret in it."""
    text = json.dumps(outcome)
    for secret in (PASSWORD, BASIC):
        assert secret not in text
    return text


@pytest.mark.parametrize("kind", ["tar.xz", "split"])
def test_an_image_is_relayed_with_the_password(
    lxd: Server, tree: Tree, copies: Copies, build: Build, kind: str
) -> None:
    image = build(kind)
    tree.publish(image, "busybox")
    predicted = copies("busybox", check=True, aliases=["mine"])
    first = copies("busybox", aliases=["mine"])
    assert predicted.actions == first.actions == ["relay", "add alias mine"]
    assert not copies("busybox", aliases=["mine"])["changed"]
    assert lxd.aliases() == {"mine": image.fingerprint}
    assert "relay" in without_secrets(first)


@pytest.mark.families("lxd")
def test_the_server_itself_cannot_pull_the_image(
    lxd: Server, tree: Tree, copies: Copies, build: Build
) -> None:
    tree.publish(build(), "busybox")
    msg = copies.fails("busybox", mode="pull")
    assert "the image server wants credentials that only this task has. Use mode: relay." in msg
    assert "auto_update does not work" in copies.fails("busybox", auto_update=True)
    assert lxd.images() == {}


@pytest.mark.families("lxd")
def test_every_module_with_a_source_uses_the_password(
    tree: Tree,
    site: WebServer,
    authority: Authority,
    modules: Modules,
    build: Build,
    tmp_path: Path,
) -> None:
    image = build("split")
    tree.publish(image, "busybox")
    options = source(site.url, authority, **LOGIN)
    listed = NOWHERE.done("lxd_image_info", **options)
    exported = NOWHERE.done("lxd_image_export", name="busybox", dest=str(tmp_path), **options)
    stored = modules.done("lxd_image_store", images=[{"image": "busybox", **options}])
    assert [one["fingerprint"] for one in listed["images"]] == [image.fingerprint]
    assert exported["fingerprint"] == image.fingerprint
    assert stored.actions == ["busybox: relay"]
    for outcome in (listed, exported, stored):
        without_secrets(outcome)


@pytest.mark.families("lxd")
@pytest.mark.parametrize(
    ("login", "hint"),
    [
        ({}, "A private image server needs source_username and source_password"),
        ({**LOGIN, "source_password": "wrong"}, "Correct source_username and source_password"),
        ({**LOGIN, "source_username": "nobody"}, "Correct source_username and source_password"),
    ],
    ids=["none", "another password", "another user"],
)
def test_other_credentials_are_refused(
    site: WebServer, authority: Authority, login: dict[str, str], hint: str
) -> None:
    outcome = NOWHERE.run("lxd_image_info", **source(site.url, authority, **login))
    assert f"index.json responds with the HTTP status 401. {hint}" in outcome["msg"]
    without_secrets(outcome)


@pytest.mark.families("lxd")
def test_a_client_certificate_works_as_well(
    lxd: Server, modules: Modules, tree: Tree, authority: Authority, build: Build, tmp_path: Path
) -> None:
    image = build("split")
    tree.publish(image, "busybox")
    clients = Authority(tmp_path / "clients")
    right, wrong = clients.issue("client", "client"), authority.issue("client", "client")
    with WebServer(
        authority,
        tree.root,
        f"ssl_verify_client on; ssl_client_certificate {clients.certificate};",
    ) as site:
        base = source(site.url, authority)
        keys = [
            {"source_client_cert": str(pair.certificate), "source_client_key": str(pair.key)}
            for pair in (right, wrong)
        ]
        copied = Copies(modules, **base, **keys[0])("busybox")
        assert (copied.actions, copied["fingerprint"]) == (["relay"], image.fingerprint)
        for refused in (keys[1], {}):
            msg = NOWHERE.fails("lxd_image_info", **base, **refused)
            assert "responds with the HTTP status 400" in msg
            assert "source_client_cert and source_client_key" in msg


@pytest.mark.families("lxd")
def test_no_other_host_gets_the_credentials(
    tree: Tree, authority: Authority, build: Build, tmp_path: Path
) -> None:
    """Neither by a redirect, nor by an index that names another host."""
    tree.publish(build("split"), "busybox")
    pair = authority.issue("hosts", "127.0.0.1")
    with Hostile(pair) as home, Hostile(pair) as elsewhere:
        for path in (path for path in tree.root.rglob("*") if path.is_file()):
            name = f"/{path.relative_to(tree.root)}"
            home.answers[name] = Answer(302, [("Location", f"{elsewhere.url}{name}")])
            elsewhere.answers[name] = Answer(body=path.read_bytes())
        NOWHERE.done(
            "lxd_image_export",
            name="busybox",
            dest=str(tmp_path),
            **source(home.url, authority, **LOGIN),
        )
        assert {headers["Authorization"] for _method, _path, headers in home.requests} == {
            f"Basic {BASIC}"
        }
        assert len(elsewhere.requests) == 4
        assert not [one for one in elsewhere.requests if "Authorization" in one[2]]


@pytest.mark.families("lxd")
def test_credentials_in_the_address_of_a_remote_are_used(
    tree: Tree, site: WebServer, authority: Authority, build: Build, tmp_path: Path
) -> None:
    image = build("split")
    tree.publish(image, "busybox")
    address = site.url.replace("https://", f"https://{USER}:{PASSWORD.replace(' ', '%20')}@")
    (tmp_path / "config.yml").write_text(
        f"remotes: {{site: {{addr: '{address}', protocol: simplestreams, public: true}}}}"
    )
    found = NOWHERE.done(
        "lxd_image_info",
        source_remote="site",
        source_cert=str(authority.certificate),
        config_dir=str(tmp_path),
    )
    assert [one["fingerprint"] for one in found["images"]] == [image.fingerprint]
    without_secrets(found)


@pytest.mark.families("lxd")
def test_a_server_that_quotes_the_credentials_does_not_bring_them_into_the_result(
    authority: Authority,
) -> None:
    with Hostile(authority.issue("quotes", "127.0.0.1")) as server:
        target = f"/{BASIC}/{PASSWORD}"
        server.otherwise = Answer(302, [("Location", f"http://127.0.0.1{target}")])
        outcome = NOWHERE.run("lxd_image_info", **source(server.url, authority, **LOGIN))
        assert "redirects to" in without_secrets(outcome)


@pytest.mark.families("lxd")
@pytest.mark.parametrize(
    ("login", "said"),
    [
        ({"source_bearer_token": "x"}, "source_bearer_token cannot be used with an image server"),
        ({"source_remote": "plain", **LOGIN}, "does not use https, so the credentials could be"),
    ],
)
def test_credentials_that_cannot_be_used_are_an_error(
    authority: Authority, tmp_path: Path, login: dict[str, Any], said: str
) -> None:
    (tmp_path / "config.yml").write_text(
        "remotes: {plain: {addr: 'http://127.0.0.1:1', protocol: simplestreams, public: true}}"
    )
    base = {"source_server": "https://127.0.0.1:1", "source_protocol": "simplestreams"}
    named = {} if "source_remote" in login else base
    assert said in NOWHERE.fails("lxd_image_info", config_dir=str(tmp_path), **named, **login)

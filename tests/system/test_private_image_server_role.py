# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role sets up this machine as a private image server: a password or a client certificate is needed for all."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import shutil
import ssl
import stat
import subprocess
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from mirrors import Upstream

from lab import (
    Authority,
    Image,
    KeyPair,
    LabError,
    Server,
    WebServer,
    build_image,
    client_config,
    whole_machine,
)
from lab.addresses import free_host
from playbooks import Played, play
from runner import Modules

pytestmark = pytest.mark.families("lxd")  # it uses servers of all families

OWN = Path("/etc/nginx/image-server")
SITE = Path("/etc/nginx/conf.d/image-server.conf")
CERTIFICATE = OWN / "self-signed.crt"
UNITS = Path("/etc/systemd/system")
PROGRAM = Path("/usr/local/lib/image-server/refresh.pyz")
PASSWORD = "correct horse battery"
LOGIN = ("fleet", PASSWORD)


@dataclass(frozen=True)
class Private:
    """The private server, the plays that have made it, and a client's key pair that it accepts and another."""

    host: str
    image: Image
    runs: dict[str, Played]
    variables: dict[str, Any]
    folder: Path
    accepted: KeyPair
    foreign: KeyPair

    @property
    def url(self) -> str:
        return f"https://{self.host}:8443"

    @property
    def source(self) -> dict[str, str]:
        """It as the source of a module."""
        return {
            "source_server": self.url,
            "source_protocol": "simplestreams",
            "source_cert": str(CERTIFICATE),
        }

    def ask(
        self,
        path: str,
        method: str = "GET",
        login: tuple[str, str] | None = None,
        pair: KeyPair | None = None,
        port: int = 8443,
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of a response."""
        context = ssl.create_default_context(cafile=str(CERTIFICATE))
        if pair:
            context.load_cert_chain(pair.certificate, pair.key)
        headers = {"LXD-Server-Architectures": "x86_64", "Incus-Server-Architectures": "x86_64"}
        if login:
            headers["Authorization"] = "Basic " + b64encode(":".join(login).encode()).decode()
        connection = (
            http.client.HTTPSConnection(self.host, port, context=context, timeout=120)
            if port == 8443
            else http.client.HTTPConnection(self.host, port, timeout=120)
        )
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, dict(response.getheaders()), body

    def command(self, beginning: str) -> str:
        """The command on the page that begins with these words."""
        page = self.ask("/", login=LOGIN)[2].decode()
        lines = (
            re.sub("<.*?>", "", line) for line in re.findall(r'class="line">(.*?)</span>', page)
        )
        (found,) = (line for line in lines if line.startswith(beginning))
        return found


def apply(folder: Path, variables: dict[str, Any], check: bool = False) -> Played:
    return play(folder, check=check, roles=["imagestore.lxd.image_server"], vars=variables)


@pytest.fixture(scope="module")
def private() -> Iterator[Private]:
    # Not below pytest's own directory, which nginx cannot read.
    folder = Path(tempfile.mkdtemp(prefix="private-image-server-"))
    folder.chmod(0o755)
    image = build_image("tar.xz", folder / "built", version="private")
    split = build_image("split", folder / "split", version="private")
    clients = Authority(folder / "clients")
    host = free_host()
    files = dict(zip(("metadata", "rootfs"), map(str, split.paths), strict=True))
    hashed = subprocess.run(
        ["openssl", "passwd", "-6", PASSWORD], check=True, capture_output=True, text=True
    )
    slow = "{{ 'other horse' | password_hash('sha512', 'saltofthetest') }}"
    variables = {
        "image_server_images": [
            {"name": "web", "src": str(image.metadata)},
            {"name": "split", **files},
        ],
        "image_server_remote_src": True,
        "image_server_name": host,
        "image_server_listen": [host],
        "image_server_https_port": 8443,
        "image_server_http_port": 8080,
        "image_server_root": str(folder / "www"),
        "image_server_users": [
            {"name": "fleet", "password_hash": hashed.stdout.strip()},
            {"name": "slow", "password_hash": slow},
        ],
        "image_server_client_ca": str(clients.certificate),
    }
    with whole_machine():
        try:
            shutil.rmtree(OWN, ignore_errors=True)
            runs = {"predicted": apply(folder, variables, check=True)}
            assert not OWN.exists()
            runs["first"] = apply(folder, variables)
            assert not runs["first"].failed, runs["first"].output
            runs["again"] = apply(folder, variables)
            pair = clients.issue("client", "client")
            foreign = Authority(folder / "foreign").issue("client", "client")
            yield Private(host, image, runs, variables, folder, pair, foreign)
        finally:
            subprocess.run(["nginx", "-s", "stop"], capture_output=True, check=False)
            SITE.unlink(missing_ok=True)
            for place in (OWN, folder):
                shutil.rmtree(place, ignore_errors=True)


def test_it_is_predicted_set_up_and_then_unchanged(private: Private) -> None:
    assert not private.runs["predicted"].failed, private.runs["predicted"].output
    assert not private.runs["again"].failed, private.runs["again"].output
    assert "changed=0" in private.runs["again"].output


def test_no_secret_is_in_any_output(private: Private) -> None:
    own, digest = (OWN / "check.password").read_text().splitlines()
    hashes = [one["password_hash"] for one in private.variables["image_server_users"]]
    for run in private.runs.values():
        text = run.output + json.dumps(run.results)
        for secret in (own, digest, digest.removeprefix("{SHA}"), hashes[0], "$6$"):
            assert secret not in text


def test_only_nginx_can_read_the_users_and_only_root_the_password(private: Private) -> None:
    users, own = (OWN / name for name in ("users", "check.password"))
    assert (users.owner(), users.group()) == ("root", "www-data")
    assert stat.S_IMODE(users.stat().st_mode) == 0o640
    assert (own.owner(), stat.S_IMODE(own.stat().st_mode)) == ("root", 0o600)
    assert [line.partition(":")[0] for line in users.read_text().splitlines()] == [
        "fleet",
        "slow",
        "image-server-check",
    ]


def addresses(private: Private) -> list[str]:
    """One of each kind."""
    return [
        "/",
        "/index.html",
        "/catalog.json",
        "/streams/v1/index.json",
        "/streams/v1/images.json",
        f"/files/{private.image.fingerprint}.tar.xz",
        f"/files/{'0' * 64}.tar.xz",
        "/images/",
        "/images/web",
        "/images/split",
        "/images/none",
        "/none",
        "/.none",
        "/.catalog/lock",
        "/@image",
    ]


def test_every_address_asks_for_credentials(private: Private) -> None:
    for path in addresses(private):
        for method in ("GET", "HEAD", "POST", "PUT", "OPTIONS"):
            for login in (None, ("fleet", "wrong"), ("nobody", PASSWORD), ("fleet", "")):
                status, headers, _body = private.ask(path, method, login)
                assert (path, method, login, status) == (path, method, login, 401)
                assert "image" not in " ".join(headers).lower()
        status, headers, _body = private.ask(path, pair=private.foreign)
        assert (path, status) == (path, 400)
        assert "image" not in " ".join(headers).lower()


@pytest.mark.parametrize("way", ["password", "certificate"])
def test_a_password_or_a_certificate_opens_every_address(private: Private, way: str) -> None:
    shown: dict[str, Any] = {"login": LOGIN} if way == "password" else {"pair": private.accepted}
    found = {path: private.ask(path, **shown) for path in addresses(private)}
    missing = {f"/files/{'0' * 64}.tar.xz", *addresses(private)[9:]}
    assert {path: answer[0] for path, answer in found.items()} == {
        path: 404 if path in missing else 200 for path in found
    }
    headers = found["/images/web"][1]
    assert headers["LXD-Image-Hash"] == headers["Incus-Image-Hash"] == private.image.fingerprint
    file = found[f"/files/{private.image.fingerprint}.tar.xz"]
    assert file[2] == private.image.metadata.read_bytes()
    # A cache that others use must not keep it.
    assert file[1]["Cache-Control"] == "private, max-age=31536000, immutable"
    said = found["/images/split"][2].decode()
    assert "consists of two files" in said and f"see {private.url}/#split\n" in said
    for path in ("/", "/images/web"):
        status, headers, _body = private.ask(path, "POST", **shown)
        assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_the_hash_of_ansibles_filter_works(private: Private) -> None:
    assert private.ask("/", login=("slow", "other horse"))[0] == 200


def test_plain_http_only_redirects(private: Private) -> None:
    for path in addresses(private):
        for login in (None, LOGIN):
            status, headers, _body = private.ask(path, login=login, port=8080)
            assert (status, headers["Location"]) == (301, f"{private.url}{path}")


@pytest.mark.parametrize("way", ["password", "certificate"])
def test_the_check_of_the_collection_has_no_findings(private: Private, way: str) -> None:
    login = {
        "password": {"username": "fleet", "password": PASSWORD},
        "certificate": {
            "client_cert": str(private.accepted.certificate),
            "client_key": str(private.accepted.key),
        },
    }[way]
    options = {"url": private.url, "ca_path": str(CERTIFICATE)}
    done = Modules().run(
        "lxd_image_server_check", **options, **login, connect_http=f"{private.host}:8080"
    )
    assert not done.failed, done["msg"]
    refused = Modules().fails("lxd_image_server_check", **options)
    assert "index.json has the HTTP status 401" in refused
    assert "Set username and password" in refused


@pytest.mark.parametrize("family", ["lxd", "incus6", "incus7"])
def test_servers_of_all_families_get_images(
    private: Private, family: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The modules relay them. Clients keep the credentials in the address of a remote, and so do servers then.

    Servers that import by URL send the credentials of an address only with their first request, so they get nothing.
    """
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    password = {"source_username": "fleet", "source_password": PASSWORD}
    pair = private.accepted
    keys = {"source_client_cert": str(pair.certificate), "source_client_key": str(pair.key)}
    with Server("client", family=family, ca_file=CERTIFICATE) as server:
        modules = Modules().at(server)
        for name, login in (("web", password), ("split", keys)):
            copied = modules.done("lxd_image_copy", image=name, **private.source, **login)
            assert copied.actions == ["relay"]
        modules.done("lxd_image", name=private.image.fingerprint, state="absent")
        url = f"{private.url}/images/web"
        imported = modules.done(
            "lxd_image_import", url=url, url_username="fleet", url_password=PASSWORD
        )
        assert (imported.actions, imported["fingerprint"]) == (["relay"], private.image.fingerprint)
        modules.done("lxd_image", name=private.image.fingerprint, state="absent")
        with_login = url.replace("https://", f"https://fleet:{quote(PASSWORD)}@")
        with pytest.raises(LabError):
            server.run("image", "import", with_login)
        assert private.image.fingerprint not in server.images()
        own = client_config(tmp_path / "config", [server])
        client = "lxc" if family == "lxd" else "incus"
        for words in (f"{client} remote add ", f"{client} image copy {private.host}:web "):
            # As the page of the server has them.
            command = private.command(words).replace("USER:PASSWORD", "fleet:" + quote(PASSWORD))
            own.run(*shlex.split(command.replace("local:", "client:"))[1:])
        origin = server.images()[private.image.fingerprint]["update_source"]
        assert origin["server"] == with_login.removesuffix("/images/web")
        assert server.aliases()["web"] == private.image.fingerprint


def test_invalid_variables_are_an_error(private: Private) -> None:
    users = [
        {"name": "a:b", "password_hash": "in the clear"},
        {"name": "image-server-check", "password_hash": "$6$x$" + "x" * 86},
    ]
    invalid = {"image_server_users": users, "image_server_client_ca": "clients.crt"}
    done = apply(private.folder, {**private.variables, **invalid})
    text = " ".join(done.output.replace("\\n", " ").split())
    for said in (
        "The names in image_server_users must consist of letters, digits and",
        "must be different, and none of them image-server-check.",
        "A password_hash in image_server_users is not a hash",
        "image_server_client_ca must be an absolute path",
    ):
        assert said in text
    assert "in the clear" not in text
    assert private.ask("/images/web")[0] == 401


SECRET = "of the source"


@pytest.fixture
def public(private: Private, authority: Authority) -> Iterator[dict[str, Any]]:
    """The variables of the same server without credentials, which mirrors another private server by a timer."""
    upstream = Upstream(private.folder / "upstream")
    upstream.publish("alpine/3.23", "20260101")
    users = private.folder / "upstream-users"
    users.write_text(f"mirror:{{PLAIN}}{SECRET}\n")
    settings = f"auth_basic private; auth_basic_user_file {users};"
    with WebServer(authority, upstream.root, settings) as source:
        mirror = {
            "source_server": source.url,
            "source_protocol": "simplestreams",
            "source_cert": str(authority.certificate),
            "source_username": "mirror",
            "source_password": SECRET,
            "select": ["alpine/*"],
        }
        yield {
            **private.variables,
            "image_server_users": [],
            "image_server_client_ca": "",
            "image_server_mirrors": [mirror],
            "image_server_refresh": "daily",
        }


def test_a_server_becomes_public_again_and_renews_its_mirrors_by_itself_until_told_otherwise(
    private: Private, public: dict[str, Any]
) -> None:
    done = apply(private.folder, public)
    assert not done.failed, done.output
    assert SECRET not in done.output + json.dumps(done.results)
    assert private.ask("/images/web")[0] == 200
    assert not (OWN / "users").exists()
    assert not (OWN / "check.password").exists()
    listed = json.loads(private.ask("/streams/v1/images.json")[2])["products"]
    assert "alpine:3.23:amd64" in listed

    config = OWN / "mirrors.json"
    assert (config.owner(), stat.S_IMODE(config.stat().st_mode)) == ("root", 0o600)
    service, timer = (UNITS / f"image-server-refresh.{kind}" for kind in ("service", "timer"))
    enabled = UNITS / "timers.target.wants" / timer.name
    assert enabled.resolve() == timer
    assert "OnCalendar=daily" in timer.read_text()
    (line,) = (text for text in service.read_text().splitlines() if text.startswith("ExecStart="))
    renewed = subprocess.run(
        shlex.split(line.partition("=")[2]), capture_output=True, text=True, check=False
    )
    source = public["image_server_mirrors"][0]["source_server"]
    assert renewed.stderr == ""
    assert renewed.returncode == 0
    assert renewed.stdout == f"{source}: 0 bytes downloaded\n"

    stopped = apply(private.folder, {**public, "image_server_refresh": ""})
    assert not stopped.failed, stopped.output
    left = (config, service, timer, enabled, PROGRAM)
    assert [path for path in left if os.path.lexists(path)] == []

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the system tests: test servers and images."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from copies import Copies
from publications import CatalogSite
from simplestreams_tree import Tree

from lab import (
    FAMILY,
    Authority,
    Image,
    KeyPair,
    Server,
    SshHost,
    WebServer,
    build_image,
    client_certificate,
)
from runner import Modules


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "families(*names): for servers of these families only")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests that do not apply to the servers of this family."""
    fitting: list[pytest.Item] = []
    others: list[pytest.Item] = []
    for item in items:
        marker = item.get_closest_marker("families")
        (fitting if marker is None or FAMILY in marker.args else others).append(item)
    items[:] = fitting
    config.hook.pytest_deselected(items=others)


@pytest.fixture(scope="session")
def lxd_server() -> Iterator[Server]:
    with Server("one") as server:
        yield server


@pytest.fixture(scope="session")
def other_server() -> Iterator[Server]:
    with Server("two") as server:
        yield server


@pytest.fixture(scope="session")
def trusting_server(authority: Authority) -> Iterator[Server]:
    with Server("trusting", family=FAMILY, ca_file=authority.certificate) as server:
        yield server


def reset_server(server: Server) -> Server:
    """The server, running and in the state of a new one."""
    server.start()
    for project in server.api("GET", "/1.0/projects?recursion=1"):
        name, config = project["name"], project["config"]
        for instance in server.api("GET", f"/1.0/instances?recursion=1&project={name}"):
            server.run("delete", "--force", "--project", name, instance["name"])
        if config.get("features.images") == "true":
            for fingerprint in server.images(name):
                server.operation("DELETE", f"/1.0/images/{fingerprint}?project={name}")
        if config.get("features.profiles") == "true":
            for profile in server.api("GET", f"/1.0/profiles?recursion=1&project={name}"):
                if profile["name"] != "default":
                    server.api("DELETE", f"/1.0/profiles/{profile['name']}?project={name}")
        if name != "default":
            server.api("DELETE", f"/1.0/projects/{name}")
    for fingerprint in server.trusted():
        server.api("DELETE", f"/1.0/certificates/{fingerprint}")
    for operation in (server.api("GET", "/1.0/operations?recursion=1") or {}).get("running", ()):
        if operation["class"] == "token":
            server.api("DELETE", f"/1.0/operations/{operation['id']}")
    return server


@pytest.fixture
def lxd(lxd_server: Server) -> Server:
    """An empty server."""
    return reset_server(lxd_server)


@pytest.fixture
def other(other_server: Server) -> Server:
    """Another empty server."""
    return reset_server(other_server)


@pytest.fixture
def trusting(trusting_server: Server) -> Server:
    """An empty server whose system trusts the certificate authority of the tests."""
    return reset_server(trusting_server)


@pytest.fixture
def by_system(trusting: Server, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Modules:
    """The modules for that server, on a host whose system trusts the authority as well."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    return Modules().at(trusting)


@pytest.fixture
def modules(lxd: Server) -> Modules:
    """The modules, for that server."""
    return Modules().at(lxd)


@pytest.fixture
def private(modules: Modules, authority: Authority) -> Modules:
    """The modules with ``url_ca_path``, for web servers with a certificate of the authority of the tests."""
    return modules.with_options(url_ca_path=str(authority.certificate))


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Image]:
    """Build an image. Each call builds a different one unless it names a version."""
    versions = itertools.count(1)

    def built(kind: str = "tar.gz", **options: Any) -> Image:
        return build_image(kind, tmp_path, **{"version": str(next(versions)), **options})

    return built


@pytest.fixture
def image(build: Callable[..., Image]) -> Image:
    """A small, real container image."""
    return build()


@pytest.fixture
def pair(tmp_path: Path) -> KeyPair:
    return client_certificate(tmp_path / "pair")


@pytest.fixture
def tls(lxd: Server, pair: KeyPair) -> Modules:
    """The modules with a client certificate that the server trusts, and with the server's certificate pinned."""
    lxd.trust(pair.certificate)
    return Modules().over_tls(lxd, pair)


@pytest.fixture(autouse=True)
def empty_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tests do not see the client configuration of the user who runs them."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    (tmp_path / "www").mkdir()
    tmp_path.chmod(0o755)
    return Tree(tmp_path / "www")


@pytest.fixture
def site(tree: Tree, authority: Authority) -> Iterator[WebServer]:
    tree.write()
    with WebServer(authority, tree.root) as server:
        yield server


@pytest.fixture
def catalog_tree(tmp_path: Path, authority: Authority) -> CatalogSite:
    """A published tree, without a web server at work."""
    return CatalogSite(tmp_path, authority)


@pytest.fixture
def catalog_site(
    catalog_tree: CatalogSite, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CatalogSite]:
    """A published tree on a web server that this host trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    with catalog_tree.server:
        yield catalog_tree


@pytest.fixture
def full_folder(tmp_path: Path) -> Iterator[Path]:
    """A directory on a file system without any room."""
    folder = tmp_path / "full"
    folder.mkdir()
    options = "size=4k,nr_inodes=100"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], check=True)
    (folder / "it").write_bytes(bytes(4096))
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def by_name(modules: Modules, other: Server) -> Copies:
    """Copies of public images from the other server, which does not trust this client."""
    return Copies(modules, source_server=other.url, source_cert=str(other.certificate))


@pytest.fixture
def trusted(by_name: Copies, other: Server, pair: KeyPair) -> Copies:
    """Copies from the other server, which trusts this client."""
    other.trust(pair.certificate)
    keys = {"source_client_cert": str(pair.certificate), "source_client_key": str(pair.key)}
    return Copies(by_name.modules, **by_name.source, **keys)


@pytest.fixture
def by_socket(modules: Modules, other: Server) -> Copies:
    return Copies(modules, source_server=f"unix://{other.socket}")


@pytest.fixture(scope="module")
def ssh() -> Iterator[SshHost]:
    """A managed host behind SSH."""
    with SshHost() as host:
        host.home.chmod(0o755)
        (host.home / "tmp").mkdir()
        (host.home / "tmp").chmod(0o1777)  # as /var/tmp
        yield host

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role sets up this machine as an image server, and real clients of both families use it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab import Image, Server, build_image, client_config, whole_machine
from lab.addresses import free_host
from playbooks import play
from runner import Modules

pytestmark = pytest.mark.families("lxd")  # it uses clients of all families

OWN = Path("/etc/nginx/image-server")
SITE = Path("/etc/nginx/conf.d/image-server.conf")
KINDS = ("tar.xz", "split", "vm", "vm-unified")


@dataclass(frozen=True)
class Served:
    """The URL of the image server, and its images by name."""

    url: str
    images: dict[str, Image]
    foreign: Image

    certificate = OWN / "self-signed.crt"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    # Not below pytest's own directory, which nginx cannot read.
    folder = Path(tempfile.mkdtemp(prefix="image-server-"))
    folder.chmod(0o755)
    images = {
        kind.replace(".", "-"): build_image(kind, folder / "built", version="served")
        for kind in KINDS
    }
    foreign = build_image("tar.xz", folder / "foreign", version="arm", architecture="aarch64")
    host = free_host()
    listed = [
        *(desired_images(name, image) for name, image in images.items()),
        desired_images("tar-xz", foreign),
    ]
    variables = {
        "image_server_images": listed,
        "image_server_remote_src": True,
        "image_server_name": host,
        "image_server_listen": [host],
        "image_server_https_port": 8443,
        "image_server_http_port": 8080,
        "image_server_root": str(folder / "www"),
    }
    with whole_machine():
        try:
            played = play(folder, roles=["imagestore.lxd.image_server"], vars=variables)
            assert not played.failed, played.output
            yield Served(f"https://{host}:8443", images, foreign)
        finally:
            subprocess.run(["nginx", "-s", "stop"], capture_output=True, check=False)
            SITE.unlink(missing_ok=True)
            for place in (OWN, folder):
                shutil.rmtree(place, ignore_errors=True)


def desired_images(name: str, image: Image) -> dict[str, Any]:
    keys = ("src",) if image.rootfs is None else ("metadata", "rootfs")
    return {"name": name, **dict(zip(keys, map(str, image.paths), strict=True))}


@pytest.fixture(scope="module", params=["lxd", "incus6", "incus7"])
def client(request: pytest.FixtureRequest, served: Served) -> Iterator[Server]:
    """A server whose system trusts the certificate of the image server."""
    with Server("client", family=request.param, ca_file=served.certificate) as server:
        yield server


@pytest.fixture(autouse=True)
def _trusting(monkeypatch: pytest.MonkeyPatch, served: Served) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(served.certificate))


@pytest.fixture
def empty(client: Server) -> Server:
    for fingerprint in client.images():
        client.operation("DELETE", f"/1.0/images/{fingerprint}")
    return client


def test_it_is_a_remote_of_the_client(served: Served, empty: Server, tmp_path: Path) -> None:
    own = client_config(tmp_path / "config", [empty])
    own.run("remote", "add", "site", served.url, "--protocol=simplestreams")
    listed = own.run("image", "list", "site:", "--format=csv", "--columns=F")
    # Incus before 7.0.1 takes it for a container image.
    unseen = {"vm-unified"} if empty.family.protocol == "lxd" else set()
    expected = {image.fingerprint for name, image in served.images.items() if name not in unseen}
    assert set(listed.split()) == {*expected, served.foreign.fingerprint}
    for name, image in served.images.items():
        if name != "vm-unified":
            machine = ["--vm"] if image.type == "virtual-machine" else []
            own.run("image", "copy", f"site:{name}", "client:", "--alias", name, *machine)
    own.run("image", "copy", "site:tar-xz/arm64", "client:", "--alias", "foreign")
    assert empty.aliases() == {
        **{
            name: image.fingerprint for name, image in served.images.items() if name != "vm-unified"
        },
        "foreign": served.foreign.fingerprint,
    }
    assert empty.images()[served.images["vm"].fingerprint]["type"] == "virtual-machine"


def test_its_urls_can_be_imported(served: Served, empty: Server) -> None:
    for name in ("tar-xz", "vm-unified"):
        empty.run("image", "import", f"{served.url}/images/{name}", "--alias", name)
        image = served.images[name]
        assert empty.aliases()[name] == image.fingerprint
        assert empty.images()[image.fingerprint]["type"] == image.type


@pytest.mark.parametrize("mode", ["pull", "relay"])
def test_the_modules_of_the_collection_get_all_images(
    served: Served, empty: Server, mode: str
) -> None:
    modules = Modules(mode=mode).at(empty)
    source = {"source_server": served.url, "source_protocol": "simplestreams"}
    for name, image in served.images.items():
        if image.rootfs is None:
            options = {"url": f"{served.url}/images/{name}"}
            imported = modules.done("lxd_image_import", **options)
            assert (imported.actions, imported["fingerprint"]) == ([mode], image.fingerprint)
        else:
            options = {"image": name, "image_type": image.type, **source}
            copied = modules.done("lxd_image_copy", **options)
            assert (copied.actions, copied["fingerprint"]) == ([mode], image.fingerprint)
    foreign = modules.done("lxd_image_copy", image="tar-xz", architecture="arm64", **source)
    assert foreign["fingerprint"] == served.foreign.fingerprint

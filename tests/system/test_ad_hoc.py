# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each module in an ad-hoc command: all options in one line of text, the server found by itself.

pytest-ansible runs them as ``ansible lxd_hosts -m imagestore.lxd.MODULE -a "OPTIONS"`` does. The integration target
``ad_hoc`` has that command itself, for each family of servers and with each ansible-core.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.splitter import parse_kv
from hostile import Answer, Hostile
from published_site import PublishedSite

from lab import Authority, Image, Server
from runner import Modules

AdHoc = Callable[..., dict[str, Any]]

pytestmark = [
    pytest.mark.families("lxd"),
    # What pytest-ansible says of its own classes, and what it does to Ansible's.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:AnsibleCollectionFinder"),
]


@pytest.fixture
def ad_hoc(
    ansible_adhoc: Callable[..., Any],
    lxd: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AdHoc:
    """Runs a module with the text of its options on a host with that server."""
    for name, value in lxd.environment.items():
        monkeypatch.setenv(name, value)
    inventory = tmp_path / "inventory"
    inventory.write_text(f"[lxd_hosts]\nhost ansible_python_interpreter={sys.executable}\n")
    hosts = ansible_adhoc(inventory=str(inventory), connection="local")["lxd_hosts"]

    def run(module: str, options: str = "") -> dict[str, Any]:
        given = json.loads(options) if options.startswith("{") else parse_kv(options)
        outcome = getattr(hosts, f"imagestore.lxd.{module}")(**given)
        result: dict[str, Any] = outcome.contacted["host"]
        assert not result.get("failed"), result["msg"]
        return result

    return run


@pytest.fixture
def web(modules: Modules, image: Image) -> Image:
    """An image that the server has under the alias web."""
    modules.import_image(image, aliases=["web"])
    return image


def test_import_of_a_file(ad_hoc: AdHoc, lxd: Server, image: Image) -> None:
    command = f"src={image.metadata} remote_src=true aliases=alpine,alpine/stable"
    actions = ["upload", "add alias alpine", "add alias alpine/stable"]
    assert ad_hoc("lxd_image_import", command)["actions"] == actions
    assert not ad_hoc("lxd_image_import", command)["changed"]
    assert set(lxd.aliases()) == {"alpine", "alpine/stable"}


def test_import_of_a_file_of_the_controller(ad_hoc: AdHoc, lxd: Server, image: Image) -> None:
    ad_hoc("lxd_image_import", f"src={image.metadata} aliases=alpine")
    assert lxd.aliases() == {"alpine": image.fingerprint}


def test_import_from_a_web_server(
    ad_hoc: AdHoc, lxd: Server, image: Image, authority: Authority
) -> None:
    with Hostile(authority.issue("web", "127.0.0.1")) as site:
        headers = [
            (f"{family}-Image-{name}", value)
            for family in ("LXD", "Incus")
            for name, value in (("Hash", image.fingerprint), ("URL", f"{site.url}/file"))
        ]
        site.answers["/images/alpine"] = Answer(headers=headers)
        site.answers["/file"] = Answer(body=image.metadata.read_bytes())
        options = f"url={site.url}/images/alpine url_ca_path={authority.certificate} aliases=alpine"
        ad_hoc("lxd_image_import", options)
    assert lxd.aliases() == {"alpine": image.fingerprint}


def test_copy_from_another_server(ad_hoc: AdHoc, lxd: Server, other: Server, image: Image) -> None:
    Modules().at(other).import_image(image, aliases=["alpine/3.23"], public=True)
    source = f"source_server={other.url} source_cert={other.certificate}"
    ad_hoc("lxd_image_copy", f"image=alpine/3.23 {source} aliases=alpine")
    assert lxd.aliases() == {"alpine": image.fingerprint}


def test_attributes_of_an_image(ad_hoc: AdHoc, lxd: Server, web: Image) -> None:
    ad_hoc("lxd_image", "name=web public=true properties=\"{'site': 'here'}\" profiles=default")
    found = lxd.images()[web.fingerprint]
    assert (found["public"], found["properties"]["site"]) == (True, "here")


def test_an_alias(ad_hoc: AdHoc, lxd: Server, web: Image) -> None:
    ad_hoc("lxd_image_alias", "name=stable target=web description='What is in use'")
    ad_hoc("lxd_image_alias", "name=web state=absent")
    assert lxd.aliases() == {"stable": web.fingerprint}


def test_the_list_of_images(ad_hoc: AdHoc, web: Image) -> None:
    (found,) = ad_hoc("lxd_image_info")["images"]
    assert found["fingerprint"] == web.fingerprint


def test_an_export(ad_hoc: AdHoc, web: Image, tmp_path: Path) -> None:
    files = ad_hoc("lxd_image_export", f"name=web dest={tmp_path} mode=0600")["files"]
    assert Path(files["src"]).read_bytes() == web.metadata.read_bytes()


def test_a_store(ad_hoc: AdHoc, lxd: Server, image: Image) -> None:
    entry = f'{{"src": "{image.metadata}", "remote_src": true, "aliases": ["alpine"]}}'
    ad_hoc("lxd_image_store", f'{{"images": [{entry}], "unlisted": "delete"}}')
    assert lxd.aliases() == {"alpine": image.fingerprint}


def test_a_publication(ad_hoc: AdHoc, image: Image, tmp_path: Path) -> None:
    # Lists of images have entries, so the options are JSON.
    images = f'[{{"name": "web", "src": "{image.metadata}"}}]'
    where = f'"root": "{tmp_path}/www", "base_url": "https://images.example.com"'
    options = f'{{{where}, "remote_src": true, "images": {images}}}'
    assert ad_hoc("lxd_image_catalog", options)["changed"]
    assert (tmp_path / "www/streams/v1/index.json").exists()


def test_a_check_of_an_image_server(ad_hoc: AdHoc, authority: Authority, tmp_path: Path) -> None:
    site = PublishedSite(tmp_path, authority)
    with site.server:
        options = f"url={site.server.url} ca_path={authority.certificate}"
        assert ad_hoc("lxd_image_server_check", options)["findings"] == []

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Publishing images: what real clients find in the tree, and what publishers and their accidents do to it."""

from __future__ import annotations

import http.client
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from publications import digest, faults, published, small_image

from lab import Authority, Image, Server, WebServer, client_config
from runner import Modules, Outcome

Build = Callable[..., Image]

CRASHES = int(os.environ.get("CRASHES", "10"))
"""How often a publisher is killed; a hundred times takes a minute."""

once = pytest.mark.families("lxd")
"""For what no server takes part in: it need not be run for each family of them."""

AT = "/images/"
ANSWER = f"""
location {AT} {{
    add_header LXD-Image-Hash $lxd_image_hash always;
    add_header LXD-Image-URL $lxd_image_url always;
    add_header Incus-Image-Hash $lxd_image_hash always;
    add_header Incus-Image-URL $lxd_image_url always;
    add_header State $lxd_image_state always;
    return 200;
}}
"""


class Site:
    """A web server with a tree that the module keeps, and the map that nginx answers from."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder = folder
        self.root = folder / "www"
        self.map = folder / "map"
        folder.chmod(0o755)
        self.root.mkdir()
        self.server = WebServer(authority, self.root, ANSWER, f"include {self.map};")
        self.params = {
            "root": str(self.root),
            "base_url": self.server.url,
            "header_map": str(self.map),
            "remote_src": True,
        }
        self.publish()

    def publish(self, *images: dict[str, Any], check: bool = False, **params: Any) -> Outcome:
        wish = {**self.params, "images": list(images), **params}
        return Modules().done("lxd_image_catalog", check, **wish)

    def fails(self, *images: dict[str, Any], **params: Any) -> str:
        """What a publication that has to fail says. The tree is as before."""
        before = content(self.root)
        message = Modules().fails(
            "lxd_image_catalog", **{**self.params, "images": list(images), **params}
        )
        assert content(self.root) == before
        return message

    def small(self, name: str, text: str, version: str, **more: Any) -> dict[str, Any]:
        """An image to publish."""
        return {
            "name": name,
            "src": str(small_image(self.folder, text)),
            "version": version,
            **more,
        }


def content(root: Path) -> dict[str, str]:
    """All files of a tree, but what is the publisher's own."""
    return {
        str(path.relative_to(root)): digest(path)
        for path in root.rglob("*")
        if path.is_file() and ".catalog" not in path.parts
    }


def files_of(image: Image) -> dict[str, str]:
    """The options that name the files of an image."""
    keys = ("src",) if image.rootfs is None else ("metadata", "rootfs")
    return dict(zip(keys, map(str, image.paths), strict=True))


def ask(site: Site, method: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body that the web server answers with, in a connection of its own."""
    line = http.client.HTTPConnection(site.server.host, timeout=30)
    line.request(method, path, headers=headers)
    response = line.getresponse()
    body = response.read()
    line.close()
    return response.status, dict(response.headers), body


def answer(site: Site, name: str, architectures: str, family: str = "LXD") -> dict[str, str]:
    """The headers that a server gets which asks for an image."""
    wish = {f"{family}-Server-Architectures": architectures}
    return ask(site, "HEAD", f"{AT}{name}", **wish)[1]


def get(site: Site, path: str) -> bytes:
    """Fetch something that has to be there."""
    status, _headers, body = ask(site, "GET", path)
    assert status == 200, f"{path}: {status}"
    return body


@pytest.fixture
def site(tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    site = Site(tmp_path, authority)
    with site.server:
        yield site


@pytest.fixture
def tree(tmp_path: Path, authority: Authority) -> Site:
    """The same, without a web server at work."""
    return Site(tmp_path, authority)


class TestClients:
    """What is published, they find under the fingerprint that it has when it is imported from its files."""

    @pytest.mark.parametrize("kind", ["tar.xz", "tar.zst", "squashfs", "split", "split-tar", "vm"])
    def test_copy_it_from_the_index(
        self, trusting: Server, by_system: Modules, site: Site, build: Build, kind: str
    ) -> None:
        image = build(kind)
        site.publish({"name": "web/box", "aliases": ["box"], **files_of(image)})
        own = client_config(site.folder / "client", [trusting])
        own.run("remote", "add", "site", site.server.url, "--protocol=simplestreams")
        machine = ["--vm"] if image.type == "virtual-machine" else []
        own.run("image", "copy", "site:box", "trusting:", "--alias", "by-client", *machine)
        assert trusting.aliases() == {"by-client": image.fingerprint}
        source = {"source_server": site.server.url, "source_protocol": "simplestreams"}
        again = by_system.done("lxd_image_copy", image="web/box", image_type=image.type, **source)
        assert again["fingerprint"] == image.fingerprint
        assert trusting.images()[image.fingerprint]["type"] == image.type

    @pytest.mark.parametrize("kind", ["tar.gz", "squashfs", "vm-unified"])
    def test_import_it_by_its_address(
        self, trusting: Server, by_system: Modules, site: Site, build: Build, kind: str
    ) -> None:
        image = build(kind)
        site.publish({"name": "web/box", "aliases": ["box"], **files_of(image)})
        site.server.reload()
        trusting.run("image", "import", f"{site.server.url}{AT}web/box", "--alias", "by-client")
        assert trusting.aliases() == {"by-client": image.fingerprint}
        assert trusting.images()[image.fingerprint]["type"] == image.type
        again = by_system.done("lxd_image_import", url=f"{site.server.url}{AT}box")
        assert again["fingerprint"] == image.fingerprint

    def test_find_the_image_for_their_architecture(
        self, trusting: Server, by_system: Modules, site: Site, build: Build
    ) -> None:
        here, there = build("tar.gz"), build("tar.gz", architecture="aarch64")
        site.publish(*({"name": "box", **files_of(image)} for image in (here, there)))
        site.server.reload()
        own = client_config(site.folder / "client", [trusting])
        own.run("remote", "add", "site", site.server.url, "--protocol=simplestreams")
        own.run("image", "copy", "site:box", "trusting:", "--alias", "here")
        own.run("image", "copy", "site:box/arm64", "trusting:", "--alias", "there")
        assert trusting.aliases() == {"here": here.fingerprint, "there": there.fingerprint}
        for family in ("LXD", "Incus"):
            for wish, image in (
                ("x86_64, i686", here),
                ("aarch64, armv8l, armv7l", there),
                ("riscv64, s390x, aarch64", there),
            ):
                headers = answer(site, "box", wish, family)
                assert headers[f"{family}-Image-Hash"] == image.fingerprint
                assert headers[f"{family}-Image-URL"].endswith(f"/files/{image.fingerprint}.tar.gz")
        assert answer(site, "box", "riscv64")["State"] == "other"
        assert answer(site, "box", "x86_64|;x86_64=" + "0" * 64 + ".tar;")["State"] == "other"
        assert answer(site, "box", "")["State"] == "person"
        assert answer(site, "bo", "x86_64")["State"] == "unknown"

    @once
    def test_are_told_that_two_files_have_no_address(self, site: Site, build: Build) -> None:
        site.publish({"name": "box", **files_of(build("split"))})
        site.server.reload()
        headers = answer(site, "box", "x86_64, i686")
        assert headers["State"] == "split"
        assert "LXD-Image-Hash" not in headers

    @once
    def test_do_not_find_a_machine_in_one_file_in_the_index(self, tree: Site, build: Build) -> None:
        """Servers would take it for a container."""
        tree.publish({"name": "box", **files_of(build("vm-unified"))})
        assert published(tree.root) == {}

    @once
    def test_fetch_without_a_fault_while_fifty_versions_are_published(self, site: Site) -> None:
        site.publish(site.small("box", "0", "20260101"))
        site.server.reload()
        stopped = False

        def follow_index() -> int:
            rounds = 0
            while not stopped:
                fetched = json.loads(get(site, "/streams/v1/index.json"))
                listed = json.loads(get(site, "/" + fetched["index"]["images"]["path"]))
                versions = listed["products"]["box:container:x86_64"]["versions"]
                item = versions[max(versions)]["items"]["lxd_combined.tar.gz"]
                assert sha256(get(site, "/" + item["path"])).hexdigest() == item["sha256"]
                rounds += 1
            return rounds

        def follow_address() -> int:
            rounds = 0
            while not stopped:
                headers = answer(site, "box", "x86_64, i686")
                path = headers["LXD-Image-URL"][len(site.server.url) :]
                assert sha256(get(site, path)).hexdigest() == headers["LXD-Image-Hash"]
                rounds += 1
            return rounds

        with ThreadPoolExecutor(20) as pool:
            clients = [
                pool.submit(follow) for follow in (follow_index, follow_address) for _ in range(10)
            ]
            try:
                for number in range(1, 51):
                    version = f"202602{number // 24 + 1:02d}_{number % 24:02d}00"
                    site.publish(site.small("box", str(number), version))
                    site.server.reload()
            finally:
                stopped = True
            assert all(client.result() for client in clients)
        assert faults(site.root) == []
        assert published(site.root) == {"box/amd64": ["20260203_0200", "20260203_0100"]}


@once
class TestATask:
    def test_foresees_what_it_does_and_does_it_once(self, tree: Site, build: Build) -> None:
        wishes = [
            {"name": "box", **files_of(build("tar.xz"))},
            {"name": "disk", "requirements": {"secureboot": False}, **files_of(build("vm"))},
        ]
        before = content(tree.root)
        foreseen = tree.publish(*wishes, check=True)
        assert content(tree.root) == before
        first = tree.publish(*wishes)
        again = tree.publish(*wishes)
        assert foreseen.actions == first.actions
        assert first.actions == [
            "publish box (container, x86_64) 20231114_2213",
            "publish disk (virtual-machine, x86_64) 20231114_2213",
        ]
        assert foreseen["versions"] == first["versions"] == again["versions"]
        assert foreseen["diff"] == first["diff"]
        assert list(first["diff"]["after"]) == [
            "box (container, x86_64)",
            "disk (virtual-machine, x86_64)",
        ]
        assert not again["changed"]
        assert again.actions == []
        assert faults(tree.root) == []

    def test_takes_from_the_image_what_is_left_out(self, tree: Site, build: Build) -> None:
        properties = {"os": "BusyBox", "release": "1.35", "variant": "tiny"}
        tree.publish({"name": "box", **files_of(build("split", properties=properties))})
        listed = json.loads((tree.root / "streams/v1/images.json").read_text())
        product = listed["products"]["box:container:x86_64"]
        assert {name: product[name] for name in properties} == properties
        tree.publish(
            {"name": "box", "release": "2", **files_of(build("split", version="2"))},
            keep=1,
            images=[
                {
                    "name": "box",
                    "release": "2",
                    "version": "20250101",
                    **files_of(build("split", properties=properties)),
                }
            ],
        )
        listed = json.loads((tree.root / "streams/v1/images.json").read_text())
        assert listed["products"]["box:container:x86_64"]["release"] == "2"

    def test_reads_a_version_of_twelve_digits_as_yaml_has_left_it(self, tree: Site) -> None:
        tree.publish(tree.small("box", "a", 202611240730))
        assert published(tree.root) == {"box/amd64": ["20261124_0730"]}

    def test_keeps_the_newest_versions_and_old_files_for_a_while(self, tree: Site) -> None:
        for number in (1, 2, 3):
            last = tree.publish(tree.small("box", str(number), f"2026010{number}"))
        assert last.actions == [
            "publish box (container, x86_64) 20260103",
            "withdraw box (container, x86_64) 20260101",
        ]
        assert published(tree.root) == {"box/amd64": ["20260103", "20260102"]}
        assert len(list((tree.root / "files").iterdir())) == 3
        assert not tree.publish()["changed"]
        gone = digest(small_image(tree.folder, "1"))
        assert tree.publish(grace=0).actions == [f"remove file {gone[:12]}"]
        assert len(list((tree.root / "files").iterdir())) == 2

    def test_publishes_no_version_that_it_would_withdraw_again(self, tree: Site) -> None:
        three = [tree.small("box", str(number), f"2026010{number}") for number in (1, 2, 3)]
        tree.publish(*three)
        assert not tree.publish(*three)["changed"]
        assert published(tree.root) == {"box/amd64": ["20260103", "20260102"]}

    def test_withdraws_a_version_or_a_name(self, tree: Site) -> None:
        tree.publish(
            tree.small("box", "1", "20260101"),
            tree.small("box", "2", "20260102"),
            tree.small("web", "3", "20260101"),
        )
        version = {"name": "box", "version": "20260102", "state": "absent"}
        assert tree.publish(version, check=True).actions == [
            "withdraw box (container, x86_64) 20260102"
        ]
        tree.publish(version)
        assert published(tree.root) == {"box/amd64": ["20260101"], "web/amd64": ["20260101"]}
        assert not tree.publish(version)["changed"]
        tree.publish({"name": "box", "image_type": "virtual-machine", "state": "absent"})
        tree.publish({"name": "box", "architecture": "arm64", "state": "absent"})
        assert "box/amd64" in published(tree.root)
        tree.publish({"name": "box", "state": "absent"})
        assert published(tree.root) == {"web/amd64": ["20260101"]}

    def test_empties_a_catalogue_only_if_told_to(self, tree: Site) -> None:
        tree.publish(tree.small("box", "1", "20260101"), tree.small("web", "2", "20260101"))
        assert not tree.publish()["changed"]
        tree.publish(tree.small("web", "2", "20260101"), purge=True)
        assert published(tree.root) == {"web/amd64": ["20260101"]}
        tree.publish(purge=True)
        assert published(tree.root) == {}
        assert faults(tree.root) == []

    def test_leaves_aliases_that_it_does_not_name(self, tree: Site) -> None:
        one = tree.small("box", "1", "20260101")
        tree.publish({**one, "aliases": ["b", "box/stable"]})
        assert not tree.publish(one)["changed"]
        assert tree.publish({**one, "aliases": []}).actions == ["update box (container, x86_64)"]

    def test_puts_a_damaged_file_right_that_it_has(self, tree: Site) -> None:
        one = tree.small("box", "1", "20260101")
        tree.publish(one)
        (file,) = (tree.root / "files").iterdir()
        good = file.read_bytes()
        file.write_bytes(b"x" + good[1:])
        assert not tree.publish(one)["changed"]  # it does not look
        assert "files are missing, or not what they have to be" in tree.fails(verify=True)
        assert tree.publish(one, verify=True).actions == [f"replace file {file.name[:12]}"]
        assert file.read_bytes() == good

    def test_notices_a_missing_file_without_looking_into_any(self, tree: Site) -> None:
        one = tree.small("box", "1", "20260101")
        tree.publish(one)
        (file,) = (tree.root / "files").iterdir()
        file.unlink()
        assert f"files/{file.name} of box (container, x86_64) 20260101" in tree.fails()
        assert tree.publish(one).actions == [f"replace file {file.name[:12]}"]
        file.unlink()
        tree.publish({"name": "box", "state": "absent"})
        assert published(tree.root) == {}

    def test_writes_anew_what_has_another_address(self, tree: Site) -> None:
        tree.publish(tree.small("box", "1", "20260101"))
        moved = tree.publish(base_url="https://images.example.com/lxd/")
        assert moved.actions == [f"write {tree.map}", "write index.html"]
        assert "https://images.example.com/lxd/files/" in tree.map.read_text()

    def test_finds_out_what_a_file_is_once_it_has_changed(self, tree: Site) -> None:
        path = small_image(tree.folder, "a")
        one = {"name": "box", "src": str(path), "version": "20260101"}
        tree.publish(one)
        time.sleep(0.01)
        path.write_bytes(small_image(tree.folder, "b").read_bytes())
        message = tree.fails(one)
        fingerprints = (digest(path), digest(small_image(tree.folder, "a")))
        assert all(fingerprint in message for fingerprint in fingerprints)
        assert "is published already with other content" in message


@once
@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"name": "a b"}, "'a b' cannot be the name or alias"),
        ({"name": "../etc"}, "cannot be the name or alias"),
        ({"name": "a/../b"}, "cannot be the name or alias"),
        ({"name": 'a";return'}, "cannot be the name or alias"),
        ({"aliases": ["a,b"]}, "'a,b' cannot be the name or alias"),
        ({"version": "2026"}, "'2026', which is no date"),
        ({"version": "20261324"}, "which is no date"),
        ({"version": "20261124_2561"}, "which is no date"),
        ({"architecture": "pdp11"}, "which LXD does not know"),
        ({"architecture": "arm64"}, "is given as aarch64, and its file is for x86_64"),
        ({"image_type": "virtual-machine"}, "and its file is for container"),
        ({"src": ""}, "has no file"),
        ({"src": "/nonexistent"}, "cannot read /nonexistent"),
        ({"src": "/etc"}, "is a directory"),
        ({"src": "/etc/hostname"}, "is plain text, not a unified image"),
        ({"state": "absent"}, "src of the image box is of no use with state: absent"),
    ],
)
def test_a_wrong_value_is_said_plainly(tree: Site, wish: dict[str, Any], said: str) -> None:
    assert said in tree.fails({**tree.small("box", "1", "20260101"), **wish})


@once
@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"keep": 0}, "keep is 0"),
        ({"grace": -1}, "grace is -1"),
        ({"base_url": "images.example.com"}, "which is no address that clients could use"),
        ({"base_url": "https://a.example.com/$x"}, "which is no address"),
        ({"header_map": "map"}, "absolute path"),
        ({"root": "/proc/nowhere"}, "cannot publish into /proc/nowhere"),
        ({"remote_src": False}, "was not called by its action plugin"),
    ],
)
def test_a_wrong_option_is_said_plainly(tree: Site, params: dict[str, Any], said: str) -> None:
    assert said in tree.fails(tree.small("box", "1", "20260101"), **params)


@once
def test_a_map_for_nginx_is_not_served(tree: Site) -> None:
    assert "is below the root" in tree.fails(header_map=str(tree.root / "files/map"))


@once
def test_names_that_collide_are_told_both(tree: Site) -> None:
    box = tree.small("box", "1", "20260101", aliases=["b"])
    tree.publish(box)
    for other in (
        tree.small("web", "2", "20260101", aliases=["b"]),
        tree.small("B", "2", "20260101"),
        tree.small("box/amd64", "2", "20260101"),
    ):
        message = tree.fails(other)
        assert "is a name or alias of both" in message
        assert "box" in message and other["name"] in message


@once
def test_contradictions_within_a_task_are_told(tree: Site) -> None:
    one, two = tree.small("box", "1", "20260101"), tree.small("box", "2", "20260101")
    assert "with different content" in tree.fails(one, two)
    gone = {"name": "box", "state": "absent"}
    assert "is to be present and absent" in tree.fails(one, gone)


@once
def test_a_record_that_is_none_stops_the_task(tree: Site) -> None:
    (tree.root / "catalog.json").write_text("{}")
    assert "catalog.json is no record of a catalogue" in tree.fails()


@once
def test_publishers_wait_for_each_other(tree: Site) -> None:
    runs = [
        Modules().start(
            "lxd_image_catalog",
            **{**tree.params, "images": [tree.small(f"box{number}", str(number), "20260101")]},
        )
        for number in range(5)
    ]
    assert [run.wait().get("msg") for run in runs] == [None] * 5
    assert sorted(published(tree.root)) == [f"box{number}/amd64" for number in range(5)]


@once
def test_a_publisher_that_is_killed_leaves_a_tree_that_is_right(tree: Site, tmp_path: Path) -> None:
    started = time.monotonic()
    tree.publish(tree.small("box", "0", "20260101"), tree.small("web", "0", "20260101"))
    lasts = time.monotonic() - started
    fate = random.Random()
    for number in range(1, CRASHES + 1):
        day = f"2026{number // 28 + 1:02d}{number % 28 + 1:02d}_0100"
        wishes = [tree.small(name, f"{name}{number}", day) for name in ("box", "web")]
        run = Modules().start("lxd_image_catalog", **{**tree.params, "images": wishes, "grace": 0})
        time.sleep(fate.uniform(0, 1.2 * lasts))
        run.kill()
        assert faults(tree.root) == [], f"after crash {number}"
        tree.publish(*wishes, grace=0)
        assert faults(tree.root) == []
        assert not tree.publish(*wishes, grace=0)["changed"]
    names = {path.name for path in (tree.root / "files").iterdir()}
    assert len(names) == 4, "nothing lies about that was in the making"
    assert [path.name for path in (tree.root / ".catalog").iterdir() if "new-" in path.name] == []


@once
def test_what_a_killed_publisher_has_left_is_removed_after_a_while(tree: Site) -> None:
    one = tree.small("box", "1", "20260101")
    tree.publish(one)
    stray = tree.root / "files" / f"{'0' * 64}.tar"
    stray.write_text("x")
    assert tree.publish(one).actions == ["abandon file 000000000000"]
    assert not tree.publish(one)["changed"]
    assert tree.publish(one, grace=0).actions == ["remove file 000000000000"]
    assert not stray.exists()


@once
def test_every_file_can_be_read_by_a_web_server(tree: Site) -> None:
    umask = os.umask(0o077)
    try:
        tree.publish(tree.small("box", "1", "20260101"))
    finally:
        os.umask(umask)
    for path in (tree.root, *tree.root.rglob("*")):
        if ".catalog" not in path.parts:
            assert oct(path.stat().st_mode & 0o777) == ("0o755" if path.is_dir() else "0o644")

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A whole store in one task: entries of all forms, and entries that contradict each other."""

from __future__ import annotations

import hashlib
import itertools
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bench import idle
from copies import add_to_source
from simplestreams_tree import Tree
from stores import STORE, actions, by_label, on_host

from lab import (
    Authority,
    Image,
    KeyPair,
    Server,
    SshHost,
    WebServer,
    build_directory,
    build_disk,
    build_rootfs,
)
from runner import Modules, files

Build = Callable[..., Image]


@pytest.fixture
def tree(tmp_path: Path, authority: Authority) -> Iterator[tuple[Tree, WebServer]]:
    """An image server, which serves other files as well."""
    (tmp_path / "www").mkdir()
    tree = Tree(tmp_path / "www")
    tree.write()
    with WebServer(authority, tree.root) as server:
        yield tree, server


@dataclass
class Fleet:
    """A store that is to hold images of all forms. ``entries`` describe them by label."""

    lxd: Server
    sources: tuple[Server, ...]
    web: WebServer
    entries: dict[str, dict[str, Any]]

    @property
    def images(self) -> list[dict[str, Any]]:
        return list(self.entries.values())


@pytest.fixture
def fleet(
    lxd: Server,
    other: Server,
    trusting: Server,
    tree: tuple[Tree, WebServer],
    authority: Authority,
    build: Build,
    tmp_path: Path,
) -> Fleet:
    """Twelve entries of all forms but those of controller files, and the images that they are about."""
    streams, web = tree
    streams.publish(build("split"), "busybox")
    served = build("tar.xz")
    (streams.root / "served.tar.xz").write_bytes(served.metadata.read_bytes())
    split = build("split")
    for name, path in zip(("meta.tar.gz", "root.squashfs"), split.paths, strict=True):
        (streams.root / name).write_bytes(path.read_bytes())
    rootfs = build_rootfs(streams.root)
    for server, alias in ((other, "web"), (other, "db"), (trusting, "cache")):
        add_to_source(server, build(), alias)
    old, present = build(), build()
    Modules().at(lxd).import_image(old, aliases=["old"])
    Modules().at(lxd).import_image(present, aliases=["present"])
    ca = {"url_ca_path": str(authority.certificate)}
    cert = {name: str(server.certificate) for name, server in (("o", other), ("t", trusting))}
    one = {"source_server": other.url, "source_cert": cert["o"]}
    two = {"source_server": trusting.url, "source_cert": cert["t"]}
    entries: list[dict[str, Any]] = [
        {"image": "web", **one, "aliases": ["web"], "properties": {"team": "a"}},
        {"image": "db", **one, "aliases": ["db"], "state": "latest"},
        {"image": "cache", **two, "aliases": ["cache"]},
        {
            "image": "busybox",
            "source_server": web.url,
            "source_protocol": "simplestreams",
            "source_cert": str(authority.certificate),
            "aliases": ["busybox"],
        },
        {**files(build("tar.xz")), "aliases": ["unified"]},
        {**files(build("split")), "aliases": ["split", "also"]},
        {**files(build_directory(tmp_path)), "aliases": ["directory"]},
        {
            "url": f"{web.url}/served.tar.xz",
            "fingerprint": served.fingerprint,
            "aliases": ["url"],
            **ca,
        },
        {
            "metadata_url": f"{web.url}/meta.tar.gz",
            "rootfs_url": f"{web.url}/root.squashfs",
            "fingerprint": split.fingerprint,
            "aliases": ["urls"],
            **ca,
        },
        {
            "rootfs_url": f"{web.url}/{rootfs.name}",
            "checksum": f"sha256:{hashlib.sha256(rootfs.read_bytes()).hexdigest()}",
            "aliases": ["rootfs"],
            **ca,
        },
        {"name": "present", "properties": {"edited": "here"}},
        {"name": "old", "state": "absent"},
    ]
    labels = ["web", "db", "cache", "busybox", "unified", "split", "directory", "url", "urls"]
    return Fleet(
        lxd,
        (other, trusting),
        web,
        dict(zip([*labels, "rootfs", "present", "old"], entries, strict=True)),
    )


def test_a_store_of_entries_of_all_forms_converges_in_one_run(
    fleet: Fleet, build: Build, ssh: SshHost, tmp_path: Path
) -> None:
    lxd = fleet.lxd
    (tmp_path / "files").mkdir()
    sent = build("tar.xz", name="sent")
    sent.metadata.rename(tmp_path / "files/sent.tar.xz")
    disk = build_disk(tmp_path / "files")
    fleet.entries["sent"] = {"src": "sent.tar.xz", "aliases": ["sent"]}
    fleet.entries["disk"] = {"rootfs": disk.name, "os": "Debian", "aliases": ["disk"]}
    params = {"images": fleet.images, "server": f"unix://{lxd.socket}"}

    mark = lxd.mark()
    predicted = on_host(tmp_path, ssh, params, check=True)
    assert not predicted.failed, predicted.output
    assert lxd.writes(mark) == []
    first = on_host(tmp_path, ssh, params)
    assert not first.failed, first.output
    mark = lxd.mark()
    again = on_host(tmp_path, ssh, params)
    requests = [request.path.partition("?")[0] for request in lxd.requests(mark)]
    assert not again.failed, again.output

    done = first.results["it"]
    assert actions(done) == actions(predicted.results["it"])
    assert len(done["images"]) == 14
    assert set(actions(done)) == set(fleet.entries)
    assert actions(done)["web"] == ["pull", "set properties", "add alias web"]
    assert actions(done)["split"] == ["upload", "add alias split", "add alias also"]
    assert actions(done)["present"] == ["set properties"]
    assert "sent: upload" in done["actions"]
    deleted = by_label(done)["old"]["fingerprint"]
    assert actions(done)["old"] == [f"delete image {deleted[:12]}"]
    aliases = {"web", "db", "cache", "busybox", "unified", "split", "also", "directory", "rootfs"}
    assert set(lxd.aliases()) == aliases | {"url", "urls", "present", "sent", "disk"}
    after = done["diff"]["after"]
    assert set(after["aliases"]) == set(lxd.aliases()) - {"present"}
    assert {image["route"] for image in after["images"].values()} == {"pull", "relay", "upload"}
    assert len(after["images"]) == 12
    assert done["diff"]["before"]["images"][deleted[:12]]["aliases"] == ["old"]
    assert done["transferred"] == sum(one["transferred"] for one in done["images"]) > 0

    assert again.results["it"]["changed"] is False
    assert again.results["it"]["actions"] == []
    assert again.results["it"]["transferred"] == 0
    assert requests.count("/1.0/images") == 1
    assert requests.count("/1.0") <= 1
    # Nobody can tell from a list, which may be cut off, that there is no such image.
    assert set(requests) <= {"/1.0", "/1.0/images", "/1.0/images/aliases/old"}


@pytest.mark.families("lxd")
def test_one_disk_with_several_options_is_several_images(
    lxd: Server, modules: Modules, tmp_path: Path
) -> None:
    source, disk = build_disk(tmp_path), tmp_path / "disk.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", source, disk], check=True)
    images = [
        {"rootfs": str(disk), "aliases": ["one"], "release": "1"},
        {"rootfs": str(disk), "aliases": ["two"], "release": "2"},
        {"rootfs": str(disk), "aliases": ["same"], "release": "2"},
    ]
    shared = {"remote_src": True, "os": "Debian", "mode": "relay"}
    first = modules.done(STORE, images=images, defaults=shared)
    again = modules.done(STORE, images=images, defaults=shared)
    assert actions(first) == {
        "one": ["upload", "add alias one"],
        "two": ["upload", "add alias two", "add alias same"],
    }
    assert not again["changed"]
    found = {alias: lxd.images()[image]["properties"] for alias, image in lxd.aliases().items()}
    assert {name: kept["release"] for name, kept in found.items()} == {
        "one": "1",
        "two": "2",
        "same": "2",
    }


def test_a_task_in_the_background_gets_the_files_that_the_store_lacks_before(
    lxd: Server, build: Build, ssh: SshHost, tmp_path: Path
) -> None:
    (tmp_path / "files").mkdir()
    there, sent = build(name="there"), build(name="sent")
    Modules().at(lxd).import_image(there)
    for image in (there, sent):
        image.metadata.rename(tmp_path / f"files/{image.metadata.name}")
    images = [
        {"src": image.metadata.name, "aliases": [name]}
        for name, image in (("there", there), ("sent", sent), ("again", sent))
    ]
    params = {"images": images, "server": f"unix://{lxd.socket}"}
    background: dict[str, Any] = {"async": 600, "poll": 1}
    done = on_host(tmp_path, ssh, params, **background)
    assert not done.failed, done.output
    assert done.results["it"]["actions"] == [
        "there: add alias there",
        "sent: upload",
        "sent: add alias sent",
        "sent: add alias again",
    ]
    assert lxd.aliases() == {
        "there": there.fingerprint,
        "sent": sent.fingerprint,
        "again": sent.fingerprint,
    }


def test_an_unchanged_store_of_files_asks_for_the_list_only(
    lxd: Server, modules: Modules, build: Build
) -> None:
    images = [{**files(build()), "aliases": [f"a{number}"]} for number in range(5)]
    images.append({"name": "a0", "public": False})
    modules.done(STORE, images=images)
    mark = lxd.mark()
    assert not modules.done(STORE, images=images)["changed"]
    assert [request.path.partition("?")[0] for request in lxd.requests(mark)] == ["/1.0/images"]


def test_entries_about_one_image_are_merged_and_transfer_it_once(
    lxd: Server, other: Server, modules: Modules, image: Image
) -> None:
    add_to_source(other, image, "web")
    source = {"source_server": other.url, "source_cert": str(other.certificate)}
    images = [
        {"image": "web", **source, "aliases": ["a"]},
        {**files(image), "aliases": ["b"], "properties": {"x": "1"}},
        {"name": "a", "public": True},
    ]
    predicted = modules.done(STORE, check=True, images=images)
    done = modules.done(STORE, images=images)
    assert predicted["actions"] == done["actions"]
    assert done["actions"] == [
        "a: pull",
        "a: set public",
        "a: set properties",
        "a: add alias a",
        "a: add alias b",
    ]
    assert [one["fingerprint"] for one in done["images"]] == [image.fingerprint] * 3
    assert done["transferred"] == image.size
    assert lxd.aliases() == {"a": image.fingerprint, "b": image.fingerprint}
    assert not modules.done(STORE, images=images)["changed"]


def test_a_moved_alias_is_in_the_diff_and_the_replaced_image_goes_if_asked_for(
    lxd: Server, modules: Modules, build: Build
) -> None:
    old, new = build(), build()
    modules.import_image(old, aliases=["web"])
    images = [{**files(new), "aliases": ["web"], "delete_replaced": True}]
    predicted = modules.done(STORE, check=True, images=images)
    done = modules.done(STORE, images=images)
    gone = f"delete image {old.fingerprint[:12]}"
    assert (
        predicted.actions == done.actions == ["web: upload", "web: move alias web", f"web: {gone}"]
    )
    assert done["diff"]["before"]["aliases"] == {"web": old.fingerprint[:12]}
    assert done["diff"]["after"]["aliases"] == {"web": new.fingerprint[:12]}
    assert old.fingerprint[:12] in done["diff"]["before"]["images"]
    assert set(lxd.images()) == {new.fingerprint}


def test_an_image_that_the_client_may_not_see_is_not_called_absent(
    lxd: Server, modules: Modules, image: Image, pair: KeyPair
) -> None:
    modules.import_image(image, aliases=["hidden"])
    stranger = Modules().over_tls(lxd, pair)
    images = [{"name": "hidden", "state": "absent"}]
    for check in (True, False):
        assert "does not trust" in stranger.fails(STORE, check=check, images=images)
    assert "does not trust" in stranger.fails(STORE, images=[{"name": "hidden", "public": True}])
    assert image.fingerprint in lxd.images()


class TestContradictions:
    """They are refused before anything moves."""

    def refused(self, lxd: Server, modules: Modules, *images: dict[str, Any]) -> str:
        mark = lxd.mark()
        msg = modules.fails(STORE, images=list(images))
        assert "two entries contradict each other: " in msg
        assert "images[0]" in msg
        assert "images[1]" in msg
        assert lxd.writes(mark) == []
        return msg

    def test_of_two_images_for_one_alias(self, lxd: Server, modules: Modules, build: Build) -> None:
        one, two = ({**files(build()), "aliases": ["web"]} for _ in range(2))
        assert "want the alias web to point to different images" in self.refused(
            lxd, modules, one, two
        )

    def test_of_two_values_for_one_image(self, lxd: Server, modules: Modules, image: Image) -> None:
        one, two = ({**files(image), "properties": {"a": value}} for value in "12")
        assert "different values of the property a" in self.refused(lxd, modules, one, two)

    def test_of_an_image_that_is_to_be_present_and_absent(
        self, lxd: Server, modules: Modules, image: Image
    ) -> None:
        modules.import_image(image)
        absent = {"name": image.fingerprint, "state": "absent"}
        msg = self.refused(lxd, modules, {**files(image), "aliases": ["a"]}, absent)
        assert "present and absent" in msg

    def test_of_an_alias_that_is_to_be_added_and_whose_image_is_to_be_absent(
        self, lxd: Server, modules: Modules, image: Image
    ) -> None:
        absent = {"name": "web", "state": "absent"}
        self.refused(lxd, modules, {**files(image), "aliases": ["web"]}, absent)

    def test_of_an_image_that_one_deletes_and_whose_alias_the_other_moves(
        self, lxd: Server, modules: Modules, build: Build
    ) -> None:
        old, new = build(), build()
        modules.import_image(old, aliases=["web"])
        absent = {"name": old.fingerprint, "state": "absent"}
        msg = self.refused(lxd, modules, absent, {**files(new), "aliases": ["web"]})
        assert "move its alias web" in msg


def test_two_tasks_on_one_store_succeed_and_fetch_each_image_once(
    lxd: Server, other: Server, modules: Modules, build: Build
) -> None:
    source = {"source_server": other.url, "source_cert": str(other.certificate)}
    for number in range(4):
        add_to_source(other, build(), f"web{number}")
    images = [
        {"image": f"web{number}", **source, "aliases": [f"web{number}"]} for number in range(4)
    ]
    images += [{**files(build()), "aliases": [f"file{number}"]} for number in range(2)]
    mark = other.mark()
    runs = [modules.start(STORE, images=part) for part in (images[:5], images[1:])]
    outcomes = [run.wait() for run in runs]
    assert [outcome.get("msg") for outcome in outcomes if outcome.failed] == []
    assert set(lxd.aliases()) == {*(f"web{number}" for number in range(4)), "file0", "file1"}
    exports = [request.path for request in other.requests(mark) if "/export" in request.path]
    assert len(exports) == len(set(exports)) == 4
    assert not modules.done(STORE, images=images)["changed"]


@pytest.mark.families("lxd")
def test_what_a_list_that_was_cut_off_lacks_is_neither_sent_again_nor_called_absent(
    tmp_path: Path,
) -> None:
    with Server("large") as lxd:
        modules = Modules().at(lxd)
        # A list has the lowest fingerprints first, and is cut off after ten seconds.
        there, absent = last_in_lists(tmp_path, 2)
        gone = digest(absent)
        for image in (there, absent):
            modules.import_image(image)
        idle.fill(lxd, 19_000)
        images = [files(there), {"name": gone, "state": "absent"}]
        mark = lxd.mark()
        run = modules.start(STORE, images=images)
        cut = lxd.images()
        outcome = run.wait()
        assert len(cut) < 19_000
        assert not {digest(there), gone} & set(cut)
        assert not outcome.failed, outcome["msg"]
        assert actions(outcome) == {gone: [f"delete image {gone[:12]}"]}
        assert [request.method for request in lxd.writes(mark)] == ["DELETE"]
        assert not modules.import_image(there)["changed"]


def last_in_lists(folder: Path, count: int) -> list[Path]:
    """Images whose fingerprints are greater than most others."""
    paths = (idle.tiny(folder / f"tiny-{number}.tar", number) for number in range(1000))
    return list(itertools.islice((path for path in paths if digest(path)[0] == "f"), count))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

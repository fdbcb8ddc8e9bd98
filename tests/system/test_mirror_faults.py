# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mirrors of image servers that are broken or hostile, and accidents of the mirror's own host."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile import Answer, Hostile
from mirrors import MirrorSite, clients
from publications import content, small_image

from lab import DOWN, Authority, Proxy, WebServer
from runner import Modules, until

pytestmark = pytest.mark.families("lxd")  # independent of the family

CRASHES = int(os.environ.get("CRASHES", "10"))
"""How often a mirror is killed; a hundred times takes minutes."""

ALPINE = "alpine:3.23:amd64"


@pytest.fixture
def site(tmp_path: Path, authority: Authority) -> Iterator[MirrorSite]:
    site = MirrorSite(tmp_path, authority)
    with site.server:
        yield site


@pytest.fixture
def published(site: MirrorSite) -> MirrorSite:
    """A mirror with one version, of which upstream has published another."""
    site.upstream.publish("alpine/3.23", "20260101")
    site.upstream.publish("debian/13", "20260101")
    site.mirror(keep=1)
    site.upstream.publish("alpine/3.23", "20260102")
    return site


def through(site: MirrorSite, line: Proxy) -> dict[str, Any]:
    """The options of a mirror over this proxy."""
    # Exactly this certificate, so that the host name is not checked.
    certificate = str(site.server.pair.certificate)
    return {"source_server": line.url, "source_cert": certificate, "parallel": 1}


def items_of(site: MirrorSite, serial: str) -> dict[str, Any]:
    items: dict[str, Any] = site.upstream.products[ALPINE]["versions"][serial]["items"]
    return items


def fails_for_one_version(site: MirrorSite, **options: Any) -> str:
    """The message of a mirror of which all but the newest version works, and which goes on serving the one before."""
    before = site.versions()
    message = Modules().fails("lxd_image_mirror", **{**site.params, "keep": 1, **options})
    assert "1 version could not be mirrored: alpine/3.23 (amd64) 20260102: " in message
    assert site.versions() == before
    assert site.faults() == []
    return message


class TestABrokenVersion:
    """It is not listed and named; the one before remains, and everything else is mirrored."""

    @pytest.mark.parametrize(
        "path", ["/etc/hostname", "../../etc/hostname", "images/../../x", "a\nb", ["x"], ""]
    )
    def test_with_a_path_that_leads_elsewhere(self, published: MirrorSite, path: Any) -> None:
        items_of(published, "20260102")["root.squashfs"]["path"] = path
        published.upstream.write()
        assert "of a file is not allowed" in fails_for_one_version(published)

    @pytest.mark.parametrize(
        ("field", "value", "said"),
        [
            ("size", 999, "has 1000 bytes, not the 999 that the index gives"),
            ("size", 1001, "has 1000 bytes, not the 1001 that the index gives"),
            ("size", 0, "the index has no size of"),
            ("size", "1000", "the size '1000' of images/alpine/3.23/amd64/20260102/root.squashfs"),
            ("size", -1, "is not a number of bytes"),
            ("sha256", "0" * 64, "has the SHA-256"),
            ("sha256", "x", "the index has no SHA-256 of"),
        ],
    )
    def test_with_a_wrong_size_or_digest(
        self, published: MirrorSite, field: str, value: Any, said: str
    ) -> None:
        items_of(published, "20260102")["root.squashfs"][field] = value
        published.upstream.write()
        assert said in fails_for_one_version(published)

    def test_with_a_wrong_fingerprint(self, published: MirrorSite) -> None:
        items_of(published, "20260102")["incus.tar.xz"]["combined_squashfs_sha256"] = "0" * 64
        published.upstream.write()
        assert "its files have the fingerprint" in fails_for_one_version(published)

    def test_with_a_missing_file(self, published: MirrorSite) -> None:
        path = published.upstream.root / items_of(published, "20260102")["lxd.tar.xz"]["path"]
        path.unlink()
        assert "responds with the HTTP status 404" in fails_for_one_version(published)
        path.write_bytes(b"x" * 100)
        assert "has the SHA-256" in fails_for_one_version(published)

    def test_cannot_take_a_file_of_another_image_by_giving_it_another_size(
        self, published: MirrorSite
    ) -> None:
        upstream = published.upstream
        upstream.publish("aaa/1", "20260101")
        stolen = items_of(published, "20260101")["root.squashfs"]
        version = upstream.products["aaa:1:amd64"]["versions"]["20260101"]
        version["items"]["root.squashfs"].update(sha256=stolen["sha256"], size=7)
        upstream.products = dict(sorted(upstream.products.items()))
        upstream.write()
        message = Modules().fails("lxd_image_mirror", **published.params)
        assert "1 version could not be mirrored: aaa:1:amd64 20260101: " in message
        assert "has 7 bytes in the index, and a file with its SHA-256 1000" in message
        assert published.versions()[ALPINE] == ["20260102", "20260101"]
        assert published.faults() == []

    def test_does_not_stop_the_others(self, published: MirrorSite) -> None:
        items_of(published, "20260102")["lxd.tar.xz"]["size"] = 1
        published.upstream.publish("debian/13", "20260102")
        Modules().fails("lxd_image_mirror", **published.params)
        assert published.versions() == {
            ALPINE: ["20260101"],
            "debian:13:amd64": ["20260102", "20260101"],
        }


@pytest.mark.parametrize(
    ("path", "answer", "said"),
    [
        ("/streams/v1/index.json", Answer(404), "responds with the HTTP status 404"),
        ("/streams/v1/index.json", Answer(body=b"{}"), "is not a simplestreams index"),
        ("/streams/v1/images.json", Answer(body=b"[" * 100_000), "nested too deeply"),
        ("/streams/v1/images.json", Answer(body=b"{}"), "is not a list of simplestreams products"),
        ("/streams/v1/images.json", Answer(body=b" " * (1 << 20), endless=True), "than 24 MiB"),
        ("/streams/v1/images.json", Answer(body=b"x", length=100), "closed the connection after 1"),
        ("/streams/v1/images.json", Answer(304), "HTTP status 304"),
    ],
)
def test_a_broken_document_changes_nothing(
    site: MirrorSite, authority: Authority, path: str, answer: Answer, said: str
) -> None:
    site.upstream.publish("alpine/3.23", "20260101")
    with Hostile(authority.issue("hostile", "127.0.0.1")) as hostile:
        for name in ("index", "images"):
            document = (site.upstream.root / f"streams/v1/{name}.json").read_bytes()
            hostile.answers[f"/streams/v1/{name}.json"] = Answer(body=document)
        hostile.answers[path] = answer
        message = (
            Modules()
            .limited()
            .fails(
                "lxd_image_mirror", **{**site.params, "source_server": hostile.url, "timeout": 60}
            )
        )
    assert said in message
    assert not (site.root / "catalog.json").exists()


@pytest.mark.parametrize("index", [{}, {"images": {"datatype": "image-downloads", "path": "x"}}])
def test_an_index_that_has_become_empty_changes_nothing(
    site: MirrorSite, index: dict[str, Any]
) -> None:
    site.upstream.publish("alpine/3.23", "20260101")
    site.mirror()
    site.upstream.products.clear()
    site.upstream.write()
    said = "index.json lists no products any more. Nothing was changed. To withdraw all images"
    assert said in site.fails()
    (site.upstream.root / "streams/v1/index.json").write_text(json.dumps({"index": index}))
    assert said in site.fails()
    assert site.versions() == {ALPINE: ["20260101"]}
    assert len(site.mirror(state="absent", select=None).actions) == 1


class TestAnInterruptedDownload:
    """It goes on where it broke, in the run and in the next one."""

    @pytest.fixture
    def line(self, site: MirrorSite) -> Iterator[Proxy]:
        site.upstream.publish("alpine/3.23", "20260101", size=400_000)
        with Proxy(site.url) as line:
            site.params.update(through(site, line))
            yield line

    def test_in_the_same_run(self, site: MirrorSite, line: Proxy) -> None:
        line.cut(200_000, DOWN)
        assert site.mirror()["transferred"] == 400_200
        assert site.faults() == []
        assert 206 in site.server.statuses

    def test_in_the_next_run(self, site: MirrorSite, line: Proxy) -> None:
        line.cut(200_000, DOWN)
        assert "closed the connection" in Modules().fails(
            "lxd_image_mirror", **site.params, retries=0
        )
        (partial,) = (site.root / ".catalog/downloads").glob("*.squashfs")
        there = partial.stat().st_size
        assert 0 < there < 400_000
        assert site.mirror()["transferred"] == 400_000 - there
        assert site.faults() == []
        assert list((site.root / ".catalog/downloads").iterdir()) == []

    def test_that_has_become_another_file_starts_anew(self, site: MirrorSite, line: Proxy) -> None:
        line.cut(200_000, DOWN)
        Modules().fails("lxd_image_mirror", **site.params, retries=0)
        (partial,) = (site.root / ".catalog/downloads").glob("*.squashfs")
        partial.write_bytes(b"x" * 1000)
        assert site.mirror()["transferred"] == 799_000
        partial.write_bytes(b"x" * 500_000)
        assert site.faults() == []


def test_an_upstream_that_dies_leaves_the_mirror_serving_what_it_had(site: MirrorSite) -> None:
    site.upstream.publish("alpine/3.23", "20260101")
    with Proxy(site.url) as line:
        site.params.update(through(site, line))
        site.mirror()
        for number in range(10):
            site.upstream.publish(f"box/{number}", "20260101", size=300_000)
        site.upstream.withdraw("alpine/3.23", "20260101")
        site.upstream.publish("alpine/3.23", "20260102")
        stall = line.stall(1_800_000, DOWN)
        run = Modules().start("lxd_image_mirror", **site.params, retries=1)
        until(lambda: bool(stall.struck))
        line.cut(0, DOWN, times=None)
        line.drop()
        message = run.wait()["msg"]
        assert "versions could not be mirrored" in message
        assert site.faults() == []
        assert 2 < len(site.versions()) < 11
        line.heal()
        site.mirror()
    assert len(site.versions()) == 11
    assert site.faults() == []


def test_a_killed_mirror_leaves_a_valid_tree(site: MirrorSite) -> None:
    site.upstream.publish("alpine/3.23", "20260101")
    started = time.monotonic()
    site.mirror()
    lasts = time.monotonic() - started
    fate = random.Random()
    for number in range(1, CRASHES + 1):
        serial = f"2026{number // 28 + 2:02d}{number % 28 + 1:02d}"
        for name in ("alpine/3.23", "debian/13"):
            site.upstream.publish(name, serial, size=200_000)
        run = Modules().start("lxd_image_mirror", **site.params, grace=0)
        time.sleep(fate.uniform(0, 1.2 * lasts))
        run.kill()
        assert site.faults() == [], f"after crash {number}"
    site.mirror(grace=0)
    assert site.faults() == []
    assert not site.mirror(grace=0)["changed"]
    assert len(content(site.root / "files")) == 12
    assert [path for path in (site.root / ".catalog").rglob("*") if "new-" in path.name] == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_an_error_and_the_tree_remains(site: MirrorSite, small_disk: Path) -> None:
    site.root = small_disk / "www"
    site.params["root"] = str(site.root)
    site.upstream.publish("alpine/3.23", "20260101", size=100_000)
    site.mirror()
    site.upstream.publish("debian/13", "20260101", size=2_000_000)
    message = site.fails()
    assert "No space left on device" in message
    assert "Free some space there, or select fewer images" in message
    assert site.faults() == []
    assert site.mirror(select=["alpine/*"]).actions == ["write catalog.json"]


def test_mirrors_of_several_sources_and_own_images_are_published_at_the_same_time(
    site: MirrorSite, tmp_path: Path, authority: Authority
) -> None:
    (tmp_path / "other").mkdir()
    other = MirrorSite(tmp_path / "other", authority)
    with other.server:
        for number in range(5):
            site.upstream.publish(f"alpine/{number}", "20260101", size=100_000)
            other.upstream.publish(f"debian/{number}", "20260101", size=100_000)
        own = {"name": "own", "src": str(small_image(tmp_path, "own"))}
        common = {name: site.params[name] for name in ("root", "base_url")}
        runs = [
            Modules().start("lxd_image_mirror", **site.params),
            Modules().start("lxd_image_mirror", **site.params),
            Modules().start("lxd_image_mirror", **{**other.params, "root": site.params["root"]}),
            Modules().start("lxd_image_catalog", **common, remote_src=True, images=[own]),
        ]
        assert [run.wait().get("msg") for run in runs] == [None] * 4
    assert len(site.products()) == 11
    assert site.faults() == []


def test_clients_find_whole_images_through_many_runs(
    site: MirrorSite, authority: Authority
) -> None:
    """They read the index and get all of its files, while versions come and go."""
    site.upstream.publish("alpine/3.23", "20260101", size=50_000)
    site.mirror()
    with WebServer(authority, site.root) as web, clients(web.url, authority, 20) as faults:
        for number in range(20):
            site.upstream.publish("alpine/3.23", f"202602{number + 1:02d}", size=50_000)
            site.mirror(keep=1)
    assert faults == []
    assert site.faults() == []


def test_a_large_index_takes_little_memory(site: MirrorSite) -> None:
    version = site.upstream.publish(
        "alpine/3.23", "20260101", types=("container", "virtual-machine")
    )
    site.upstream.products = {
        f"large:{number}:amd64": {
            **site.upstream.products[ALPINE],
            "aliases": f"large/{number}",
            "versions": {f"202601{day:02d}_13:00": version for day in range(1, 5)},
        }
        for number in range(1250)
    }
    site.upstream.write()
    size = (site.upstream.root / "streams/v1/images.json").stat().st_size
    assert size > 4 << 20
    outcome = Modules().limited().done("lxd_image_mirror", **site.params, keep=4)
    assert len(site.products()) == 1250
    assert outcome["transferred"] == 2200

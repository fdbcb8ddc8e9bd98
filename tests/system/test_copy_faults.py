# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies whose source dies, stalls or lies on the way, and several copies at once."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from copies import Copies, described, offered, running

from lab import DOWN, UP, Image, Proxy, Server, build_large
from runner import Modules, Run, until

Build = Callable[..., Image]
MIB = 1 << 20


def behind(proxy: Proxy, copies: Copies) -> Copies:
    """The same copies, from a source that is reached through the proxy."""
    return Copies(copies.modules, **{**copies.source, "source_server": proxy.url})


@pytest.mark.parametrize("mode", ["pull", "relay"])
@pytest.mark.parametrize("public", [True, False])
def test_a_source_that_dies_in_the_middle_is_a_clear_error_and_leaves_nothing(
    lxd: Server, other: Server, trusted: Copies, tmp_path: Path, mode: str, public: bool
) -> None:
    offered(other, build_large(tmp_path, 32 * MIB), "web", public=public)
    with Proxy(other.url) as proxy:
        proxy.cut(8 * MIB, DOWN, times=None)
        msg = behind(proxy, trusted).fails("web", mode=mode, retries=1)
    if mode == "pull":
        assert f"it was to fetch the image from {proxy.url}" in msg
        assert "mode: relay streams the image through this host" in msg
    else:
        assert f"{proxy.url}" in msg
    assert lxd.images() == {}
    until(lambda: not list((lxd.directory / "images").iterdir()))
    assert not running(other), "no secret stays behind"


def test_a_relay_of_a_unified_image_goes_on_where_it_broke(
    lxd: Server, other: Server, trusted: Copies, tmp_path: Path
) -> None:
    image = build_large(tmp_path, 32 * MIB)
    fingerprint = offered(other, image, "web")
    with Proxy(other.url) as proxy:
        proxy.cut(8 * MIB, DOWN, times=1)
        assert behind(proxy, trusted)("web", mode="relay").actions == ["relay"]
        assert proxy.passed[DOWN] < image.size + 4 * MIB, "it did not start over"
    assert described(lxd, fingerprint) == described(other, fingerprint)


def test_a_relay_of_a_split_image_starts_over(
    lxd: Server, other: Server, trusted: Copies, tmp_path: Path
) -> None:
    image = build_large(tmp_path, 32 * MIB, split=True)
    fingerprint = offered(other, image, "web")
    with Proxy(other.url) as proxy:
        proxy.cut(8 * MIB, DOWN, times=1)
        assert behind(proxy, trusted)("web", mode="relay").actions == ["relay"]
        assert proxy.passed[DOWN] > image.size + 4 * MIB
    assert described(lxd, fingerprint) == described(other, fingerprint)


def test_a_relay_outlives_a_break_on_the_side_of_the_target(
    lxd: Server, other: Server, trusted: Copies, tmp_path: Path
) -> None:
    fingerprint = offered(other, build_large(tmp_path, 32 * MIB), "web")
    with Proxy(lxd.socket) as proxy:
        proxy.cut(8 * MIB, UP, times=1)
        target = Modules(server=f"unix://{proxy.socket}")
        assert Copies(target, **trusted.source)("web", mode="relay").actions == ["relay"]
    assert set(lxd.images()) == {fingerprint}


def test_a_relay_stores_nothing_on_this_host_and_takes_little_memory(
    lxd: Server, other: Server, trusted: Copies, tmp_path: Path
) -> None:
    fingerprint = offered(other, build_large(tmp_path, 160 * MIB), "web")
    with Proxy(other.url) as proxy:
        proxy.stall(150 * MIB, DOWN)
        wish = {**behind(proxy, trusted).source, "image": "web", "mode": "relay"}
        run = trusted.modules.start("lxd_image_copy", **wish)
        until(lambda: proxy.passed[DOWN] >= 150 * MIB)
        process = Path(f"/proc/{run.pid}")
        opened = [path.stat() for path in (process / "fd").iterdir()]
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        proxy.heal()
        assert run.wait().actions == ["relay"]
    kinds = {stat.S_IFMT(file.st_mode) for file in opened}
    assert stat.S_IFSOCK in kinds
    assert stat.S_IFREG not in kinds
    assert int(status["VmHWM"].split()[0]) < 100 * 1024
    assert set(lxd.images()) == {fingerprint}


@pytest.fixture
def held_up(lxd: Server) -> Iterator[Proxy]:
    """The way to the target, on which all takes its time."""
    with Proxy(lxd.socket) as proxy:
        proxy.latency = 0.15
        yield proxy


def sets_attributes(proxy: Proxy) -> bool:
    """Whether somebody has asked to write the attributes of an image; the answer is held up."""
    return any(request.method == "PUT" for request in proxy.requests)


def has_passed_on(proxy: Proxy, requests: int) -> Callable[[], bool]:
    return lambda: len(proxy.requests) >= requests


@pytest.mark.parametrize("mode", ["relay", "push"])
def test_a_copy_that_is_killed_between_any_two_requests_is_completed_by_the_next_run(
    lxd: Server, other: Server, trusted: Copies, image: Image, mode: str
) -> None:
    fingerprint = offered(other, image, "web", public=False)
    wish = {**trusted.source, "image": "web", "mode": mode, "aliases": ["mine"]}
    expected = described(other, fingerprint)
    with Proxy(lxd.socket) as proxy:
        through = Modules(server=f"unix://{proxy.socket}")
        assert through.done("lxd_image_copy", **wish).actions == [mode, "add alias mine"]
        steps = len(proxy.requests)
        proxy.latency = 0.03
        for step in range(1, steps + 1):
            lxd.operation("DELETE", f"/1.0/images/{fingerprint}")
            before = len(proxy.requests)
            run = through.start("lxd_image_copy", **wish)
            until(has_passed_on(proxy, before + step))
            run.kill()
            until(lambda: not any(one["class"] == "task" for one in running(lxd)))
            assert lxd.images().get(fingerprint) is None or (
                described(lxd, fingerprint) == expected
            ), f"half-made after {proxy.requests[-1]}"
            trusted("web", mode=mode, aliases=["mine"])
            assert described(lxd, fingerprint) == expected
            assert lxd.aliases() == {"mine": fingerprint}
    assert steps > 5


@pytest.fixture
def elsewhere(lxd: Server, image: Image) -> str:
    """An image in the project dev, edited, and in build, as it is; its fingerprint."""
    for project in ("dev", "build", "prod"):
        lxd.run("project", "create", project)
    edits = {"properties": {"env": "dev"}, "expires_at": "2031-01-01"}
    Modules().at(lxd).import_image(image, project="dev", **edits)
    Modules().at(lxd).import_image(image, project="build", aliases=["web"])
    return image.fingerprint


def into_prod(proxy: Proxy) -> Run:
    """Begin to copy from build to prod, through the proxy."""
    wish = {"image": "web", "source_project": "build", "project": "prod", "mode": "pull"}
    return Modules(server=f"unix://{proxy.socket}").start("lxd_image_copy", **wish, alias="mine")


def test_what_others_change_while_attributes_are_set_is_not_lost(
    lxd: Server, held_up: Proxy, elsewhere: str
) -> None:
    path = f"/1.0/images/{elsewhere}?project=prod"
    run = into_prod(held_up)
    # The task has read what it is about to write.
    until(lambda: any(request.path == path for request in held_up.requests))
    lxd.api("PATCH", path, {"properties": {"theirs": "1"}})
    assert run.wait().actions == ["pull", "add alias mine"]
    expected = described(lxd, elsewhere, "build")
    expected["properties"]["theirs"] = "1"
    assert described(lxd, elsewhere, "prod") == expected


def test_a_copy_that_cannot_get_its_attributes_is_not_kept(
    lxd: Server, held_up: Proxy, elsewhere: str
) -> None:
    run = into_prod(held_up)
    until(lambda: sets_attributes(held_up))
    held_up.drop()
    outcome = run.wait()
    assert outcome.failed
    assert not outcome["changed"]
    assert lxd.images("prod") == {}
    assert into_prod(held_up).wait().actions == ["pull", "add alias mine"]


def test_a_copy_that_can_neither_be_completed_nor_removed_is_said_to_be_there(
    lxd: Server, held_up: Proxy, elsewhere: str
) -> None:
    run = into_prod(held_up)
    until(lambda: any("/wait" in request.path for request in held_up.requests))
    held_up.latency = 1
    until(lambda: sets_attributes(held_up))
    # The answer never arrives, be it that the server could give one.
    held_up.stall(0, DOWN, times=None)
    lxd.kill()
    held_up.drop()
    msg = run.wait()["msg"]
    lxd.start()
    assert f"the image {elsewhere[:12]} is in the store, without the properties" in msg
    assert set(lxd.images("prod")) == {elsewhere}


def test_a_relay_without_retries_gives_up_at_once(
    lxd: Server, other: Server, trusted: Copies, tmp_path: Path
) -> None:
    offered(other, build_large(tmp_path, 32 * MIB), "web")
    with Proxy(other.url) as proxy:
        proxy.cut(8 * MIB, DOWN, times=1)
        behind(proxy, trusted).fails("web", mode="relay", retries=0)
    assert lxd.images() == {}


def test_the_deadline_ends_a_relay_that_drips(
    lxd: Server, other: Server, trusted: Copies, tmp_path: Path
) -> None:
    offered(other, build_large(tmp_path, 32 * MIB), "web")
    with Proxy(other.url) as proxy:
        proxy.drip(8 * MIB, DOWN)
        msg = behind(proxy, trusted).fails("web", mode="relay", timeout=4)
    assert "the 4 seconds of this task are over" in msg
    assert lxd.images() == {}


def test_the_deadline_cancels_a_pull_that_stalls(
    lxd: Server, other: Server, trusted: Copies, tmp_path: Path
) -> None:
    offered(other, build_large(tmp_path, 32 * MIB), "web")
    with Proxy(other.url) as proxy:
        proxy.stall(8 * MIB, DOWN)
        msg = behind(proxy, trusted).fails("web", mode="pull", timeout=3)
        assert "the 3 seconds of this task are over; operation " in msg
        assert "was cancelled" in msg
    assert lxd.images() == {}
    assert not running(lxd)


@pytest.mark.parametrize("mode", ["pull", "push", "relay"])
def test_of_five_copies_at_once_all_succeed_and_one_transfer_takes_place(
    lxd: Server, other: Server, trusted: Copies, image: Image, mode: str
) -> None:
    fingerprint = offered(other, image, "web")
    before = other.mark()
    wish: dict[str, Any] = {**trusted.source, "image": "web", "mode": mode, "aliases": ["mine"]}
    runs = [trusted.modules.start("lxd_image_copy", **wish) for _ in range(5)]
    outcomes = [run.wait() for run in runs]
    assert [outcome.get("msg") for outcome in outcomes if outcome.failed] == []
    assert lxd.aliases() == {"mine": fingerprint}
    if mode == "pull":
        exports = [
            one for one in other.requests(before) if one.path.split("?")[0].endswith("/export")
        ]
        assert len(exports) == 1
    else:
        assert sum(mode in outcome.actions for outcome in outcomes) == 1

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies from sources that fail, stall or send wrong data, and concurrent copies."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from copies import Copies, add_to_source, expected_attributes, running_operations

from lab import DOWN, UP, Image, Proxy, Server, build_large
from runner import Modules, Run, timed_out, until

Build = Callable[..., Image]
MIB = 1 << 20


def through_proxy(proxy: Proxy, copies: Copies) -> Copies:
    """The same copies, with the source behind the proxy."""
    return Copies(copies.modules, **{**copies.source, "source_server": proxy.url})


@pytest.mark.parametrize("mode", ["pull", "relay"])
@pytest.mark.parametrize("public", [True, False])
def test_a_source_that_is_killed_is_a_clear_error_and_leaves_nothing(
    lxd: Server, other: Server, trusted: Copies, tmp_path: Path, mode: str, public: bool
) -> None:
    add_to_source(other, build_large(tmp_path, 32 * MIB), "web", public=public)
    with Proxy(other.url) as proxy:
        proxy.cut(8 * MIB, DOWN, times=None)
        msg = through_proxy(proxy, trusted).fails("web", mode=mode, retries=1)
    if mode == "pull":
        assert f"while it was fetching the image from {proxy.url}" in msg
        assert "mode: relay streams the image through this host" in msg
    else:
        assert f"{proxy.url}" in msg
    assert lxd.images() == {}
    until(lambda: not list((lxd.directory / "images").iterdir()))
    assert not running_operations(other), "no secret stays behind"


def test_a_relay_of_a_unified_image_resumes(
    lxd: Server, other: Server, trusted: Copies, tmp_path: Path
) -> None:
    image = build_large(tmp_path, 32 * MIB)
    fingerprint = add_to_source(other, image, "web")
    with Proxy(other.url) as proxy:
        proxy.cut(8 * MIB, DOWN, times=1)
        assert through_proxy(proxy, trusted)("web", mode="relay").actions == ["relay"]
        assert proxy.passed[DOWN] < image.size + 4 * MIB, "it did not start over"
    assert expected_attributes(lxd, fingerprint) == expected_attributes(other, fingerprint)


def test_a_relay_of_a_split_image_starts_again(
    lxd: Server, other: Server, trusted: Copies, tmp_path: Path
) -> None:
    image = build_large(tmp_path, 32 * MIB, split=True)
    fingerprint = add_to_source(other, image, "web")
    with Proxy(other.url) as proxy:
        proxy.cut(8 * MIB, DOWN, times=1)
        assert through_proxy(proxy, trusted)("web", mode="relay").actions == ["relay"]
        assert proxy.passed[DOWN] > image.size + 4 * MIB
    assert expected_attributes(lxd, fingerprint) == expected_attributes(other, fingerprint)


def test_a_relay_is_retried_after_an_interruption_at_the_target(
    lxd: Server, other: Server, trusted: Copies, tmp_path: Path
) -> None:
    fingerprint = add_to_source(other, build_large(tmp_path, 32 * MIB), "web")
    with Proxy(lxd.socket) as proxy:
        proxy.cut(8 * MIB, UP, times=1)
        target = Modules(server=f"unix://{proxy.socket}")
        assert Copies(target, **trusted.source)("web", mode="relay").actions == ["relay"]
    assert set(lxd.images()) == {fingerprint}


def test_a_relay_stores_nothing_on_this_host_and_takes_little_memory(
    lxd: Server, other: Server, trusted: Copies, tmp_path: Path
) -> None:
    fingerprint = add_to_source(other, build_large(tmp_path, 160 * MIB), "web")
    with Proxy(other.url) as proxy:
        proxy.stall(150 * MIB, DOWN)
        desired = {**through_proxy(proxy, trusted).source, "image": "web", "mode": "relay"}
        run = trusted.modules.start("lxd_image_copy", **desired)
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
def target(lxd: Server) -> Iterator[Proxy]:
    """A proxy to the target."""
    with Proxy(lxd.socket) as proxy:
        yield proxy


def has_passed_on(proxy: Proxy, requests: int, run: Run) -> Callable[[], bool]:
    return lambda: len(proxy.requests) >= requests or run.has_ended


@pytest.mark.parametrize("mode", ["relay", "push"])
def test_a_copy_that_is_killed_between_any_two_requests_is_completed_by_the_next_run(
    lxd: Server, other: Server, trusted: Copies, image: Image, mode: str
) -> None:
    fingerprint = add_to_source(other, image, "web", public=False)
    desired = {**trusted.source, "image": "web", "mode": mode, "aliases": ["mine"]}
    expected = expected_attributes(other, fingerprint)
    with Proxy(lxd.socket) as proxy:
        through = Modules(server=f"unix://{proxy.socket}")
        assert through.done("lxd_image_copy", **desired).actions == [mode, "add alias mine"]
        steps = len(proxy.requests)
        proxy.latency = 0.03
        for step in range(1, steps + 1):
            lxd.operation("DELETE", f"/1.0/images/{fingerprint}")
            before = len(proxy.requests)
            run = through.start("lxd_image_copy", **desired)
            until(has_passed_on(proxy, before + step, run))
            run.kill()
            until(lambda: not any(one["class"] == "task" for one in running_operations(lxd)))
            assert lxd.images().get(fingerprint) is None or (
                expected_attributes(lxd, fingerprint) == expected
            ), f"half-made after {proxy.requests[-1]}"
            trusted("web", mode=mode, aliases=["mine"])
            assert expected_attributes(lxd, fingerprint) == expected
            assert lxd.aliases() == {"mine": fingerprint}
    assert steps > 5


@pytest.fixture
def image_of_other_projects(lxd: Server, image: Image) -> str:
    """An image in the projects dev (edited) and build (unchanged). Returns its fingerprint."""
    for project in ("dev", "build", "prod"):
        lxd.run("project", "create", project)
    edits = {"properties": {"env": "dev"}, "expires_at": "2031-01-01"}
    Modules().at(lxd).import_image(image, project="dev", **edits)
    Modules().at(lxd).import_image(image, project="build", aliases=["web"])
    return image.fingerprint


def into_prod(proxy: Proxy) -> Run:
    """Start to copy from build to prod, through a proxy to the target."""
    desired = {"image": "web", "source_project": "build", "project": "prod", "mode": "pull"}
    return Modules(server=f"unix://{proxy.socket}").start("lxd_image_copy", **desired, alias="mine")


def about_to_set_attributes(target: Proxy) -> Run:
    """The same, when the image was transferred and its attributes were read; nothing more reaches the target."""
    held = target.hold(lambda request: request.method == "PUT")
    run = into_prod(target)
    until(lambda: held.reached)
    return run


def test_concurrent_changes_of_attributes_are_not_lost(
    lxd: Server, target: Proxy, image_of_other_projects: str
) -> None:
    path = f"/1.0/images/{image_of_other_projects}?project=prod"
    run = about_to_set_attributes(target)
    lxd.api("PATCH", path, {"properties": {"theirs": "1"}})
    target.heal()
    assert run.wait().actions == ["pull", "add alias mine"]
    expected = expected_attributes(lxd, image_of_other_projects, "build")
    expected["properties"]["theirs"] = "1"
    assert expected_attributes(lxd, image_of_other_projects, "prod") == expected


def test_a_copy_whose_attributes_cannot_be_set_is_not_kept(
    lxd: Server, target: Proxy, image_of_other_projects: str
) -> None:
    run = about_to_set_attributes(target)
    target.drop()
    outcome = run.wait()
    assert outcome.failed
    assert not outcome["changed"]
    assert lxd.images("prod") == {}
    assert into_prod(target).wait().actions == ["pull", "add alias mine"]


def test_a_copy_that_cannot_be_completed_or_deleted_is_reported(
    lxd: Server, target: Proxy, image_of_other_projects: str
) -> None:
    run = about_to_set_attributes(target)
    lxd.kill()
    target.drop()
    msg = run.wait()["msg"]
    lxd.start()
    assert (
        f"the image {image_of_other_projects[:12]} is in the store, without the properties" in msg
    )
    assert set(lxd.images("prod")) == {image_of_other_projects}


def test_a_relay_without_retries_fails_immediately(
    lxd: Server, other: Server, trusted: Copies, tmp_path: Path
) -> None:
    add_to_source(other, build_large(tmp_path, 32 * MIB), "web")
    with Proxy(other.url) as proxy:
        proxy.cut(8 * MIB, DOWN, times=1)
        through_proxy(proxy, trusted).fails("web", mode="relay", retries=0)
    assert lxd.images() == {}


def test_the_timeout_ends_a_slow_relay(
    lxd: Server, other: Server, trusted: Copies, tmp_path: Path
) -> None:
    add_to_source(other, build_large(tmp_path, 32 * MIB), "web")
    with Proxy(other.url) as proxy:
        proxy.drip(8 * MIB, DOWN)
        msg = through_proxy(proxy, trusted).fails("web", mode="relay", timeout=4)
    assert "timed out after 4 seconds" in msg
    assert lxd.images() == {}


def test_the_timeout_cancels_a_stalled_pull(
    lxd: Server, other: Server, trusted: Copies, tmp_path: Path
) -> None:
    add_to_source(other, build_large(tmp_path, 32 * MIB), "web")
    with Proxy(other.url) as proxy:
        proxy.stall(8 * MIB, DOWN, times=None)
        stalled = through_proxy(proxy, trusted)
        msg = timed_out(
            lambda seconds: stalled.fails("web", mode="pull", timeout=seconds), "was canceled"
        )
        assert "seconds; operation " in msg
    assert lxd.images() == {}
    assert not running_operations(lxd)


@pytest.mark.parametrize("mode", ["pull", "push", "relay"])
def test_five_concurrent_copies_succeed_with_one_transfer(
    lxd: Server, other: Server, trusted: Copies, image: Image, mode: str
) -> None:
    fingerprint = add_to_source(other, image, "web")
    before = other.mark()
    desired: dict[str, Any] = {**trusted.source, "image": "web", "mode": mode, "aliases": ["mine"]}
    runs = [trusted.modules.start("lxd_image_copy", **desired) for _ in range(5)]
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

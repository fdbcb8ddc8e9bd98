# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Concurrent tasks, and tasks and servers that are killed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab import UP, ApiError, Image, Proxy, Server, build_large
from runner import Modules, files, until

Build = Callable[..., Image]


@pytest.mark.parametrize("_round", range(20))
def test_five_concurrent_imports_succeed_and_one_adds_the_image(
    lxd: Server, modules: Modules, image: Image, _round: int
) -> None:
    desired: dict[str, Any] = {**files(image), "aliases": ["web"], "properties": {"a": "1"}}
    runs = [modules.start("lxd_image_import", **desired) for _ in range(5)]
    outcomes = [run.wait() for run in runs]

    assert [outcome.get("msg") for outcome in outcomes if outcome.failed] == []
    assert sum("upload" in outcome.actions for outcome in outcomes) == 1
    assert sum(outcome["transferred"] for outcome in outcomes) == image.size
    assert lxd.aliases() == {"web": image.fingerprint}
    assert lxd.images()[image.fingerprint]["properties"]["a"] == "1"


def test_a_moving_alias_is_never_missing(lxd: Server, modules: Modules, build: Build) -> None:
    pair = build(), build()
    for image in pair:
        modules.import_image(image, aliases=["web"])
    seen: list[str] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                seen.append(lxd.api("GET", "/1.0/images/aliases/web")["target"])
            except ApiError as error:
                seen.append(str(error))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        moves = 0
        while moves < 10 or len(seen) < 100:
            modules.import_image(pair[moves % 2], aliases=["web"])
            moves += 1
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert set(seen) == {image.fingerprint for image in pair}


def test_two_tasks_that_move_one_alias_both_succeed(
    lxd: Server, modules: Modules, build: Build
) -> None:
    pair = build(), build()
    for image in pair:
        modules.import_image(image)
    for _round in range(5):
        runs = [modules.start("lxd_image_import", **files(image), alias=["web"]) for image in pair]
        assert [run.wait().get("msg") for run in runs] == [None, None]
        assert lxd.aliases()["web"] in {image.fingerprint for image in pair}


def test_a_concurrent_edit_is_not_lost(lxd: Server, modules: Modules, image: Image) -> None:
    modules.import_image(image)
    path = f"/1.0/images/{image.fingerprint}"
    with Proxy(lxd.socket) as proxy:
        edits = proxy.hold(lambda request: request.method == "PUT")
        mine = {**files(image), "properties": {"mine": "1"}, "server": f"unix://{proxy.socket}"}
        run = modules.start("lxd_image_import", **mine)
        until(lambda: edits.reached)
        lxd.api("PATCH", path, {"properties": {"theirs": "1"}})
        proxy.heal()
        assert run.wait().actions == ["set properties"]
        puts = [request for request in proxy.requests if request.method == "PUT"]
    assert len(puts) == 2, "the first one was refused, since the image had changed"
    stored = lxd.images()[image.fingerprint]["properties"]
    assert {"mine", "theirs"} <= set(stored)


def test_a_client_killed_during_the_upload_leaves_nothing(
    lxd: Server, modules: Modules, tmp_path: Path
) -> None:
    image = build_large(tmp_path, 64 << 20)
    with Proxy(lxd.socket) as proxy:
        proxy.stall(8 << 20, UP)
        run = modules.start(
            "lxd_image_import", **{**files(image), "server": f"unix://{proxy.socket}"}
        )
        until(lambda: proxy.passed[UP] >= 8 << 20)
        run.kill()
    until(lambda: not list((lxd.directory / "images").iterdir()))
    assert lxd.images() == {}


def test_the_next_run_completes_a_task_killed_after_the_upload(
    lxd: Server, modules: Modules, image: Image
) -> None:
    desired: dict[str, Any] = {"aliases": ["web"], "public": True}
    with Proxy(lxd.socket) as proxy:
        waits = proxy.hold(lambda request: "/wait" in request.path)
        run = modules.start(
            "lxd_image_import", **files(image), **desired, server=f"unix://{proxy.socket}"
        )
        until(lambda: waits.reached and image.fingerprint in lxd.images())
        run.kill()
    assert lxd.aliases() == {}
    completed = modules.import_image(image, **desired)
    assert "upload" not in completed.actions
    assert lxd.aliases() == {"web": image.fingerprint}
    assert lxd.images()[image.fingerprint]["public"]


def test_a_server_killed_during_the_upload_is_a_clear_error_and_keeps_nothing(
    lxd: Server, modules: Modules, tmp_path: Path
) -> None:
    image = build_large(tmp_path, 64 << 20)
    with Proxy(lxd.socket) as proxy:
        proxy.stall(8 << 20, UP)
        run = modules.start("lxd_image_import", **files(image), server=f"unix://{proxy.socket}")
        until(lambda: proxy.passed[UP] >= 8 << 20)
        lxd.kill()
        proxy.drop()
        msg = run.wait()["msg"]
    lxd.start()
    assert "the connection to" in msg
    assert lxd.images() == {}
    assert modules.import_image(image).actions == ["upload"]


def test_a_failure_returns_the_actions_before_it(
    lxd: Server, modules: Modules, image: Image
) -> None:
    with Proxy(lxd.socket) as proxy:
        names = proxy.hold(lambda request: request.writes and "/aliases" in request.path)
        run = modules.start(
            "lxd_image_import", **files(image), aliases=["web"], server=f"unix://{proxy.socket}"
        )
        until(lambda: names.reached)
        lxd.kill()
        proxy.drop()
        outcome = run.wait()
    lxd.start()
    assert outcome.failed
    assert outcome["changed"]
    assert outcome.actions == ["upload"]
    assert outcome["transferred"] == image.size
    assert (
        f"The image {image.fingerprint} is in the store; the next run completes" in outcome["msg"]
    )
    assert modules.import_image(image, aliases=["web"]).actions == ["add alias web"]


def test_a_file_that_becomes_shorter_while_it_is_sent_is_an_error(
    lxd: Server, modules: Modules, tmp_path: Path
) -> None:
    image = build_large(tmp_path, 64 << 20)
    with Proxy(lxd.socket) as proxy:
        proxy.stall(1 << 20, UP)
        run = modules.start("lxd_image_import", **files(image), server=f"unix://{proxy.socket}")
        until(lambda: proxy.passed[UP] >= 1 << 20)
        os.truncate(image.metadata, 2 << 20)
        proxy.heal()
        msg = run.wait()["msg"]
    assert "became shorter while it was being read" in msg
    assert lxd.images() == {}

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A store with a broken entry, and a task that is killed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from copies import add_to_source
from stores import STORE, on_host

from lab import (
    DOWN,
    Image,
    Proxy,
    Server,
    SshHost,
    build_directory,
)
from runner import Modules, files, until

Build = Callable[..., Image]


MISSING = "b" * 64


class TestOneBrokenEntry:
    """The others are in place, the result names it, and the next run completes it."""

    @pytest.fixture
    def good(self, build: Build) -> list[dict[str, Any]]:
        return [{**files(build()), "aliases": [f"good{number}"]} for number in range(2)]

    def check(
        self,
        modules: Modules,
        lxd: Server,
        good: list[dict[str, Any]],
        bad: dict[str, Any],
        said: str,
        mend: Callable[[], None],
        mended: dict[str, Any] | None = None,
    ) -> None:
        images = [good[0], {**bad, "aliases": ["bad"]}, good[1]]
        predicted = modules.run(STORE, check=True, images=images)
        assert predicted.failed
        outcome = modules.run(STORE, images=images)
        assert outcome.failed
        assert outcome["msg"].startswith("1 of 3 images failed (")
        assert "bad, images[1]: cannot " in outcome["msg"]
        assert said in outcome["msg"]
        assert [one["failed"] for one in outcome["images"]] == [False, True, False]
        assert said in outcome["images"][1]["msg"]
        assert set(lxd.aliases()) == {"good0", "good1"}
        mend()
        images[1] = {**(mended or bad), "aliases": ["bad"]}
        done = modules.done(STORE, images=images)
        assert {action.partition(":")[0] for action in done.actions} == {"bad"}
        assert set(lxd.aliases()) == {"good0", "good1", "bad"}

    def test_by_a_source_that_is_down(
        self,
        lxd: Server,
        other: Server,
        modules: Modules,
        good: list[dict[str, Any]],
        image: Image,
    ) -> None:
        add_to_source(other, image, "web")
        bad = {
            "image": "web",
            "source_server": other.url,
            "source_cert": str(other.certificate),
        }
        other.stop()
        self.check(modules, lxd, good, bad, f"cannot connect to {other.url}", other.start)

    def test_by_a_wrong_fingerprint(
        self, lxd: Server, modules: Modules, good: list[dict[str, Any]], image: Image
    ) -> None:
        bad = {**files(image), "fingerprint": MISSING}
        said = f" is {image.fingerprint}, not {MISSING}"
        self.check(modules, lxd, good, bad, said, lambda: None, files(image))

    def test_by_a_file_that_is_no_image(
        self,
        lxd: Server,
        modules: Modules,
        good: list[dict[str, Any]],
        image: Image,
        tmp_path: Path,
    ) -> None:
        file = tmp_path / "bad.tar.gz"
        file.write_text("no image")

        def mend() -> None:
            file.write_bytes(image.metadata.read_bytes())

        self.check(modules, lxd, good, files(file), str(file), mend)

    def test_by_a_missing_file(
        self,
        lxd: Server,
        modules: Modules,
        good: list[dict[str, Any]],
        image: Image,
        tmp_path: Path,
    ) -> None:
        file = tmp_path / "missing.tar.gz"

        def mend() -> None:
            file.write_bytes(image.metadata.read_bytes())

        self.check(modules, lxd, good, files(file), str(file), mend)

    def test_by_an_alias_that_may_not_move(
        self, lxd: Server, modules: Modules, good: list[dict[str, Any]], build: Build
    ) -> None:
        held, image = build(), build()
        modules.import_image(held, aliases=["bad"])
        images = [*good, {**files(image), "aliases": ["bad"], "alias_conflict": "fail"}]
        outcome = modules.run(STORE, images=images)
        assert outcome.failed
        assert "bad, images[2]: cannot import" in outcome["msg"]
        assert "the alias bad points to another image" in outcome["msg"]
        assert set(lxd.images()) == {
            held.fingerprint,
            *(one["fingerprint"] for one in outcome["images"][:2]),
        }
        lxd.run("image", "alias", "delete", "bad")
        assert modules.done(STORE, images=images).actions == ["bad: upload", "bad: add alias bad"]

    def test_by_a_connection_that_breaks_during_its_transfer(
        self, lxd: Server, other: Server, modules: Modules, good: list[dict[str, Any]], image: Image
    ) -> None:
        add_to_source(other, image, "web")
        with Proxy(other.url) as proxy:
            bad = {
                "image": "web",
                "source_server": proxy.url,
                "source_cert": str(other.certificate),
                "mode": "relay",
                "retries": 0,
            }
            # It is shorter than the image and longer than all other answers.
            proxy.cut(200_000, DOWN, times=None)
            self.check_real(modules, lxd, good, bad, proxy)

    def check_real(
        self,
        modules: Modules,
        lxd: Server,
        good: list[dict[str, Any]],
        bad: dict[str, Any],
        proxy: Proxy,
    ) -> None:
        images = [good[0], {**bad, "aliases": ["bad"]}, good[1]]
        outcome = modules.run(STORE, images=images)
        assert [one["failed"] for one in outcome["images"]] == [False, True, False]
        assert "bad, images[1]: cannot copy the image web" in outcome["msg"]
        assert set(lxd.aliases()) == {"good0", "good1"}
        proxy.heal()
        done = modules.done(STORE, images=images)
        assert done.actions == ["bad: relay", "bad: add alias bad"]

    def test_by_a_file_that_the_controller_lacks(
        self,
        lxd: Server,
        good: list[dict[str, Any]],
        build: Build,
        ssh: SshHost,
        tmp_path: Path,
    ) -> None:
        (tmp_path / "files").mkdir()
        images = [good[0], {"src": "later.tar.gz", "aliases": ["bad"]}, good[1]]
        params = {"images": images, "server": f"unix://{lxd.socket}"}
        outcome = on_host(tmp_path, ssh, params)
        assert outcome.failed
        result = outcome.results["it"]
        assert [one["failed"] for one in result["images"]] == [False, True, False]
        assert (
            "bad, images[1]: cannot import later.tar.gz: cannot find later.tar.gz on"
            in result["msg"]
        )
        assert set(lxd.aliases()) == {"good0", "good1"}
        build().metadata.rename(tmp_path / "files/later.tar.gz")
        done = on_host(tmp_path, ssh, params)
        assert not done.failed, done.output
        assert done.results["it"]["actions"] == ["bad: upload", "bad: add alias bad"]


@pytest.mark.parametrize("seed", range(10))
def test_one_run_converges_after_a_task_that_was_killed(
    lxd: Server, other: Server, modules: Modules, build: Build, tmp_path: Path, seed: int
) -> None:
    old, copied = build(), build()
    modules.import_image(old, aliases=["a0"])
    modules.import_image(build(), aliases=["unlisted"])
    add_to_source(other, copied, "web")
    images: list[dict[str, Any]] = [
        {**files(build()), "aliases": [f"a{number}"], "properties": {"n": str(number)}}
        for number in range(3)
    ]
    images.append(
        {
            "image": "web",
            "source_server": other.url,
            "source_cert": str(other.certificate),
            "aliases": ["web"],
        }
    )
    images.append({**files(build_directory(tmp_path)), "aliases": ["directory"]})
    params: dict[str, Any] = {"images": images, "unlisted": "delete", "retain": 1}
    run = modules.start(STORE, **params)
    time.sleep(random.Random(seed).uniform(0, 1.2))
    run.kill()
    # The server goes on with what it has begun.
    until(lambda: not _busy(lxd))
    modules.done(STORE, **params)
    assert set(lxd.aliases()) == {"a0", "a1", "a2", "web", "directory"}
    assert len(lxd.images()) in (5, 6), "of the replaced image, whether it is retained depends"
    assert not modules.done(STORE, **params)["changed"]


def _busy(server: Server) -> bool:
    listed = server.api("GET", "/1.0/operations?recursion=1") or {}
    return any(one["class"] == "task" for one in listed.get("running", ()))

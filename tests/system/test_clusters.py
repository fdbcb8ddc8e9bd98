# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clusters of three members: any of them may be asked, and any of them may be down."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import UP, Image, Proxy, Server, build_large, cluster
from runner import Modules, files, until

Build = Callable[..., Image]
FAMILY = os.environ.get("LAB_FAMILY", "lxd")
MIB = 1 << 20


@pytest.fixture(scope="module")
def members() -> Iterator[list[Server]]:
    # A member counts as down after this many seconds without a sign of life, which is the least that is allowed.
    with cluster(3, family=FAMILY, config={"cluster.offline_threshold": "11"}) as started:
        yield list(started)


@pytest.fixture
def three(members: list[Server]) -> list[Server]:
    """The members, all up, with no images."""
    for member in members:
        if not member.running:
            member.start()
    until(lambda: all_online(members[0]), 60)
    for fingerprint in members[0].images():
        members[0].operation("DELETE", f"/1.0/images/{fingerprint}")
    members[0].api("PATCH", "/1.0", {"config": {"cluster.images_minimal_replica": "3"}})
    return members


def all_online(member: Server) -> bool:
    listed = member.api("GET", "/1.0/cluster/members?recursion=1")
    return [one["status"] for one in listed] == ["Online"] * 3


def test_any_member_gives_the_same_result(three: list[Server], build: Build) -> None:
    image = build("split")
    first, second, third = (Modules().at(member) for member in three)
    assert first.import_image(image, aliases=["web"]).actions == ["upload", "add alias web"]
    assert not second.import_image(image, aliases=["web"])["changed"]
    assert third.import_image(image, public=True).actions == ["set public"]
    assert second.done("lxd_image", name="web", state="absent")["changed"]
    assert not first.done("lxd_image", name="web", state="absent")["changed"]


def test_an_image_copies_out_of_one_member_into_another_project(
    three: list[Server], image: Image
) -> None:
    Modules().at(three[0]).import_image(image, aliases=["web"], public=True)
    three[0].api("POST", "/1.0/projects", {"name": "site"})
    try:
        copy = {"image": "web", "source_project": "default", "project": "site"}
        assert Modules().at(three[1]).done("lxd_image_copy", **copy).actions == ["pull"]
        assert not Modules().at(three[2]).done("lxd_image_copy", **copy)["changed"]
        three[0].operation("DELETE", f"/1.0/images/{image.fingerprint}?project=site")
    finally:
        three[0].api("DELETE", "/1.0/projects/site")


def test_an_import_that_fails_halfway_is_completed_once_the_member_is_back(
    three: list[Server], image: Image
) -> None:
    three[0].api("PATCH", "/1.0", {"config": {"cluster.images_minimal_replica": "-1"}})
    three[2].kill()
    modules = Modules().at(three[0])
    outcome = modules.run("lxd_image_import", **files(image), aliases=["web"])
    assert outcome.failed
    assert str(three[0].socket) in outcome["msg"]
    three[2].start()
    until(lambda: all_online(three[0]), 60)
    assert not modules.run("lxd_image_import", **files(image), aliases=["web"]).failed
    assert three[1].aliases() == {"web": image.fingerprint}
    assert not modules.import_image(image, aliases=["web"])["changed"]


def test_a_member_that_is_down_is_a_clear_error(three: list[Server], image: Image) -> None:
    three[1].kill()
    msg = Modules().at(three[1]).import_fails(image)
    assert "cannot open the socket" in msg
    assert "start the server" in msg
    three[1].start()
    until(lambda: all_online(three[0]), 60)
    assert Modules().at(three[1]).import_image(image).actions == ["upload"]


def test_a_member_killed_in_mid_import_leaves_a_cluster_that_the_next_run_serves(
    three: list[Server], tmp_path: Path
) -> None:
    image = build_large(tmp_path, 32 * MIB)
    with Proxy(three[0].socket) as proxy:
        proxy.stall(8 * MIB, UP)
        run = Modules(server=f"unix://{proxy.socket}").start("lxd_image_import", **files(image))
        until(lambda: proxy.passed[UP] >= 8 * MIB)
        three[0].kill()
        proxy.drop()
        assert "cannot talk to" in run.wait()["msg"]
    three[0].start()
    until(lambda: all_online(three[1]), 60)
    assert three[1].images() == {}
    assert Modules().at(three[0]).import_image(image, aliases=["web"])["changed"]
    assert three[2].aliases() == {"web": image.fingerprint}

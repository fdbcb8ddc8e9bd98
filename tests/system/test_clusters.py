# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clusters of three members: tasks can use any member, and any member can be down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from copies import Copies, add_to_source, expected_attributes

from lab import DOWN, UP, Image, KeyPair, Proxy, Server, build_large, client_config, cluster
from runner import Modules, files, until

Build = Callable[..., Image]
MIB = 1 << 20


@pytest.fixture(scope="module")
def members() -> Iterator[list[Server]]:
    # The first stays up in all tests: it leads the database, and electing another leader takes seconds.
    # A killed member counts as up for an hour, so that replicating an image to all members always fails.
    with cluster(3, config={"cluster.offline_threshold": "3600"}) as started:
        yield list(started)


@pytest.fixture
def three_members(members: list[Server]) -> list[Server]:
    """The running members, without images.

    New images are not replicated, because a restarted member accepts copies only after some seconds.
    """
    for member in members:
        member.start()
    for fingerprint in members[0].images():
        members[0].operation("DELETE", f"/1.0/images/{fingerprint}")
    replicas(members, 1)
    return members


def replicas(members: list[Server], number: int) -> None:
    """Replicate new images to this number of members; -1 is all of them."""
    config = {"cluster.images_minimal_replica": str(number)}
    members[0].api("PATCH", "/1.0", {"config": config})


def copies_into(target: Server, source: Server, url: str | None = None) -> Copies:
    """Copies of public images from another server; ``url`` replaces its own URL."""
    given = {"source_server": url or source.url, "source_cert": str(source.certificate)}
    return Copies(Modules().at(target), **given)


def test_any_member_gives_the_same_result(three_members: list[Server], build: Build) -> None:
    replicas(three_members, 3)
    image = build("split")
    first, second, third = (Modules().at(member) for member in three_members)
    assert first.import_image(image, aliases=["web"]).actions == ["upload", "add alias web"]
    assert not second.import_image(image, aliases=["web"])["changed"]
    assert third.import_image(image, public=True).actions == ["set public"]
    assert second.done("lxd_image", name="web", state="absent")["changed"]
    assert not first.done("lxd_image", name="web", state="absent")["changed"]


def test_any_member_can_be_asked_over_tls(
    three_members: list[Server], image: Image, pair: KeyPair
) -> None:
    three_members[0].trust(pair.certificate)
    first, *others = (Modules().over_tls(member, pair) for member in three_members)
    assert first.import_image(image, aliases=["web"]).actions == ["upload", "add alias web"]
    for member in others:
        assert not member.import_image(image, aliases=["web"])["changed"]


@pytest.mark.parametrize("mode", ["pull", "relay"])
def test_any_member_is_a_source_even_if_only_another_has_the_image(
    three_members: list[Server], lxd: Server, build: Build, mode: str
) -> None:
    image = build("split")
    fingerprint = add_to_source(three_members[0], image, "web")
    assert copies_into(lxd, three_members[2])("web", mode=mode).actions == [mode]
    assert expected_attributes(lxd, fingerprint) == expected_attributes(
        three_members[1], fingerprint
    )
    for member in three_members:
        assert not copies_into(lxd, member)("web", mode=mode)["changed"]


def test_an_image_is_copied_from_a_member_into_another_project(
    three_members: list[Server], image: Image
) -> None:
    Modules().at(three_members[0]).import_image(image, aliases=["web"], public=True)
    three_members[0].api("POST", "/1.0/projects", {"name": "site"})
    try:
        copy = {"image": "web", "source_project": "default", "project": "site"}
        assert Modules().at(three_members[1]).done("lxd_image_copy", **copy).actions == ["pull"]
        assert not Modules().at(three_members[2]).done("lxd_image_copy", **copy)["changed"]
        three_members[0].operation("DELETE", f"/1.0/images/{image.fingerprint}?project=site")
    finally:
        three_members[0].api("DELETE", "/1.0/projects/site")


@pytest.fixture
def incomplete_cluster(three_members: list[Server]) -> list[Server]:
    """The members, of which the last has just been killed. Images are replicated to all of them."""
    replicas(three_members, -1)
    three_members[2].kill()
    return three_members


@pytest.mark.parametrize("member_is_back", [False, True])
@pytest.mark.parametrize("way", ["import", "pull", "relay"])
def test_an_incompletely_replicated_image_is_completed_by_the_next_run(
    incomplete_cluster: list[Server], other: Server, image: Image, way: str, member_is_back: bool
) -> None:
    if way == "import":
        modules, name = Modules().at(incomplete_cluster[0]), "lxd_image_import"
        desired: dict[str, Any] = {**files(image), "aliases": ["web"]}
    else:
        add_to_source(other, image, "theirs")
        copies = copies_into(incomplete_cluster[0], other)
        modules, name = copies.modules, "lxd_image_copy"
        desired = {**copies.source, "image": "theirs", "mode": way, "aliases": ["web"]}
    first = modules.run(name, **desired)
    assert first.failed
    assert (first["changed"], first.actions) == (True, [])
    assert "Failed syncing image between" in first["msg"]
    assert f"The image {image.fingerprint} is in the store; the next run completes" in first["msg"]
    assert (list(incomplete_cluster[0].images()), incomplete_cluster[0].aliases()) == (
        [image.fingerprint],
        {},
    )
    if member_is_back:
        incomplete_cluster[2].start()
    assert "add alias web" in modules.done(name, **desired).actions
    assert incomplete_cluster[1].aliases() == {"web": image.fingerprint}
    assert not modules.done(name, **desired)["changed"]


def test_an_image_is_deleted_once_all_members_that_have_it_are_back(
    three_members: list[Server], image: Image
) -> None:
    gone: dict[str, Any] = {"name": "web", "state": "absent"}
    Modules().at(three_members[2]).import_image(image, aliases=["web"])
    three_members[2].kill()
    msg = Modules().at(three_members[0]).fails("lxd_image", **gone)
    assert f"{three_members[2].address}: connect: connection refused" in msg
    three_members[2].start()
    assert Modules().at(three_members[2]).done("lxd_image", **gone)["changed"]
    assert three_members[0].images() == {}


@pytest.mark.parametrize("by", ["socket", "address"])
def test_a_member_that_is_down_is_a_clear_error(
    three_members: list[Server], image: Image, pair: KeyPair, by: str
) -> None:
    if by == "socket":
        modules, said = Modules().at(three_members[1]), "cannot connect to the socket"
    else:
        if pair.fingerprint not in three_members[0].trusted():
            three_members[0].trust(pair.certificate)
        modules, said = (
            Modules().over_tls(three_members[1], pair),
            f"cannot connect to {three_members[1].url}",
        )
    three_members[1].kill()
    msg = modules.import_fails(image)
    assert said in msg
    assert "Connection refused" in msg
    three_members[1].start()
    assert modules.import_image(image, aliases=["web"]).actions == ["upload", "add alias web"]
    assert not Modules().at(three_members[2]).import_image(image, aliases=["web"])["changed"]


def test_a_remote_with_several_addresses_works_while_one_member_is_up(
    three_members: list[Server], image: Image, tmp_path: Path
) -> None:
    config = client_config(tmp_path / "conf", [three_members[1]])
    file = config.folder / "config.yml"
    every = ",".join(member.url for member in reversed(three_members))
    file.write_text(file.read_text().replace(three_members[1].url, every))
    modules = Modules(remote=three_members[1].name, config_dir=str(config.folder))
    assert modules.import_image(image, aliases=["web"])["changed"]
    three_members[2].kill()
    assert not modules.import_image(image, aliases=["web"])["changed"]


def test_the_next_run_completes_a_pull_during_which_a_member_was_killed(
    three_members: list[Server], other: Server, tmp_path: Path
) -> None:
    fingerprint = add_to_source(other, build_large(tmp_path, 32 * MIB), "web")
    with Proxy(other.url) as proxy:
        proxy.stall(8 * MIB, DOWN)
        copies = copies_into(three_members[2], other, proxy.url)
        run = copies.modules.start("lxd_image_copy", image="web", mode="pull", **copies.source)
        until(lambda: proxy.passed[DOWN] >= 8 * MIB)
        three_members[2].kill()
        assert "the connection to" in run.wait()["msg"]
    three_members[2].start()
    assert three_members[1].images() == {}
    assert copies_into(three_members[2], other)("web", mode="pull", aliases=["web"])["changed"]
    assert three_members[0].aliases() == {"web": fingerprint}


def test_the_next_run_completes_an_import_during_which_a_member_was_killed(
    three_members: list[Server], tmp_path: Path
) -> None:
    image = build_large(tmp_path, 32 * MIB)
    with Proxy(three_members[2].socket) as proxy:
        proxy.stall(8 * MIB, UP)
        run = Modules(server=f"unix://{proxy.socket}").start("lxd_image_import", **files(image))
        until(lambda: proxy.passed[UP] >= 8 * MIB)
        three_members[2].kill()
        proxy.drop()
        assert "the connection to" in run.wait()["msg"]
    three_members[2].start()
    assert three_members[1].images() == {}
    assert Modules().at(three_members[2]).import_image(image, aliases=["web"])["changed"]
    assert three_members[0].aliases() == {"web": image.fingerprint}

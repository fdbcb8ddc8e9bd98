# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Publishing instances and snapshots as images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lab import Image, KeyPair, Proxy, Request, Server
from runner import Modules, Outcome, Run, timed_out, until

#: Where containers start.
STARTS = pytest.mark.families("lxd", "incus6")

RECORD = "imagestore.instance"


class Container:
    """The container ``c1`` of the server, made of a small image, and tasks that publish it."""

    def __init__(self, lxd: Server, modules: Modules, project: str = "default") -> None:
        self.lxd = lxd
        self.modules = modules
        self.query = f"?project={project}"

    def publish(self, check: bool = False, **options: Any) -> Outcome:
        return self.modules.done("lxd_image_publish", check, instance="c1", **options)

    def fails(self, **options: Any) -> str:
        return self.modules.fails("lxd_image_publish", **{"instance": "c1", **options})

    def begin(self, **options: Any) -> Run:
        return self.modules.start("lxd_image_publish", instance="c1", **options)

    def state(self) -> dict[str, Any]:
        return dict(self.lxd.api("GET", f"/1.0/instances/c1{self.query}"))

    @property
    def status(self) -> str:
        return str(self.state()["status"])

    def do(self, action: str) -> None:
        body = {"action": action, "force": action != "start", "timeout": 30}
        self.lxd.operation("PUT", f"/1.0/instances/c1/state{self.query}", body)

    def snapshot(self, name: str) -> None:
        self.lxd.operation("POST", f"/1.0/instances/c1/snapshots{self.query}", {"name": name})

    def change(self, version: str) -> None:
        """Change the metadata of the container, which an image of it contains."""
        path = f"/1.0/instances/c1/metadata{self.query}"
        metadata = self.lxd.api("GET", path)
        metadata["properties"]["version"] = version
        self.lxd.api("PUT", path, metadata)


@pytest.fixture
def c1(lxd: Server, modules: Modules, image: Image) -> Container:
    modules.import_image(image, aliases=["base"])
    lxd.run("init", "base", "c1")
    return Container(lxd, modules)


class TestStoppedInstance:
    def test_is_published_once(self, c1: Container, lxd: Server, image: Image) -> None:
        options = {"aliases": ["web"], "properties": {"label": "mine"}, "expires_at": "2031-02-03"}
        mark = lxd.mark()
        predicted = c1.publish(check=True, **options)
        assert lxd.writes(mark) == []
        first = c1.publish(**options)
        again = c1.publish(**options)

        expected = ["publish", "set properties", "set expires_at", "add alias web"]
        assert predicted.actions == first.actions == expected
        assert (predicted["fingerprint"], predicted["image"]) == (None, None)
        assert (predicted["transferred"], predicted["would_transfer"]) == (0, 0)
        assert not again["changed"]
        stored = lxd.images()[first["fingerprint"]]
        assert first["image"] == again["image"] == stored
        assert (stored["type"], stored["expires_at"]) == ("container", "2031-02-03T00:00:00Z")
        assert stored["properties"]["os"] == "BusyBox"
        assert stored["properties"]["label"] == "mine"
        assert lxd.aliases() == {"base": image.fingerprint, "web": first["fingerprint"]}

    def test_is_recorded_with_its_creation_and_its_last_start(
        self, c1: Container, lxd: Server
    ) -> None:
        stored = c1.publish(properties={"os": "mine"}, purge_properties=True)["image"]
        project, name, created, started = stored["properties"].pop(RECORD).split(" ")
        assert (project, name) == ("default", "c1")
        assert c1.state()["created_at"].startswith(created.rstrip("Z"))
        assert started == "1970-01-01T00:00:00Z", "it was never started"
        assert stored["properties"] == {"os": "mine"}

    def test_is_shown_in_the_diff(self, c1: Container) -> None:
        options = {"aliases": ["web"]}
        predicted = c1.publish(check=True, **options)["diff"]
        assert predicted["before"] == {"aliases": {}}
        assert predicted["after"] == {
            "aliases": {"web": "new image"},
            "images": {"new image": {"route": "publish"}},
        }
        done = c1.publish(**options)
        name = done["fingerprint"][:12]
        after = done["diff"]["after"]
        assert after["aliases"] == {"web": name}
        assert after["images"][name]["route"] == "publish"
        assert after["images"][name]["size"].endswith("B")
        assert c1.publish(**options)["diff"]["before"] == {"aliases": {"web": name}}

    def test_of_the_same_name_is_published_again_after_it_was_replaced(
        self, c1: Container, lxd: Server
    ) -> None:
        first = c1.publish()
        lxd.run("delete", "c1")
        lxd.run("init", "base", "c1")
        c1.change("other")
        second = c1.publish()
        assert second.actions == ["publish"]
        assert second["fingerprint"] != first["fingerprint"]

    @pytest.mark.families("lxd")  # Incus writes the time into each image.
    def test_with_the_content_of_an_image_of_the_store_is_that_image(
        self, c1: Container, lxd: Server, image: Image
    ) -> None:
        options = {"aliases": ["web", "www"], "delete_replaced": True}
        one = c1.publish(aliases=["web"])
        another = "default c0 2026-01-01T00:00:00Z 1970-01-01T00:00:00Z"
        properties = {**one["image"]["properties"], RECORD: another}
        lxd.api("PATCH", f"/1.0/images/{one['fingerprint']}", {"properties": properties})
        two = c1.publish(**options)
        assert two["fingerprint"] == one["fingerprint"]
        assert two.actions == ["publish", "add alias www"]
        both = f"{another}, {one['image']['properties'][RECORD]}"
        assert two["image"]["properties"][RECORD] == both
        assert not c1.publish(**options)["changed"]
        assert set(lxd.images()) == {image.fingerprint, one["fingerprint"]}

    @STARTS
    def test_is_published_again_after_it_was_started(self, c1: Container, lxd: Server) -> None:
        old = c1.publish(aliases=["web"])["fingerprint"]
        c1.do("start")
        c1.do("stop")
        again = c1.publish(aliases=["web"], delete_replaced=True)
        assert again.actions == ["publish", "move alias web", f"delete image {old[:12]}"]
        assert old not in lxd.images()
        assert lxd.aliases()["web"] == again["fingerprint"]
        assert not c1.publish(aliases=["web"], delete_replaced=True)["changed"]

    def test_is_compressed_as_desired(self, c1: Container, lxd: Server) -> None:
        default, none = (
            c1.modules.done("lxd_image_publish", instance=name, **options)["image"]["size"]
            for name, options in (("c1", {}), (self._copy(lxd), {"compression": "none"}))
        )
        assert none > 1.5 * default

    def _copy(self, lxd: Server) -> str:
        lxd.run("init", "base", "c2")
        return "c2"

    @pytest.mark.families("incus7")
    def test_is_published_as_split_image(self, c1: Container, lxd: Server, tmp_path: Path) -> None:
        fingerprint = c1.publish(format="split", compression="xz")["fingerprint"]
        files = c1.modules.done("lxd_image_export", name=fingerprint, dest=str(tmp_path))["files"]
        assert sorted(files) == ["metadata", "rootfs"]

    @STARTS
    def test_cannot_be_published_as_split_image_by_other_servers(
        self, c1: Container, lxd: Server
    ) -> None:
        msg = c1.fails(format="split")
        assert "cannot choose the format of the image" in msg
        assert "Incus 6.13" in msg

    def test_can_be_in_a_project_that_shares_the_images_of_another(
        self, lxd: Server, modules: Modules, c1: Container
    ) -> None:
        for name, own in (("own", "true"), ("shared", "false")):
            config = {"features.images": own, "features.profiles": "false"}
            lxd.api("POST", "/1.0/projects", {"name": name, "config": config})
        modules.done(
            "lxd_image_copy", image="base", source_project="default", project="own", alias="base"
        )
        for project in ("own", "shared"):
            lxd.run("init", "base", "c1", "--project", project)
            there = Container(lxd, modules.with_options(project=project), project)
            there.change(project)
            done = there.publish()
            assert done.actions == ["publish"]
            assert done["image"]["properties"][RECORD].startswith(f"{project} c1 ")
            assert done["fingerprint"] in lxd.images(project)
            assert not there.publish()["changed"]


class TestSnapshot:
    def test_is_published_once(self, c1: Container, lxd: Server) -> None:
        c1.snapshot("old")
        c1.change("new")
        c1.snapshot("new")
        old = c1.publish(snapshot="old", aliases=["web"])
        new = c1.publish(snapshot="new", aliases=["web"], delete_replaced=True)
        assert old.actions == ["publish", "add alias web"]
        assert new.actions == [
            "publish",
            "move alias web",
            f"delete image {old['fingerprint'][:12]}",
        ]
        assert new["image"]["properties"][RECORD].startswith("default c1/new ")
        assert not c1.publish(snapshot="new", aliases=["web"])["changed"]
        assert old["fingerprint"] not in lxd.images()

    @STARTS
    def test_of_a_running_instance_is_published_without_a_stop(
        self, c1: Container, lxd: Server
    ) -> None:
        c1.do("start")
        c1.snapshot("now")
        started = c1.state()["last_used_at"]
        assert c1.publish(snapshot="now").actions == ["publish"]
        assert (c1.status, c1.state()["last_used_at"]) == ("Running", started)


@STARTS
class TestRunningInstance:
    @pytest.fixture
    def c1(self, c1: Container) -> Container:
        c1.do("start")
        return c1

    @pytest.fixture
    def slow(self, c1: Container, tmp_path: Path) -> Container:
        """One that takes the server some seconds to publish."""
        (tmp_path / "noise").write_bytes(os.urandom(5 << 20))
        c1.lxd.run("file", "push", str(tmp_path / "noise"), "c1/noise")
        return c1

    def test_is_an_error_without_force(self, c1: Container, lxd: Server) -> None:
        mark = lxd.mark()
        msg = c1.fails(aliases=["web"])
        assert "the instance c1 is running" in msg
        assert "set force" in msg
        assert "set snapshot" in msg
        assert lxd.writes(mark) == []

    def test_is_stopped_and_started_again_once(self, c1: Container, lxd: Server) -> None:
        before = c1.state()["last_used_at"]
        assert c1.publish(check=True, force=True).actions == ["publish"]
        assert c1.state()["last_used_at"] == before
        first = c1.publish(force=True)
        started = c1.state()["last_used_at"]
        assert c1.status == "Running"
        assert started > before
        recorded = first["image"]["properties"][RECORD]
        assert recorded.split(" ")[3].rstrip("Z") in started
        mark = lxd.mark()
        assert not c1.publish(force=True)["changed"]
        assert lxd.writes(mark) == []
        c1.do("restart")
        assert c1.publish(force=True).actions == ["publish"]

    def test_stays_ephemeral(self, c1: Container, lxd: Server) -> None:
        lxd.api("PATCH", "/1.0/instances/c1", {"ephemeral": True})
        c1.publish(force=True)
        assert (c1.status, c1.state()["ephemeral"]) == ("Running", True)

    @pytest.mark.parametrize(
        ("moment", "fault"),
        [
            ("stop", "killed"),
            ("publication", "killed"),
            ("publication", "disconnected"),
            ("publication", "too slow"),
        ],
    )
    def test_is_started_again_when_the_task_fails(
        self, slow: Container, lxd: Server, moment: str, fault: str
    ) -> None:
        def publishes(request: Request) -> bool:
            return request.method == "POST" and request.path.startswith("/1.0/images")

        def waits(request: Request) -> bool:
            """Whether the task waits for the publication; it waited for the stop before."""
            return "/wait" in request.path and any(map(publishes, line.requests))

        with Proxy(lxd.socket) as line:
            slow.modules = Modules(server=f"unix://{line.socket}")
            held = line.hold(publishes if moment == "stop" else waits)

            def attempt(seconds: int) -> str:
                msg = slow.fails(force=True, compression="xz", timeout=seconds)
                return f"{msg} (publishing: {held.reached})"

            if fault == "too slow":
                timed_out(attempt, "(publishing: True)")
            else:
                run = slow.begin(force=True, compression="xz")
                until(lambda: held.reached)
                assert slow.status == "Stopped"
                if fault == "killed":
                    run.kill()
                    line.heal()
                else:
                    line.drop()
                    assert "connection" in run.wait()["msg"]
            until(lambda: slow.status == "Running")
        until(lambda: not operations(lxd))


def operations(lxd: Server) -> list[Any]:
    """The operations that are going on."""
    return list((lxd.api("GET", "/1.0/operations?recursion=1") or {}).get("running") or ())


class TestErrors:
    def test_say_what_there_is(self, c1: Container) -> None:
        c1.snapshot("first")
        msg = c1.fails(instance="c2")
        assert "has no instance c2. It has c1." in msg
        msg = c1.fails(snapshot="second")
        assert "has no snapshot second of the instance c1. It has first." in msg
        assert "has no project nowhere" in c1.fails(project="nowhere")

    def test_say_what_a_client_lacks(self, c1: Container, lxd: Server, pair: KeyPair) -> None:
        client = Modules().over_tls(lxd, pair)
        lxd.run("project", "create", "site")
        msg = client.fails("lxd_image_publish", instance="c1")
        assert "does not trust the client certificate" in msg
        lxd.trust(pair.certificate, projects="site")
        msg = client.fails("lxd_image_publish", instance="c1")
        assert "may be restricted to other projects" in msg

    def test_come_before_anything_is_done(self, c1: Container, lxd: Server) -> None:
        c1.publish(aliases=["web"])
        c1.snapshot("now")
        mark = lxd.mark()
        for options, said in (
            ({"aliases": ["base"], "alias_conflict": "fail"}, "the alias base points to another"),
            ({"profiles": ["nowhere"]}, "has no profile nowhere"),
        ):
            assert said in c1.fails(snapshot="now", **options)
        assert lxd.writes(mark) == []

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Publishing files from the controller, by real plays over SSH with become."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from publications import find_faults, published_versions

from lab import Image, SshHost, build_image
from playbooks import Played, play
from runner import until

pytestmark = pytest.mark.families("lxd")  # independent of the family

Build = Callable[..., Image]
CATALOG = "imagestore.lxd.lxd_image_catalog"


@pytest.fixture(scope="module")
def ssh() -> Iterator[SshHost]:
    with SshHost() as host:
        yield host


class Site:
    """A project directory on the controller, and the tree of a web server behind SSH."""

    def __init__(self, folder: Path, ssh: SshHost) -> None:
        self.folder = folder
        self.root = folder / "www"
        self.ssh = ssh
        self.remote = ssh.home / "remote"

    def publish(
        self, *images: dict[str, Any], keys: Any = None, timeout: int = 1800, **how: Any
    ) -> Played:
        options = {
            "root": str(self.root),
            "base_url": "https://images.example.com",
            "images": list(images),
            "timeout": timeout,
        }
        task = {"name": "it", CATALOG: options, **(keys or {})}
        host = {
            **self.ssh.variables,
            "ansible_python_interpreter": sys.executable,
            "ansible_remote_tmp": str(self.remote),
        }
        return play(self.folder, task, host=host, become=True, **how)

    def controller_options(self, image: Image) -> dict[str, str]:
        """The options of an image whose files are on the controller."""
        names = []
        for path in image.paths:
            place = self.folder / "files" / image.fingerprint[:8] / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            path.rename(place)
            names.append(str(place.relative_to(self.folder / "files")))
        keys = ("src",) if len(names) == 1 else ("metadata", "rootfs")
        return dict(zip(keys, names, strict=True))

    def left_files(self) -> list[str]:
        """The temporary image files on the managed host."""
        return [path.name for path in self.remote.rglob("*") if "meta" in path.name]


@pytest.fixture
def site(tmp_path: Path, ssh: SshHost) -> Site:
    return Site(tmp_path, ssh)


def test_files_are_sent_only_if_the_tree_lacks_them_and_then_removed(
    site: Site, build: Build
) -> None:
    # The files have the same names.
    entries = [
        {"name": name, **site.controller_options(build("split", name="same", version=name))}
        for name in ("box", "web")
    ]
    predicted = site.publish(*entries, check=True)
    assert not predicted.failed, predicted.output
    assert not site.root.exists()
    first = site.publish(*entries)
    assert not first.failed, first.output
    said = [f"publish {name} (container, x86_64) 20231114_2213" for name in ("box", "web")]
    assert predicted.results["it"]["actions"] == first.results["it"]["actions"] == said
    assert first.results["it"]["diff"]["after"].keys() == {
        "box (container, x86_64)",
        "web (container, x86_64)",
    }
    assert sorted(published_versions(site.root)) == ["box/amd64", "web/amd64"]
    assert find_faults(site.root) == []
    until(lambda: site.left_files() == [])
    again = site.publish(*entries)
    assert again.results["it"]["changed"] is False


def test_async_is_supported(site: Site, build: Build) -> None:
    desired = {"name": "box", **site.controller_options(build("vm"))}
    in_background = {"async": 600, "poll": 1}
    first = site.publish(desired, keys=in_background)
    again = site.publish(desired, keys=in_background)
    assert not first.failed, first.output
    assert first.results["it"]["changed"] is True
    assert again.results["it"]["changed"] is False
    assert find_faults(site.root) == []
    until(lambda: site.left_files() == [])


def test_a_failure_leaves_nothing_behind(site: Site, build: Build) -> None:
    desired = {"name": "box", **site.controller_options(build("split"))}
    missing = site.publish({"name": "box", "src": "nowhere.tar.xz"})
    assert "Cannot find nowhere.tar.xz on the controller" in missing.results["it"]["msg"]
    swapped = {"name": "box", "metadata": desired["rootfs"], "rootfs": desired["metadata"]}
    assert "Have the two files been swapped?" in site.publish(swapped).results["it"]["msg"]
    wrong = site.publish({**desired, "architecture": "arm64"})
    assert "its file is for x86_64" in wrong.results["it"]["msg"]
    assert not site.root.exists()
    until(lambda: site.left_files() == [])


def test_an_absent_image_needs_no_file(site: Site, build: Build) -> None:
    desired = {"name": "box", **site.controller_options(build("tar.gz"))}
    site.publish(desired)
    gone = site.publish({"name": "box", "state": "absent"})
    assert gone.results["it"]["actions"] == ["withdraw box (container, x86_64) 20231114_2213"]


def test_the_timeout_bounds_reading_on_the_controller(site: Site) -> None:
    endless = site.folder / "files/endless.tar.xz"
    endless.parent.mkdir()
    build_image("tar.xz", site.folder).metadata.rename(endless)
    os.truncate(endless, 1 << 40)
    played = site.publish({"name": "endless", "src": "endless.tar.xz"}, timeout=2)
    assert "2 seconds" in played.results["it"]["msg"]

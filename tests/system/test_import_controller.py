# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Importing files of the controller, by real plays: over SSH with become, in check mode, in the background."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import Image, Server, SshHost, build_bad, build_directory
from playbooks import Played, play
from runner import until

Build = Callable[..., Image]
IMPORT = "imagestore.lxd.lxd_image_import"


TEMPORARY = f".ansible-{os.getpid()}"
"""Where Ansible leaves files on the managed host: not where others who run it on this machine do."""


@pytest.fixture(scope="module")
def ssh() -> Iterator[SshHost]:
    with SshHost() as host:
        yield host
    shutil.rmtree(f"/root/{TEMPORARY}", ignore_errors=True)


class Site:
    """A project folder on the controller, and a managed host."""

    def __init__(self, folder: Path, lxd: Server, ssh: SshHost) -> None:
        self.folder = folder
        self.lxd = lxd
        self.ssh = ssh

    def import_image(
        self, check: bool = False, local: bool = False, keys: Any = None, **params: Any
    ) -> Played:
        task = {
            "name": "it",
            IMPORT: {"server": f"unix://{self.lxd.socket}", **params},
            **(keys or {}),
        }
        if local:
            return play(self.folder, task, check=check)
        variables = {
            **self.ssh.variables,
            "ansible_python_interpreter": sys.executable,
            "ansible_remote_tmp": f"~/{TEMPORARY}/tmp",
            "ansible_system_tmpdirs": [str(self.folder / "tmp")],
        }
        return play(self.folder, task, check=check, host=variables, become=True)

    def left(self) -> list[Path]:
        """What lies about on the managed host."""
        homes = self.ssh.home, Path("/root")
        temporary = [*(home / TEMPORARY / "tmp" for home in homes), self.folder / "tmp"]
        return [path for folder in temporary for path in folder.glob("ansible-tmp-*")]


@pytest.fixture
def site(tmp_path: Path, lxd: Server, ssh: SshHost) -> Site:
    (tmp_path / "files").mkdir()
    return Site(tmp_path, lxd, ssh)


def sources(site: Site, build: Build, form: str) -> tuple[dict[str, Any], str | None]:
    """The options that name an image of the controller, and its fingerprint if it has one."""
    if form == "directory":
        path = build_directory(site.folder / "files")
        return {"src": path.name}, None
    image = build(form)
    for path in image.paths:
        path.rename(site.folder / "files" / path.name)
    names = [path.name for path in image.paths]
    keys = ("src",) if len(names) == 1 else ("metadata", "rootfs")
    return dict(zip(keys, names, strict=True)), image.fingerprint


@pytest.mark.parametrize("form", ["tar.xz", "split", "vm", "directory"])
def test_a_file_is_sent_only_if_the_store_lacks_its_image_and_removed_again(
    site: Site, build: Build, form: str
) -> None:
    files, fingerprint = sources(site, build, form)
    foreseen = site.import_image(check=True, **files, aliases=["it"])
    first = site.import_image(**files, aliases=["it"])
    again = site.import_image(**files, aliases=["it"])

    assert not foreseen.failed, foreseen.output
    assert not first.failed, first.output
    assert foreseen.results["it"]["actions"] == ["upload", "add alias it"]
    assert first.results["it"]["actions"] == ["upload", "add alias it"]
    assert first.results["it"]["fingerprint"] == (fingerprint or first.results["it"]["fingerprint"])
    assert first.results["it"]["diff"]["after"]["aliases"] == ["it"]
    assert again.results["it"]["changed"] is False
    assert again.results["it"]["transferred"] == 0
    assert len(site.lxd.images()) == 1
    until(lambda: site.left() == [])


def test_where_controller_and_host_are_one_nothing_is_copied(
    site: Site, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, fingerprint = sources(site, build, "split")
    monkeypatch.setenv("ANSIBLE_KEEP_REMOTE_FILES", "1")
    monkeypatch.setenv("ANSIBLE_REMOTE_TEMP", str(site.folder / "remote"))
    first = site.import_image(local=True, **files, aliases=["it"])
    assert not first.failed, first.output
    assert set(site.lxd.images()) == {fingerprint}
    names = {path.name for path in (site.folder / "remote").rglob("*")}
    assert "AnsiballZ_lxd_image_import.py" in names
    assert not any(files["rootfs"] in name for name in names)
    assert site.import_image(local=True, **files).results["it"]["changed"] is False


@pytest.mark.parametrize("form", ["tar.xz", "directory"])
def test_it_works_in_the_background(site: Site, build: Build, form: str) -> None:
    files, _fingerprint = sources(site, build, form)
    in_background = {"async": 60, "poll": 1}
    first = site.import_image(keys=in_background, **files, aliases=["it"])
    again = site.import_image(keys=in_background, **files, aliases=["it"])
    assert not first.failed, first.output
    assert first.results["it"]["actions"] == ["upload", "add alias it"]
    assert first.results["it"]["ansible_job_id"]
    assert again.results["it"]["changed"] is False
    assert again.results["it"]["ansible_job_id"]
    assert len(site.lxd.images()) == 1
    # Ansible's own wrapper cleans up after the job, when its outcome is known already.
    until(lambda: site.left() == [])


def test_a_fingerprint_that_the_store_has_makes_reading_the_file_needless(
    site: Site, build: Build
) -> None:
    files, fingerprint = sources(site, build, "tar.gz")
    site.import_image(**files)
    (site.folder / "files" / files["src"]).write_bytes(b"anything")
    again = site.import_image(**files, fingerprint=fingerprint)
    assert again.results["it"]["changed"] is False


@pytest.mark.parametrize("check", [True, False])
def test_a_fingerprint_that_differs_is_an_error_and_nothing_is_left(
    site: Site, build: Build, check: bool
) -> None:
    files, fingerprint = sources(site, build, "tar.gz")
    failed = site.import_image(check=check, **files, fingerprint="0" * 64)
    assert failed.failed
    assert str(fingerprint) in failed.results["it"]["msg"]
    assert site.lxd.images() == {}
    assert site.left() == []


@pytest.mark.parametrize(
    ("sort", "said"),
    [
        ("html", "is an HTML page"),
        ("empty", "is empty"),
        ("rootfs-only", "a root file system alone"),
    ],
)
def test_a_file_that_is_no_image_is_told_on_the_controller(
    site: Site, sort: str, said: str
) -> None:
    path = build_bad(sort, site.folder)
    failed = site.import_image(src=str(path))
    assert failed.failed
    assert f"Cannot look at {path} on the controller" in failed.results["it"]["msg"]
    assert said in failed.results["it"]["msg"]


def test_a_file_that_is_not_there_is_told_on_the_controller(site: Site) -> None:
    failed = site.import_image(src="absent.tar.xz")
    assert "Cannot find absent.tar.xz on the controller" in failed.results["it"]["msg"]


def test_what_is_wrong_besides_the_file_is_told_before_it_is_sent(site: Site, build: Build) -> None:
    files, _fingerprint = sources(site, build, "tar.gz")
    failed = site.import_image(**files, profiles=["absent"])
    assert "has no profile absent" in failed.results["it"]["msg"]
    failed = site.import_image(**files, project="absent")
    assert f"Cannot import {site.folder}/files/{files['src']}" in failed.results["it"]["msg"]
    assert site.left() == []


def test_a_failure_leaves_no_file_behind(site: Site, build: Build) -> None:
    files, _fingerprint = sources(site, build, "tar.gz")
    failed = site.import_image(**files, timeout=0)
    assert "timeout is 0" in failed.results["it"]["msg"]
    assert site.left() == []


@pytest.mark.parametrize("remote_src", [True, "sometimes"])
def test_the_module_speaks_for_itself_otherwise(site: Site, build: Build, remote_src: Any) -> None:
    files, _fingerprint = sources(site, build, "tar.gz")
    path = site.folder / "files" / files["src"]
    played = site.import_image(src=str(path), remote_src=remote_src)
    if remote_src is True:
        assert played.results["it"]["actions"] == ["upload"]
    else:
        assert "remote_src" in played.results["it"]["msg"]

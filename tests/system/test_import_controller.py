# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Importing files from the controller by real plays: over SSH with become, in check mode, with async."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import (
    Image,
    Server,
    SshHost,
    build_bad,
    build_directory,
    build_disk,
    build_rootfs,
    client_certificate,
)
from playbooks import Played, play
from runner import until

Build = Callable[..., Image]
IMPORT = "imagestore.lxd.lxd_image_import"


class Site:
    """A project directory on the controller, and a managed host."""

    def __init__(self, folder: Path, lxd: Server, ssh: SshHost) -> None:
        self.folder = folder
        self.lxd = lxd
        self.ssh = ssh
        self.temporary = (ssh.home / ".ansible/tmp", ssh.home / "tmp")

    def task(self, name: str = "it", keys: Any = None, **params: Any) -> dict[str, Any]:
        """One import into the server."""
        params = {"server": f"unix://{self.lxd.socket}", **params}
        return {"name": name, IMPORT: params, **(keys or {})}

    def play(self, *tasks: dict[str, Any], check: bool = False, **keys: Any) -> Played:
        """Run these tasks on the managed host, by default as root."""
        variables = {
            **self.ssh.variables,
            "ansible_python_interpreter": sys.executable,
            # Not shared with other plays on this machine.
            "ansible_remote_tmp": str(self.temporary[0]),
            "ansible_system_tmpdirs": [str(self.temporary[1])],
        }
        return play(self.folder, *tasks, check=check, host=variables, **{"become": True, **keys})

    def import_image(
        self, check: bool = False, local: bool = False, keys: Any = None, **params: Any
    ) -> Played:
        task = self.task(keys=keys, **params)
        return play(self.folder, task, check=check) if local else self.play(task, check=check)

    def left_files(self) -> list[Path]:
        """The temporary files on the managed host."""
        return [path for folder in self.temporary for path in folder.glob("ansible-tmp-*")]


@pytest.fixture
def site(tmp_path: Path, lxd: Server, ssh: SshHost) -> Site:
    (tmp_path / "files").mkdir()
    return Site(tmp_path, lxd, ssh)


def sources(site: Site, build: Build, form: str) -> tuple[dict[str, Any], str | None]:
    """The options for an image on the controller, and its fingerprint if it is known."""
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
def test_a_file_is_sent_only_if_the_store_lacks_its_image_and_then_removed(
    site: Site, build: Build, form: str
) -> None:
    files, fingerprint = sources(site, build, form)
    predicted = site.import_image(check=True, **files, aliases=["it"])
    first = site.import_image(**files, aliases=["it"])
    again = site.import_image(**files, aliases=["it"])

    assert not predicted.failed, predicted.output
    assert not first.failed, first.output
    assert predicted.results["it"]["actions"] == ["upload", "add alias it"]
    assert first.results["it"]["actions"] == ["upload", "add alias it"]
    assert first.results["it"]["fingerprint"] == (fingerprint or first.results["it"]["fingerprint"])
    assert first.results["it"]["diff"]["after"]["aliases"] == {
        "it": first.results["it"]["fingerprint"][:12]
    }
    if "rootfs" in files:
        assert first.results["it"]["image"]["filename"] == files["rootfs"]
    assert again.results["it"]["changed"] is False
    assert again.results["it"]["transferred"] == 0
    assert len(site.lxd.images()) == 1
    until(lambda: site.left_files() == [])


def test_nothing_is_copied_if_the_controller_is_the_managed_host(
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
def test_async_is_supported(site: Site, build: Build, form: str) -> None:
    files, _fingerprint = sources(site, build, form)
    in_background = {"async": 600, "poll": 1}
    predicted = site.import_image(check=True, keys=in_background, **files, aliases=["it"])
    first = site.import_image(keys=in_background, **files, aliases=["it"])
    again = site.import_image(keys=in_background, **files, aliases=["it"])
    assert not predicted.failed, predicted.output
    assert predicted.results["it"]["actions"] == ["upload", "add alias it"]
    assert not first.failed, first.output
    assert first.results["it"]["actions"] == ["upload", "add alias it"]
    assert first.results["it"]["ansible_job_id"]
    assert again.results["it"]["changed"] is False
    assert again.results["it"]["ansible_job_id"]
    assert len(site.lxd.images()) == 1
    # Ansible's wrapper removes files after the job has reported its result.
    until(lambda: site.left_files() == [])


def test_concurrent_background_tasks_do_not_affect_each_other(site: Site, build: Build) -> None:
    """Started with ``poll: 0``, with names that contain special characters of the shell."""
    tasks = []
    for number, name in enumerate((" größer & $HOME 'it'", '-n "two";#')):
        (site.folder / f"files/{name}").mkdir()
        image = build("split")
        for path in image.paths:
            path.rename(site.folder / f"files/{name}/{path.name}{name}")
        files = {
            key: f"{name}/{path.name}{name}"
            for key, path in zip(("metadata", "rootfs"), image.paths, strict=True)
        }
        keys = {"async": 600, "poll": 0, "register": f"job{number}"}
        tasks.append(site.task(f"start{number}", keys, **files))
    for number in range(2):
        ended = {
            "ansible.builtin.async_status": {"jid": f"{{{{ job{number}.ansible_job_id }}}}"},
            "until": "it is finished",
            "register": "it",
            "delay": 1,
            "retries": 600,
        }
        tasks.append({"name": f"end{number}", **ended})
    played = site.play(*tasks)
    assert not played.failed, played.output
    assert [played.results[f"end{number}"]["actions"] for number in range(2)] == [["upload"]] * 2
    assert len(site.lxd.images()) == 2
    until(lambda: site.left_files() == [])


def test_a_failure_before_the_background_task_leaves_no_file_behind(
    site: Site, build: Build
) -> None:
    files, _fingerprint = sources(site, build, "tar.gz")
    keys = {"async": 600, "poll": 0, "ignore_errors": True}
    html = build_bad("html", site.folder)
    played = site.play(
        site.task("profile", keys, **files, profiles=["absent"]),
        site.task("time", keys, **files, timeout=0),
        site.task("page", keys, src=str(html)),
        site.task("compression", keys, src=str(build_directory(site.folder)), compression="lz"),
    )
    assert "has no profile absent" in played.results["profile"]["msg"]
    assert "timeout is 0" in played.results["time"]["msg"]
    assert "is an HTML page" in played.results["page"]["msg"]
    assert "compression must be one of" in played.results["compression"]["msg"]
    assert site.left_files() == []


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A directory that all users of this machine can read."""
    folder = Path(tempfile.mkdtemp(prefix="lab-open-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_an_unprivileged_user_can_import_it(site: Site, build: Build, open_folder: Path) -> None:
    pair = client_certificate(open_folder)
    pair.key.chmod(0o644)
    site.lxd.trust(pair.certificate)
    pin = shutil.copy(site.lxd.certificate, open_folder / "server.crt")
    keys = {"client_cert": str(pair.certificate), "client_key": str(pair.key)}
    # That user may have no access to the Python of these tests.
    for name in ("requests", "urllib3", "idna", "certifi", "charset_normalizer"):
        package = Path(str(importlib.import_module(name).__file__)).parent
        shutil.copytree(package, open_folder / name)
    python = {
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_shell_allow_world_readable_temp": True,
    }
    files, fingerprint = sources(site, build, "split")
    task = site.task(keys={"vars": python, "environment": {"PYTHONPATH": str(open_folder)}})
    task[IMPORT] = {"server": site.lxd.url, "server_cert": str(pin), **keys, **files}
    played = site.play(task, become_user="nobody")
    assert not played.failed, played.output
    assert played.results["it"]["actions"] == ["upload"]
    assert set(site.lxd.images()) == {fingerprint}
    assert site.left_files() == []


def test_a_file_is_found_in_files_of_a_role(site: Site, build: Build) -> None:
    image = build("tar.gz")
    role = site.folder / "roles/site"
    (role / "files").mkdir(parents=True)
    (role / "tasks").mkdir()
    image.metadata.rename(role / "files" / image.metadata.name)
    (role / "tasks/main.yml").write_text(json.dumps([site.task(src=image.metadata.name)]))
    played = site.play(roles=["site"])
    assert not played.failed, played.output
    assert set(site.lxd.images()) == {image.fingerprint}


def test_sockets_in_a_directory_are_left_out_with_a_warning(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = build_directory(site.folder / "files")
    monkeypatch.chdir(tree / "rootfs")  # the path of a socket must be short
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as left_files:
        left_files.bind("agent")
    played = site.import_image(src=tree.name)
    assert not played.failed, played.output
    assert f"Sockets in {tree} are left out" in " ".join(played.output.split())


def test_the_fingerprint_of_an_existing_image_avoids_reading_the_file(
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
    mark = site.lxd.mark()
    failed = site.import_image(check=check, **files, fingerprint="0" * 64)
    assert failed.failed
    assert f" is {fingerprint}, not {'0' * 64}" in failed.results["it"]["msg"]
    assert site.lxd.writes(mark) == [], "it was told on the controller"
    assert site.left_files() == []


def test_a_directory_with_another_fingerprint_is_an_error_and_nothing_is_left(
    site: Site, build: Build
) -> None:
    files, _fingerprint = sources(site, build, "directory")
    failed = site.import_image(**files, fingerprint="0" * 64)
    assert f", not {'0' * 64}" in failed.results["it"]["msg"]
    assert site.lxd.images() == {}
    assert site.left_files() == []


@pytest.mark.parametrize(
    ("sort", "said"),
    [
        ("html", "is an HTML page"),
        ("empty", "is empty"),
        ("rootfs-only", "a bare root file system"),
    ],
)
def test_a_file_that_is_not_an_image_is_detected_on_the_controller(
    site: Site, sort: str, said: str
) -> None:
    path = build_bad(sort, site.folder)
    failed = site.import_image(src=str(path))
    assert failed.failed
    assert f"Cannot inspect {path} on the controller" in failed.results["it"]["msg"]
    assert said in failed.results["it"]["msg"]


def test_a_missing_file_is_detected_on_the_controller(site: Site) -> None:
    failed = site.import_image(src="absent.tar.xz")
    assert failed.results["it"]["msg"] == (
        "Cannot find absent.tar.xz on the controller, neither in files/ nor beside the playbook or role."
        " If it is on the managed host, set remote_src: true."
    )


def test_other_errors_are_detected_before_the_file_is_sent(site: Site, build: Build) -> None:
    files, _fingerprint = sources(site, build, "tar.gz")
    failed = site.import_image(**files, profiles=["absent"])
    assert "has no profile absent" in failed.results["it"]["msg"]
    failed = site.import_image(**files, project="absent")
    assert f"Cannot import {site.folder}/files/{files['src']}" in failed.results["it"]["msg"]
    assert site.left_files() == []


def test_a_failure_leaves_no_file_behind(site: Site, build: Build) -> None:
    files, _fingerprint = sources(site, build, "tar.gz")
    failed = site.import_image(**files, timeout=0)
    assert "timeout is 0" in failed.results["it"]["msg"]
    assert site.left_files() == []


@pytest.mark.parametrize("remote_src", [True, "sometimes"])
def test_other_tasks_return_the_result_of_the_module(
    site: Site, build: Build, remote_src: Any
) -> None:
    files, _fingerprint = sources(site, build, "tar.gz")
    path = site.folder / "files" / files["src"]
    played = site.import_image(src=str(path), remote_src=remote_src)
    if remote_src is True:
        assert played.results["it"]["actions"] == ["upload"]
    else:
        assert "remote_src" in played.results["it"]["msg"]


def test_files_of_the_controller_are_read_for_no_longer_than_the_timeout(
    site: Site, build: Build
) -> None:
    path = build("tar").metadata
    with path.open("r+b") as file:
        file.truncate(1 << 42)
    played = site.import_image(local=False, src=str(path), timeout=2)
    assert played.failed
    assert f"Cannot inspect {path} on the controller" in played.results["it"]["msg"]
    assert "2 seconds" in played.results["it"]["msg"]


@pytest.mark.parametrize("form", ["raw.xz", "tar.xz"])
def test_a_bare_disk_or_root_file_system_is_sent_once(site: Site, lxd: Server, form: str) -> None:
    files = site.folder / "files"
    path = build_rootfs(files) if form == "tar.xz" else build_disk(files)
    if form == "raw.xz":
        raw = files / "web.raw"
        subprocess.run(["qemu-img", "convert", "-O", "raw", str(path), str(raw)], check=True)
        subprocess.run(["xz", "-1", str(raw)], check=True)
        path = files / "web.raw.xz"
    digest = hashlib.sha512(path.read_bytes()).hexdigest()
    params = {"rootfs": path.name, "os": "Debian", "aliases": ["web"]}
    verified = {**params, "checksum": f"sha512:{digest}"}
    predicted = site.import_image(check=True, **params)
    played = site.play(
        site.task("first", **params),
        site.task("again", **params),
        site.task("verified", **verified),
        site.task("background", {"async": 600, "poll": 1}, **params),
    )
    assert not played.failed, played.output
    first = played.results["first"]
    assert predicted.results["it"]["actions"] == first["actions"] == ["upload", "add alias web"]
    assert predicted.results["it"]["would_transfer"] in (None, first["transferred"])
    assert first["image"]["properties"]["os"] == "Debian"
    assert not played.results["again"]["changed"]
    assert not played.results["background"]["changed"]
    assert lxd.aliases() == {"web": first["fingerprint"]}
    until(lambda: site.left_files() == [])
    # By this algorithm, the digest of the file was not known to the store. It is from now on.
    assert played.results["verified"]["actions"] == []
    kept = lxd.images()[first["fingerprint"]]["properties"]["imagestore.rootfs"]
    assert len(kept.split(", ")) == 2


def test_a_file_of_the_controller_that_is_no_disk_is_not_sent(site: Site, lxd: Server) -> None:
    (site.folder / "files/web.iso").write_bytes(bytes(32769) + b"CD001" + bytes(5000))
    played = site.import_image(rootfs="web.iso")
    message = played.results["it"]["msg"]
    assert message.count("is an ISO image") == 1
    assert message.endswith("Use a disk on which a system is installed already.")
    assert lxd.images() == {}

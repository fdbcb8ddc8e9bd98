# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Importing an image from a directory."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab import UP, Image, Proxy, Server, build_directory
from runner import Modules, files, until

Build = Callable[..., Image]
CORE = "ansible_collections.imagestore.lxd.plugins.module_utils._core"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return build_directory(tmp_path / "build")


def test_an_unchanged_directory_is_sent_once(
    lxd: Server, modules: Modules, directory: Path
) -> None:
    predicted = modules.import_image(directory, check=True, aliases=["it"])
    first = modules.import_image(directory, aliases=["it"], properties={"mine": "1"})
    assert predicted.actions == ["upload", "add alias it"]
    assert predicted["fingerprint"] is None
    assert first.actions == ["upload", "set properties", "add alias it"]
    assert first["transferred"] == first["image"]["size"]
    mark = lxd.mark()
    again = modules.import_image(directory, aliases=["it"])
    assert not again["changed"]
    assert lxd.writes(mark) == []
    assert again["fingerprint"] == first["fingerprint"]
    assert first["diff"]["after"]["properties"] == {"mine": "1"}


def test_a_copy_of_the_directory_elsewhere_is_the_same_image(
    modules: Modules, directory: Path, tmp_path: Path
) -> None:
    first = modules.import_image(directory)
    subprocess.run(["cp", "-a", directory, tmp_path / "elsewhere"], check=True)
    again = modules.import_image(tmp_path / "elsewhere", compression="none")
    assert not again["changed"]
    assert again["fingerprint"] == first["fingerprint"]


def test_a_changed_directory_replaces_the_old_image(
    lxd: Server, modules: Modules, directory: Path
) -> None:
    desired: dict[str, Any] = {"aliases": ["it"], "delete_replaced": True}
    old = modules.import_image(directory, **desired)["fingerprint"]
    (directory / "rootfs/etc/motd").write_text("new")
    moved = modules.import_image(directory, **desired)
    assert moved.actions == ["upload", "move alias it", f"delete image {old[:12]}"]
    assert len(lxd.images()) == 1


@pytest.mark.families("lxd", "incus6")
@pytest.mark.parametrize("compression", ["gzip", "zstd", "xz", "none"])
def test_a_container_starts_from_it_with_any_compression(
    lxd: Server, modules: Modules, directory: Path, compression: str
) -> None:
    modules.import_image(directory, aliases=["it"], compression=compression)
    lxd.run("launch", "it", "c1")
    assert lxd.run("exec", "c1", "--", "cat", "/etc/version").strip() == "1"


@pytest.mark.families("lxd", "incus6")
def test_a_container_has_all_files_of_the_directory(
    lxd: Server, modules: Modules, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = directory / "rootfs"
    shutil.rmtree(directory / "templates")
    metadata = directory / "metadata.yaml"
    metadata.write_text(metadata.read_text().partition("templates:")[0])
    os.link(root / "etc/version", root / "etc/same")
    os.mknod(root / "var/odd", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    name = os.fsdecode(b"\xff" * 3) + "ö" * 100
    (root / name).write_text("x")
    os.setxattr(root / name, "user.any", bytes(range(256)))
    os.setxattr(root / "bin/busybox", "user.a=b", b"1")
    os.utime(root / "etc/hosts", ns=(0, -1_500_000_000))
    monkeypatch.chdir(root)  # the path of a socket must be short
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as left:
        left.bind("agent")

    first = modules.import_image(directory, aliases=["it"])
    assert f"Sockets in {directory} are left out" in str(first["warnings"])
    assert not modules.import_image(directory)["changed"]
    lxd.run("launch", "it", "c1")
    (there,) = (lxd.directory / "storage-pools").glob("*/containers/c1/rootfs")
    assert (there / "etc/version").stat().st_ino == (there / "etc/same").stat().st_ino
    assert os.lstat(there / "var/odd").st_rdev == os.makedev(1, 3)
    assert os.getxattr(there / name, "user.any") == bytes(range(256))
    assert os.getxattr(there / "bin/busybox", "user.a=b") == b"1"
    assert int((there / "etc/hosts").stat().st_mtime_ns) == -2_000_000_000
    assert not (there / "agent").exists()


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_it_is_packed_without_a_temporary_copy(
    modules: Modules, directory: Path, compression: str
) -> None:
    run = modules.start("lxd_image_import", **files(directory), compression=compression)
    # From now on, it cannot write to any file.
    resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (0, 0))
    assert run.wait().actions == ["upload"]


def test_a_file_that_changes_while_it_is_packed_is_an_error(
    lxd: Server, modules: Modules, directory: Path
) -> None:
    large = directory / "rootfs/a-large-one"
    large.write_bytes(bytes(32 << 20))
    with Proxy(lxd.socket) as proxy:
        proxy.stall(1 << 20, UP)
        desired = {**files(directory), "compression": "none", "server": f"unix://{proxy.socket}"}
        run = modules.start("lxd_image_import", **desired)
        until(lambda: proxy.passed[UP] >= 1 << 20)
        with large.open("ab") as file:
            file.write(b"more")
        proxy.heal()
        msg = run.wait()["msg"]
    assert f"{large} changed while it was being packed" in msg
    assert lxd.images() == {}
    until(lambda: not list((lxd.directory / "images").iterdir()))


def test_purging_properties_keeps_the_digest_of_the_archive(
    lxd: Server, modules: Modules, directory: Path
) -> None:
    desired: dict[str, Any] = {"properties": {"a": "1"}, "purge_properties": True}
    fingerprint = modules.import_image(directory, **desired)["fingerprint"]
    stored = lxd.images()[fingerprint]["properties"]
    assert set(stored) == {"a", "imagestore.archive"}
    assert not modules.import_image(directory, **desired)["changed"]


def test_the_next_run_adds_a_missing_digest_of_the_archive(
    lxd: Server, modules: Modules, directory: Path
) -> None:
    fingerprint = modules.import_image(directory)["fingerprint"]
    path = f"/1.0/images/{fingerprint}"
    lxd.api("PATCH", path, {"properties": {"imagestore.archive": ""}})
    assert not modules.import_image(directory)["changed"]
    assert "imagestore.archive" in lxd.images()[fingerprint]["properties"]
    mark = lxd.mark()
    modules.import_image(directory)
    assert lxd.writes(mark) == []


def test_a_fingerprint_that_differs_is_an_error_and_nothing_is_kept(
    lxd: Server, modules: Modules, directory: Path
) -> None:
    mark = lxd.mark()
    msg = modules.import_fails(directory, fingerprint="0" * 64)
    assert f"when packed, not {'0' * 64}" in msg
    assert lxd.images() == {}
    assert [request.method for request in lxd.writes(mark)] == ["POST"], "it never was in the store"


def test_a_matching_fingerprint_avoids_reading_the_directory(
    lxd: Server, modules: Modules, directory: Path
) -> None:
    fingerprint = modules.import_image(directory, compression="none")["fingerprint"]
    lxd.run("image", "delete", fingerprint)
    desired: dict[str, Any] = {"compression": "none", "fingerprint": fingerprint}
    assert modules.import_image(directory, **desired).actions == ["upload"]
    (directory / "rootfs/etc/motd").write_text("new")
    assert not modules.import_image(directory, **desired)["changed"]


def test_five_concurrent_imports_succeed_and_one_adds_the_image(
    lxd: Server, modules: Modules, directory: Path
) -> None:
    desired: dict[str, Any] = {"src": str(directory), "remote_src": True, "aliases": ["it"]}
    runs = [modules.start("lxd_image_import", **desired) for _ in range(5)]
    outcomes = [run.wait() for run in runs]
    assert [outcome.get("msg") for outcome in outcomes if outcome.failed] == []
    assert sum("upload" in outcome.actions for outcome in outcomes) == 1
    assert len(lxd.images()) == 1


def test_a_world_readable_directory_needs_no_root(
    lxd: Server, directory: Path, tmp_path: Path
) -> None:
    tree = Path("/tmp") / f"lab-readable-{os.getpid()}"
    script = (
        "import sys;"
        f"from {CORE}.archives.image_directory import ImageDirectory;"
        f"from {CORE}.deadline import Deadline;"
        "print(ImageDirectory(sys.argv[1], Deadline(60)).digest())"
    )

    def digest(user: int) -> str:
        done = subprocess.run(
            [sys.executable, "-c", script, str(tree)],
            user=user,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.strip() or done.stderr.strip().splitlines()[-1]

    subprocess.run(["cp", "-a", directory, tree], check=True)
    try:
        assert len(digest(0)) == 64
        if os.stat(sys.executable).st_mode & 0o005 and make_accessible(Path(sys.executable)):
            assert digest(65534) == digest(0)
            (tree / "rootfs/etc/version").chmod(0o600)
            assert "rootfs/etc/version: Permission denied. Run the task as root" in digest(65534)
    finally:
        subprocess.run(["rm", "-rf", tree], check=True)


def make_accessible(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)


@pytest.mark.parametrize(
    ("lacks", "said"),
    [("metadata.yaml", "without metadata.yaml"), ("rootfs", "without rootfs/")],
)
def test_a_directory_that_is_not_an_image_is_an_error(
    modules: Modules, directory: Path, tmp_path: Path, lacks: str, said: str
) -> None:
    (directory / lacks).rename(tmp_path / "away")
    assert said in modules.import_fails(directory)


def test_compression_is_for_directories_only(modules: Modules, build: Build) -> None:
    msg = modules.import_fails(build("split"), compression="xz")
    assert "compression can be used with a directory only" in msg

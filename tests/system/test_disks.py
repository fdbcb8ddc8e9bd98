# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bare disks and root file systems of the managed host become images with metadata."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from hashlib import sha256, sha512
from pathlib import Path
from typing import Any

import pytest

from lab import Server, build_disk, build_rootfs
from runner import Modules, Run, until

FACTS: dict[str, Any] = {
    "os": "Debian",
    "release": "12",
    "variant": "cloud",
    "description": "Debian 12",
}


class Disks:
    """A real disk in any form, in a directory of its own, and imports of it."""

    def __init__(self, modules: Modules, folder: Path) -> None:
        self.modules = modules
        self.folder = folder
        self.temporary = folder / "remote_tmp"
        self.temporary.mkdir()
        self.qcow2 = build_disk(folder)

    def make(self, form: str, options: str = "", name: str = "") -> Path:
        """The disk as ``FORMAT[.PACKING]``."""
        format_name, _dot, packing = form.partition(".")
        path = self.folder / f"{name or 'web'}.{format_name}"
        more = ["-o", options] if options else []
        command = ["qemu-img", "convert", "-O", format_name, *more, str(self.qcow2), str(path)]
        subprocess.run(command, check=True)
        return pack(path, packing) if packing else path

    def params(self, path: Path, **params: Any) -> dict[str, Any]:
        own = {"rootfs": str(path), "remote_src": True}
        return {**own, "_ansible_remote_tmp": str(self.temporary), **params}

    def add(self, path: Path, check: bool = False, **params: Any) -> Any:
        return self.modules.done("lxd_image_import", check, **self.params(path, **params))

    def fails(self, path: Path, check: bool = False, **params: Any) -> str:
        return self.modules.fails("lxd_image_import", check, **self.params(path, **params))

    def left(self) -> list[str]:
        return os.listdir(self.temporary)


def pack(path: Path, packing: str) -> Path:
    """The file as another one, compressed."""
    packed = path.with_name(f"{path.name}.{packing}")
    if packing == "zip":
        subprocess.run(["zip", "-q", "-j", str(packed), str(path)], check=True)
        return packed
    program = {"gz": "gzip", "xz": "xz", "zst": "zstd", "bz2": "bzip2"}[packing]
    with packed.open("wb") as file:
        subprocess.run([program, "-1c", str(path)], check=True, stdout=file)
    return packed


@pytest.fixture
def disks(modules: Modules, tmp_path: Path) -> Disks:
    (tmp_path / "disks").mkdir()
    return Disks(modules, tmp_path / "disks")


@pytest.fixture
def exported(lxd: Server, tmp_path: Path) -> Callable[[str], Path]:
    """The rootfs of an image of the server."""

    def export(fingerprint: str) -> Path:
        folder = tmp_path / f"export-{fingerprint[:8]}"
        folder.mkdir()
        lxd.run("image", "export", fingerprint, f"{folder}/it")
        return next(path for path in folder.iterdir() if "root" in path.name)

    return export


def test_a_qcow2_becomes_a_virtual_machine_image_and_stays_as_it_is(
    lxd: Server, disks: Disks, exported: Callable[[str], Path]
) -> None:
    predicted = disks.add(disks.qcow2, check=True, aliases=["web"], **FACTS)
    first = disks.add(disks.qcow2, aliases=["web"], **FACTS)
    again = disks.add(disks.qcow2, aliases=["web"], **FACTS)

    assert predicted.actions == first.actions == ["upload", "add alias web"]
    assert predicted["fingerprint"] == first["fingerprint"]
    assert predicted["would_transfer"] == first["transferred"] == first["image"]["size"]
    assert first["image"]["type"] == "virtual-machine"
    properties = dict(first["image"]["properties"])
    assert len(properties.pop("imagestore.rootfs")) == 64
    assert properties == FACTS
    assert (again["changed"], again["transferred"]) == (False, 0)
    assert exported(first["fingerprint"]).read_bytes() == disks.qcow2.read_bytes()
    assert disks.left() == []


@pytest.mark.parametrize(
    "form",
    ["raw", "vmdk", "vhdx", "vdi", "raw.xz", "qcow2.zst", "raw.zip", "vmdk.gz", "qcow2.bz2"],
)
def test_every_form_of_a_disk_is_imported_with_its_content(
    lxd: Server, disks: Disks, exported: Callable[[str], Path], form: str
) -> None:
    path = disks.make(form)
    predicted = disks.add(path, check=True)
    first = disks.add(path)
    path = path.rename(path.with_name("other"))
    again = disks.add(path)

    assert predicted.actions == first.actions == ["upload"]
    assert (predicted["fingerprint"], predicted["would_transfer"]) == (None, None)
    assert not again["changed"]
    assert again["fingerprint"] == first["fingerprint"]
    stored = exported(first["fingerprint"])
    subprocess.run(["qemu-img", "compare", str(stored), str(disks.qcow2)], check=True)
    assert (
        json.loads(
            subprocess.run(
                ["qemu-img", "info", "--output=json", str(stored)], check=True, capture_output=True
            ).stdout
        )["format"]
        == "qcow2"
    )
    assert disks.left() == []


@pytest.mark.families("lxd")
def test_the_same_content_is_the_same_image_in_every_form(lxd: Server, disks: Disks) -> None:
    # The disk's own file may have been made by another version with other defaults.
    made = {disks.add(disks.make(form))["fingerprint"] for form in ("raw", "vdi", "vhdx", "raw.gz")}
    assert len(made) == 1


@pytest.mark.parametrize("packing", ["tar", "tar.xz", "tar.zst", "squashfs"])
def test_a_root_file_system_becomes_a_container_image(
    lxd: Server, disks: Disks, exported: Callable[[str], Path], packing: str
) -> None:
    path = build_rootfs(disks.folder, packing)
    predicted = disks.add(path, check=True, cloud_init=True, os="BusyBox")
    first = disks.add(path, cloud_init=True, os="BusyBox")
    again = disks.add(path, cloud_init=True, os="BusyBox")

    assert predicted["fingerprint"] == first["fingerprint"]
    assert first["image"]["type"] == "container"
    assert not again["changed"]
    assert exported(first["fingerprint"]).read_bytes() == path.read_bytes()
    other = disks.add(path, os="BusyBox", release="2")
    assert other["fingerprint"] != first["fingerprint"]
    if lxd.family.starts_containers:
        lxd.run("init", first["fingerprint"], "c1", "-c", "user.user-data=#cloud-config\nx: 1")
        lxd.run("start", "c1")
        seed = "/var/lib/cloud/seed/nocloud-net"
        shown = lxd.run("exec", "c1", "--", "cat", "/etc/hostname", f"{seed}/user-data")
        assert shown.split() == ["c1", "#cloud-config", "x:", "1"]


@pytest.mark.families("lxd")
def test_the_architecture_is_the_servers_or_that_of_the_option(lxd: Server, disks: Disks) -> None:
    own = disks.add(disks.qcow2)
    same = disks.add(disks.qcow2, architecture=own["image"]["architecture"])
    other = disks.add(disks.qcow2, architecture="arm64")
    assert not same["changed"]
    assert other["image"]["architecture"] == "aarch64"


def test_the_recorded_digest_is_not_the_tasks_to_manage(lxd: Server, disks: Disks) -> None:
    first = disks.add(disks.qcow2)
    purged = disks.add(disks.qcow2, properties={"os": "Debian"}, purge_properties=True)
    again = disks.add(disks.qcow2, properties={"os": "Debian"}, purge_properties=True)
    kept = first["image"]["properties"]["imagestore.rootfs"]
    assert purged["image"]["properties"] == {"os": "Debian", "imagestore.rootfs": kept}
    assert "imagestore.rootfs" not in json.dumps(purged["diff"])
    assert not again["changed"]


@pytest.mark.families("lxd")
def test_an_image_without_its_recorded_digest_gets_it_again(lxd: Server, disks: Disks) -> None:
    path = disks.make("raw")
    first = disks.add(path)
    lxd.api("PUT", f"/1.0/images/{first['fingerprint']}", {**first["image"], "properties": {}})
    again = disks.add(path)
    assert again.actions == []
    assert again["image"]["properties"] == first["image"]["properties"]


@pytest.mark.families("lxd")
@pytest.mark.parametrize("form", ["qcow2", "raw"])
def test_with_the_expected_fingerprint_the_file_is_not_read(
    lxd: Server, disks: Disks, form: str
) -> None:
    path = disks.make(form)
    fingerprint = disks.add(path)["fingerprint"]
    path.write_text("something else")
    assert not disks.add(path, fingerprint=fingerprint)["changed"]


@pytest.mark.families("lxd")
@pytest.mark.parametrize("form", ["qcow2", "raw"])
def test_another_fingerprint_than_the_expected_one_leaves_nothing(
    lxd: Server, disks: Disks, form: str
) -> None:
    msg = disks.fails(disks.make(form), fingerprint="ab" * 32)
    assert "not " + "ab" * 32 in msg
    assert (lxd.images(), disks.left()) == ({}, [])


@pytest.mark.families("lxd")
def test_the_image_of_a_converted_disk_is_not_the_expected_one(lxd: Server, disks: Disks) -> None:
    path = disks.make("raw")
    made = disks.add(path)["fingerprint"]
    assert f"the fingerprint of {path} is {made}, not" in disks.fails(path, fingerprint="ab" * 32)


@pytest.mark.families("lxd")
def test_another_image_of_the_store_is_not_the_expected_one(lxd: Server, disks: Disks) -> None:
    disks.add(disks.qcow2)
    assert "not " + "ab" * 32 in disks.fails(disks.qcow2, fingerprint="ab" * 32, check=True)


@pytest.mark.families("lxd")
@pytest.mark.parametrize("algorithm", [sha256, sha512])
@pytest.mark.parametrize("form", ["qcow2", "raw"])
def test_a_file_is_verified_by_its_checksum(
    lxd: Server, disks: Disks, form: str, algorithm: Any
) -> None:
    path = disks.make(form)
    name = algorithm().name
    right = f"{name}:{algorithm(path.read_bytes()).hexdigest()}"
    wrong = f"{name}:{algorithm(b'').hexdigest()}"
    assert "has the checksum" in disks.fails(path, checksum=wrong, check=True)
    assert "has the checksum" in disks.fails(path, checksum=wrong)
    assert lxd.images() == {}
    assert disks.add(path, checksum=right)["changed"]
    path.write_text("something else")
    assert not disks.add(path, checksum=right)["changed"]


@pytest.mark.parametrize("form", ["qcow2", "raw"])
def test_several_tasks_import_one_disk_at_once(lxd: Server, disks: Disks, form: str) -> None:
    path = disks.make(form)
    runs = [
        disks.modules.start("lxd_image_import", **disks.params(path, aliases=[name]))
        for name in ("one", "two", "three")
    ]
    outcomes = [run.wait() for run in runs]
    assert not any(outcome.failed for outcome in outcomes), outcomes
    (image,) = lxd.images()
    assert lxd.aliases() == dict.fromkeys(("one", "two", "three"), image)
    assert sum("upload" in outcome.actions for outcome in outcomes) == 1
    assert not disks.add(path)["changed"]


@pytest.mark.families("lxd")
def test_a_cached_image_of_the_same_file_is_replaced(
    lxd: Server, other: Server, disks: Disks
) -> None:
    path = build_rootfs(disks.folder)
    params = disks.params(path)
    made = Modules().at(other).done("lxd_image_import", public=True, aliases=["web"], **params)
    origin = {
        "type": "image",
        "mode": "pull",
        "protocol": "lxd",
        "server": other.url,
        "certificate": other.certificate.read_text(),
        "alias": "web",
    }
    lxd.operation("POST", "/1.0/instances", {"name": "c1", "source": origin})
    assert lxd.images()[made["fingerprint"]]["cached"]
    predicted = disks.add(path, check=True)
    first = disks.add(path)
    assert predicted.actions == first.actions == ["replace cached image", "upload"]
    assert not first["image"]["cached"]
    assert not disks.add(path)["changed"]


OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "cloud_init for a disk": ({"cloud_init": True}, "cloud_init is set, and"),
    "two lines": ({"os": "a\nb"}, "os is 'a\\nb', which is not one line"),
    "architecture": ({"architecture": "z80"}, "architecture is 'z80', which LXD does not know"),
    "mode": ({"mode": "relay"}, "mode cannot be used with files"),
    "compression": ({"compression": "zstd"}, "compression can be used with a directory only"),
}


@pytest.mark.families("lxd")
@pytest.mark.parametrize("case", OPTIONS)
def test_an_option_that_does_not_fit_is_an_error(lxd: Server, disks: Disks, case: str) -> None:
    options, said = OPTIONS[case]
    assert said in disks.fails(disks.qcow2, check=True, **options)
    assert said in disks.fails(disks.qcow2, **options)
    assert lxd.images() == {}


@pytest.mark.families("lxd")
@pytest.mark.parametrize("options", [{"os": "Debian"}, {"checksum": f"sha256:{'0' * 64}"}])
def test_an_image_that_has_metadata_takes_no_options_for_it(
    modules: Modules, tmp_path: Path, options: dict[str, Any]
) -> None:
    said = modules.fails("lxd_image_import", src=str(tmp_path), remote_src=True, **options)
    assert f"{next(iter(options))} cannot be used with an image that has its metadata" in said


@pytest.fixture
def small(disks: Disks) -> Any:
    """A file system with little room for temporary files."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=72m", "none", disks.temporary], check=True)
    yield disks
    subprocess.run(["umount", "-l", disks.temporary], check=True)


@pytest.mark.families("lxd")
@pytest.mark.parametrize("packing", ["", "gz"])
def test_a_full_disk_is_a_clear_error_and_leaves_nothing(
    lxd: Server, small: Disks, packing: str
) -> None:
    path = small.folder / "large.raw"
    with path.open("wb") as file:
        file.write(small.make("raw").read_bytes())
        file.write(os.urandom(16 << 20))
    msg = small.fails(pack(path, packing) if packing else path)
    assert f"the directory {small.temporary} has " in msg
    assert "set Ansible's remote_tmp to a directory with more" in msg
    assert (lxd.images(), small.left()) == ({}, [])


@pytest.mark.families("lxd")
def test_a_disk_without_any_room_is_a_clear_error(
    lxd: Server, disks: Disks, full_folder: Path
) -> None:
    msg = disks.fails(disks.qcow2, _ansible_remote_tmp=str(full_folder))
    assert f"the directory {full_folder} has 0 MiB to spare" in msg
    assert lxd.images() == {}


@pytest.fixture
def halting(disks: Disks, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A disk that has to be converted. What converts it halts before it begins, and goes on after SIGCONT."""
    path = disks.make("raw")
    program = disks.folder / "bin/qemu-img"
    program.parent.mkdir()
    program.write_text(
        f"""#!/bin/sh
[ "$1" != convert ] || kill -STOP $$
exec {shutil.which("qemu-img")} "$@"
"""
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    return path


@pytest.mark.families("lxd")
def test_a_disk_that_changes_while_it_is_converted_leaves_nothing(
    lxd: Server, disks: Disks, halting: Path
) -> None:
    run = disks.modules.start("lxd_image_import", **disks.params(halting))
    until(lambda: bool(halted_converters(disks.temporary)))
    os.utime(halting, (1, 1))
    for process in halted_converters(disks.temporary):
        os.kill(process, signal.SIGCONT)
    assert "changed while it was being read" in run.wait()["msg"]
    assert (lxd.images(), disks.left()) == ({}, [])


@pytest.mark.families("lxd")
def test_a_killed_task_leaves_nothing(lxd: Server, disks: Disks, halting: Path) -> None:
    run = Run("lxd_image_import", {**disks.modules.defaults, **disks.params(halting)})
    until(lambda: bool(halted_converters(disks.temporary)))
    (converter,) = halted_converters(disks.temporary)
    os.kill(run.pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{converter}").exists() and disks.left() == [])
    assert lxd.images() == {}


def halted_converters(folder: Path) -> list[int]:
    """The halted processes of qemu-img that have a file in this folder open."""
    found: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if "(qemu-img) T " in (process / "stat").read_text() and any(
                os.readlink(file).startswith(str(folder)) for file in (process / "fd").iterdir()
            ):
                found.append(int(process.name))
        except OSError:
            continue
    return found

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Exporting images to files."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hostile import Answer, Hostile

from lab import DOWN, Authority, Image, Proxy, Server, build_large
from runner import Modules, Outcome, Run, until

Build = Callable[..., Image]
MIB = 1 << 20


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    path = tmp_path / "dest"
    path.mkdir()
    return path


def export(modules: Modules, name: str, dest: Path, check: bool = False, **params: Any) -> Outcome:
    return modules.done("lxd_image_export", check, name=name, dest=str(dest), **params)


@pytest.mark.parametrize("kind", ["tar.gz", "tar.zst", "squashfs", "split", "vm", "vm-unified"])
def test_every_form_is_exported_as_by_the_client_and_imported_again(
    lxd: Server,
    other: Server,
    modules: Modules,
    build: Build,
    dest: Path,
    tmp_path: Path,
    kind: str,
) -> None:
    image = build(kind)
    modules.import_image(image, aliases=["web"])
    predicted = export(modules, "web", dest, check=True)
    assert list(dest.iterdir()) == []
    first = export(modules, "web", dest)
    again = export(modules, "web", dest)

    assert predicted["files"] == first["files"] == again["files"]
    assert (predicted["changed"], first["changed"], again["changed"]) == (True, True, False)
    assert (first["transferred"], again["transferred"]) == (image.size, 0)
    assert again["diff"]["before"] == again["diff"]["after"]
    (tmp_path / "client").mkdir()
    lxd.run("image", "export", "web", f"{tmp_path}/client/")
    assert contents(dest) == contents(tmp_path / "client")

    elsewhere = Modules().at(other)
    back = elsewhere.done("lxd_image_import", remote_src=True, **first["files"])
    assert back["fingerprint"] == image.fingerprint
    assert back["image"]["type"] == image.type


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("kind", ["tar.gz", "split"])
def test_a_file_with_wrong_content_is_written_again(
    modules: Modules, build: Build, dest: Path, kind: str
) -> None:
    modules.import_image(build(kind), aliases=["web"])
    files = export(modules, "web", dest)["files"]
    for path in files.values():
        right = Path(path).read_bytes()
        Path(path).write_bytes(right[:-1])
        assert export(modules, "web", dest)["changed"]
        assert Path(path).read_bytes() == right
        Path(path).unlink()
        assert export(modules, "web", dest)["changed"]


def test_mode_and_owner_are_managed_too(modules: Modules, image: Image, dest: Path) -> None:
    modules.import_image(image, aliases=["web"])
    path = export(modules, "web", dest, mode="0600", owner="nobody")["files"]["src"]
    state = os.stat(path)
    assert (stat.S_IMODE(state.st_mode), state.st_uid) == (0o600, 65534)
    assert export(modules, "web", dest, mode="0640")["changed"]
    assert not export(modules, "web", dest, mode="0640", owner="nobody")["changed"]
    predicted = export(modules, "web", dest, check=True, mode="0600")
    assert predicted["changed"]
    assert (predicted["diff"]["before"]["mode"], predicted["diff"]["after"]["mode"]) == (
        "0640",
        "0600",
    )
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640


def test_a_new_file_has_the_default_mode(modules: Modules, image: Image, dest: Path) -> None:
    modules.import_image(image, aliases=["web"])
    path = export(modules, "web", dest)["files"]["src"]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o666 & ~umask()


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("split", [False, True])
def test_an_interrupted_transfer_is_retried(
    lxd: Server, modules: Modules, dest: Path, tmp_path: Path, split: bool
) -> None:
    image = build_large(tmp_path / "large", 32 * MIB, split=split)
    modules.import_image(image, aliases=["web"])
    with Proxy(lxd.socket) as proxy:
        proxy.cut(8 * MIB, DOWN)
        export(Modules(server=f"unix://{proxy.socket}"), "web", dest)
        assert (proxy.passed[DOWN] > image.size + 4 * MIB) is split
    assert len(contents(dest)) == (2 if split else 1)
    assert not export(modules, "web", dest)["changed"]


@pytest.mark.parametrize("split", [False, True])
def test_a_failed_transfer_leaves_nothing(
    lxd: Server, modules: Modules, dest: Path, tmp_path: Path, split: bool
) -> None:
    modules.import_image(build_large(tmp_path / "large", 16 * MIB, split=split), aliases=["web"])
    with Proxy(lxd.socket) as proxy:
        proxy.stall(8 * MIB, DOWN)
        broken = Modules(server=f"unix://{proxy.socket}", timeout=3)
        msg = broken.fails("lxd_image_export", name="web", dest=str(dest))
    assert "timed out after 3 seconds" in msg
    assert list(dest.iterdir()) == []


def test_a_corrupted_transfer_never_becomes_a_file(
    lxd: Server, modules: Modules, dest: Path, tmp_path: Path
) -> None:
    modules.import_image(build_large(tmp_path / "large", 16 * MIB), aliases=["web"])
    with Proxy(lxd.socket) as proxy:
        proxy.corrupt(8 * MIB, DOWN)
        broken = Modules(server=f"unix://{proxy.socket}")
        msg = broken.fails("lxd_image_export", name="web", dest=str(dest))
    assert "not the image" in msg
    assert list(dest.iterdir()) == []


@dataclass(frozen=True)
class HalfDone:
    """An export that stopped halfway. It continues when the proxy is healed."""

    image: Image
    proxy: Proxy
    run: Run


@pytest.fixture
def half_done(lxd: Server, modules: Modules, dest: Path, tmp_path: Path) -> Iterator[HalfDone]:
    image = build_large(tmp_path / "large", 16 * MIB)
    modules.import_image(image, aliases=["web"])
    with Proxy(lxd.socket) as proxy:
        proxy.stall(8 * MIB, DOWN)
        through = Modules(server=f"unix://{proxy.socket}")
        run = through.start("lxd_image_export", name="web", dest=str(dest))
        until(lambda: any(path.stat().st_size >= 4 * MIB for path in dest.iterdir()))
        yield HalfDone(image, proxy, run)


def test_the_next_run_removes_the_files_of_a_killed_task(
    half_done: HalfDone, modules: Modules, dest: Path
) -> None:
    half_done.run.kill()
    (left,) = dest.iterdir()
    assert left.name.startswith(".lxd_image_export-")
    export(modules, "web", dest)
    assert list(contents(dest).values()) == [half_done.image.metadata.read_bytes()]


def test_concurrent_exports_do_not_affect_each_other(
    half_done: HalfDone, modules: Modules, dest: Path
) -> None:
    assert export(modules, "web", dest)["changed"]
    assert len(contents(dest)) == 2
    half_done.proxy.heal()
    assert half_done.run.wait()["changed"]
    assert list(contents(dest).values()) == [half_done.image.metadata.read_bytes()]


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A file system with a size of one mebibyte."""
    path = tmp_path / "full"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", path], check=True)


def test_a_full_disk_is_a_clear_error(modules: Modules, full: Path, tmp_path: Path) -> None:
    image = build_large(tmp_path / "large", 4 * MIB)
    modules.import_image(image, aliases=["web"])
    msg = modules.fails("lxd_image_export", name="web", dest=str(full))
    assert (
        f"cannot write to {full}: No space left on device. {full} needs {image.size} bytes" in msg
    )
    assert list(full.iterdir()) == []


@pytest.mark.parametrize("check", [True, False])
def test_without_write_permission_nothing_is_downloaded(
    lxd: Server, modules: Modules, image: Image, full: Path, check: bool
) -> None:
    modules.import_image(image, aliases=["web"])
    subprocess.run(["mount", "-o", "remount,ro", full], check=True)
    mark = lxd.mark()
    msg = modules.fails("lxd_image_export", check, name="web", dest=str(full))
    assert f"no permission to write to {full}" in msg
    assert not [one for one in lxd.requests(mark) if "/export?" in one.path]


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("kind", ["tar.gz", "split"])
def test_a_directory_with_the_name_of_a_file_is_an_error(
    modules: Modules, build: Build, dest: Path, kind: str, check: bool
) -> None:
    modules.import_image(build(kind), aliases=["web"])
    *_others, last = export(modules, "web", dest)["files"].values()
    Path(last).unlink()
    Path(last).mkdir()
    before = sorted(dest.iterdir())
    msg = modules.fails("lxd_image_export", check, name="web", dest=str(dest))
    assert f"{last} is a directory" in msg
    assert sorted(dest.iterdir()) == before


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"name": ""}, "name is empty"),
        ({"dest": __file__}, "which is not a directory"),
        ({"dest": ""}, "dest is empty"),
        ({"owner": "nobody-here"}, "failed to look up user nobody-here"),
        ({"mode": "u=zz"}, "mode must be in octal or symbolic form"),
        ({"name": "absent"}, "there is no image absent"),
        ({"dest": "/nonexistent"}, "dest is /nonexistent, which is not a directory"),
    ],
)
def test_invalid_options_are_an_error(
    modules: Modules, image: Image, dest: Path, params: dict[str, str], said: str
) -> None:
    modules.import_image(image, aliases=["web"])
    desired: dict[str, Any] = {"name": "web", "dest": str(dest), **params}
    for check in (True, False):
        assert said in modules.fails("lxd_image_export", check, **desired)
    assert list(dest.iterdir()) == []


METADATA, ROOTFS = b"metadata", b"root file system"
SPLIT = hashlib.sha256(METADATA + ROOTFS).hexdigest()


def disposition(name: str) -> str:
    return f"form-data; name=x; filename={name}"


def form(*parts: tuple[str, bytes]) -> bytes:
    """The body of an export with two parts, each with a file name and content."""
    sent = [
        f"--edge\r\nContent-Disposition: {disposition(name)}\r\n\r\n".encode() + content
        for name, content in parts
    ]
    return b"\r\n".join([*sent, b"--edge--\r\n"])


@pytest.fixture
def lying_server(authority: Authority) -> Iterator[Hostile]:
    """A server with one image, whose export response is defined by the test."""
    with Hostile(authority.issue("liar", "127.0.0.1")) as server:
        image = {"fingerprint": SPLIT, "size": len(METADATA + ROOTFS)}
        image["aliases"] = [{"name": "web"}]
        alias = {"name": "web", "target": SPLIT, "type": "container"}
        for path, metadata in (("aliases/web", alias), (SPLIT, image)):
            body = json.dumps({"type": "sync", "metadata": metadata}).encode()
            server.answers[f"/1.0/images/{path}"] = Answer(body=body)
        yield server


MULTIPART = "multipart/form-data; boundary=edge"
UNIFIED = "application/octet-stream"


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(
    ("content_type", "name", "body", "said"),
    [
        (UNIFIED, "authorized_keys", METADATA + ROOTFS, "names a file 'authorized_keys'"),
        (UNIFIED, f"meta-{SPLIT}.tar.gz", METADATA + ROOTFS, "expected"),
        (UNIFIED, f"{SPLIT}/../x", METADATA + ROOTFS, "expected"),
        (UNIFIED, "", METADATA + ROOTFS, "names a file ''"),
        (
            MULTIPART,
            "",
            form((f"{SPLIT}.tar.gz", METADATA), (f"{SPLIT}.tar.gz", ROOTFS)),
            f"expected meta-{SPLIT}",
        ),
        (
            MULTIPART,
            "",
            form((f"meta-{SPLIT}.tar.gz", METADATA), (f"meta-{SPLIT}.tar.gz", ROOTFS)),
            "expected",
        ),
        (MULTIPART, "", b"--edge\r\n" + b"x" * (20 << 10), "a header of more than 16384 bytes"),
        (MULTIPART, "", b"x" * MIB, "more data than the size of the image"),
        (
            MULTIPART,
            "",
            form((f"meta-{SPLIT}.tar.gz", b"x" * MIB), (f"{SPLIT}.squashfs", ROOTFS)),
            "more data than the size of the image",
        ),
    ],
    ids=[
        "another file",
        "metadata of a unified image",
        "a path",
        "no name",
        "one name twice",
        "two metadata files",
        "a header without an end",
        "no form",
        "too long a metadata file",
    ],
)
def test_invented_file_names_are_rejected_and_touch_no_file(
    lying_server: Hostile,
    authority: Authority,
    dest: Path,
    content_type: str,
    name: str,
    body: bytes,
    said: str,
    check: bool,
) -> None:
    (dest / "authorized_keys").write_text("mine")
    headers = (("Content-Type", content_type), ("Content-Disposition", disposition(name)))
    lying_server.answers[f"/1.0/images/{SPLIT}/export"] = Answer(headers=headers, body=body)
    target = Modules(server=lying_server.url, server_cert=str(authority.certificate))
    outcome = target.run("lxd_image_export", check, name="web", dest=str(dest))
    assert said in outcome["msg"]
    assert contents(dest) == {"authorized_keys": b"mine"}


@pytest.mark.parametrize("content_type", [UNIFIED, MULTIPART])
def test_an_endless_export_ends_at_the_size_of_the_image(
    lying_server: Hostile, authority: Authority, dest: Path, content_type: str
) -> None:
    endless = b"x" * (64 * MIB)
    name = f"{SPLIT}.tar.gz"
    body = form((f"meta-{name}", METADATA), (name, endless))
    headers = (("Content-Type", content_type), ("Content-Disposition", disposition(name)))
    lying_server.answers[f"/1.0/images/{SPLIT}/export"] = Answer(
        headers=headers, body=endless if content_type == UNIFIED else body, length=-1
    )
    target = Modules(server=lying_server.url, server_cert=str(authority.certificate))
    msg = target.fails("lxd_image_export", name="web", dest=str(dest))
    assert "more data than the size of the image" in msg
    assert list(dest.iterdir()) == []


def test_a_valid_form_of_another_implementation_is_accepted(
    lying_server: Hostile, authority: Authority, dest: Path
) -> None:
    names = f"meta-{SPLIT}.tar.gz", f"{SPLIT}.squashfs"
    body = form(*zip(names, (METADATA, ROOTFS), strict=True))
    lying_server.answers[f"/1.0/images/{SPLIT}/export"] = Answer(
        headers=(("Content-Type", MULTIPART),), body=body
    )
    target = Modules(server=lying_server.url, server_cert=str(authority.certificate))
    export(target, "web", dest)
    assert contents(dest) == dict(zip(names, (METADATA, ROOTFS), strict=True))

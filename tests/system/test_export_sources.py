# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Exporting images of other servers: image servers, and LXD or Incus."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from copies import add_to_source
from simplestreams_tree import Tree

from lab import (
    DOWN,
    Authority,
    Image,
    KeyPair,
    Proxy,
    Server,
    WebServer,
    build_large,
    client_config,
)
from runner import Modules, Outcome, timed_out

Build = Callable[..., Image]
MIB = 1 << 20

#: No server is involved but the source.
NOWHERE = Modules(server="unix:///nowhere")


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    path = tmp_path / "dest"
    path.mkdir()
    return path


@pytest.fixture
def source(site: WebServer, authority: Authority) -> dict[str, str]:
    """The image server, as options."""
    return {
        "source_server": site.url,
        "source_protocol": "simplestreams",
        "source_cert": str(authority.certificate),
    }


def export(name: str, dest: Path, check: bool = False, **params: Any) -> Outcome:
    return NOWHERE.done("lxd_image_export", check, name=name, dest=str(dest), **params)


def fails(name: str, dest: Path, **params: Any) -> str:
    return NOWHERE.fails("lxd_image_export", name=name, dest=str(dest), **params)


@pytest.mark.parametrize("kind", ["tar.xz", "split", "vm"])
def test_an_image_is_carried_from_an_image_server_to_a_store(
    lxd: Server,
    tree: Tree,
    site: WebServer,
    source: dict[str, str],
    build: Build,
    dest: Path,
    kind: str,
) -> None:
    image = build(kind)
    tree.publish(image, "busybox,bb")
    desired = {"image_type": image.type, **source}
    predicted = export("busybox", dest, check=True, **desired)
    assert list(dest.iterdir()) == []
    first = export("busybox", dest, **desired)
    asked = len(site.requests)
    again = export(image.fingerprint[:12], dest, **source)

    assert predicted["files"] == first["files"] == again["files"]
    assert (predicted.actions, first.actions, again.actions) == (["export"], ["export"], [])
    assert [one["transferred"] for one in (predicted, first, again)] == [0, image.size, 0]
    assert {"/streams/v1/index.json", "/streams/v1/images.json"} == {
        request.path for request in site.requests[asked:]
    }
    assert first["fingerprint"] == image.fingerprint
    names = [alias["name"] for alias in first["image"]["aliases"]]
    assert names == ["busybox", "busybox/amd64", "bb", "bb/amd64"]
    carried = Modules().at(lxd).done("lxd_image_import", remote_src=True, **first["files"])
    assert (carried["fingerprint"], carried["image"]["type"]) == (image.fingerprint, image.type)


@pytest.mark.families("lxd")
def test_the_files_have_the_fingerprint_and_the_format_in_their_names(
    tree: Tree, source: dict[str, str], build: Build, dest: Path
) -> None:
    image = build("split")
    tree.publish(image, "busybox")
    (version,) = (one for product in tree.products.values() for one in product["versions"].values())
    names = {"lxd.tar.xz": "busybox-1.35_lxd.tar.xz", "squashfs": "busybox-1.35.squashfs"}
    for ftype, name in names.items():
        item = version["items"][ftype]
        (tree.root / item["path"]).rename(tree.root / name)
        item["path"] = name
    tree.write()
    export("busybox", dest, **source)
    assert {path.name for path in dest.iterdir()} == {
        f"meta-{image.fingerprint}.tar.xz",
        f"{image.fingerprint}.squashfs",
    }


@pytest.mark.families("lxd")
def test_the_architecture_of_this_host_is_the_default(
    tree: Tree, source: dict[str, str], build: Build, dest: Path
) -> None:
    own, foreign = build("split"), build("split", architecture="aarch64")
    tree.publish(own, "busybox")
    tree.publish(foreign, "busybox", arch="arm64")
    assert export("busybox", dest, **source)["fingerprint"] == own.fingerprint
    found = export("busybox", dest, architecture="arm64", **source)
    assert found["fingerprint"] == foreign.fingerprint
    assert export("busybox/arm64", dest, **source)["fingerprint"] == foreign.fingerprint


@pytest.mark.families("lxd")
def test_the_metadata_is_that_of_lxd_unless_there_is_only_that_of_incus(
    tree: Tree, source: dict[str, str], build: Build, dest: Path
) -> None:
    both, for_incus = build("split"), build("split")
    tree.publish(both, "both")
    tree.publish(for_incus, "incus")
    for product in tree.products.values():
        for version in product["versions"].values():
            metadata = version["items"]["incus.tar.xz"]
            if product["aliases"] == "incus":
                del version["items"]["lxd.tar.xz"]
            else:
                metadata["combined_squashfs_sha256"] = "0" * 64
    tree.write()
    assert export("both", dest, **source)["fingerprint"] == both.fingerprint
    assert export("incus", dest, **source)["fingerprint"] == for_incus.fingerprint


@pytest.mark.families("lxd")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": 7}, "has more than the 7 bytes"),
        ({"size": 1 << 40}, "bytes, not the 1099511627776 that the index gives"),
        ({"size": 0}, "does not tell the size of files/"),
        ({"sha256": "0" * 64}, f"not the {'0' * 64} that the index gives"),
        ({"path": "files/none"}, "responds with the HTTP status 404"),
    ],
)
def test_a_file_that_is_not_as_the_index_has_it_is_never_written(
    tree: Tree, source: dict[str, str], build: Build, dest: Path, change: dict[str, Any], said: str
) -> None:
    tree.publish(build("split"), "busybox")
    (version,) = (one for product in tree.products.values() for one in product["versions"].values())
    version["items"]["squashfs"].update(change)
    tree.write()
    assert said in fails("busybox", dest, **source)
    assert list(dest.iterdir()) == []


@pytest.mark.families("lxd")
def test_an_interrupted_download_is_resumed(
    tree: Tree, site: WebServer, source: dict[str, str], dest: Path, tmp_path: Path
) -> None:
    image = build_large(tmp_path / "large", 32 * MIB, split=True)
    tree.publish(image, "busybox")
    with Proxy(site.url) as proxy:
        proxy.cut(8 * MIB, DOWN)
        pin = {"source_server": proxy.url, "source_cert": str(site.pair.certificate)}
        export("busybox", dest, **{**source, **pin})
        assert proxy.passed[DOWN] < image.size + 4 * MIB
    assert len(list(dest.iterdir())) == 2


@pytest.fixture
def interrupted(
    tree: Tree, site: WebServer, source: dict[str, str], dest: Path, tmp_path: Path
) -> Image:
    """A large image whose export has received its beginning."""
    image = build_large(tmp_path / "large", 32 * MIB, split=True)
    tree.publish(image, "busybox")
    with Proxy(site.url) as proxy:
        proxy.stall(8 * MIB, DOWN, times=None)
        pin = {"source_server": proxy.url, "source_cert": str(site.pair.certificate)}

        def attempt(seconds: int) -> str:
            msg = fails("busybox", dest, **{**source, **pin, "timeout": seconds})
            received = any(path.stat().st_size >= 4 * MIB for path in dest.iterdir())
            return f"{msg}{' (received)' if received else ''}"

        timed_out(attempt, "(received)")
    assert all(path.name.startswith(".lxd_image_export-") for path in dest.iterdir())
    return image


@pytest.mark.families("lxd")
def test_the_next_run_goes_on_where_the_last_one_was_interrupted(
    interrupted: Image, site: WebServer, source: dict[str, str], dest: Path
) -> None:
    with Proxy(site.url) as proxy:
        pin = {"source_server": proxy.url, "source_cert": str(site.pair.certificate)}
        export("busybox", dest, **{**source, **pin})
        assert proxy.passed[DOWN] < interrupted.size - 4 * MIB
    assert {path.name.removeprefix("meta-")[:64] for path in dest.iterdir()} == {
        interrupted.fingerprint
    }
    assert not export("busybox", dest, **source)["changed"]


@pytest.mark.families("lxd")
@pytest.mark.parametrize("damage", ["other content", "too much content"])
def test_a_damaged_beginning_is_received_again(
    interrupted: Image, source: dict[str, str], dest: Path, damage: str
) -> None:
    largest = max(dest.iterdir(), key=lambda path: path.stat().st_size)
    if damage == "other content":
        with largest.open("r+b") as file:
            file.write(b"XXXX")
    else:
        os.truncate(largest, interrupted.size + MIB)
    export("busybox", dest, **source)
    assert not export("busybox", dest, **source)["changed"]
    assert len(list(dest.iterdir())) == 2


@pytest.mark.families("lxd")
@pytest.mark.parametrize("trap", ["a symbolic link", "a second name", "another owner", "a pipe"])
def test_nobody_else_can_prepare_the_file_of_an_export(
    tree: Tree, source: dict[str, str], build: Build, dest: Path, tmp_path: Path, trap: str
) -> None:
    image = build("tar.xz")
    tree.publish(image, "busybox")
    other, known = tmp_path / "other", dest / f".lxd_image_export-{image.fingerprint}"
    other.write_bytes(b"mine")
    if trap == "a symbolic link":
        known.symlink_to(other)
    elif trap == "a second name":
        known.hardlink_to(other)
    elif trap == "a pipe":
        os.mkfifo(known)
    else:
        known.write_bytes(b"theirs")
        os.chown(known, 65534, 65534)
    files = export("busybox", dest, **source)["files"]
    assert Path(files["src"]).read_bytes() == image.metadata.read_bytes()
    assert os.stat(files["src"]).st_uid == os.geteuid()
    assert other.read_bytes() == b"mine"


def test_public_and_private_images_of_another_server_are_exported(
    other: Server, build: Build, pair: KeyPair, dest: Path
) -> None:
    public, private = build(), build("split")
    add_to_source(other, public, "public")
    add_to_source(other, private, "private", public=False)
    source = {"source_server": other.url, "source_cert": str(other.certificate)}
    assert export("public", dest, **source)["fingerprint"] == public.fingerprint
    assert "there is no image private" in fails("private", dest, **source)
    other.trust(pair.certificate)
    keys = {"source_client_cert": str(pair.certificate), "source_client_key": str(pair.key)}
    assert export("private", dest, **source, **keys)["fingerprint"] == private.fingerprint
    assert not export("private", dest, **source, **keys)["changed"]
    msg = fails("public", dest, **source, image_type="virtual-machine")
    assert "is a container image, not a virtual-machine" in msg


def test_a_remote_is_named_with_the_image(
    other: Server, build: Build, dest: Path, tmp_path: Path
) -> None:
    image = build()
    add_to_source(other, image, "web")
    client_config(tmp_path / "config", [other])
    config = {"config_dir": str(tmp_path / "config")}
    assert export("two:web", dest, **config)["fingerprint"] == image.fingerprint
    assert "there is no image two:web" in fails("two:web", dest, source_remote="two", **config)


@pytest.mark.families("lxd")
@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"name": "images:"}, "lacks the image"),
        ({"source_registry": "r"}, "source_registry cannot be used with an export"),
        ({"architecture": "arm64"}, "architecture cannot be used with an image of the managed"),
        ({"architecture": "vax", "source_server": "https://x"}, "which LXD does not know"),
        ({"source_cert": "/x"}, "source_cert cannot be used with an image of the managed server"),
        ({"architecture": "arm64", "source_server": "https://x"}, "a source of the protocol lxd"),
    ],
)
def test_options_that_do_not_fit_the_source_are_an_error(
    dest: Path, params: dict[str, str], said: str
) -> None:
    assert said in fails(**{"name": "web", "dest": dest, **params})

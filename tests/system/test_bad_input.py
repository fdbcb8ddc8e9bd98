# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Invalid input is a clear error before anything is transferred, and the store is unchanged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab import Image, Server, build_bad, build_large
from runner import Modules

Build = Callable[..., Image]


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(
    ("sort", "said"),
    [
        ("empty", "is empty"),
        ("html", "is an HTML page, not a unified image"),
        ("zip", "is a zip file, not a unified image"),
        ("rootfs-only", "looks like a bare root file system. Set rootfs instead of src."),
        ("metadata-only", "set both metadata and rootfs"),
        ("no-architecture", "has no architecture"),
        ("no-creation-date", "has no creation_date"),
        ("truncated", "is damaged"),
    ],
)
def test_a_file_that_is_not_an_image(
    lxd: Server, modules: Modules, tmp_path: Path, sort: str, said: str, check: bool
) -> None:
    path = build_bad(sort, tmp_path)
    mark = lxd.mark()
    msg = modules.import_fails(path, check=check)
    assert msg.startswith(f"Cannot import {path} (unix://")
    assert said in msg
    assert lxd.writes(mark) == []


def test_a_file_that_does_not_exist(modules: Modules, tmp_path: Path) -> None:
    msg = modules.import_fails(tmp_path / "absent.tar.xz")
    assert f"cannot read {tmp_path}/absent.tar.xz: No such file or directory" in msg
    assert "Files with remote_src are those of the managed host" in msg


def test_a_directory_without_metadata(modules: Modules, tmp_path: Path) -> None:
    assert f"{tmp_path} is a directory" in modules.import_fails(tmp_path)


def test_a_metadata_file_that_is_not_an_archive(
    modules: Modules, tmp_path: Path, build: Build
) -> None:
    image = build("split")
    image.metadata.write_text("architecture: x86_64")
    assert "given as metadata, is plain text" in modules.import_fails(image)


def test_two_files_that_were_swapped(modules: Modules, build: Build) -> None:
    image = build("split")
    msg = modules.fails(
        "lxd_image_import", metadata=str(image.rootfs), rootfs=str(image.metadata), remote_src=True
    )
    assert "does not contain metadata.yaml. Have the two files been swapped?" in msg


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"fingerprint": "12"}, "fingerprint is '12', which is not a fingerprint"),
        ({"properties": {"release": 3.2}}, "release is a number with a decimal point"),
        ({"expires_at": "soon"}, "expires_at: 'soon' is not a time in ISO 8601"),
        ({"delete_replaced": True}, "delete_replaced is set without aliases"),
        ({"purge_aliases": True}, "purge_aliases is set without aliases"),
        ({"purge_properties": True}, "purge_properties is set without properties"),
        ({"aliases": ["a", ""]}, "aliases contains an empty name"),
        ({"profiles": ["absent"]}, "has no profile absent. It has: default"),
        ({"server": "ftp://a"}, "server is 'ftp://a', which is not the URL of a server"),
        ({"project": "absent"}, "has no project absent"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_an_invalid_option(
    lxd: Server,
    modules: Modules,
    image: Image,
    options: dict[str, object],
    said: str,
    check: bool,
) -> None:
    mark = lxd.mark()
    assert said in modules.import_fails(image, check=check, **options)
    assert lxd.writes(mark) == []


def test_a_state_that_imports_do_not_have(modules: Modules, image: Image) -> None:
    msg = modules.import_fails(image, state="absent")
    assert "has no option state" in msg
    assert msg.endswith("To delete an image, use imagestore.lxd.lxd_image with state: absent.")


@pytest.mark.families("lxd")
@pytest.mark.parametrize("images", ["images:alpine/3.23", ["web"], {"web": {"src": "web.tar.xz"}}])
@pytest.mark.parametrize(
    ("module", "others"),
    [
        ("lxd_image_store", {}),
        ("lxd_image_catalog", {"root": "/nowhere", "base_url": "https://images.example.com"}),
    ],
)
def test_a_list_of_images_that_is_not_a_list_of_dictionaries(
    module: str, others: dict[str, str], images: object
) -> None:
    msg = Modules().fails(module, images=images, **others)
    assert msg.startswith("images is not a list of dictionaries. On the command line, write ")


def test_a_wrong_project_is_rejected_before_a_gibibyte_is_sent(
    lxd: Server, modules: Modules, tmp_path: Path
) -> None:
    image = build_large(tmp_path, 1 << 30)
    mark = lxd.mark()
    assert "has no project absent" in modules.import_fails(image, project="absent")
    assert lxd.writes(mark) == []


def test_an_error_that_only_the_server_detects_has_its_message(
    lxd: Server, modules: Modules, build: Build
) -> None:
    # Both files are valid images by themselves; only the server notices that they do not belong together.
    split = build("split")
    split.metadata.write_bytes(build("tar.gz").metadata.read_bytes())
    outcome = modules.run("lxd_image_import", src=str(split.rootfs), remote_src=True)
    assert outcome.failed
    assert lxd.images() == {}

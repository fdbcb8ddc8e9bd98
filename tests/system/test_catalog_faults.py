# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Publishing images: what options, files, records and accidents can do to a tree."""

from __future__ import annotations

import fcntl
import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from module_forkserver import module_forkserver
from publications import CatalogSite, content, digest, find_faults, published_versions, small_image

from runner import Modules, timed_out

pytestmark = pytest.mark.families("lxd")  # independent of the family

CRASHES = int(os.environ.get("CRASHES", "10"))
"""How often a publisher is killed; a hundred times takes a minute."""


@pytest.mark.parametrize(
    ("desired", "said"),
    [
        ({"name": "a b"}, "invalid name of an image: 'a b' is not a valid name"),
        ({"name": "../etc"}, "is not a valid name"),
        ({"name": "a/../b"}, "is not a valid name"),
        ({"name": "a//b"}, "is not a valid name"),
        ({"name": "a" * 101}, "at most 100 characters"),
        ({"name": 'a";return'}, "is not a valid name"),
        ({"aliases": ["a,b"]}, "invalid aliases of the image box: 'a,b' is not a valid name"),
        ({"aliases": [f"{n:02}" * 40 for n in range(60)]}, "have more than 4000 characters"),
        ({"version": "2026"}, "'2026' is not a date"),
        ({"version": "２０２６０１０１"}, "is not a date"),
        ({"version": "20261324"}, "is not a date"),
        ({"version": "20261124_2561"}, "is not a date"),
        ({"version": "7020615_0053"}, "is not a date"),
        ({"architecture": "pdp11"}, "which LXD does not know"),
        ({"architecture": "arm64"}, "is aarch64, but its file is for x86_64"),
        ({"image_type": "virtual-machine"}, "but its file is for container"),
        ({"release": 24.10}, "the image box: release is a number with a decimal point, which YAML"),
        ({"release": "x" * 1001}, "invalid release of the image box: it has 1001 characters"),
        ({"requirements": {"cpu": 3.2}}, "the image box: the property cpu is"),
        ({"src": ""}, "has no file"),
        ({"src": "/non\0existent"}, "has the file '/non\\x00existent'"),
        ({"src": "/nonexistent"}, "cannot read /nonexistent"),
        ({"src": "/etc"}, "is a directory"),
        ({"src": "/etc/hostname"}, "is plain text, not a unified image"),
        ({"state": "absent"}, "src of the image box cannot be used with state: absent"),
    ],
)
def test_an_invalid_value_of_an_image_is_named(
    catalog_tree: CatalogSite, desired: dict[str, Any], said: str
) -> None:
    assert said in catalog_tree.fails({**catalog_tree.small("box", "1", "20260101"), **desired})


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"keep": 0}, "keep is 0"),
        ({"grace": -1}, "grace is -1"),
        ({"timeout": 0}, "timeout is 0"),
        ({"base_url": "images.example.com"}, "invalid base_url 'images.example.com'"),
        ({"base_url": "https://a.example.com/$x"}, "invalid base_url"),
        ({"base_url": "https://a.example.com:99999"}, "invalid base_url"),
        ({"base_url": "http://a.example.com"}, "clients use image servers over https only"),
        ({"header_map": "map"}, "header_map is 'map', which is not an absolute path"),
        ({"root": "www"}, "root is 'www', which is not an absolute path"),
        ({"root": ""}, "root is '', which is not an absolute path"),
        ({"root": "/proc/nowhere"}, "cannot publish into /proc/nowhere"),
        ({"remote_src": False}, "was not called by its action plugin"),
    ],
)
def test_an_invalid_option_is_named(
    catalog_tree: CatalogSite, params: dict[str, Any], said: str
) -> None:
    assert said in catalog_tree.fails(catalog_tree.small("box", "1", "20260101"), **params)


@pytest.mark.parametrize("created", ["-40000000000", "-1", "99999999999"])
def test_a_creation_date_that_makes_no_version_is_refused(
    catalog_tree: CatalogSite, created: str
) -> None:
    image = {"name": "box", "src": str(small_image(catalog_tree.folder, "a", created=created))}
    assert "Set version, as YYYYMMDD" in catalog_tree.fails(image)
    catalog_tree.publish({**image, "version": "20260101"})
    assert published_versions(catalog_tree.root) == {"box/amd64": ["20260101"]}


def test_a_missing_folder_of_the_map_fails_before_anything_is_written(
    catalog_tree: CatalogSite,
) -> None:
    one = catalog_tree.small("box", "1", "20260101")
    nowhere = str(catalog_tree.folder / "nowhere/map")
    assert f"the directory {catalog_tree.folder}/nowhere does not exist" in catalog_tree.fails(
        one, header_map=nowhere
    )
    assert catalog_tree.publish(one, check=True, header_map=nowhere).actions == [
        "publish box (container, x86_64) 20260101"
    ]


def test_a_document_that_cannot_be_replaced_leaves_the_others_as_they_were(
    catalog_tree: CatalogSite,
) -> None:
    (catalog_tree.folder / "folder").mkdir()
    one = catalog_tree.small("box", "1", "20260101")
    assert "it is a directory" in catalog_tree.fails(
        one, header_map=str(catalog_tree.folder / "folder")
    )


def test_the_header_map_is_not_served(catalog_tree: CatalogSite) -> None:
    assert "is below the root" in catalog_tree.fails(
        header_map=str(catalog_tree.root / "files/map")
    )


def test_a_name_collision_is_an_error_with_both_names(catalog_tree: CatalogSite) -> None:
    box = catalog_tree.small("box", "1", "20260101", aliases=["b"])
    catalog_tree.publish(box)
    for other in (
        catalog_tree.small("web", "2", "20260101", aliases=["b"]),
        catalog_tree.small("B", "2", "20260101"),
        catalog_tree.small("box/amd64", "2", "20260101"),
    ):
        message = catalog_tree.fails(other)
        assert "is a name or alias of both" in message
        assert "box" in message and other["name"] in message


def test_contradictions_within_a_task_are_an_error(catalog_tree: CatalogSite) -> None:
    one, two = (
        catalog_tree.small("box", "1", "20260101"),
        catalog_tree.small("box", "2", "20260101"),
    )
    assert "with different content" in catalog_tree.fails(one, two)
    gone = {"name": "box", "state": "absent"}
    assert "is listed as present and as absent" in catalog_tree.fails(one, gone)


INJECTED = 'x" ";x86_64=' + "0" * 64 + '.tar;";}'


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"w"', json.dumps(INJECTED), "products[0]: aliases: "),
        ('"x86_64"', '"pdp11"', "products[0]: architecture: 'pdp11' is not an architecture"),
        ('"box"', '["box"]', "products[0]: name: list is not a valid name"),
        ('"leaving": {', '"leaving": {"files/../../../etc/x": 0', "is not a file of a catalog"),
        ("{", "[" * 100_000, "is not a valid record of a catalog"),
        ('"format"', '"other"', "format: it is not a string"),
    ],
)
def test_a_record_that_somebody_has_changed_stops_the_task(
    catalog_tree: CatalogSite, old: str, new: str, said: str
) -> None:
    one = catalog_tree.small("box", "1", "20260101", aliases=["w"])
    catalog_tree.publish(one)
    record, before = catalog_tree.root / "catalog.json", catalog_tree.map.read_text()
    record.write_text(record.read_text().replace(old, new, 1))
    message = catalog_tree.fails(one)
    assert said in message
    assert "Repair it, or move it away" in message
    assert catalog_tree.map.read_text() == before
    record.unlink()
    catalog_tree.publish(one)
    assert find_faults(catalog_tree.root) == []


def test_a_record_that_is_no_file_is_an_error(catalog_tree: CatalogSite) -> None:
    record = catalog_tree.root / "catalog.json"
    record.unlink()
    os.mkfifo(record)
    assert "catalog.json: it is not a regular file" in Modules().limited().fails(
        "lxd_image_catalog", **catalog_tree.params, images=[]
    )


@pytest.mark.parametrize("damage", ["{", "[" * 100_000, '{"images": 7}', "digit", "fifo"])
def test_a_damaged_cache_is_made_anew(catalog_tree: CatalogSite, damage: str) -> None:
    one = catalog_tree.small("box", "1", "20260101")
    catalog_tree.publish(one)
    cache = catalog_tree.root / ".catalog/sources.json"
    good = cache.read_text()
    if damage == "fifo":
        cache.unlink()
        os.mkfifo(cache)
    else:
        hashed = digest(Path(one["src"]))
        changed = good.replace(hashed, "0" + hashed[1:] if hashed[0] != "0" else "1" + hashed[1:])
        assert changed != good
        cache.write_text(changed if damage == "digit" else damage)
    assert not catalog_tree.publish(one)["changed"]
    assert cache.read_text() == good


def test_a_file_that_no_record_can_name_is_left_alone(catalog_tree: CatalogSite) -> None:
    stray = os.fsencode(catalog_tree.root / "files") + b"/\xff.tar"
    with open(stray, "wb") as file:
        file.write(b"x")
    assert catalog_tree.publish(catalog_tree.small("box", "1", "20260101"), grace=0).actions == [
        "publish box (container, x86_64) 20260101"
    ]
    assert os.path.exists(stray)


class TestTheTimeout:
    """It bounds everything that a task waits for, and everything that it reads."""

    def test_bounds_waiting_for_another_publisher(self, catalog_tree: CatalogSite) -> None:
        with open(catalog_tree.root / ".catalog/lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            timed_out(
                lambda seconds: catalog_tree.fails(timeout=seconds),
                ": another task was publishing into",
            )

    def test_bounds_looking_at_published_files(self, catalog_tree: CatalogSite) -> None:
        one = catalog_tree.small("box", "1", "20260101")
        catalog_tree.publish(one)
        (file,) = (catalog_tree.root / "files").iterdir()
        record = catalog_tree.root / "catalog.json"
        os.truncate(file, 1 << 40)
        record.write_text(
            record.read_text().replace(str(Path(one["src"]).stat().st_size), str(1 << 40))
        )
        message = (
            Modules()
            .limited()
            .fails("lxd_image_catalog", **catalog_tree.params, images=[], verify=True, timeout=1)
        )
        assert "timed out after 1 seconds" in message

    def test_bounds_reading_of_new_files(self, catalog_tree: CatalogSite) -> None:
        one = catalog_tree.small("box", "1", "20260101")
        os.truncate(one["src"], 1 << 40)
        message = (
            Modules()
            .limited()
            .fails("lxd_image_catalog", **catalog_tree.params, images=[one], timeout=1)
        )
        assert "timed out after 1 seconds" in message
        assert content(catalog_tree.root).keys() == {
            "catalog.json",
            "index.html",
            "streams/v1/images.json",
            "streams/v1/index.json",
        }


def test_publishers_wait_for_each_other(catalog_tree: CatalogSite) -> None:
    runs = [
        Modules().start(
            "lxd_image_catalog",
            **{
                **catalog_tree.params,
                "images": [catalog_tree.small(f"box{number}", str(number), "20260101")],
            },
        )
        for number in range(5)
    ]
    assert [run.wait().get("msg") for run in runs] == [None] * 5
    assert sorted(published_versions(catalog_tree.root)) == [
        f"box{number}/amd64" for number in range(5)
    ]


def test_a_killed_publisher_leaves_a_valid_tree(catalog_tree: CatalogSite, tmp_path: Path) -> None:
    started = time.monotonic()
    catalog_tree.publish(
        catalog_tree.small("box", "0", "20260101"), catalog_tree.small("web", "0", "20260101")
    )
    lasts = time.monotonic() - started
    fate = random.Random()
    for number in range(1, CRASHES + 1):
        day = f"2026{number // 28 + 1:02d}{number % 28 + 1:02d}_0100"
        entries = [catalog_tree.small(name, f"{name}{number}", day) for name in ("box", "web")]
        run = Modules().start(
            "lxd_image_catalog", **{**catalog_tree.params, "images": entries, "grace": 0}
        )
        time.sleep(fate.uniform(0, 1.2 * lasts))
        run.kill()
        assert find_faults(catalog_tree.root) == [], f"after crash {number}"
        catalog_tree.publish(*entries, grace=0)
        assert find_faults(catalog_tree.root) == []
        assert not catalog_tree.publish(*entries, grace=0)["changed"]
    names = {path.name for path in (catalog_tree.root / "files").iterdir()}
    assert len(names) == 4, "nothing lies about that was in the making"
    assert [
        path.name for path in (catalog_tree.root / ".catalog").iterdir() if "new-" in path.name
    ] == []


def test_files_of_a_killed_publisher_are_removed_after_the_grace_period(
    catalog_tree: CatalogSite,
) -> None:
    one = catalog_tree.small("box", "1", "20260101")
    catalog_tree.publish(one)
    stray = catalog_tree.root / "files" / f"{'0' * 64}.tar"
    stray.write_text("x")
    assert catalog_tree.publish(one).actions == ["abandon file 000000000000"]
    assert not catalog_tree.publish(one)["changed"]
    assert catalog_tree.publish(one, grace=0).actions == ["remove file 000000000000"]
    assert not stray.exists()


@pytest.fixture
def _strict_umask() -> Iterator[None]:
    """Modules run under the umask of a strict administrator."""
    umask = os.umask(0o077)
    module_forkserver.cache_clear()
    try:
        yield
    finally:
        os.umask(umask)
        module_forkserver.cache_clear()


@pytest.mark.usefixtures("_strict_umask")
def test_every_file_and_new_folder_can_be_read_by_a_web_server(catalog_tree: CatalogSite) -> None:
    root = catalog_tree.folder / "new/parent/www"
    catalog_tree.publish(catalog_tree.small("box", "1", "20260101"), root=str(root))
    for path in (root.parent.parent, root.parent, root, *root.rglob("*")):
        if ".catalog" not in path.parts:
            assert oct(path.stat().st_mode & 0o777) == ("0o755" if path.is_dir() else "0o644"), path

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mirrors of image servers: what is selected, which versions are kept, and what else is in the tree."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mirrors import MirrorSite
from publications import content, small_image

from lab import Authority, WebServer
from runner import Modules

pytestmark = pytest.mark.families("lxd")  # independent of the family

BOTH = ("container", "virtual-machine")


@pytest.fixture
def site(tmp_path: Path, authority: Authority) -> Iterator[MirrorSite]:
    site = MirrorSite(tmp_path, authority)
    with site.server:
        yield site


class TestAnotherRun:
    """It finds what is not as it has to be."""

    def test_finds_missing_and_on_request_damaged_files(self, site: MirrorSite) -> None:
        site.upstream.publish("alpine/3.23", "20260101")
        site.mirror()
        (root,) = (site.root / "files").glob("*.squashfs")
        root.write_bytes(b"x" * root.stat().st_size)
        assert not site.mirror()["changed"]
        assert site.mirror(verify=True).actions == [f"replace file {root.name[:12]}"]
        root.unlink()
        assert site.mirror().actions == [f"replace file {root.name[:12]}"]
        assert site.faults() == []

    def test_writes_documents_that_are_not_as_they_have_to_be(self, site: MirrorSite) -> None:
        site.upstream.publish("alpine/3.23", "20260101")
        header_map = site.folder / "map"
        site.mirror(header_map=str(header_map))
        for path in (site.root / "index.html", site.root / "streams/v1/images.json", header_map):
            before = path.read_bytes()
            path.write_bytes(b"x")
            assert len(site.mirror(header_map=str(header_map)).actions) == 1
            assert path.read_bytes() == before
        (site.root / ".catalog/generated.json").write_text("x")
        assert not site.mirror(header_map=str(header_map))["changed"]
        other = {"header_map": str(header_map), "base_url": "https://other.example.com"}
        assert site.mirror(**other).actions == [f"write {header_map}", "write index.html"]

    def test_finds_a_damaged_file_that_a_new_image_shares(self, site: MirrorSite) -> None:
        first = site.upstream.publish("alpine/3.23", "20260101")
        site.mirror()
        (root,) = (site.root / "files").glob("*.squashfs")
        root.write_bytes(b"x" * root.stat().st_size)
        again = site.upstream.publish("alpine/3.23", "20260102")["items"]
        again["root.squashfs"] = first["items"]["root.squashfs"]
        for family in ("lxd", "incus"):
            paths = [again[name]["path"] for name in (f"{family}.tar.xz", "root.squashfs")]
            again[f"{family}.tar.xz"]["combined_squashfs_sha256"] = site.upstream.combined(*paths)
        site.upstream.write()
        assert site.mirror().actions == [
            f"replace file {root.name[:12]}",
            "publish alpine/3.23 (container, x86_64) 20260102",
        ]
        assert site.faults() == []


class TestTheSelection:
    """It is by aliases and properties; all conditions of an entry have to fit."""

    @pytest.mark.parametrize(
        ("select", "expected"),
        [
            (["alpine/3.23"], {"alpine:3.23:amd64", "alpine:3.23:arm64"}),
            (["alpine/3.23/arm64"], {"alpine:3.23:arm64"}),
            (["alpine/3.23/aarch64"], {"alpine:3.23:arm64"}),
            (["debian/*"], {"debian:13:amd64", "debian:13:cloud:amd64"}),
            ([{"os": "Debian", "variant": "cloud"}], {"debian:13:cloud:amd64"}),
            ([{"alias": "*", "architectures": ["aarch64"]}], {"alpine:3.23:arm64"}),
            ([{"image_types": ["virtual-machine"]}], {"debian:13:cloud:amd64"}),
            ([{"os": "?lpine"}, "debian/13/cloud"], None),
        ],
    )
    def test_decides_on_products(
        self, site: MirrorSite, select: list[Any], expected: set[str] | None
    ) -> None:
        publish = site.upstream.publish
        publish("alpine/3.23", "20260101")
        publish("alpine/3.23", "20260101", arch="arm64")
        publish("debian/13", "20260101")
        publish("debian/13/cloud", "20260101", types=BOTH)
        site.mirror(select=select)
        every = {"alpine:3.23:amd64", "alpine:3.23:arm64", "debian:13:cloud:amd64"}
        assert set(site.versions()) == (expected or every)

    def test_with_an_entry_that_nothing_fits_is_an_error(self, site: MirrorSite) -> None:
        site.upstream.publish("alpine/3.23", "20260101")
        message = site.fails(select=["alpine/*", {"os": "Alpin"}, "Alpine/*"])
        assert f"{site.url}:443 has no images for os=Alpin; alias=Alpine/*" in message

    def test_withdraws_what_fitted_earlier_with_a_warning(self, site: MirrorSite) -> None:
        site.upstream.publish("alpine/3.23", "20260101")
        site.upstream.publish("debian/13", "20260101")
        select = ["alpine/*", "debian/*"]
        site.mirror(select=select)
        del site.upstream.products["debian:13:amd64"]
        site.upstream.write()
        for _run in range(2):
            (warning,) = site.mirror(select=select)["warnings"]
            assert "has no more images for alias=debian/*" in str(warning)
        assert set(site.versions()) == {"alpine:3.23:amd64"}

    def test_is_replaced_by_that_of_the_next_task(self, site: MirrorSite) -> None:
        site.upstream.publish("alpine/3.23", "20260101")
        site.upstream.publish("debian/13", "20260101")
        site.mirror(select=["alpine/*"])
        outcome = site.mirror(select=["debian/*"])
        assert set(outcome.actions) == {
            "publish debian/13 (container, x86_64) 20260101",
            "withdraw alpine/3.23 (container, x86_64) 20260101",
        }


class TestVersions:
    def test_are_the_newest_and_those_of_the_last_days(self, site: MirrorSite) -> None:
        today = time.strftime("%Y%m%d", time.gmtime())
        for serial in ("20250101", "20250102", "20250103", f"{today}_01:00", f"{today}_02:00"):
            site.upstream.publish("alpine/3.23", serial)
        for options, number in (({"keep": 1}, 1), ({"keep": 3}, 3), ({"keep_days": 1}, 2)):
            site.mirror(**options)
            assert len(site.versions()["alpine:3.23:amd64"]) == number
        site.mirror(keep=1, keep_days=1)
        assert len(site.versions()["alpine:3.23:amd64"]) == 2

    def test_of_a_type_are_counted_by_themselves(self, site: MirrorSite) -> None:
        site.upstream.publish("debian/13", "20260101", types=BOTH)
        site.upstream.publish("debian/13", "20260102")
        site.mirror(keep=1)
        old, new = (
            site.products()["debian:13:amd64"]["versions"][s]["items"]
            for s in ("20260101", "20260102")
        )
        assert ("disk.qcow2" in old, "root.squashfs" in old) == (True, False)
        assert "root.squashfs" in new


def test_check_mode_tells_the_bytes_and_writes_nothing(site: MirrorSite) -> None:
    site.upstream.publish("alpine/3.23", "20260101")
    outcome = site.mirror(check=True)
    assert (outcome["would_transfer"], outcome["would_drop"]) == (1200, 0)
    assert not site.root.exists()
    site.mirror()
    site.upstream.publish("alpine/3.23", "20260102", size=2000)
    before = content(site.root)
    outcome = site.mirror(check=True, keep=1)
    assert (outcome["would_transfer"], outcome["would_drop"]) == (2200, 1200)
    assert outcome.actions == site.mirror(keep=1).actions
    assert content(site.root) != before


def test_more_than_the_maximum_size_is_refused_before_anything_is_fetched(site: MirrorSite) -> None:
    site.upstream.publish("alpine/3.23", "20260101")
    site.mirror(max_size="1200")
    site.upstream.publish("alpine/3.23", "20260102")
    site.asked()
    message = site.fails(keep=1, max_size="2399B")
    assert "would take 2.34 KiB, and max_size is" in message, (
        "files that remain for the grace count"
    )
    assert len(site.asked()) == 2
    site.mirror(keep=1, max_size="2.4KiB")


class TestOtherImagesOfTheTree:
    """Own images and those of other sources are left alone."""

    @pytest.fixture
    def own(self, site: MirrorSite) -> dict[str, Any]:
        """The options that publish an image of one's own."""
        src = str(small_image(site.folder, "own"))
        base = {name: site.params[name] for name in ("root", "base_url")}
        return {**base, "remote_src": True, "images": [{"name": "own", "src": src}]}

    def test_remain_and_leave_mirrored_ones_with_purge(
        self, site: MirrorSite, own: dict[str, Any]
    ) -> None:
        site.upstream.publish("alpine/3.23", "20260101")
        Modules().done("lxd_image_catalog", **own)
        site.mirror()
        assert not Modules().done("lxd_image_catalog", **own, purge=True)["changed"]
        assert set(site.versions()) == {"own:container:x86_64", "alpine:3.23:amd64"}
        page = (site.root / "index.html").read_text()
        assert "alpine/3.23" in page and "own" in page
        assert Modules().done("lxd_image_catalog", **{**own, "images": []}, purge=True)["changed"]
        assert set(site.versions()) == {"alpine:3.23:amd64"}
        assert site.faults() == []

    def test_with_the_same_name_are_an_error_that_names_both(
        self, site: MirrorSite, own: dict[str, Any]
    ) -> None:
        site.upstream.publish("own", "20260101")
        site.mirror()
        message = Modules().fails("lxd_image_catalog", **own)
        assert (
            f"own is wanted by both the images of this catalog and the mirror of {site.url}"
            in message
        )
        site.mirror(state="absent", select=None)
        Modules().done("lxd_image_catalog", **own)
        site.asked()
        assert "own is wanted by both" in site.fails()
        assert len(site.asked()) == 2

    def test_of_another_source_remain(
        self, site: MirrorSite, tmp_path: Path, authority: Authority
    ) -> None:
        (tmp_path / "other").mkdir()
        other = MirrorSite(tmp_path / "other", authority)
        with other.server:
            other.upstream.publish("debian/13", "20260101")
            site.upstream.publish("alpine/3.23", "20260101")
            site.mirror()
            other.mirror(root=str(site.root))
            assert set(site.versions()) == {"debian:13:amd64", "alpine:3.23:amd64"}
            other.upstream.publish("alpine/3.23", "20260101")
            message = site.fails(source_server=other.url)
            assert f"wanted by both the mirror of {min(site.url, other.url)}" in message
            other.server.stop()
            outcome = site.mirror(source_server=other.url, state="absent", select=None)
            assert outcome.actions == ["withdraw debian/13 (container, x86_64) 20260101"]
            assert set(site.versions()) == {"alpine:3.23:amd64"}
            other.server.start()


def test_nothing_is_withdrawn_from_a_tree_that_does_not_exist(site: MirrorSite) -> None:
    assert not site.mirror(state="absent", select=None)["changed"]
    assert not site.root.exists()


def test_an_address_has_one_mirror_however_it_is_written(site: MirrorSite) -> None:
    site.upstream.publish("alpine/3.23", "20260101")
    site.mirror()
    assert not site.mirror(source_server=f"{site.url.replace('https', 'HTTPS')}:443/")["changed"]
    assert len(json.loads((site.root / "catalog.json").read_text())["mirrors"]) == 1


def test_a_private_source_is_mirrored_with_its_credentials(
    site: MirrorSite, authority: Authority
) -> None:
    site.upstream.publish("alpine/3.23", "20260101")
    users = site.folder / "users"
    users.write_text("mirror:{PLAIN}of the source\n")
    settings = f"auth_basic private; auth_basic_user_file {users};"
    credentials = {"source_username": "mirror", "source_password": "of the source"}
    with WebServer(authority, site.upstream.root, settings) as private:
        site.params["source_server"] = private.url
        message = site.fails()
        assert "HTTP status 401" in message and "source_username and source_password" in message
        assert "HTTP status 401" in site.fails(**{**credentials, "source_password": "wrong"})
        outcome = site.mirror(**credentials)
    assert site.versions() == {"alpine:3.23:amd64": ["20260101"]}
    assert "of the source" not in json.dumps(outcome)
    assert "of the source" not in "".join(
        path.read_text(errors="replace") for path in site.root.rglob("*") if path.is_file()
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"select": []}, "select is empty"),
        ({"select": [24.04]}, "select[0] is neither an alias pattern nor a dictionary"),
        ({"select": [{"release": 3.2}]}, "release of select[0] is not a string"),
        ({"select": [{"alias": " "}]}, "alias is empty"),
        ({"select": [{"arch": "amd64"}]}, "select[0] has the unknown option arch"),
        ({"select": [{"architectures": []}]}, "architectures of select[0] is not a list"),
        ({"select": [{"architectures": ["pdp11"]}]}, "which LXD does not know"),
        ({"select": [{"image_types": ["vm"]}]}, "image_types of select[0] has 'vm'"),
        ({"keep": 0}, "keep is 0"),
        ({"keep_days": -1}, "keep_days is -1"),
        ({"max_size": "40GB"}, "max_size is '40GB'"),
        ({"parallel": 0}, "parallel is 0"),
        ({"parallel": 65}, "parallel is 65"),
        ({"retries": -1}, "retries is -1"),
        ({"source_remote": "images"}, "source_remote|source_server"),
        ({"source_server": None}, "no source is given"),
        ({"select": None}, "select is empty"),
        ({"state": "absent"}, "select cannot be used with state: absent"),
        (
            {"state": "absent", "select": None, "keep_days": 0},
            "keep_days cannot be used with state: absent",
        ),
        (
            {"state": "absent", "select": None, "max_size": "1GiB"},
            "max_size cannot be used with state: absent",
        ),
        ({"source_project": "x"}, "source_project cannot be used with an image server"),
        ({"header_map": "/nonexistent/map"}, "the directory /nonexistent does not exist"),
    ],
)
def test_an_invalid_option_is_named(site: MirrorSite, options: dict[str, Any], said: str) -> None:
    assert said in site.fails(**options)
    assert not os.path.exists(site.root)

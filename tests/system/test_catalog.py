# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Publishing images: what real clients find in the tree, and what each task does to it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import pytest
from publications import (
    AT,
    CatalogSite,
    answer,
    content,
    digest,
    files_of,
    find_faults,
    get,
    published_versions,
    small_image,
)

from lab import Image, Server, client_config
from runner import Modules

Build = Callable[..., Image]

once = pytest.mark.families("lxd")
"""For what no server takes part in: it need not be run for each family of them."""


class TestClients:
    """Clients get a published image with the fingerprint that it has when it is imported from its files."""

    @pytest.mark.parametrize("kind", ["tar.xz", "tar.zst", "squashfs", "split", "split-tar", "vm"])
    def test_copy_it_from_the_index(
        self,
        trusting: Server,
        by_system: Modules,
        catalog_site: CatalogSite,
        build: Build,
        kind: str,
    ) -> None:
        image = build(kind)
        catalog_site.publish({"name": "web/box", "aliases": ["box"], **files_of(image)})
        own = client_config(catalog_site.folder / "client", [trusting])
        own.run("remote", "add", "site", catalog_site.server.url, "--protocol=simplestreams")
        machine = ["--vm"] if image.type == "virtual-machine" else []
        own.run("image", "copy", "site:box", "trusting:", "--alias", "by-client", *machine)
        assert trusting.aliases() == {"by-client": image.fingerprint}
        source = {"source_server": catalog_site.server.url, "source_protocol": "simplestreams"}
        again = by_system.done("lxd_image_copy", image="web/box", image_type=image.type, **source)
        assert again["fingerprint"] == image.fingerprint
        assert trusting.images()[image.fingerprint]["type"] == image.type

    @pytest.mark.parametrize("kind", ["tar.gz", "squashfs", "vm-unified"])
    def test_import_it_by_url(
        self,
        trusting: Server,
        by_system: Modules,
        catalog_site: CatalogSite,
        build: Build,
        kind: str,
    ) -> None:
        image = build(kind)
        catalog_site.publish({"name": "web/box", "aliases": ["box"], **files_of(image)})
        catalog_site.server.reload()
        trusting.run(
            "image", "import", f"{catalog_site.server.url}{AT}web/box", "--alias", "by-client"
        )
        assert trusting.aliases() == {"by-client": image.fingerprint}
        assert trusting.images()[image.fingerprint]["type"] == image.type
        again = by_system.done("lxd_image_import", url=f"{catalog_site.server.url}{AT}box")
        assert again["fingerprint"] == image.fingerprint

    def test_find_the_image_for_their_architecture(
        self, trusting: Server, by_system: Modules, catalog_site: CatalogSite, build: Build
    ) -> None:
        here, there = build("tar.gz"), build("tar.gz", architecture="aarch64")
        catalog_site.publish(*({"name": "box", **files_of(image)} for image in (here, there)))
        catalog_site.server.reload()
        own = client_config(catalog_site.folder / "client", [trusting])
        own.run("remote", "add", "site", catalog_site.server.url, "--protocol=simplestreams")
        own.run("image", "copy", "site:box", "trusting:", "--alias", "here")
        own.run("image", "copy", "site:box/arm64", "trusting:", "--alias", "there")
        assert trusting.aliases() == {"here": here.fingerprint, "there": there.fingerprint}
        for family in ("LXD", "Incus"):
            for desired, image in (
                ("x86_64, i686", here),
                ("aarch64, armv8l, armv7l", there),
                ("riscv64, s390x, aarch64", there),
            ):
                headers = answer(catalog_site, "box", desired, family)
                assert headers[f"{family}-Image-Hash"] == image.fingerprint
                assert headers[f"{family}-Image-URL"].endswith(f"/files/{image.fingerprint}.tar.gz")
        assert answer(catalog_site, "box", "riscv64")["State"] == "other"
        assert (
            answer(catalog_site, "box", "x86_64|;x86_64=" + "0" * 64 + ".tar;")["State"] == "other"
        )
        assert answer(catalog_site, "box", "")["State"] == "person"
        assert answer(catalog_site, "bo", "x86_64")["State"] == "unknown"

    @once
    def test_are_told_that_a_split_image_has_no_url(
        self, catalog_site: CatalogSite, build: Build
    ) -> None:
        catalog_site.publish({"name": "box", **files_of(build("split"))})
        catalog_site.server.reload()
        headers = answer(catalog_site, "box", "x86_64, i686")
        assert headers["State"] == "split"
        assert "LXD-Image-Hash" not in headers

    def test_see_a_unified_virtual_machine_as_their_version_reads_it(
        self, trusting: Server, by_system: Modules, catalog_site: CatalogSite, build: Build
    ) -> None:
        """LXD does not see it, and Incus before 7.0.1 takes it for a container image."""
        image = build("vm-unified")
        catalog_site.publish({"name": "box", **files_of(image)})
        own = client_config(catalog_site.folder / "client", [trusting])
        own.run("remote", "add", "site", catalog_site.server.url, "--protocol=simplestreams")
        listed = own.run("image", "list", "site:", "--format=csv", "--columns=Ft").split()
        name = trusting.family.name
        seen_as = {"lxd": [], "incus6": ["CONTAINER"], "incus7": ["VIRTUAL-MACHINE"]}[name]
        assert listed == [f"{image.fingerprint},{one}" for one in seen_as]
        source = {"source_server": catalog_site.server.url, "source_protocol": "simplestreams"}
        desired = {"image": "box", "image_type": "virtual-machine", **source}
        if name == "lxd":
            msg = by_system.fails("lxd_image_copy", **desired)
            assert "has images for incus only, none for lxd" in msg
        else:
            copied = by_system.done("lxd_image_copy", **desired)
            assert copied.actions == ["relay" if name == "incus6" else "pull"]
            assert copied["fingerprint"] == image.fingerprint
            assert copied["image"]["type"] == "virtual-machine"
        if name == "incus6":
            trusting.run("image", "delete", image.fingerprint)
            assert "Use mode: relay" in by_system.fails("lxd_image_copy", mode="pull", **desired)
        (found,) = by_system.done("lxd_image_info", **source)["images"]
        assert (found["fingerprint"], found["type"]) == (image.fingerprint, "virtual-machine")

    @once
    def test_never_get_a_unified_virtual_machine_in_place_of_a_container(
        self, catalog_tree: CatalogSite, build: Build
    ) -> None:
        machine, container = build("vm-unified"), build("split")
        catalog_tree.publish({"name": "box", **files_of(machine)})
        (listed,) = json.loads((catalog_tree.root / "streams/v1/images.json").read_text())[
            "products"
        ].values()
        (version,) = listed["versions"].values()
        assert version["items"] == {
            "incus_combined.tar.gz": {
                "ftype": "incus_combined.tar.gz",
                "combined_type": "virtual-machine",
                "path": f"files/{machine.fingerprint}.tar.gz",
                "sha256": machine.fingerprint,
                "size": machine.size,
            }
        }
        catalog_tree.publish({"name": "box", **files_of(container)})
        text = (catalog_tree.root / "streams/v1/images.json").read_text()
        assert list(json.loads(text)["products"]) == ["box:container:x86_64"]

    @once
    def test_download_without_errors_while_fifty_versions_are_published(
        self, catalog_site: CatalogSite
    ) -> None:
        catalog_site.publish(catalog_site.small("box", "0", "20260101"))
        catalog_site.server.reload()
        stopped = False

        def follow_index() -> int:
            rounds = 0
            while not stopped:
                fetched = json.loads(get(catalog_site, "/streams/v1/index.json"))
                listed = json.loads(get(catalog_site, "/" + fetched["index"]["images"]["path"]))
                versions = listed["products"]["box:container:x86_64"]["versions"]
                item = versions[max(versions)]["items"]["lxd_combined.tar.gz"]
                assert sha256(get(catalog_site, "/" + item["path"])).hexdigest() == item["sha256"]
                rounds += 1
            return rounds

        def follow_url() -> int:
            rounds = 0
            while not stopped:
                headers = answer(catalog_site, "box", "x86_64, i686")
                path = headers["LXD-Image-URL"][len(catalog_site.server.url) :]
                assert sha256(get(catalog_site, path)).hexdigest() == headers["LXD-Image-Hash"]
                rounds += 1
            return rounds

        with ThreadPoolExecutor(20) as pool:
            clients = [
                pool.submit(follow) for follow in (follow_index, follow_url) for _ in range(10)
            ]
            try:
                for number in range(1, 51):
                    version = f"202602{number // 24 + 1:02d}_{number % 24:02d}00"
                    catalog_site.publish(catalog_site.small("box", str(number), version))
                    catalog_site.server.reload()
            finally:
                stopped = True
            assert all(client.result() for client in clients)
        assert find_faults(catalog_site.root) == []
        assert published_versions(catalog_site.root) == {
            "box/amd64": ["20260203_0200", "20260203_0100"]
        }


@once
class TestTask:
    def test_predicts_its_changes_and_makes_them_once(
        self, catalog_tree: CatalogSite, build: Build
    ) -> None:
        entries = [
            {"name": "box", **files_of(build("tar.xz"))},
            {"name": "disk", "requirements": {"secureboot": False}, **files_of(build("vm"))},
        ]
        before = content(catalog_tree.root)
        predicted = catalog_tree.publish(*entries, check=True)
        assert content(catalog_tree.root) == before
        first = catalog_tree.publish(*entries)
        again = catalog_tree.publish(*entries)
        assert predicted.actions == first.actions
        assert first.actions == [
            "publish box (container, x86_64) 20231114_2213",
            "publish disk (virtual-machine, x86_64) 20231114_2213",
        ]
        assert predicted["versions"] == first["versions"] == again["versions"]
        assert predicted["diff"] == first["diff"]
        assert list(first["diff"]["after"]) == [
            "box (container, x86_64)",
            "disk (virtual-machine, x86_64)",
        ]
        assert not again["changed"]
        assert again.actions == []
        assert find_faults(catalog_tree.root) == []

    def test_reads_omitted_attributes_from_the_image(
        self, catalog_tree: CatalogSite, build: Build
    ) -> None:
        properties = {"os": "BusyBox", "release": "1.35", "variant": "tiny"}
        catalog_tree.publish({"name": "box", **files_of(build("split", properties=properties))})
        listed = json.loads((catalog_tree.root / "streams/v1/images.json").read_text())
        product = listed["products"]["box:container:x86_64"]
        assert {name: product[name] for name in properties} == properties
        catalog_tree.publish(
            {"name": "box", "release": "2", **files_of(build("split", version="2"))},
            keep=1,
            images=[
                {
                    "name": "box",
                    "release": 2,
                    "version": "20250101",
                    **files_of(build("split", properties=properties)),
                }
            ],
        )
        listed = json.loads((catalog_tree.root / "streams/v1/images.json").read_text())
        assert listed["products"]["box:container:x86_64"]["release"] == "2"

    @pytest.mark.parametrize(
        ("properties", "published_as"),
        [
            ("{os: 012, release: 3.20, variant: on}", ("012", "3.20", "on")),
            ("{os: 1e3, release: 22.10, variant: 2024-02-30}", ("1e3", "22.10", "2024-02-30")),
            ("{os: , release: ~, variant: null}", ("box", None, None)),
        ],
    )
    def test_takes_the_properties_of_an_image_as_they_are_written(
        self, catalog_tree: CatalogSite, properties: str, published_as: tuple[str | None, ...]
    ) -> None:
        image = small_image(catalog_tree.folder, "a", properties=properties)
        catalog_tree.publish({"name": "box", "src": str(image), "version": "20260101"})
        listed = json.loads((catalog_tree.root / "streams/v1/images.json").read_text())
        product = listed["products"]["box:container:x86_64"]
        assert tuple(product.get(name) for name in ("os", "release", "variant")) == published_as

    def test_records_and_shows_the_description_of_an_image(self, catalog_tree: CatalogSite) -> None:
        description = "For web servers. " * 100  # of any length
        image = small_image(
            catalog_tree.folder, "a", properties=f"{{description: '{description}'}}"
        )
        catalog_tree.publish({"name": "box", "src": str(image), "version": "20260101"})
        (product,) = json.loads((catalog_tree.root / "catalog.json").read_text())["products"]
        assert product["description"] == description[:1000]
        assert "<p>For web servers." in (catalog_tree.root / "index.html").read_text()

    def test_accepts_a_version_of_twelve_digits_without_underscore(
        self, catalog_tree: CatalogSite
    ) -> None:
        catalog_tree.publish(catalog_tree.small("box", "a", 202611240730))
        assert published_versions(catalog_tree.root) == {"box/amd64": ["20261124_0730"]}

    def test_keeps_the_newest_versions_and_old_files_for_the_grace_period(
        self, catalog_tree: CatalogSite
    ) -> None:
        for number in (1, 2, 3):
            last = catalog_tree.publish(catalog_tree.small("box", str(number), f"2026010{number}"))
        assert last.actions == [
            "publish box (container, x86_64) 20260103",
            "withdraw box (container, x86_64) 20260101",
        ]
        assert published_versions(catalog_tree.root) == {"box/amd64": ["20260103", "20260102"]}
        assert len(list((catalog_tree.root / "files").iterdir())) == 3
        assert not catalog_tree.publish()["changed"]
        gone = digest(small_image(catalog_tree.folder, "1"))
        assert catalog_tree.publish(grace=0).actions == [f"remove file {gone[:12]}"]
        assert len(list((catalog_tree.root / "files").iterdir())) == 2

    def test_publishes_no_version_that_it_would_withdraw(self, catalog_tree: CatalogSite) -> None:
        three = [catalog_tree.small("box", str(number), f"2026010{number}") for number in (1, 2, 3)]
        catalog_tree.publish(*three)
        assert not catalog_tree.publish(*three)["changed"]
        assert published_versions(catalog_tree.root) == {"box/amd64": ["20260103", "20260102"]}

    def test_withdraws_a_version_or_a_name(self, catalog_tree: CatalogSite) -> None:
        catalog_tree.publish(
            catalog_tree.small("box", "1", "20260101"),
            catalog_tree.small("box", "2", "20260102"),
            catalog_tree.small("web", "3", "20260101"),
        )
        version = {"name": "box", "version": "20260102", "state": "absent"}
        assert catalog_tree.publish(version, check=True).actions == [
            "withdraw box (container, x86_64) 20260102"
        ]
        catalog_tree.publish(version)
        assert published_versions(catalog_tree.root) == {
            "box/amd64": ["20260101"],
            "web/amd64": ["20260101"],
        }
        assert not catalog_tree.publish(version)["changed"]
        catalog_tree.publish({"name": "box", "image_type": "virtual-machine", "state": "absent"})
        catalog_tree.publish({"name": "box", "architecture": "arm64", "state": "absent"})
        assert "box/amd64" in published_versions(catalog_tree.root)
        catalog_tree.publish({"name": "box", "state": "absent"})
        assert published_versions(catalog_tree.root) == {"web/amd64": ["20260101"]}

    def test_empties_a_catalog_only_with_purge(self, catalog_tree: CatalogSite) -> None:
        catalog_tree.publish(
            catalog_tree.small("box", "1", "20260101"), catalog_tree.small("web", "2", "20260101")
        )
        assert not catalog_tree.publish()["changed"]
        catalog_tree.publish(catalog_tree.small("web", "2", "20260101"), purge=True)
        assert published_versions(catalog_tree.root) == {"web/amd64": ["20260101"]}
        catalog_tree.publish(purge=True)
        assert published_versions(catalog_tree.root) == {}
        assert find_faults(catalog_tree.root) == []

    def test_leaves_omitted_aliases_unchanged(self, catalog_tree: CatalogSite) -> None:
        one = catalog_tree.small("box", "1", "20260101")
        catalog_tree.publish({**one, "aliases": ["b", "box/stable"]})
        assert not catalog_tree.publish(one)["changed"]
        assert catalog_tree.publish({**one, "aliases": []}).actions == [
            "update box (container, x86_64)"
        ]

    def test_replaces_a_damaged_file(self, catalog_tree: CatalogSite) -> None:
        one = catalog_tree.small("box", "1", "20260101")
        catalog_tree.publish(one)
        (file,) = (catalog_tree.root / "files").iterdir()
        good = file.read_bytes()
        file.write_bytes(b"x" + good[1:])
        assert not catalog_tree.publish(one)["changed"]  # the content is not read
        assert "are missing or damaged" in catalog_tree.fails(verify=True)
        assert catalog_tree.publish(one, verify=True).actions == [f"replace file {file.name[:12]}"]
        assert file.read_bytes() == good

    def test_detects_a_missing_file_without_reading_any(self, catalog_tree: CatalogSite) -> None:
        one = catalog_tree.small("box", "1", "20260101")
        catalog_tree.publish(one)
        (file,) = (catalog_tree.root / "files").iterdir()
        file.unlink()
        assert f"files/{file.name} of box (container, x86_64) 20260101" in catalog_tree.fails()
        assert catalog_tree.publish(one).actions == [f"replace file {file.name[:12]}"]
        file.unlink()
        catalog_tree.publish({"name": "box", "state": "absent"})
        assert published_versions(catalog_tree.root) == {}

    def test_rewrites_documents_for_another_base_url(self, catalog_tree: CatalogSite) -> None:
        catalog_tree.publish(catalog_tree.small("box", "1", "20260101"))
        moved = catalog_tree.publish(base_url="https://images.example.com/lxd/")
        assert moved.actions == [f"write {catalog_tree.map}", "write index.html"]
        assert "https://images.example.com/lxd/files/" in catalog_tree.map.read_text()

    def test_reads_a_file_again_after_it_has_changed(self, catalog_tree: CatalogSite) -> None:
        path = small_image(catalog_tree.folder, "a")
        one = {"name": "box", "src": str(path), "version": "20260101"}
        catalog_tree.publish(one)
        time.sleep(0.01)
        path.write_bytes(small_image(catalog_tree.folder, "b").read_bytes())
        message = catalog_tree.fails(one)
        fingerprints = (digest(path), digest(small_image(catalog_tree.folder, "a")))
        assert all(fingerprint in message for fingerprint in fingerprints)
        assert "is already published with other content" in message

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The life of a mirror: an image server of forty images is mirrored by selection, and again whenever it changes.

The fixture lives it, and keeps what there was to see after each run.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mirrors import ROOT_NAMES, MirrorSite, Upstream
from publications import content

from lab import Authority, Server, WebServer, client_config
from runner import Modules, Outcome

pytestmark = pytest.mark.families("lxd")  # it uses servers and clients of all families

BOTH = ("container", "virtual-machine")
ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}
NAMES = [
    *(f"alpine/3.{number}" for number in range(20, 24)),
    *(f"debian/{number}" for number in range(11, 14)),
    *("ubuntu/24.04", "ubuntu/26.04", "ubuntu/26.04/cloud"),
]
SELECT = [
    "alpine/*",
    {"os": "Debian", "architectures": ["arm64"], "image_types": ["virtual-machine"]},
    "ubuntu/26.04/cloud/amd64",
]
DOCUMENTS = ["/streams/v1/index.json", "/streams/v1/images.json"]
OLD, NEW = "20260101_13:00", "20260102_13:00"


class SmallImages(Upstream):
    """Images of a few hundred bytes that servers accept: their metadata is read, their root file systems are not."""

    def add(self, path: str, seed: str, size: int) -> dict[str, Any]:
        if not path.endswith(".tar.xz"):
            return super().add(path, seed, size)
        architecture = next(known for name, known in ARCHITECTURES.items() if f"/{name}/" in path)
        metadata = {"architecture": architecture, "creation_date": 1, "properties": {"is": seed}}
        text = json.dumps(metadata).encode()
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(target, "w:xz") as archive:
            member = tarfile.TarInfo("metadata.yaml")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
        return {"path": path, "sha256": self.combined(path), "size": target.stat().st_size}


def is_selected(described: dict[str, Any], kind: str | None = None) -> bool:
    """Whether the selection has images (of this type) of what a product or its properties describe.

    It is said in another way than by the collection.
    """
    system, arch = described["os"], described.get("arch") or described["architecture"]
    return (
        system == "Alpine"
        or (system == "Debian" and arch == "arm64" and kind != "container")
        or (described["variant"], arch) == ("cloud", "amd64")
    )


@dataclass(frozen=True)
class Run:
    """What there was to see after a run of the task: its result, the paths that it requested, and the tree."""

    outcome: Outcome
    asked: list[str]
    statuses: list[int]
    products: dict[str, Any]
    tree: dict[str, str]
    faults: list[str]

    @property
    def files(self) -> set[str]:
        """The files of images."""
        return {path for path in self.tree if path.startswith("files/")}


@dataclass
class Life:
    """The mirror, and its runs in order."""

    site: MirrorSite
    mirror: WebServer
    first: Run
    unchanged: Run
    published: Run
    withdrawn: Run
    after_grace: Run


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Life]:
    site = MirrorSite(tmp_path_factory.mktemp("story"), authority, SmallImages)
    for name in NAMES:
        for arch in ARCHITECTURES:
            site.upstream.publish(name, OLD, arch, types=BOTH)
    assert sum(len(BOTH) for _product in site.upstream.products) == 40

    def run(**options: Any) -> Run:
        outcome = site.mirror(select=SELECT, **options)
        asked = site.asked()
        tree = content(site.root)
        statuses = site.server.statuses[-len(asked) :]
        return Run(outcome, asked, statuses, site.products(), tree, site.faults())

    with site.server:
        runs = [run(), run()]
        site.upstream.publish("alpine/3.23", NEW, types=BOTH)
        # This one is not selected.
        site.upstream.publish("ubuntu/24.04", NEW, types=BOTH)
        runs.append(run())
        site.upstream.withdraw("alpine/3.23", OLD)
        runs += [run(), run(grace=0)]
        with WebServer(authority, site.root) as mirror:
            yield Life(site, mirror, *runs)


def test_the_selected_products_are_listed_as_upstream_lists_them_without_deltas(life: Life) -> None:
    upstream = life.site.upstream.products
    selected = {name for name, product in upstream.items() if is_selected(product)}
    assert set(life.first.products) == selected
    assert len(selected) == 12
    for name in selected:
        product, expected = life.first.products[name], dict(upstream[name])
        versions = expected.pop("versions")
        listed = {key: value for key, value in product.items() if key != "versions"}
        assert listed == expected
        if name == "alpine:3.23:amd64":
            continue  # it has changed since
        (version,) = product["versions"].values()
        roots = [ROOT_NAMES[kind] for kind in BOTH if "debian" not in name or kind != "container"]
        assert set(version["items"]) == {"lxd.tar.xz", "incus.tar.xz", *roots}
        for key, item in version["items"].items():
            ending = item["path"].partition(".")[2]
            theirs = versions[OLD]["items"][key]
            assert item == {**theirs, "path": f"files/{theirs['sha256']}.{ending}"}


def test_each_family_keeps_its_own_fingerprints(life: Life) -> None:
    items = life.site.upstream.products["alpine:3.20:amd64"]["versions"][OLD]["items"]
    expected = {
        (kind, items[f"{family}.tar.xz"][f"combined_{field}_sha256"])
        for family in ("lxd", "incus")
        for kind, field in (("container", "squashfs"), ("virtual-machine", "disk-kvm-img"))
    }
    versions = [one for one in life.first.outcome["versions"] if one["name"] == "alpine/3.20"]
    found = {
        (one["image_type"], one["fingerprint"])
        for one in versions
        if one["architecture"] == "x86_64"
    }
    assert found == expected
    assert len(expected) == 4


def test_a_run_without_changes_requests_each_document_once(life: Life) -> None:
    again = life.unchanged
    assert not again.outcome["changed"]
    assert again.asked == DOCUMENTS
    assert again.statuses == [304, 304]
    assert again.tree == life.first.tree


def test_only_a_new_version_of_what_is_selected_is_fetched(life: Life) -> None:
    published = life.published
    assert published.outcome.actions == [
        f"publish alpine/3.23 ({kind}, x86_64) {NEW}" for kind in BOTH
    ]
    assert published.asked[:2] == DOCUMENTS
    names = ("disk.qcow2", "incus.tar.xz", "lxd.tar.xz", "root.squashfs")
    fetched = [f"/images/alpine/3.23/amd64/{NEW}/{name}" for name in names]
    assert sorted(published.asked[2:]) == fetched
    sizes = ((life.site.upstream.root / path[1:]).stat().st_size for path in fetched)
    assert published.outcome["transferred"] == sum(sizes)
    assert set(published.products["alpine:3.23:amd64"]["versions"]) == {OLD, NEW}


def test_a_withdrawn_version_leaves_the_index_and_its_files_after_the_grace(life: Life) -> None:
    assert life.withdrawn.outcome.actions == [
        f"withdraw alpine/3.23 ({kind}, x86_64) {OLD}" for kind in BOTH
    ]
    assert life.withdrawn.asked == DOCUMENTS
    assert set(life.withdrawn.products["alpine:3.23:amd64"]["versions"]) == {NEW}
    assert life.withdrawn.files == life.published.files
    left = life.withdrawn.files - life.after_grace.files
    assert len(left) == 4
    assert life.after_grace.outcome.actions == [
        f"remove file {name[:12]}" for name in sorted(Path(path).name for path in left)
    ]
    assert life.after_grace.products == life.withdrawn.products


def test_the_tree_is_valid_after_each_run(life: Life) -> None:
    runs = (life.first, life.unchanged, life.published, life.withdrawn, life.after_grace)
    assert [run.faults for run in runs] == [[]] * 5


def seen(images: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """What a client says of the images of a selection, by fingerprint and type."""
    return {
        (image["fingerprint"], image["type"]): {
            name: value for name, value in image.items() if name != "filename"
        }
        for image in images
        if is_selected(image["properties"], image["type"])
    }


def test_our_modules_see_what_upstream_has(life: Life, authority: Authority) -> None:
    modules = Modules(server="unix:///nowhere", source_protocol="simplestreams")
    ours, theirs = (
        modules.done("lxd_image_info", source_server=url, source_cert=str(authority.certificate))[
            "images"
        ]
        for url in (life.mirror.url, life.site.url)
    )
    assert seen(ours) == seen(theirs)
    assert len(seen(ours)) == len(ours) == 21


@pytest.mark.parametrize("family", ["lxd", "incus6", "incus7"])
def test_clients_of_all_families_see_what_upstream_has_and_get_it(
    life: Life,
    authority: Authority,
    family: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    with Server("client", family=family, ca_file=authority.certificate) as server:
        client = client_config(tmp_path, [server])
        lists = []
        for name, url in (("mirror", life.mirror.url), ("upstream", life.site.url)):
            client.run("remote", "add", name, url, "--protocol=simplestreams")
            lists.append(json.loads(client.run("image", "list", f"{name}:", "--format=json")))
        ours, theirs = map(seen, lists)
        assert ours == theirs
        assert len(ours) == len(lists[0]) == 21
        client.run("image", "copy", "mirror:alpine/3.23/default", "client:", "--alias=container")
        client.run("image", "copy", "mirror:ubuntu/26.04/cloud", "client:", "--vm", "--alias=vm")
        own = "lxd" if family == "lxd" else "incus"
        versions = {
            name: life.site.upstream.products[f"{name.replace('/', ':')}:amd64"]["versions"]
            for name in ("alpine/3.23", "ubuntu/26.04/cloud")
        }
        assert server.aliases() == {
            "container": versions["alpine/3.23"][NEW]["items"][f"{own}.tar.xz"][
                "combined_squashfs_sha256"
            ],
            "vm": versions["ubuntu/26.04/cloud"][OLD]["items"][f"{own}.tar.xz"][
                "combined_disk-kvm-img_sha256"
            ],
        }

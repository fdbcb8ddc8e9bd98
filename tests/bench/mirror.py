# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``lxd_image_mirror``: downloads compared with curl, unchanged mirrors, and a large index."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lab import Authority, WebServer
from lab.packages import install

from .measure import Cost, Unexpected, by_turns
from .setting import MIB, Row, Setting

IMAGES = 100
SIZE = 8 * MIB
MANY = 1000
LARGE = 20_000
PARALLEL = 4
VERSIONS = 4


def download(setting: Setting) -> Iterator[Row]:
    """A hundred images of 8 MiB over https, compared with curl and sha256sum."""
    install(("curl",))
    yield from _downloads(setting, "download of 100 unified images", _unified, 1.0)
    # Their files are read twice: for their own digests and for the fingerprint of both.
    yield from _downloads(setting, "download of 100 split images", _split, None)


def _downloads(
    setting: Setting, what: str, product: Callable[[Path, int, int], Any], limit: float | None
) -> Iterator[Row]:
    root = setting.folder / product.__name__
    _write(root, {f"box:{n:03d}:amd64": product(root, n, SIZE) for n in range(IMAGES)})
    authority = Authority(setting.folder / f"authority{product.__name__}")
    with WebServer(authority, root) as web:
        paths = sorted(str(p.relative_to(root)) for p in (root / "files").iterdir())

        def ours() -> list[Cost]:
            tree = setting.folder / "mirror"
            shutil.rmtree(tree, ignore_errors=True)
            return [setting.modules.run("lxd_image_mirror", **_options(web, authority, tree))]

        def theirs() -> list[Cost]:
            folder = setting.folder / "curl"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            return [_curl(web, authority, folder, paths)]

        taken = by_turns(setting.rounds, ours=ours, theirs=theirs)
    (mine,), (curl,) = taken["ours"], taken["theirs"]
    remark = f"{mine.seconds:.2f} s, curl and sha256sum {curl.seconds:.2f} s"
    yield Row(what, mine.seconds / curl.seconds, limit, "of curl", remark)
    yield Row("its memory", mine.memory / MIB, 150, "MiB")


def unchanged(setting: Setting) -> Iterator[Row]:
    """A mirror of a thousand images whose source has not changed."""
    what = f"unchanged mirror of {MANY} images"
    yield from _again(setting, what, lambda root: _split(root, 0, 1000), 3 * MANY, "*", 1000)


def large(setting: Setting) -> Iterator[Row]:
    """An index of twenty thousand items, with what those of public servers say of each, mirrored in part and whole."""
    for what, pattern in (("a tenth of", "box/1?[0-4]*"), ("all of", "*")):
        yield from _again(setting, f"unchanged, {what} 20,000 items", _public, LARGE, pattern, None)


def _again(
    setting: Setting,
    what: str,
    product: Callable[[Path], Any],
    items: int,
    pattern: str,
    limit: float | None,
) -> Iterator[Row]:
    """A mirror of images that share their files, and its second run."""
    folder = Path(tempfile.mkdtemp(dir=setting.folder))
    first = product(folder / "upstream")
    number = -(-items // sum(len(version["items"]) for version in first["versions"].values()))
    products = {f"box:{n:05d}:amd64": {**first, "aliases": f"box/{n}"} for n in range(number)}
    _write(folder / "upstream", products)
    authority = Authority(folder / "authority")
    with WebServer(authority, folder / "upstream") as web:
        options = _options(web, authority, folder / "mirror")
        options["select"] = [pattern]
        options["keep"] = VERSIONS
        made = setting.modules.run("lxd_image_mirror", **options)

        def again() -> list[Cost]:
            cost = setting.modules.run("lxd_image_mirror", **options)
            if cost.outcome["changed"]:
                raise Unexpected(f"the mirror has changed: {cost.outcome['actions'][:3]}")
            return [cost]

        (cost,) = by_turns(setting.rounds, again=again)["again"]
    size = (folder / "upstream/streams/v1/images.json").stat().st_size
    yield Row(what, 1000 * cost.seconds, limit, "ms", f"{number} products in {size / MIB:.1f} MiB")
    yield Row("its memory", max(made.memory, cost.memory) / MIB, 150, "MiB")


def _public(root: Path) -> dict[str, Any]:
    """Write the files of a container and a virtual machine; the entry of a product with versions of both."""
    parts = {
        ftype: _item(root, os.urandom(1000), ending)
        for ftype, ending in (("squashfs", "squashfs"), ("disk-kvm.img", "qcow2"))
    }
    items: dict[str, Any] = {
        **{f"root.{ftype}": {"ftype": ftype, **item} for ftype, item in parts.items()},
        **{
            f"{ftype}.{n}": {
                "ftype": f"{ftype}.vcdiff",
                "delta_base": f"202601{n:02d}_13:00",
                **item,
            }
            for n, (ftype, item) in enumerate(2 * list(parts.items()))
        },
    }
    for name in ("lxd.tar.xz", "incus.tar.xz"):
        metadata = os.urandom(500)
        items[name] = {"ftype": name, **_item(root, metadata, "tar.xz")}
        for ftype, item in parts.items():
            combined = hashlib.sha256(metadata + (root / item["path"]).read_bytes()).hexdigest()
            items[name][f"combined_{ftype.replace('.', '-')}_sha256"] = combined
        items[name]["combined_rootxz_sha256"] = items[name]["combined_sha256"] = "0" * 64
    for item in items.values():
        item["md5"] = "0" * 32
    product = _product(0, items)
    facts = {"release_codename": "Box", "support_eol": "2031-04-01", "supported": True}
    (version,) = product["versions"].values()
    version.update(label="release", pubname="box-0-amd64-server")
    serials = (f"202601{day:02d}_13:00" for day in range(1, VERSIONS + 1))
    return {**product, **facts, "versions": dict.fromkeys(serials, version)}


def _unified(root: Path, number: int, size: int) -> dict[str, Any]:
    """Write the file of a unified image; its entry in a product list."""
    item = _item(root, os.urandom(size), "tar.gz")
    names = ("lxd_combined.tar.gz", "incus_combined.tar.gz")
    return _product(number, {name: {"ftype": name, **item} for name in names})


def _split(root: Path, number: int, size: int) -> dict[str, Any]:
    """Write the files of a split image; its entry in a product list."""
    metadata, rootfs = os.urandom(1000), os.urandom(size)
    combined = hashlib.sha256(metadata + rootfs).hexdigest()
    head = {**_item(root, metadata, "tar.xz"), "combined_squashfs_sha256": combined}
    items = {name: {"ftype": name, **head} for name in ("lxd.tar.xz", "incus.tar.xz")}
    items["squashfs"] = {"ftype": "squashfs", **_item(root, rootfs, "squashfs")}
    return _product(number, items)


def _product(number: int, items: dict[str, Any]) -> dict[str, Any]:
    return {
        "aliases": f"box/{number}",
        "arch": "amd64",
        "os": "Box",
        "release": str(number),
        "release_title": str(number),
        "versions": {"20260101_13:00": {"items": items}},
    }


def _item(root: Path, content: bytes, ending: str) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    path = root / "files" / f"{digest}.{ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return {"path": f"files/{path.name}", "sha256": digest, "size": len(content)}


def _write(root: Path, products: dict[str, Any]) -> None:
    streams = root / "streams/v1"
    streams.mkdir(parents=True)
    entry = {
        "datatype": "image-downloads",
        "path": "streams/v1/images.json",
        "products": list(products),
    }
    (streams / "images.json").write_text(json.dumps({"products": products}))
    (streams / "index.json").write_text(json.dumps({"index": {"images": entry}}))


def _options(web: WebServer, authority: Authority, tree: Path) -> dict[str, Any]:
    return {
        "root": str(tree),
        "base_url": "https://images.example.com",
        "source_server": web.url,
        "source_protocol": "simplestreams",
        "source_cert": str(authority.certificate),
        "select": ["*"],
        "parallel": PARALLEL,
        "timeout": 600,
    }


def _curl(web: WebServer, authority: Authority, folder: Path, paths: list[str]) -> Cost:
    """Download files with curl, and compute their digests."""
    config = folder / "config"
    config.write_text(
        "".join(f'url = "{web.url}/{path}"\noutput = "{Path(path).name}"\n' for path in paths)
    )
    command = [
        *(
            "curl",
            "--silent",
            "--no-progress-meter",
            "--fail",
            "--cacert",
            str(authority.certificate),
        ),
        *("--parallel", "--parallel-max", str(PARALLEL), "--config", str(config)),
    ]
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True)
    names = [Path(path).name for path in paths]
    subprocess.run(["sha256sum", *names], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return Cost(time.perf_counter() - started)

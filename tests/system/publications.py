# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small images to publish, and a look at a published tree that knows nothing of how it was made."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def small_image(folder: Path, content: str, architecture: str = "x86_64") -> Path:
    """The smallest unified image of a container; another ``content`` makes it another."""
    metadata = f"architecture: {architecture}\ncreation_date: 1700000000\n"
    path = folder / f"{content}-{architecture}.tar"
    with tarfile.open(path, "w") as tar:
        for name, text in (("metadata.yaml", metadata), ("rootfs/etc/version", content * 1000)):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def items(root: Path) -> Iterator[dict[str, Any]]:
    """All items that the index of a tree leads to."""
    index = json.loads((root / "streams/v1/index.json").read_text())
    for entry in index["index"].values():
        products = json.loads((root / entry["path"]).read_text())["products"]
        for product in products.values():
            for version in product["versions"].values():
                yield from version["items"].values()


def faults(root: Path) -> list[str]:
    """What is wrong with a tree: files that are not there, or not what the index says of them."""
    found: list[str] = []
    for item in items(root):
        path = root / item["path"]
        if not path.exists():
            found.append(f"{item['path']} is missing")
        elif path.stat().st_size != item["size"] or digest(path) != item["sha256"]:
            found.append(f"{item['path']} is not what it has to be")
    found += [
        f"{path.name} is not what its name says"
        for path in (root / "files").iterdir()
        if digest(path) != path.name.partition(".")[0]
    ]
    json.loads((root / "catalog.json").read_text())
    if not (root / "index.html").read_text().rstrip().endswith("</html>"):
        found.append("the page has no end")
    return found


def published(root: Path) -> dict[str, list[str]]:
    """The versions that a tree offers by its index, by name and architecture, the newest first."""
    index = json.loads((root / "streams/v1/images.json").read_text())
    return {
        f"{product['aliases'].partition(',')[0]}/{product['arch']}": sorted(
            product["versions"], reverse=True
        )
        for product in index["products"].values()
    }

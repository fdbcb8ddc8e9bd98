# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small images to publish, a site to publish them on, and a look at its tree that knows nothing of how it was made."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab import Authority, Image, WebServer
from runner import Modules, Outcome


def small_image(
    folder: Path,
    content: str,
    architecture: str = "x86_64",
    created: str = "1700000000",
    properties: str = "{}",
) -> Path:
    """A minimal unified container image. Different ``content`` makes a different image.

    The other arguments are the YAML of its metadata.
    """
    metadata = f"architecture: {architecture}\ncreation_date: {created}\nproperties: {properties}\n"
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
    """All items that the index of a tree lists."""
    index = json.loads((root / "streams/v1/index.json").read_text())
    for entry in index["index"].values():
        products = json.loads((root / entry["path"]).read_text())["products"]
        for product in products.values():
            for version in product["versions"].values():
                yield from version["items"].values()


def find_faults(root: Path) -> list[str]:
    """Problems of a tree: files that are missing or do not match the index."""
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


def published_versions(root: Path) -> dict[str, list[str]]:
    """The versions in the index of a tree by name and architecture, newest first."""
    index = json.loads((root / "streams/v1/images.json").read_text())
    return {
        f"{product['aliases'].partition(',')[0]}/{product['arch']}": sorted(
            product["versions"], reverse=True
        )
        for product in index["products"].values()
    }


AT = "/images/"
ANSWER = f"""
location {AT} {{
    add_header LXD-Image-Hash $lxd_image_hash always;
    add_header LXD-Image-URL $lxd_image_url always;
    add_header Incus-Image-Hash $lxd_image_hash always;
    add_header Incus-Image-URL $lxd_image_url always;
    add_header State $lxd_image_state always;
    return 200;
}}
"""


class CatalogSite:
    """A web server with a tree that the module publishes, and with its header map."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder = folder
        self.root = folder / "www"
        self.map = folder / "map"
        folder.chmod(0o755)
        self.root.mkdir()
        self.server = WebServer(authority, self.root, ANSWER, f"include {self.map};")
        self.params = {
            "root": str(self.root),
            "base_url": self.server.url,
            "header_map": str(self.map),
            "remote_src": True,
        }
        self.publish()

    def publish(self, *images: dict[str, Any], check: bool = False, **params: Any) -> Outcome:
        desired = {**self.params, "images": list(images), **params}
        return Modules().done("lxd_image_catalog", check, **desired)

    def fails(self, *images: dict[str, Any], **params: Any) -> str:
        """The message of a publication that must fail and leave the tree unchanged."""
        before = content(self.root)
        message = Modules().fails(
            "lxd_image_catalog", **{**self.params, "images": list(images), **params}
        )
        assert content(self.root) == before
        return message

    def small(self, name: str, text: str, version: str, **more: Any) -> dict[str, Any]:
        """An image to publish."""
        return {
            "name": name,
            "src": str(small_image(self.folder, text)),
            "version": version,
            **more,
        }


def content(root: Path) -> dict[str, str]:
    """All files of a tree except those private to the publisher."""
    return {
        str(path.relative_to(root)): digest(path)
        for path in root.rglob("*")
        if path.is_file() and ".catalog" not in path.parts
    }


def files_of(image: Image) -> dict[str, str]:
    """The options with the files of an image."""
    keys = ("src",) if image.rootfs is None else ("metadata", "rootfs")
    return dict(zip(keys, map(str, image.paths), strict=True))


def ask(
    site: CatalogSite, method: str, path: str, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the web server's response, over a new connection."""
    line = http.client.HTTPConnection(site.server.host, timeout=120)
    line.request(method, path, headers=headers)
    response = line.getresponse()
    body = response.read()
    line.close()
    return response.status, dict(response.headers), body


def answer(site: CatalogSite, name: str, architectures: str, family: str = "LXD") -> dict[str, str]:
    """The response headers for a server that requests an image."""
    desired = {f"{family}-Server-Architectures": architectures}
    return ask(site, "HEAD", f"{AT}{name}", **desired)[1]


def get(site: CatalogSite, path: str) -> bytes:
    """Download a file that must exist."""
    status, _headers, body = ask(site, "GET", path)
    assert status == 200, f"{path}: {status}"
    return body

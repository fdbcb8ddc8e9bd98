# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An image server to mirror, and a tree with its mirror."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from publications import content, find_faults

from lab import Authority, WebServer
from runner import Modules, Outcome

ROOT_TYPES = {"container": "squashfs", "virtual-machine": "disk-kvm.img"}
ROOT_NAMES = {"container": "root.squashfs", "virtual-machine": "disk.qcow2"}


class Upstream:
    """The document root of an image server, written without code of the collection."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.products: dict[str, Any] = {}
        root.mkdir()

    def publish(
        self,
        name: str,
        serial: str,
        arch: str = "amd64",
        types: Sequence[str] = ("container",),
        size: int = 1000,
        families: Sequence[str] = ("lxd", "incus"),
        **fields: Any,
    ) -> dict[str, Any]:
        """Publish a version, whose files have a content of their own; its entry."""
        release, _slash, variant = name.partition("/")[2].partition("/")
        product = self.products.setdefault(
            f"{name.replace('/', ':')}:{arch}",
            {
                "aliases": f"{name},{name}/default",
                "arch": arch,
                "os": name.partition("/")[0].capitalize(),
                "release": release,
                "release_title": f"{release} LTS",
                "variant": variant or "default",
                "support_eol": "2031-02-03",
                "requirements": {"secureboot": "false"},
                "versions": {},
                **fields,
            },
        )
        folder = f"images/{name}/{arch}/{serial}"
        items: dict[str, Any] = {}
        roots = {
            kind: self.add(f"{folder}/{ROOT_NAMES[kind]}", f"{folder}{kind}", size)
            for kind in types
        }
        for family in families:
            # The families have metadata of their own, and so fingerprints of their own.
            path = f"{folder}/{family}.tar.xz"
            metadata = {"ftype": f"{family}.tar.xz", **self.add(path, path, 100)}
            for kind, root in roots.items():
                field = f"combined_{ROOT_TYPES[kind].replace('.', '-')}_sha256"
                metadata[field] = self.combined(path, root["path"])
            items[f"{family}.tar.xz"] = metadata
        for kind, root in roots.items():
            items[ROOT_NAMES[kind]] = {"ftype": ROOT_TYPES[kind], **root}
        delta = {"ftype": f"{ROOT_TYPES[types[0]]}.vcdiff", "delta_base": "20200101"}
        items["delta"] = {**delta, **self.add(f"{folder}/delta.vcdiff", "delta", 10)}
        version = product["versions"][serial] = {"label": "release", "items": items}
        self.write()
        return version

    def withdraw(self, name: str, serial: str, arch: str = "amd64") -> None:
        """Withdraw a version, with its files."""
        del self.products[f"{name.replace('/', ':')}:{arch}"]["versions"][serial]
        shutil.rmtree(self.root / f"images/{name}/{arch}/{serial}")
        self.write()

    def add(self, path: str, seed: str, size: int) -> dict[str, Any]:
        """Write a file with content that depends on the seed; what an item says of it."""
        block = hashlib.sha512(seed.encode()).digest()
        data = (block * (size // len(block) + 1))[:size]
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return {"path": path, "sha256": hashlib.sha256(data).hexdigest(), "size": size}

    def combined(self, *paths: str) -> str:
        """The fingerprint of the image that these files make."""
        digest = hashlib.sha256()
        for path in paths:
            digest.update((self.root / path).read_bytes())
        return digest.hexdigest()

    def write(self) -> None:
        """Write the documents."""
        streams = self.root / "streams/v1"
        streams.mkdir(parents=True, exist_ok=True)
        entry = {
            "datatype": "image-downloads",
            "path": "streams/v1/images.json",
            "format": "products:1.0",
            "products": list(self.products),
        }
        for name, document in (
            ("images.json", {"format": "products:1.0", "products": self.products}),
            ("index.json", {"format": "index:1.0", "index": {"images": entry}}),
        ):
            temporary = streams / f".{name}"
            temporary.write_text(json.dumps(document))
            temporary.rename(streams / name)


class MirrorSite:
    """A web server with images, and a tree that mirrors them."""

    def __init__(
        self, folder: Path, authority: Authority, upstream: type[Upstream] = Upstream
    ) -> None:
        folder.chmod(0o755)
        self.folder = folder
        self.root = folder / "mirror"
        self.upstream = upstream(folder / "upstream")
        self.server = WebServer(authority, self.upstream.root)
        self.url = self.server.url
        self.params: dict[str, Any] = {
            "root": str(self.root),
            "base_url": "https://mirror.example.com",
            "source_server": self.url,
            "source_protocol": "simplestreams",
            "source_cert": str(authority.certificate),
            "select": ["*"],
        }

    def mirror(self, check: bool = False, **options: Any) -> Outcome:
        return Modules().done("lxd_image_mirror", check, **{**self.params, **options})

    def fails(self, **options: Any) -> str:
        """The message of a mirror that has to fail and leave the tree as it was."""
        before = content(self.root) if self.root.exists() else {}
        message = Modules().fails("lxd_image_mirror", **{**self.params, **options})
        assert (content(self.root) if self.root.exists() else {}) == before
        return message

    def asked(self) -> list[str]:
        """The paths that were requested since the last call, in order."""
        requests = [request.path for request in self.server.requests]
        self._seen, seen = len(requests), getattr(self, "_seen", 0)
        return requests[seen:]

    def products(self) -> dict[str, Any]:
        """The products that the tree lists."""
        document = json.loads((self.root / "streams/v1/images.json").read_text())
        products: dict[str, Any] = document["products"]
        return products

    def versions(self) -> dict[str, list[str]]:
        """The versions in the index of the tree, newest first, by the product's name."""
        return {
            name: sorted(product["versions"], reverse=True)
            for name, product in self.products().items()
        }

    def faults(self) -> list[str]:
        return find_faults(self.root)


@contextmanager
def clients(url: str, authority: Authority, number: int) -> Iterator[list[str]]:
    """Clients that read the index of an image server and get all files of the newest versions, again and again.

    In the end, the list has what they did not get whole.
    """
    stop = threading.Event()
    found: list[str] = []
    rounds: list[int] = []

    def use() -> None:
        session = requests.Session()
        session.trust_env = False
        session.verify = str(authority.certificate)
        while not stop.is_set():
            products = session.get(f"{url}/streams/v1/images.json").json()["products"]
            for product in products.values():
                newest = max(product["versions"])
                for item in product["versions"][newest]["items"].values():
                    answer = session.get(f"{url}/{item['path']}")
                    if answer.status_code != 200 or len(answer.content) != item["size"]:
                        found.append(f"{item['path']}: {answer.status_code}")
            rounds.append(1)

    threads = [threading.Thread(target=use) for _client in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert len(rounds) >= number

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A simplestreams tree, written without code of the collection, which is to read it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import Image

_FTYPES = {"container": "squashfs", "virtual-machine": "disk-kvm.img"}


@dataclass
class Tree:
    """A document root. ``age`` is the apparent age of its documents in seconds."""

    root: Path
    age: float = 7200
    products: dict[str, Any] = field(default_factory=dict)

    def publish(
        self,
        image: Image,
        aliases: str,
        serial: str = "20240101_0000",
        arch: str = "amd64",
        families: Sequence[str] = ("lxd", "incus"),
        **product: str,
    ) -> None:
        """Add a version of an image, which is split or unified for a container and split for a virtual machine.

        It is listed for these ``families``.
        """
        files = [self._add_file(path) for path in image.paths]
        if len(files) == 1:
            items = {f"{family}_combined.tar.gz": files[0] for family in families}
        else:
            ftype = _FTYPES[image.type]
            combined = f"combined_{ftype.replace('.', '-')}_sha256"
            metadata = {**files[0], combined: image.fingerprint}
            items = {f"{family}.tar.xz": metadata for family in families} | {ftype: files[1]}
        name = f"busybox:{aliases}:{arch}"
        entry = self.products.setdefault(
            name,
            {
                "aliases": aliases,
                "arch": arch,
                "os": "BusyBox",
                "release": "static",
                "release_title": "Static",
                "support_eol": "2031-02-03",
                "versions": {},
                **product,
            },
        )
        version = entry["versions"].setdefault(serial, {"items": {}})
        version["items"].update({ftype: {"ftype": ftype, **item} for ftype, item in items.items()})
        self.write()

    def write(self) -> None:
        """Write the documents."""
        streams = self.root / "streams/v1"
        streams.mkdir(parents=True, exist_ok=True)
        index = {
            "images": {
                "datatype": "image-downloads",
                "path": "streams/v1/images.json",
                "format": "products:1.0",
                "products": list(self.products),
            }
        }
        for name, content in (
            ("images.json", {"format": "products:1.0", "products": self.products}),
            ("index.json", {"format": "index:1.0", "index": index}),
        ):
            (streams / name).write_text(json.dumps(content))
            changed = time.time() - self.age
            os.utime(streams / name, (changed, changed))

    def _add_file(self, path: Path) -> dict[str, Any]:
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        (self.root / "files").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, self.root / "files" / digest)
        return {"path": f"files/{digest}", "sha256": digest, "size": len(content)}

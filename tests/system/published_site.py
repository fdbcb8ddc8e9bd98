# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A web server that publishes images, configured as in the guide."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pages import ROOT, blocks

from lab import Authority, WebServer, build_image
from runner import Modules, Outcome

GUIDE = ROOT / "docs/docsite/rst/guide_serve.rst"


class PublishedSite:
    """A web server as the guide has it, with a tree that has an image of each kind.

    Its clients call it ``url``, by default by the address of the web server.
    """

    def __init__(self, folder: Path, authority: Authority, url: str | None = None) -> None:
        (self.settings,) = (block.text for block in blocks(GUIDE) if block.language == "text")
        folder.chmod(0o755)
        self.folder = folder
        self.root = folder / "www"
        self.map = folder / "map"
        self.authority = authority
        self.root.mkdir()
        self.server = WebServer(authority, self.root, self.settings, f"include {self.map};")
        self.url = url or self.server.url
        files = {
            kind: build_image(kind, folder) for kind in ("tar.xz", "split", "vm", "vm-unified")
        }
        other = build_image("tar.xz", folder / "other", architecture="aarch64")
        self.container = files["tar.xz"]
        self.split = files["split"]
        Modules().done(
            "lxd_image_catalog",
            root=str(self.root),
            base_url=self.url,
            header_map=str(self.map),
            remote_src=True,
            images=[
                {"name": "busybox", "src": str(self.container.metadata), "aliases": ["bb"]},
                {"name": "busybox", "src": str(other.metadata), "aliases": ["bb"]},
                {"name": "one/file", "src": str(files["vm-unified"].metadata)},
                *(
                    {"name": kind, "metadata": str(image.metadata), "rootfs": str(image.rootfs)}
                    for kind, image in files.items()
                    if image.rootfs
                ),
            ],
        )
        shutil.copytree(self.root, folder / "right")
        shutil.copy(self.map, folder / "right-map")

    def restore(self) -> None:
        """Restore the tree."""
        shutil.rmtree(self.root)
        shutil.copytree(self.folder / "right", self.root)
        shutil.copy(self.folder / "right-map", self.map)

    def file(self, fingerprint: str) -> Path:
        (path,) = (self.root / "files").glob(f"{fingerprint}.*")
        return path

    def replace(self, path: str, old: str, new: str) -> None:
        """Replace text in a file of the tree."""
        text = (self.root / path).read_text()
        assert old in text
        (self.root / path).write_text(text.replace(old, new))

    def check(self, **options: Any) -> Outcome:
        """The return values of the module, which makes no changes."""
        defaults = {"url": self.url, "ca_path": str(self.authority.certificate)}
        outcome = Modules().run("lxd_image_server_check", **{**defaults, **options})
        assert not outcome.get("changed")
        return outcome

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``lxd_image_catalog`` with a thousand images."""

from __future__ import annotations

import os
import platform
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from .measure import Cost, Unexpected, by_turns
from .setting import Row, Setting

IMAGES = 1000
VERSIONS = ("20260101", "20260102")


def unchanged(setting: Setting) -> Iterator[Row]:
    """A thousand images of two versions each, all of them published already."""
    catalogs = {size: _catalog(setting, size) for size in (10_000, 20_000)}
    for options in catalogs.values():
        setting.modules.run("lxd_image_catalog", **options)

    def again(size: int) -> Cost:
        cost = setting.modules.run("lxd_image_catalog", **catalogs[size])
        if cost.outcome["changed"] or len(cost.outcome["versions"]) != IMAGES * len(VERSIONS):
            raise Unexpected(f"the catalogue has changed: {cost.outcome['actions']}")
        return cost

    taken = by_turns(setting.rounds, small=lambda: [again(10_000)], large=lambda: [again(20_000)])
    (small,), (large,) = taken["small"], taken["large"]
    yield Row("publication of what is published", 1000 * large.seconds, 2000, "ms")
    # Were any of the files read, this were more by at least as much as one of them is larger.
    yield Row("read more than with files of half the size", large.read - small.read, 1000, "bytes")


def _catalog(setting: Setting, size: int) -> dict[str, Any]:
    """The options of a task that publishes images, each a file of some size."""
    folder = setting.folder / f"catalog-{size}"
    folder.mkdir()
    images = [
        {
            "name": f"image{number:04d}",
            "version": version,
            "src": str(_image(folder / f"{number:04d}-{version}.tar", size)),
        }
        for number in range(IMAGES)
        for version in VERSIONS
    ]
    root = {"root": str(folder / "www"), "header_map": str(folder / "map")}
    return {**root, "base_url": "https://images.example.com", "remote_src": True, "images": images}


def _image(path: Path, size: int) -> Path:
    """Write an image with some random bytes in it."""
    text = f"architecture: {platform.machine()}\ncreation_date: 1700000000\n".encode()
    with tarfile.TarFile(path, "w") as archive:
        for name, content in (("metadata.yaml", text), ("rootfs/init", os.urandom(size))):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, BytesIO(content))
    return path

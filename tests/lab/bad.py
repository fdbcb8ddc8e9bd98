# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that are no images, of the sorts that people come across."""

from __future__ import annotations

import io
import platform
import zipfile
from collections.abc import Callable
from pathlib import Path

from . import content, images
from .content import Recipe
from .errors import LabError
from .packing import PACKERS, Member, tar


def _recipe() -> Recipe:
    properties = content.standard_properties("1", platform.machine())
    return Recipe(properties=properties)


def _image(metadata: str) -> bytes:
    """A unified image with this text as its ``metadata.yaml``."""
    members = [Member("metadata.yaml", metadata.encode()), Member("rootfs"), Member("rootfs/etc")]
    return PACKERS["tar.gz"](tar(members))


def _without(key: str) -> bytes:
    lines = content.metadata(_recipe()).splitlines(keepends=True)
    return _image("".join(line for line in lines if not line.startswith(f"{key}:")))


def _zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(zipfile.ZipInfo("metadata.yaml"), content.metadata(_recipe()))
    return stream.getvalue()


def _truncated() -> bytes:
    whole = PACKERS["tar.gz"](tar([*_recipe().members, *content.root("1")]))
    return whole[: len(whole) // 2]


_HTML = (
    b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body>Sorry</body></html>\n"
)

#: The sorts of bad files: their names, and what makes their bytes.
BAD: dict[str, tuple[str, Callable[[], bytes]]] = {
    "html": ("error.html", lambda: _HTML),
    "zip": ("image.zip", _zip),
    "empty": ("empty.tar.gz", lambda: b""),
    "text": ("metadata.yaml", lambda: content.metadata(_recipe()).encode()),
    "rootfs-only": ("rootfs.tar.gz", lambda: PACKERS["tar.gz"](tar(content.root("1")))),
    "metadata-only": ("meta.tar.gz", lambda: PACKERS["tar.gz"](tar(_recipe().members))),
    "no-architecture": ("no-architecture.tar.gz", lambda: _without("architecture")),
    "no-creation-date": ("no-creation-date.tar.gz", lambda: _without("creation_date")),
    "not-yaml": ("not-yaml.tar.gz", lambda: _image("architecture: [x86_64\n\t- {\n")),
    "truncated": ("truncated.tar.gz", _truncated),
}


def build_bad(sort: str, folder: Path) -> Path:
    """Make a bad file of one of the sorts of ``BAD`` in a folder, in ``bad`` below it."""
    if sort not in BAD:
        raise LabError(f"there is no bad file of the sort {sort!r}, only {', '.join(BAD)}")
    name, make = BAD[sort]
    path = Path(folder).absolute() / "bad" / name
    images.place(path, make())
    return path

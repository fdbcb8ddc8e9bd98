# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Simplestreams documents, written so that LXD and Incus both read them (``shared/simplestreams/products.go`` of both).

Shapes are those of JSON. What is written here is what the rest of this package reads.
"""

from __future__ import annotations

import json
from typing import Any, Mapping, Sequence

from ..images import common_architecture
from . import ROOTS, File, Reader

PRODUCTS = "streams/v1/images.json"

_READERS = (Reader("lxd"), Reader("incus"))


def index_text(products: Mapping[str, Any]) -> str:
    """The index that leads to these products. Clients pass over one without any."""
    entry = {
        "datatype": "image-downloads",
        "path": PRODUCTS,
        "format": "products:1.0",
        "products": list(products),
    }
    return _text({"format": "index:1.0", "index": {"images": entry}})


def products_text(products: Mapping[str, Any]) -> str:
    """The list of products, each as ``product`` makes it, by their names."""
    whole = {"format": "products:1.0", "datatype": "image-downloads", "content_id": "images"}
    return _text({**whole, "products": products})


def product(
    architecture: str,
    aliases: Sequence[str],
    properties: Mapping[str, str],
    requirements: Mapping[str, str],
    versions: Mapping[str, Any],
) -> dict[str, Any]:
    """One product, of LXD's name for an architecture. ``properties`` may be os, release and variant.

    ``versions`` are as ``items`` makes them, by their names: the greatest text is the newest.
    """
    made: dict[str, Any] = {
        "aliases": ",".join(aliases),
        "arch": common_architecture(architecture),
        **properties,
        "versions": {name: {"items": items} for name, items in versions.items()},
    }
    if properties.get("release"):
        made["release_title"] = properties["release"]
    if requirements:
        # Under both names: LXD prefers the one, Incus knows only the other.
        made["requirements"] = made["lxd_requirements"] = dict(requirements)
    return made


def items(fingerprint: str, files: Sequence[File]) -> dict[str, Any]:
    """The files of one version: a unified container image, or metadata and root. Each family finds its own names."""
    found: dict[str, Any] = {}
    for reader in _READERS:
        kind = reader.combined if len(files) == 1 else reader.metadata
        found[kind] = {"ftype": kind, **vars(files[0])}
        if len(files) == 2:
            found[kind].update(dict.fromkeys(ROOTS[_root(files[1])], fingerprint))
    if len(files) == 2:
        kind = _root(files[1])
        found[kind] = {"ftype": kind, **vars(files[1])}
    return found


def _root(file: File) -> str:
    """The kind of a root file. All archives are of one, however they are compressed: servers look for themselves."""
    if file.path.endswith(".squashfs"):
        return "squashfs"
    return "disk-kvm.img" if file.path.endswith(".qcow2") else "root.tar.xz"


def _text(document: Any) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Simplestreams documents, written so that LXD and Incus both read them (``shared/simplestreams/products.go`` of both).

``reading.py`` reads what is written here.
"""

from __future__ import annotations

import json
from typing import Any, Mapping, Sequence

from ..architectures import common_architecture
from ..images import VIRTUAL_MACHINE
from . import ROOTS, File, Reader

PRODUCTS = "streams/v1/images.json"

_READERS = (Reader("lxd"), Reader("incus"))


def index_text(products: Mapping[str, Any]) -> str:
    """The index of these products. Clients ignore an index without products."""
    entry = {
        "datatype": "image-downloads",
        "path": PRODUCTS,
        "format": "products:1.0",
        "products": list(products),
    }
    return _text({"format": "index:1.0", "index": {"images": entry}})


def products_text(products: Mapping[str, Any]) -> str:
    """The product list with these products, each as returned by ``product``, by name."""
    whole = {"format": "products:1.0", "datatype": "image-downloads", "content_id": "images"}
    return _text({**whole, "products": products})


def product(
    architecture: str,
    aliases: Sequence[str],
    properties: Mapping[str, str],
    requirements: Mapping[str, str],
    versions: Mapping[str, Any],
) -> dict[str, Any]:
    """One product. ``architecture`` is LXD's name; ``properties`` can have os, release and variant.

    ``versions`` are as returned by ``items``, by name: the greatest name is the newest.
    """
    document: dict[str, Any] = {
        "aliases": ",".join(aliases),
        "arch": common_architecture(architecture),
        **properties,
        "versions": {name: {"items": items} for name, items in versions.items()},
    }
    if properties.get("release"):
        document["release_title"] = properties["release"]
    if requirements:
        # LXD prefers lxd_requirements, Incus reads requirements only.
        document["requirements"] = document["lxd_requirements"] = dict(requirements)
    return document


def items(fingerprint: str, files: Sequence[File], image_type: str) -> dict[str, Any]:
    """The files of one version as items: a unified image, or metadata and rootfs.

    Those of a unified virtual machine image are for Incus only, from 7.0.1 on: LXD takes every unified image for a
    container's.
    """
    result: dict[str, Any] = {}
    if len(files) == 2:
        rootfs = _root_type(files[1])
        hashes = dict.fromkeys(ROOTS[rootfs], fingerprint)
        for reader in _READERS:
            result[reader.metadata] = {"ftype": reader.metadata, **vars(files[0]), **hashes}
        result[rootfs] = {"ftype": rootfs, **vars(files[1])}
        return result
    is_machine = image_type == VIRTUAL_MACHINE
    for reader in _READERS:
        if reader.reads_combined_type or not is_machine:
            result[reader.combined] = {"ftype": reader.combined, **vars(files[0])}
            if is_machine:
                result[reader.combined]["combined_type"] = VIRTUAL_MACHINE
    return result


def _root_type(file: File) -> str:
    """The item type of a rootfs file. Archives have one type, whatever their compression, which servers detect."""
    if file.path.endswith(".squashfs"):
        return "squashfs"
    return "disk-kvm.img" if file.path.endswith(".qcow2") else "root.tar.xz"


def _text(document: Any) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"

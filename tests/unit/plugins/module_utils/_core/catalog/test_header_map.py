# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re

from ansible_collections.imagestore.lxd.plugins.module_utils._core.catalog.header_map import (
    header_map,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.catalog.record import (
    Catalog,
    Part,
    Product,
    Version,
)

BASE = "https://images.example.com"


def product(name, content, kind="container", architecture="x86_64", split=False, **more):
    parts = [Part(content * 64, 1, "tar.xz")] * (2 if split else 1)
    version = Version("20260101", content * 64, 1, tuple(parts))
    return Product(name, kind, architecture, versions=(version,), **more)


def choices(*products):
    """The entries of the map by name."""
    return dict(
        re.findall(r'^    "([^"~]+)" ";(.*);";$', header_map(Catalog(products), BASE), re.M)
    )


def test_names_and_aliases_map_to_files_by_architecture():
    web = product("web", "a", aliases=("w",)), product("web", "b", architecture="aarch64")
    assert choices(*web) == {
        "w": f"x86_64={'a' * 64}.tar.xz",
        "web": f"aarch64={'b' * 64}.tar.xz;x86_64={'a' * 64}.tar.xz",
    }


def test_container_images_and_unified_images_are_preferred():
    machine = product("web", "b", "virtual-machine")
    assert choices(product("web", "a"), machine) == {"web": f"x86_64={'a' * 64}.tar.xz"}
    assert choices(product("web", "a", split=True), machine) == {"web": f"x86_64={'b' * 64}.tar.xz"}
    assert choices(product("web", "a", split=True)) == {"web": "x86_64=split"}


def test_aliases_map_to_the_name_on_the_page():
    text = header_map(Catalog((product("web", "a", aliases=("w",)),)), BASE)
    assert '    default $lxd_image_name;\n    "w" "web";\n' in text


def test_the_first_line_identifies_the_map():
    first, other = (
        header_map(Catalog((product("web", content),)), BASE).splitlines()[0] for content in "ab"
    )
    assert first != other
    assert re.fullmatch(r"# catalog [0-9a-f]{64}", first)


def test_hash_sizes_of_nginx_fit_long_and_many_names():
    assert "map_hash" not in header_map(Catalog((product("web", "a"),)), BASE)
    assert "map_hash_bucket_size 256;" in header_map(Catalog((product("w" * 100, "a"),)), BASE)
    many = Catalog(tuple(product(f"web{number}", "a") for number in range(2000)))
    assert "map_hash_max_size 4096;" in header_map(many, BASE)

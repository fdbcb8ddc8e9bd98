# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Helpers of the tests that copy images."""

from __future__ import annotations

from typing import Any

from lab import Image, Server
from runner import Modules, Outcome


class Copies:
    """The copy module, for one target and one source."""

    def __init__(self, modules: Modules, **source: Any) -> None:
        self.modules = modules
        self.source = source

    def __call__(self, image: str, check: bool = False, **params: Any) -> Outcome:
        return self.modules.done("lxd_image_copy", check, image=image, **{**self.source, **params})

    def fails(self, image: str, **params: Any) -> str:
        return self.modules.fails("lxd_image_copy", image=image, **{**self.source, **params})


def add_to_source(
    server: Server, image: Image, *aliases: str, public: bool = True, **params: Any
) -> str:
    """Add an image to a source, with attributes that are not in its files. Returns its fingerprint."""
    Modules().at(server).import_image(
        image,
        aliases=list(aliases),
        public=public,
        properties={"edited": "at the source"},
        expires_at="2031-02-03",
        **params,
    )
    return image.fingerprint


def expected_attributes(
    server: Server, fingerprint: str, project: str = "default"
) -> dict[str, Any]:
    """The attributes that a copy of the image must have."""
    image = server.images(project)[fingerprint]
    names = ("fingerprint", "type", "architecture", "size", "properties", "expires_at")
    expected_attributes = {name: image[name] for name in names}
    if expected_attributes["expires_at"].startswith("0001"):
        # There are two ways to write that there is none.
        expected_attributes["expires_at"] = "1970-01-01T00:00:00Z"
    return expected_attributes


def running_operations(server: Server) -> list[Any]:
    """The operations of a server that are still running."""
    listed = server.api("GET", "/1.0/operations?recursion=1") or {}
    return [operation for kind in ("running", "pending") for operation in listed.get(kind, [])]

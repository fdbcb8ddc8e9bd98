# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of ``lxd_image_catalog``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Mapping

from ..archives.image_info import ImageInfo
from ..catalog.client_commands import ACCESS, PUBLIC
from ..catalog.entries import CatalogEntry, EntryFiles, EntrySpec
from ..catalog.planning import CatalogPolicy
from ..catalog.publishing import CatalogLocation
from ..errors import OptionError
from .catalog_entry import catalog_image, parse_entry
from .specification import at_least, require_not_blank

if TYPE_CHECKING:
    from .bare_rootfs import BareRootfs

_URL = re.compile(
    r"https://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?\Z"
)


def image_catalog() -> dict[str, Any]:
    """The specification of ``lxd_image_catalog``."""
    return {
        "argument_spec": {
            "root": {"type": "path", "required": True},
            "base_url": {"type": "str", "required": True},
            "header_map": {"type": "path"},
            "access": {"type": "str", "choices": list(ACCESS), "default": PUBLIC},
            "images": {
                "type": "list",
                "elements": "dict",
                "required": True,
                **catalog_image(),
            },
            "remote_src": {"type": "bool", "default": False},
            "keep": {"type": "int", "default": 2},
            "grace": {"type": "int", "default": 7200},
            "purge": {"type": "bool", "default": False},
            "verify": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 1800},
            # What the controller knows of files that are there; see action/lxd_image_catalog.py.
            "_controller": {"type": "dict"},
        },
        "supports_check_mode": True,
    }


@dataclass(frozen=True)
class CatalogOptions:
    """Which images a catalog has to publish or withdraw, where it is, and how it is kept.

    ``bare`` has for each entry its disk or root file system without metadata, or None. ``only_asks`` is set while the
    controller asks what it has to send: nothing is written then. ``timeout`` is in seconds.
    """

    location: CatalogLocation
    policy: CatalogPolicy
    entries: tuple[CatalogEntry, ...]
    bare: tuple[BareRootfs | None, ...]
    verify: bool
    timeout: int
    only_asks: bool

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> CatalogOptions:
        """From the options of the task. Raises OptionError."""
        at_least("keep", params["keep"], 1)
        at_least("grace", params["grace"], 0)
        at_least("timeout", params["timeout"], 1)
        parsed = [parse_entry(raw) for raw in params["images"]]
        specs = [spec for spec, _bare in parsed]
        controller = params["_controller"] or {}
        if controller:
            entries = [
                _controller_entry(spec, raw) for spec, raw in zip(specs, controller["entries"])
            ]
        elif params["remote_src"] or not any(spec.paths for spec in specs):
            entries = [CatalogEntry(spec) for spec in specs]
        else:
            raise OptionError(
                "the files are on the controller, but this module was not called by its action plugin",
                "Set remote_src: true for files of the managed host.",
            )
        return cls(
            location=catalog_location(params),
            policy=CatalogPolicy(params["keep"], params["grace"], params["purge"]),
            entries=tuple(entries),
            bare=tuple(bare for _spec, bare in parsed),
            verify=params["verify"],
            timeout=params["timeout"],
            only_asks=bool(controller.get("only_asks")),
        )


def catalog_location(params: Mapping[str, Any]) -> CatalogLocation:
    """The location that the options of a task name. Raises OptionError."""
    root, header_map = params["root"], params["header_map"]
    require_not_blank(params, {"header_map": "Name a file."})
    _require_absolute("root", root, "/srv/lxd-images")
    if header_map is not None:
        _require_absolute("header_map", header_map, "/srv/nginx/lxd-images.map")
        file, tree = os.path.realpath(header_map), os.path.realpath(root)
        if os.path.commonpath([file, tree]) == tree:
            raise OptionError(
                f"header_map is {header_map}, which is below the root {root}",
                "It is configuration of nginx, and must not be served: use a path elsewhere.",
            )
    given = params["base_url"].strip()
    base_url = given.rstrip("/")
    if base_url.startswith("http://"):
        raise OptionError(
            f"base_url is {given!r}, but clients use image servers over https only",
            "Use https://host[:port][/path].",
        )
    match = _URL.match(base_url)
    if not match or not 0 < int((match[2] or ":443")[1:]) < 65536:
        raise OptionError(f"invalid base_url {given!r}", "Use https://host[:port][/path].")
    return CatalogLocation(root, base_url, header_map, params["access"])


def _require_absolute(option: str, path: str, example: str) -> None:
    if not os.path.isabs(path) or "\0" in path:
        raise OptionError(
            f"{option} is {path!r}, which is not an absolute path", f"Use one such as {example}."
        )


def _controller_entry(spec: EntrySpec, raw: Mapping[str, Any]) -> CatalogEntry:
    """An entry whose files, if it has any, are on the controller, which has sent them, their facts, or neither."""
    if not raw:
        return CatalogEntry(spec)
    paths, facts = raw.get("paths"), raw.get("facts")
    return CatalogEntry(
        spec,
        EntryFiles(raw["stamp"], tuple(paths) if paths else None),
        ImageInfo.parse(facts) if facts else None,
    )

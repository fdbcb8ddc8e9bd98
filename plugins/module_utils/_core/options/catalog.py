# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of ``lxd_image_catalog``."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Mapping

from ..archives.image_info import ImageInfo
from ..catalog import names
from ..catalog.entries import CatalogEntry, EntrySpec
from ..catalog.planning import CatalogPolicy
from ..catalog.publishing import CatalogLocation
from ..disks.metadata import RootfsFacts
from ..errors import OptionError
from ..images import parse_properties
from .specification import IMAGE_TYPE, architecture_of, at_least, names_of, require_not_blank

_URL = re.compile(
    r"https://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?\Z"
)
_FILES = ("src", "metadata", "rootfs")
_ONLY_BARE = ("description", "cloud_init")
_ONLY_PRESENT = (*_FILES, "os", "release", "variant", *_ONLY_BARE, "aliases", "requirements")


def image_catalog() -> dict[str, Any]:
    """The specification of ``lxd_image_catalog``."""
    image = {
        "name": {"type": "str", "required": True},
        "src": {"type": "path"},
        "metadata": {"type": "path"},
        "rootfs": {"type": "path"},
        "version": {"type": "str"},
        "architecture": {"type": "str"},
        "image_type": IMAGE_TYPE,
        "os": {"type": "str"},
        "release": {"type": "str"},
        "variant": {"type": "str"},
        "description": {"type": "str"},
        "cloud_init": {"type": "bool"},
        "aliases": {"type": "list", "elements": "str"},
        "requirements": {"type": "dict"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    }
    return {
        "argument_spec": {
            "root": {"type": "path", "required": True},
            "base_url": {"type": "str", "required": True},
            "header_map": {"type": "path"},
            "images": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": image,
                "mutually_exclusive": [("src", "metadata"), ("src", "rootfs")],
                "required_by": {"metadata": "rootfs"},
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
    """Which images a catalogue has to publish or withdraw, where it is, and how it is kept.

    ``only_asks`` is set while the controller asks what it has to send: nothing is written then. ``timeout`` is in
    seconds.
    """

    location: CatalogLocation
    policy: CatalogPolicy
    entries: tuple[CatalogEntry, ...]
    verify: bool
    timeout: int
    only_asks: bool

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> CatalogOptions:
        """From the options of the task. Raises OptionError."""
        at_least("keep", params["keep"], 1)
        at_least("grace", params["grace"], 0)
        at_least("timeout", params["timeout"], 1)
        specs = [_entry_spec(raw) for raw in params["images"]]
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
    return CatalogLocation(root, base_url, header_map)


def _require_absolute(option: str, path: str, example: str) -> None:
    if not os.path.isabs(path) or "\0" in path:
        raise OptionError(
            f"{option} is {path!r}, which is not an absolute path", f"Use one such as {example}."
        )


def _entry_spec(raw: Mapping[str, Any]) -> EntrySpec:
    name = _valid("name", "", names.check_name, raw["name"])
    absent = raw["state"] == "absent"
    if absent:
        for option in _ONLY_PRESENT:
            if raw[option] is not None:
                raise OptionError(
                    f"{option} of the image {name} cannot be used with state: absent", "Remove it."
                )
        paths: tuple[str, ...] = ()
    else:
        paths = _paths(name, raw)
    aliases = names_of(f"aliases of the image {name}", raw["aliases"])
    requirements = raw["requirements"]
    with _of_image(name):
        architecture = architecture_of(raw["architecture"])
        required = None if requirements is None else parse_properties(requirements)
    texts = {
        option: _valid(option, name, names.check_text, raw[option])
        for option in ("os", "release", "variant", "description")
    }
    return EntrySpec(
        name=name,
        paths=paths,
        version=_version(name, raw["version"], absent),
        architecture=architecture,
        type=raw["image_type"],
        aliases=None
        if aliases is None
        else _valid("aliases", name, lambda value: names.check_aliases(name, value), aliases),
        requirements=_valid("requirements", name, names.check_requirements, required),
        absent=absent,
        rootfs=_rootfs_facts(name, raw, architecture, texts),
        os=texts["os"],
        release=texts["release"],
        variant=texts["variant"],
    )


def _paths(name: str, raw: Mapping[str, Any]) -> tuple[str, ...]:
    paths = tuple(raw[option] for option in _FILES if raw[option])
    if not paths:
        raise OptionError(
            f"the image {name} has no file",
            "Give src, metadata and rootfs, or rootfs alone; or state: absent.",
        )
    for path in paths:
        if "\0" in path:
            raise OptionError(f"the image {name} has the file {path!r}", "Name a file.")
    return paths


def _rootfs_facts(
    name: str, raw: Mapping[str, Any], architecture: str | None, texts: Mapping[str, str | None]
) -> RootfsFacts | None:
    """What goes into the metadata of a bare disk or root file system; None for an image that has metadata."""
    if not raw["rootfs"] or raw["metadata"]:
        for option in _ONLY_BARE:
            if raw[option] is not None:
                raise OptionError(
                    f"{option} of the image {name} can be used only with rootfs and without metadata",
                    "Remove it.",
                )
        return None
    if architecture is None or raw["version"] is None:
        raise OptionError(
            f"the image {name} has a rootfs without metadata, which tells neither architecture nor version",
            "Set both, or set metadata.",
        )
    for option, text in texts.items():
        if text and not text.isprintable():
            raise OptionError(
                f"invalid {option} of the image {name}: {text!r}", "Use one line of printable text."
            )
    return RootfsFacts(
        architecture,
        **{option: text or "" for option, text in texts.items()},
        cloud_init=bool(raw["cloud_init"]),
    )


def _version(name: str, version: str | None, absent: bool) -> str | None:
    if version is not None and absent and names.LEGACY_VERSION.match(version):
        return version
    valid: str | None = _valid("version", name, names.parse_version, version)
    return valid


def _valid(option: str, name: str, check: Callable[[Any], Any], value: Any) -> Any:
    """The value as ``check`` returns it; None if the option was omitted. Raises OptionError where it refuses it."""
    if value is None:
        return None
    try:
        return check(value)
    except ValueError as error:
        of_image = f" of the image {name}" if name else " of an image"
        raise OptionError(f"invalid {option}{of_image}: {error}") from error


@contextmanager
def _of_image(name: str) -> Iterator[None]:
    """Say in errors which image they are about."""
    try:
        yield
    except OptionError as error:
        raise OptionError(f"the image {name}: {error.message}", error.hint) from error


def _controller_entry(spec: EntrySpec, raw: Mapping[str, Any]) -> CatalogEntry:
    """An entry whose files, if it has any, are on the controller, which has sent them, their facts, or neither."""
    if not raw:
        return CatalogEntry(spec)
    paths, facts = raw.get("paths"), raw.get("facts")
    return CatalogEntry(
        spec,
        spec.files(raw["stamp"], tuple(paths) if paths else None),
        ImageInfo.parse(facts) if facts else None,
    )

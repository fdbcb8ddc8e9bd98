# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The entries of the option ``images`` of ``lxd_image_catalog``."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import combinations
from typing import TYPE_CHECKING, Any, Callable, Iterator, Mapping

from ..catalog import names
from ..catalog.entries import EntrySpec
from ..errors import OptionError
from ..images import parse_properties
from .checksum import checksum
from .image_import import is_bare
from .rootfs import rootfs_facts, text_of
from .specification import (
    IMAGE_TYPE,
    architecture_of,
    at_least,
    merged,
    names_of,
    reject,
    web_server,
)

if TYPE_CHECKING:
    from .bare_rootfs import BareRootfs

_FILES = ("src", "metadata", "rootfs")
_ONLY_BARE = (
    "description",
    "cloud_init",
    "checksum",
    "checksum_keyring",
    "url_headers",
    "url_username",
    "url_ca_path",
    "url_allowed_hosts",
)
_ONLY_PRESENT = (
    *(*_FILES, "rootfs_url", "os", "release", "variant", "aliases", "requirements"),
    *_ONLY_BARE,
)


def catalog_image() -> dict[str, Any]:
    """The specification of an entry, as a part of that of the list."""
    own = {
        "argument_spec": {
            "name": {"type": "str", "required": True},
            "src": {"type": "path"},
            "metadata": {"type": "path"},
            "rootfs": {"type": "path"},
            "rootfs_url": {"type": "str"},
            "version": {"type": "str"},
            # As it is written: the type str would make 24.1 of an unquoted 24.10.
            "release": {"type": "raw"},
            "image_type": IMAGE_TYPE,
            "aliases": {"type": "list", "elements": "str"},
            "requirements": {"type": "dict"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        "mutually_exclusive": [
            *combinations(("src", "rootfs", "rootfs_url"), 2),
            *combinations(("src", "metadata", "rootfs_url"), 2),
        ],
        "required_by": {"metadata": "rootfs"},
    }
    whole = merged(rootfs_facts(), checksum(), web_server(), own)
    return {"options": whole.pop("argument_spec"), **whole}


def parse_entry(raw: Mapping[str, Any]) -> tuple[EntrySpec, BareRootfs | None]:
    """What a task says of an entry, and its disk or root file system without metadata. Raises OptionError."""
    name = _valid("name", "", names.check_name, raw["name"])
    absent = raw["state"] == "absent"
    if absent:
        for option in _ONLY_PRESENT:
            if raw[option] not in (None, False):
                raise OptionError(
                    f"{option} of the image {name} cannot be used with state: absent", "Remove it."
                )
    aliases = names_of(f"aliases of the image {name}", raw["aliases"])
    requirements = raw["requirements"]
    with _of_image(name):
        raw = {**raw, "release": text_of("release", raw["release"])}
        architecture = architecture_of(raw["architecture"])
        required = None if requirements is None else parse_properties(requirements)
        bare = None if absent else _bare(raw)
    texts = {
        option: _valid(option, name, names.check_text, raw[option])
        for option in ("os", "release", "variant", "description")
    }
    spec = EntrySpec(
        name=name,
        paths=() if absent else _paths(name, raw),
        version=_version(name, raw["version"], absent),
        architecture=architecture,
        type=raw["image_type"],
        aliases=None
        if aliases is None
        else _valid("aliases", name, lambda value: names.check_aliases(name, value), aliases),
        requirements=_valid("requirements", name, names.check_requirements, required),
        absent=absent,
        # Those of a bare disk or root file system are in the metadata that is made for it.
        os=None if bare else texts["os"],
        release=None if bare else texts["release"],
        variant=None if bare else texts["variant"],
    )
    return spec, bare


def _paths(name: str, raw: Mapping[str, Any]) -> tuple[str, ...]:
    paths = tuple(raw[option] for option in _FILES if raw[option])
    if not paths and not raw["rootfs_url"]:
        raise OptionError(
            f"the image {name} has no file",
            "Give src, metadata and rootfs, or rootfs or rootfs_url alone; or state: absent.",
        )
    for path in paths:
        if "\0" in path:
            raise OptionError(f"the image {name} has the file {path!r}", "Name a file.")
    return paths


def _bare(raw: Mapping[str, Any]) -> BareRootfs | None:
    """The disk or root file system without metadata that an entry names, if it does."""
    if not is_bare(raw):
        context = "an image that has its metadata"
        reject(raw, context, *_ONLY_BARE)
        if not raw["url_validate_certs"]:
            raise OptionError(f"url_validate_certs cannot be used with {context}", "Remove it.")
        return None
    from .bare_rootfs import bare_rootfs

    if raw["architecture"] is None or raw["version"] is None:
        raise OptionError(
            "architecture and version are required for a rootfs without metadata", "Set both."
        )
    none = dict.fromkeys(("src", "url", "metadata", "metadata_url", "_file"))
    others = {"mode": "auto", "compression": "gzip", "remote_src": bool(raw["rootfs"])}
    retries = at_least("retries", raw["retries"], 0)
    return bare_rootfs({**raw, **none, **others}, retries, has_fingerprint=False)


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

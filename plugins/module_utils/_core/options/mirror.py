# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of ``lxd_image_mirror``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Mapping

from ..catalog.client_commands import ACCESS, PUBLIC
from ..catalog.publishing import CatalogLocation
from ..errors import OptionError
from ..mirror import MirrorPolicy
from ..mirror.selection import SelectEntry
from .catalog import catalog_location
from .connection import ConnectionOptions, TlsOptions
from .source import SourceOptions, source
from .specification import (
    IMAGE_TYPE,
    architecture_of,
    at_least,
    require_not_blank,
    transfer_progress,
)

_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,3})?) ?(B|KiB|MiB|GiB|TiB)?\Z")
_UNITS = {None: 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_PATTERNS = ("alias", "os", "release", "variant")
_LISTS = ("architectures", "image_types")
_OF_PRESENT = ("select", "keep_days", "max_size")
"""What cannot be used to withdraw images. Options with defaults are missing: they may not have been given."""

MAX_PARALLEL = 64


def image_mirror() -> dict[str, Any]:
    """The specification of ``lxd_image_mirror``."""
    of_source = source()
    options = {
        name: option
        for name, option in of_source["argument_spec"].items()
        if name != "source_registry"
    }
    return {
        "argument_spec": {
            "root": {"type": "path", "required": True},
            "base_url": {"type": "str", "required": True},
            "header_map": {"type": "path"},
            "access": {"type": "str", "choices": list(ACCESS), "default": PUBLIC},
            "select": {"type": "list", "elements": "raw"},
            "keep": {"type": "int", "default": 2},
            "keep_days": {"type": "int"},
            "max_size": {"type": "str"},
            "grace": {"type": "int", "default": 7200},
            "verify": {"type": "bool", "default": False},
            "parallel": {"type": "int", "default": 4},
            "retries": {"type": "int", "default": 3},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "config_dir": {"type": "path"},
            "timeout": {"type": "int", "default": 1800},
            **options,
            "source_protocol": {"type": "str", "choices": ["lxd", "simplestreams", "incus"]},
            **transfer_progress()["argument_spec"],
        },
        "mutually_exclusive": [
            ("source_remote", "source_server"),
            ("source_cert", "source_cert_fingerprint"),
        ],
        "required_one_of": [("source_remote", "source_server")],
        "required_together": of_source["required_together"],
        "required_if": [("state", "present", ("select",))],
        "supports_check_mode": True,
    }


@dataclass(frozen=True)
class MirrorOptions:
    """Which images of which source to mirror, and in which tree.

    ``connection`` has the client configuration and the time that the task may take. ``absent`` is whether all images of
    the source are withdrawn.
    """

    location: CatalogLocation
    connection: ConnectionOptions
    source: SourceOptions
    select: tuple[SelectEntry, ...]
    policy: MirrorPolicy
    absent: bool

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> MirrorOptions:
        """From the options of the task. Raises OptionError."""
        at_least("timeout", params["timeout"], 1)
        absent = params["state"] == "absent"
        for option in _OF_PRESENT if absent else ():
            if params[option] is not None:
                raise OptionError(f"{option} cannot be used with state: absent", "Remove it.")
        entries = tuple(
            _select_entry(number, raw) for number, raw in enumerate(params["select"] or ())
        )
        if not (entries or absent):
            raise OptionError(
                "select is empty", "Set state: absent to withdraw all images of the source."
            )
        origin = SourceOptions.from_params({**params, "source_registry": None})
        if not origin.names_server:
            raise OptionError("no source is given", "Set source_remote or source_server.")
        keep_days = params["keep_days"]
        policy = MirrorPolicy(
            keep=at_least("keep", params["keep"], 1),
            keep_days=None if keep_days is None else at_least("keep_days", keep_days, 0),
            max_bytes=_size("max_size", params["max_size"]),
            grace=at_least("grace", params["grace"], 0),
            verify=params["verify"],
            parallel=at_least("parallel", params["parallel"], 1),
            retries=at_least("retries", params["retries"], 0),
        )
        if policy.parallel > MAX_PARALLEL:
            raise OptionError(
                f"parallel is {policy.parallel}", f"Use a number of at most {MAX_PARALLEL}."
            )
        return cls(
            location=catalog_location(params),
            connection=ConnectionOptions(
                server=None,
                remote=None,
                config_dir=params["config_dir"],
                project=None,
                tls=TlsOptions("source_cert"),
                trust_token=None,
                timeout=params["timeout"],
            ),
            source=origin,
            select=entries,
            policy=policy,
            absent=absent,
        )


def _select_entry(number: int, raw: Any) -> SelectEntry:
    """One entry of ``select``, an alias pattern or several conditions. Raises OptionError."""
    where = f"select[{number}]"
    if isinstance(raw, str):
        raw = {"alias": raw}
    if not isinstance(raw, dict) or not raw:
        raise OptionError(
            f"{where} is neither an alias pattern nor a dictionary of conditions",
            f"Use conditions of {', '.join((*_PATTERNS, *_LISTS))}.",
        )
    unknown = sorted(map(str, {*raw} - {*_PATTERNS, *_LISTS}))
    if unknown:
        raise OptionError(
            f"{where} has the unknown option {', '.join(unknown)}",
            f"The options are {', '.join((*_PATTERNS, *_LISTS))}.",
        )
    patterns = {name: raw.get(name) for name in _PATTERNS}
    for name, pattern in patterns.items():
        if pattern is not None and not isinstance(pattern, str):
            raise OptionError(f"{name} of {where} is not a string", 'Quote it, as in "3.20".')
    require_not_blank(patterns, dict.fromkeys(_PATTERNS, f"Correct or remove it in {where}."))
    architectures = _names(where, raw, "architectures")
    types = _names(where, raw, "image_types")
    for kind in types or ():
        if kind not in IMAGE_TYPE["choices"]:
            raise OptionError(
                f"image_types of {where} has {kind!r}",
                f"The types are {' and '.join(IMAGE_TYPE['choices'])}.",
            )
    return SelectEntry(
        **patterns,
        architectures=None
        if architectures is None
        else tuple(architecture_of(name) or "" for name in architectures),
        image_types=types,
    )


def _names(where: str, raw: Mapping[str, Any], option: str) -> tuple[str, ...] | None:
    value = raw.get(option)
    if value is None:
        return None
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(one, str) for one in names):
        raise OptionError(f"{option} of {where} is not a list of strings", "List at least one.")
    return tuple(name.strip() for name in names)


def _size(option: str, text: str | None) -> int | None:
    """Bytes, from a number and a unit. Raises OptionError."""
    if text is None:
        return None
    match = _SIZE.match(text.strip())
    if not match:
        raise OptionError(f"{option} is {text!r}", "Use a size such as 40GiB (KiB, MiB, GiB, TiB).")
    return int(float(match[1]) * _UNITS[match[2]])

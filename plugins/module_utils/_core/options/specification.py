# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What argument specifications are put together from, and the checks that several options share."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ..architectures import architecture_name
from ..errors import OptionError


def merged(*parts: dict[str, Any]) -> dict[str, Any]:
    """Several specifications as one: the options of all, and all their conditions."""
    whole: dict[str, Any] = {"argument_spec": {}}
    for part in parts:
        for name, value in part.items():
            if isinstance(value, dict):
                whole.setdefault(name, {}).update(value)
            elif isinstance(value, list):
                whole[name] = whole.get(name, []) + value
            else:
                whole[name] = value
    return whole


def transfer_progress() -> dict[str, Any]:
    """The hidden option of modules that show their progress: the number of the file for it.

    It is set by the action plugins only (see plugin_utils/progress.py).
    """
    return {"argument_spec": {"_progress": {"type": "int"}}}


def web_server() -> dict[str, Any]:
    """The specification of the options for downloads from web servers."""
    return {
        "argument_spec": {
            "retries": {"type": "int", "default": 3},
            "url_headers": {"type": "dict", "no_log": True},
            "url_username": {"type": "str"},
            "url_password": {"type": "str", "no_log": True},
            "url_ca_path": {"type": "path", "aliases": ["ca_path"]},
            "url_validate_certs": {"type": "bool", "default": True},
            "url_allowed_hosts": {"type": "list", "elements": "str"},
        },
        "required_together": [("url_username", "url_password")],
    }


IMAGE_TYPE: dict[str, Any] = {"type": "str", "choices": ["container", "virtual-machine"]}


def reject(params: Mapping[str, Any], context: str, *names: str) -> None:
    """Raises OptionError if one of these options is set although it cannot be used with ``context``."""
    for name in names:
        if params.get(name):
            raise OptionError(f"{name} cannot be used with {context}", "Remove it.")


def require_not_blank(params: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Raises OptionError if one of these options is set to an empty text; the values of ``names`` are the hints."""
    for name, hint in names.items():
        value = params.get(name)
        if isinstance(value, str) and not value.strip():
            raise OptionError(f"{name} is empty", hint)


def names_of(option: str, value: Sequence[str] | None) -> tuple[str, ...] | None:
    """A list of names without repetitions and without the white space around them; None if it was left out.

    A lone empty text is the empty list: that is what ``aliases=`` in an ad-hoc command gives. Raises OptionError.
    """
    if value is None:
        return None
    names = [name.strip() for name in value]
    if names == [""]:
        return ()
    if "" in names:
        raise OptionError(
            f"{option} contains an empty name", "A single empty string stands for the empty list."
        )
    return tuple(dict.fromkeys(names))


def architecture_of(value: str | None) -> str | None:
    """LXD's name for the architecture that an option names by any of its names. Raises OptionError."""
    if value is None:
        return None
    name = architecture_name(value)
    if name is None:
        raise OptionError(
            f"architecture is {value!r}, which LXD does not know",
            "Use x86_64 or aarch64, for example.",
        )
    return name


def at_least(option: str, value: int, least: int) -> int:
    """The value of a numeric option. Raises OptionError if it is too small."""
    if value < least:
        raise OptionError(f"{option} is {value}", f"Use a number of at least {least}.")
    return value


def credentials_of(params: Mapping[str, Any], prefix: str = "") -> tuple[str, str] | None:
    """User name and password, from the options ``username`` and ``password`` with this prefix. Raises OptionError."""
    username = params[f"{prefix}username"]
    if username is None:
        return None
    if ":" in username:
        raise OptionError(
            f"{prefix}username contains a colon", f"The password is {prefix}password."
        )
    return username, params[f"{prefix}password"] or ""

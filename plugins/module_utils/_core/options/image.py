# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task wants of an image: the twin of the documentation fragment image."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Mapping

from ..errors import OptionError
from ..images import NEVER, parse_properties, parse_time
from ..planning.desired_state import RESERVED_PREFIX, DesiredState
from .specification import names_of


def image() -> dict[str, Any]:
    """The specification of the options that say what an image should be like."""
    return {
        "argument_spec": {
            "aliases": {"type": "list", "elements": "str", "aliases": ["alias"]},
            "purge_aliases": {"type": "bool", "default": False},
            "alias_conflict": {"type": "str", "choices": ["move", "fail"], "default": "move"},
            "delete_replaced": {"type": "bool", "default": False},
            "properties": {"type": "dict"},
            "purge_properties": {"type": "bool", "default": False},
            "public": {"type": "bool"},
            "profiles": {"type": "list", "elements": "str"},
            "expires_at": {"type": "str"},
        },
    }


def desired_state(params: Mapping[str, Any]) -> DesiredState:
    """From the options of the documentation fragment ``image``, and ``auto_update`` where there is one.

    Raises OptionError.
    """
    aliases = names_of("aliases", params["aliases"])
    profiles = names_of("profiles", params["profiles"])
    if params["delete_replaced"] and not aliases:
        raise OptionError(
            "delete_replaced is set without aliases",
            "It deletes the image that loses its last alias to this task. Set aliases.",
        )
    if params["purge_aliases"] and aliases is None:
        raise OptionError(
            "purge_aliases is set without aliases", "An empty list removes all aliases."
        )
    if params["purge_properties"] and params["properties"] is None:
        raise OptionError(
            "purge_properties is set without properties", "An empty dict removes all properties."
        )
    return DesiredState(
        aliases=aliases,
        purge_aliases=params["purge_aliases"],
        fail_on_conflict=params["alias_conflict"] == "fail",
        delete_replaced=params["delete_replaced"],
        properties=_managed_properties(params["properties"]),
        purge_properties=params["purge_properties"],
        public=params["public"],
        profiles=None if profiles is None else tuple(sorted(profiles)),
        expires_at=_expiry(params["expires_at"]),
        auto_update=params.get("auto_update"),
    )


def _managed_properties(properties: Mapping[str, Any] | None) -> dict[str, str] | None:
    if properties is None:
        return None
    texts = parse_properties(properties)
    for name in texts:
        if name.startswith(RESERVED_PREFIX):
            raise OptionError(
                f"the property {name} is reserved for this collection",
                "Remove it from properties.",
            )
        if not name:
            raise OptionError("properties has an empty name", "Give the property a name.")
    return texts


def _expiry(value: str | None) -> datetime | None:
    if value is None:
        return None
    if value.strip().lower() == "never":
        return NEVER
    try:
        return parse_time(value)
    except ValueError as error:
        raise OptionError(
            f"expires_at: {error}", "Use 2030-12-31, 2030-12-31T23:59:59Z, or never."
        ) from error

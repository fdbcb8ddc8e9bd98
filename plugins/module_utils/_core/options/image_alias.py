# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of ``lxd_image_alias``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ..errors import OptionError
from ..planning.aliases import DesiredAlias
from .connection import ConnectionOptions, connection
from .specification import merged, require_not_blank


def image_alias() -> dict[str, Any]:
    """The specification of ``lxd_image_alias``."""
    own = {
        "argument_spec": {
            "name": {"type": "str", "required": True},
            "target": {"type": "str"},
            "description": {"type": "str"},
            "new_name": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        "supports_check_mode": True,
    }
    return merged(connection(), own)


@dataclass(frozen=True)
class AliasOptions:
    """What an alias should be like."""

    connection: ConnectionOptions
    desired: DesiredAlias

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> AliasOptions:
        """From the options of the task. Raises OptionError."""
        absent = params["state"] == "absent"
        for name in ("target", "description", "new_name"):
            if absent and params[name] is not None:
                raise OptionError(f"{name} cannot be used with state: absent", "Remove it.")
        names = dict.fromkeys(("name", "new_name"), "Give the alias a name.")
        require_not_blank(params, {**names, "target": "Name an alias or a fingerprint."})
        desired = DesiredAlias(
            params["name"], params["target"], params["description"], params["new_name"], absent
        )
        return cls(ConnectionOptions.from_params(params), desired)

    @property
    def attempt(self) -> str:
        """What the task is to do, for messages."""
        return f"{'remove' if self.desired.absent else 'manage'} the alias {self.desired.name}"

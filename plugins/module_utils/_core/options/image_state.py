# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of ``lxd_image``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ..errors import OptionError
from ..planning.desired_state import DesiredState
from .connection import ConnectionOptions, connection
from .image import desired_state, image
from .specification import merged, require_not_blank


def image_state() -> dict[str, Any]:
    """The specification of ``lxd_image``."""
    own = {
        "argument_spec": {
            "name": {"type": "str", "required": True, "aliases": ["image"]},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "auto_update": {"type": "bool"},
        },
        "supports_check_mode": True,
    }
    return merged(connection(), image(), own)


@dataclass(frozen=True)
class ImageStateOptions:
    """What an image of the store should be like; ``desired`` None: it should not be there."""

    connection: ConnectionOptions
    name: str
    desired: DesiredState | None

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> ImageStateOptions:
        """From the options of the task. Raises OptionError."""
        require_not_blank(params, {"name": "Name an alias or a fingerprint."})
        desired: DesiredState | None = None
        if params["state"] == "present":
            desired = desired_state(params)
        else:
            for option in (*image()["argument_spec"], "auto_update"):
                if option != "alias_conflict" and params[option] not in (None, False):
                    raise OptionError(f"{option} cannot be used with state: absent", "Remove it.")
        return cls(ConnectionOptions.from_params(params), params["name"].strip(), desired)

    @property
    def attempt(self) -> str:
        """What the task is to do, for messages."""
        return f"{'manage' if self.desired else 'delete'} the image {self.name}"

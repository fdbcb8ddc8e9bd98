# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of ``lxd_image_export``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from .connection import ConnectionOptions, connection
from .specification import merged, require_not_blank


def image_export() -> dict[str, Any]:
    """The specification of ``lxd_image_export``."""
    own = {
        "argument_spec": {
            "name": {"type": "str", "required": True, "aliases": ["image"]},
            "dest": {"type": "path", "required": True},
        },
        "add_file_common_args": True,
        "supports_check_mode": True,
    }
    return merged(connection(), own)


@dataclass(frozen=True)
class ExportOptions:
    """Which image to write into which directory. (Owner and mode of the files are Ansible's own options.)"""

    connection: ConnectionOptions
    name: str
    dest: str

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> ExportOptions:
        """From the options of the task. Raises OptionError."""
        hints = {"name": "Name an alias or a fingerprint.", "dest": "Name an existing directory."}
        require_not_blank(params, hints)
        return cls(ConnectionOptions.from_params(params), params["name"].strip(), params["dest"])

    @property
    def attempt(self) -> str:
        """What the task is to do, for messages."""
        return f"export the image {self.name} to {self.dest}"

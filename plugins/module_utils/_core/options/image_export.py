# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of ``lxd_image_export``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from .connection import ConnectionOptions, connection
from .source import SourceOptions, source
from .specification import (
    IMAGE_TYPE,
    architecture_of,
    merged,
    reject,
    require_not_blank,
    transfer_progress,
)


def image_export() -> dict[str, Any]:
    """The specification of ``lxd_image_export``."""
    own = {
        "argument_spec": {
            "name": {"type": "str", "required": True, "aliases": ["image"]},
            "dest": {"type": "path", "required": True},
            "image_type": IMAGE_TYPE,
            "architecture": {"type": "str"},
        },
        "add_file_common_args": True,
        "supports_check_mode": True,
    }
    return merged(connection(), source(), transfer_progress(), own)


@dataclass(frozen=True)
class ExportOptions:
    """Which image to write into which directory. (Owner and mode of the files are Ansible's own options.)

    It is an image of the ``source`` if one is named, else of the managed store. ``architecture`` is LXD's name for one,
    or None for that of this host.
    """

    connection: ConnectionOptions
    source: SourceOptions
    name: str
    dest: str
    image_type: str | None
    architecture: str | None

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> ExportOptions:
        """From the options of the task. Raises OptionError."""
        hints = {"name": "Name an alias or a fingerprint.", "dest": "Name an existing directory."}
        require_not_blank(params, hints)
        origin, name = SourceOptions.from_params(params).with_image("name", params["name"])
        reject(params, "an export", "source_registry")
        if not origin.is_given:
            context = "an image of the managed server itself"
            origin.reject_without_server(context)
            reject(params, context, "architecture")
        return cls(
            connection=ConnectionOptions.from_params(params),
            source=origin,
            name=name,
            dest=params["dest"],
            image_type=params["image_type"],
            architecture=architecture_of(params["architecture"]),
        )

    @property
    def attempt(self) -> str:
        """What the task is to do, for messages."""
        return f"export the image {self.name} to {self.dest}"

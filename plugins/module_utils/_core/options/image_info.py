# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of ``lxd_image_info``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ..architectures import architecture_name
from ..errors import OptionError
from ..images import Image, is_prefix, parse_properties
from .connection import ConnectionOptions, connection
from .source import SourceOptions, source
from .specification import IMAGE_TYPE, architecture_of, merged


def image_info() -> dict[str, Any]:
    """The specification of ``lxd_image_info``."""
    own = {
        "argument_spec": {
            "name": {"type": "str", "aliases": ["image"]},
            "properties": {"type": "dict"},
            "image_type": IMAGE_TYPE,
            "architecture": {"type": "str"},
            "all_projects": {"type": "bool", "default": False},
        },
        "supports_check_mode": True,
    }
    return merged(connection(), source(), own)


@dataclass(frozen=True)
class ImageFilter:
    """Which images are meant. None is: any."""

    name: str | None = None
    properties: Mapping[str, str] | None = None
    type: str | None = None
    architecture: str | None = None

    def matches(self, image: Image) -> bool:
        """Whether this image is meant."""
        name = self.name
        return (
            (
                name is None
                or name in image.alias_names
                or (is_prefix(name.lower()) and image.fingerprint.startswith(name.lower()))
            )
            and all(
                image.properties.get(key) == value for key, value in (self.properties or {}).items()
            )
            and self.type in (None, image.type)
            and self.architecture in (None, architecture_name(image.architecture))
        )


@dataclass(frozen=True)
class InfoOptions:
    """Which images to list, and of what: a source, if one is named, else the managed server."""

    connection: ConnectionOptions
    source: SourceOptions
    filter: ImageFilter
    all_projects: bool

    attempt = "list the images"

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> InfoOptions:
        """From the options of the task. Raises OptionError."""
        origin = SourceOptions.from_params(params)
        if not origin.is_given:
            origin.reject_without_server("the images of the managed server itself")
        elif params["all_projects"]:
            raise OptionError(
                "all_projects works for the managed server only", "Set source_project instead."
            )
        chosen = ImageFilter(
            name=params["name"],
            properties=parse_properties(params["properties"] or {}),
            type=params["image_type"],
            architecture=architecture_of(params["architecture"]),
        )
        return cls(
            ConnectionOptions.from_params(params), origin, chosen, bool(params["all_projects"])
        )

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of ``lxd_image_copy``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Mapping

from ..errors import OptionError
from ..images import is_prefix
from ..planning.desired_state import DesiredState
from ..sources.copy_request import CopyRequest
from .connection import ConnectionOptions, connection
from .image import desired_state, image
from .source import SourceOptions, source
from .specification import (
    IMAGE_TYPE,
    architecture_of,
    at_least,
    merged,
    reject,
    require_not_blank,
    transfer_progress,
)


def image_copy() -> dict[str, Any]:
    """The specification of ``lxd_image_copy``."""
    own = {
        "argument_spec": {
            "image": {"type": "str", "required": True},
            "image_type": IMAGE_TYPE,
            "architecture": {"type": "str"},
            "mode": {
                "type": "str",
                "choices": ["auto", "pull", "push", "relay"],
                "default": "auto",
            },
            "retries": {"type": "int", "default": 3},
            "copy_aliases": {"type": "bool", "default": False},
            "auto_update": {"type": "bool"},
            "state": {"type": "str", "choices": ["present", "latest"], "default": "present"},
        },
        "supports_check_mode": True,
    }
    return merged(connection(), source(), image(), transfer_progress(), own)


@dataclass(frozen=True)
class CopyOptions:
    """What to copy, from where, and what the copy should be like.

    ``architecture`` is LXD's name for one, or None for that of the managed server.
    """

    connection: ConnectionOptions
    source: SourceOptions
    request: CopyRequest
    desired: DesiredState
    architecture: str | None

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> CopyOptions:
        """From the options of the task. Raises OptionError."""
        require_not_blank(params, {"image": "Name an alias or a fingerprint of the source."})
        origin, name = SourceOptions.from_params(params).with_image("image", params["image"])
        managed = ConnectionOptions.from_params(params)
        desired = replace(desired_state(params), delete_outdated=params["state"] == "latest")
        request = CopyRequest(
            name=name,
            type=params["image_type"],
            latest=params["state"] == "latest",
            copy_aliases=params["copy_aliases"],
            mode=params["mode"],
            retries=at_least("retries", params["retries"], 0),
            auto_update=bool(desired.auto_update),
            alias=next(iter(desired.aliases or ()), None),
        )
        if origin.registry:
            reject(params, "source_registry", "architecture")
        elif not origin.names_server:
            context = "source_project alone" if origin.project else "no source"
            origin.reject_without_server(context)
            if not origin.project or origin.project == managed.project:
                raise OptionError(
                    "no source is given",
                    "Set image=REMOTE:IMAGE, source_remote, source_server or source_registry; or, for another project"
                    " of the same server, a source_project that differs from project.",
                )
            reject(params, "a source of the protocol lxd", "architecture")
        if request.auto_update and is_prefix(request.name.lower()):
            raise no_auto_update("a fingerprint, which never means another image")
        return cls(managed, origin, request, desired, architecture_of(params["architecture"]))

    @property
    def attempt(self) -> str:
        """What the task is to do, for messages."""
        return f"copy the image {self.request.name}"


def no_auto_update(context: str) -> OptionError:
    """What to raise where a server could not keep the image up to date."""
    return OptionError(f"auto_update does not work with {context}", "Use state: latest instead.")

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of ``lxd_image_publish``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ..errors import OptionError
from ..planning.desired_state import DesiredState
from ..sources.instance import PublishRequest
from .connection import ConnectionOptions, connection
from .image import desired_state, image
from .specification import merged, reject, require_not_blank, transfer_progress


def image_publish() -> dict[str, Any]:
    """The specification of ``lxd_image_publish``."""
    own = {
        "argument_spec": {
            "instance": {"type": "str", "required": True},
            "snapshot": {"type": "str"},
            "force": {"type": "bool", "default": False},
            "compression": {"type": "str", "choices": ["none", "gzip", "xz", "zstd"]},
            "format": {"type": "str", "choices": ["unified", "split"]},
        },
        "supports_check_mode": True,
    }
    return merged(connection(), image(), transfer_progress(), own)


@dataclass(frozen=True)
class PublishOptions:
    """What to publish, and what the image should be like."""

    connection: ConnectionOptions
    request: PublishRequest
    desired: DesiredState

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> PublishOptions:
        """From the options of the task. Raises OptionError."""
        require_not_blank(
            params, {"instance": "Name an instance.", "snapshot": "Name a snapshot, or remove it."}
        )
        if params["snapshot"]:
            reject(params, "snapshot, which can be published while the instance runs", "force")
        request = PublishRequest(
            instance=_name("instance", params["instance"]),
            snapshot=_name("snapshot", params["snapshot"]) if params["snapshot"] else None,
            force=params["force"],
            compression=params["compression"],
            format=params["format"],
        )
        return cls(ConnectionOptions.from_params(params), request, desired_state(params))

    @property
    def attempt(self) -> str:
        """What the task is to do, for messages."""
        return f"publish {self.request.name}"


def _name(option: str, value: str) -> str:
    name = value.strip()
    if "/" in name:
        raise OptionError(
            f"{option} is {name!r}, which contains a slash",
            "Set instance: c1 and snapshot: snap0 to publish c1/snap0.",
        )
    return name

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The instances of the server of ``replay``.

What takes which entitlement is as in ``lxd/instances.go`` and ``lxd/auth/drivers/openfga_model.openfga`` of LXD 6.9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from replay_http import Refusal, Request, sync

if TYPE_CHECKING:
    from replay import Replay

_RUNNING, _STOPPED = (103, "Running"), (102, "Stopped")
_PATH = "/1.0/instances/([^/]+)"


def add_instance(replay: Replay, name: str, running: bool, ephemeral: bool = False) -> None:
    """Put an instance with the snapshot ``snap0`` into the project."""
    code, status = _RUNNING if running else _STOPPED
    replay.instances[name] = {
        "name": name,
        "type": "container",
        "created_at": "2026-01-01T00:00:00.123456789Z",
        "last_used_at": "2026-01-02T00:00:00.123456789Z",
        "status_code": code,
        "status": status,
        "ephemeral": ephemeral,
    }


def require(replay: Replay, name: str, on_project: str, on_instance: str) -> None:
    """An entitlement on the project or on one instance."""
    held = replay.entitlements
    on_one = replay.entity_entitlements.get(f"/1.0/instances/{name}", ())
    if held is None or on_project in held or on_instance in on_one:
        return
    raise Refusal(403, "Forbidden")


def visible_instance(replay: Replay, name: str) -> dict[str, Any]:
    """An instance. One that the client may not see is not found."""
    for verb in ("view", "edit", "delete"):
        try:
            require(replay, name, f"can_{verb}_instances", f"can_{verb}")
        except Refusal:
            continue
        if name in replay.instances:
            return replay.instances[name]
    raise Refusal(404, "Not Found")


def get_instance(
    replay: Replay, request: Request, trusted: bool, name: str, _snapshot: str = ""
) -> tuple[int, Any]:
    asked = request.query.get("with-access-entitlements", "").split(",")
    held = [one for one in asked if one in replay.entity_entitlements.get(request.path, ())]
    return sync({**visible_instance(replay, name), "access_entitlements": held})


def patch_instance(replay: Replay, request: Request, trusted: bool, name: str) -> tuple[int, Any]:
    visible_instance(replay, name)
    require(replay, name, "can_edit_instances", "can_edit")
    replay.instances[name].update(request.json)
    return sync(None)


def put_state(replay: Replay, request: Request, trusted: bool, name: str) -> tuple[int, Any]:
    visible_instance(replay, name)
    require(replay, name, "can_operate_instances", "can_update_state")
    code, status = _RUNNING if request.json["action"] == "start" else _STOPPED
    replay.instances[name].update(status_code=code, status=status)
    return replay.operation({})


def get_operations(replay: Replay, request: Request, trusted: bool) -> tuple[int, Any]:
    return sync({})


Route = Callable[..., tuple[int, Any]]

INSTANCE_ROUTES: list[tuple[str, str, Route]] = [
    ("GET", _PATH, get_instance),
    ("GET", f"{_PATH}/snapshots/([^/]+)", get_instance),
    ("PATCH", _PATH, patch_instance),
    ("PUT", f"{_PATH}/state", put_state),
    ("GET", "/1.0/operations", get_operations),
]

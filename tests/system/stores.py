# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Helpers of the tests of whole stores."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from lab import (
    SshHost,
)
from playbooks import Played, play

STORE = "lxd_image_store"


def by_label(outcome: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["label"]: one for one in outcome["images"]}


def actions(outcome: dict[str, Any]) -> dict[str, list[str]]:
    """The actions of each entry that has any."""
    return {label: one["actions"] for label, one in by_label(outcome).items() if one["actions"]}


def on_host(
    folder: Path, ssh: SshHost, params: dict[str, Any], check: bool = False, **keys: Any
) -> Played:
    """Run the task on a managed host behind SSH."""
    variables = {
        **ssh.variables,
        "ansible_python_interpreter": sys.executable,
        "ansible_remote_tmp": str(ssh.home / ".ansible/tmp"),
    }
    task = {"name": "it", f"imagestore.lxd.{STORE}": params, **keys}
    return play(folder, task, check=check, host=variables, become=True)

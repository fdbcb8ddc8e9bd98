# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The task that mirrors images of another server: its options become work, and what came of that the result."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..deadline import Deadline
from ..options.mirror import MirrorOptions
from ..refresh import MirrorWork
from . import conclude, parse_options
from .catalog import PATIENCE_SECONDS
from .module import transfer_recorder


def run(module: AnsibleModule) -> None:
    """Do the task and end the module."""
    options = parse_options(module, MirrorOptions.from_params)
    task = MirrorTask(module, options)
    conclude(module, f"mirror images of {options.source.place}", task, task.mirror)


class MirrorTask:
    """One run of ``lxd_image_mirror``."""

    stored_note = ""

    def __init__(self, module: AnsibleModule, options: MirrorOptions) -> None:
        self._module = module
        self._timeout = options.connection.timeout
        self._work = MirrorWork(options, transfer_recorder(module))
        self.place = options.location.root

    @property
    def changes_made(self) -> dict[str, Any]:
        """What the task has changed before it failed."""
        actions = self._work.actions
        return {
            "changed": bool(actions),
            "actions": actions,
            "transferred": self._work.transferred,
        }

    def mirror(self) -> dict[str, Any]:
        """Mirror, and the values to return."""
        module = self._module
        check_mode = bool(module.check_mode)
        # Everything has an eye on the deadline itself, but for what the system may never let go.
        deadline = Deadline(self._timeout)
        try:
            result = deadline.call(lambda: self._work.run(check_mode), PATIENCE_SECONDS)
        finally:
            module.no_log_values.update(self._work.secrets)
        for warning in result.warnings:
            module.warn(warning)
        values = {**self.changes_made, "versions": result.versions}
        if check_mode:
            values["would_transfer"] = result.would_transfer
            values["would_drop"] = result.would_drop
        if module._diff:
            values["diff"] = result.diff
        return values

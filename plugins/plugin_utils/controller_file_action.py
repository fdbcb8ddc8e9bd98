# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the action plugins share whose module may be run more than once, since its files may be on the controller.

Private to the collection.
"""

from __future__ import annotations

from abc import abstractmethod
from math import ceil
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.imagestore.lxd.plugins.module_utils._core.deadline import Deadline
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import TimedOut
from ansible_collections.imagestore.lxd.plugins.plugin_utils import controller_files
from ansible_collections.imagestore.lxd.plugins.plugin_utils.module_action import ModuleAction

DEFAULT_SECONDS = 1800
"""The default of the modules' option timeout."""


class ControllerFileAction(ModuleAction):
    """The controller's part of a module whose files may be on the controller."""

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        self._deadline = Deadline(_seconds(self._task.args.get("timeout")))
        answer: dict[str, Any] = {}
        try:
            answer = super().run(tmp, task_vars)
        finally:
            if self._task.async_val and "ansible_job_id" not in answer:
                # Ansible leaves the removal to the background job, and there is none.
                controller_files.remove_sent(self)
        return answer

    @abstractmethod
    def _run_task(self) -> dict[str, Any]:
        """The result of the task, whose time is measured already."""

    def _module_args(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options of the task, these in addition, and what is left of the timeout."""
        args = super()._module_args(options)
        try:
            left = ceil(self._deadline.left())
        except TimedOut as error:
            raise AnsibleActionFail(str(error)) from None
        if left < self._deadline.seconds:
            args["timeout"] = left
        return args


def _seconds(timeout: Any) -> float:
    """The value of the option timeout, or the default; the module reports an invalid value."""
    try:
        seconds = int(timeout)
    except (TypeError, ValueError):
        return DEFAULT_SECONDS
    return seconds if seconds > 0 else DEFAULT_SECONDS


def with_first_actions(first: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
    """The result of both runs of the module: the first may have made the server trust the client."""
    if first.get("actions") and "actions" in last:
        last["actions"] = [*first["actions"], *last["actions"]]
        last["changed"] = True
    return last

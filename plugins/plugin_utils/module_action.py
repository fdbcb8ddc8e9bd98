# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the action plugins share: they run the module, and show the progress of its transfers.

Private to the collection.
"""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.imagestore.lxd.plugins.plugin_utils.progress import shown_progress


class ModuleAction(ActionBase):
    """The controller's part of a module that transfers images."""

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        self._supports_check_mode = True
        self._supports_async = True
        super().run(tmp, task_vars)
        self._vars = task_vars or {}
        return self._run_task()

    def _run_task(self) -> dict[str, Any]:
        """Run the task and return its result."""
        return self._run_final({})

    def _run_module(self, options: dict[str, Any], wrap_async: bool = False) -> dict[str, Any]:
        """The result of the module, run with these options in addition to those of the task."""
        args = self._module_args(options)
        with shown_progress(self, self._vars) as own_options:
            answer = self._execute_module(
                module_args={**args, **own_options}, task_vars=self._vars, wrap_async=wrap_async
            )
        return dict(answer)

    def _run_final(self, options: dict[str, Any]) -> dict[str, Any]:
        """The same for the last run of the task, which is in the background if the task is."""
        return self._run_module(options, self._in_background)

    @property
    def _in_background(self) -> bool:
        return bool(self._task.async_val)

    def _module_args(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options of the task, and these in addition."""
        return {**self._task.args, **options}

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes what each task returned into the file PLAYED_RESULTS, a line each, for the tests to read.

Tasks that last longer than PLAYED_SHOW_SECONDS show their progress, if that is set.
"""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: played
type: notification
short_description: Results for the tests
description: Writes what each task returned into a file.
"""


class CallbackModule(CallbackBase):
    """Notes every end of a task."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "played"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_start(self, playbook: Any) -> None:
        if seconds := os.environ.get("PLAYED_SHOW_SECONDS"):
            from ansible_collections.imagestore.lxd.plugins.plugin_utils import progress

            progress.SHOW_SECONDS = int(seconds)

    def v2_runner_on_ok(self, result: Any) -> None:
        with open(os.environ["PLAYED_RESULTS"], "a", encoding="utf-8") as file:
            file.write(json.dumps([result.task.name, result.result], default=str) + "\n")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self.v2_runner_on_ok(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self.v2_runner_on_ok(result)

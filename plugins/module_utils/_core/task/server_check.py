# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The task that checks an image server: its options become a request, and its findings the result."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..connections import secrets_of
from ..deadline import Deadline
from ..options.server_check import ServerCheckOptions
from ..server_check import CheckResult, ServerCheck
from . import conclude, parse_options


def run(module: AnsibleModule) -> None:
    """Check the server and end the module; any finding fails it."""
    task = CheckTask(module, parse_options(module, ServerCheckOptions.from_params))
    conclude(module, "check the image server", task, task.check)


class CheckTask:
    """A task of ``lxd_image_server_check``."""

    stored_note = ""

    def __init__(self, module: AnsibleModule, options: ServerCheckOptions) -> None:
        self._module = module
        self._options = options
        self.place = options.request.url
        self.changes_made: dict[str, Any] = {"changed": False}

    def check(self) -> dict[str, Any]:
        """The values to return if there are no findings; otherwise the module ends here."""
        self._module.no_log_values.update(secrets_of(self._options.request.credentials))
        result = ServerCheck(self._options.request, Deadline(self._options.timeout)).run()
        values: dict[str, Any] = {
            "changed": False,
            "findings": [dict(vars(finding)) for finding in result.findings],
            "notes": list(result.notes),
            "images": result.images,
            "files": result.files,
            "requests": result.requests,
        }
        if result.findings:
            self._module.fail_json(msg=_message(self.place, result), **values)
        return values


def _message(url: str, result: CheckResult) -> str:
    found = len(result.findings) + result.omitted
    title = f"{url} has {found} problem{'' if found == 1 else 's'}"
    more = f"\n… and {result.omitted} more" if result.omitted else ""
    return f"{title}:\n" + "\n".join(map(str, result.findings)) + more

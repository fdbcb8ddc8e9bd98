# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The task that publishes images: its options become a catalog's entries, what it did becomes the result."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from ..catalog.publishing import Publisher
from ..deadline import Deadline
from ..options.catalog import CatalogOptions
from . import conclude, parse_options, temporary_directory

if TYPE_CHECKING:
    from ..catalog.entries import CatalogEntry
    from ..options.bare_rootfs import BareRootfs

PATIENCE_SECONDS = 1
"""After the timeout, for a task that is just about to end by itself."""


def run(module: AnsibleModule) -> None:
    """Do the task and end the module."""
    options = parse_options(module, CatalogOptions.from_params)
    task = CatalogTask(module, options)
    conclude(module, "publish images", task, task.publish)


class CatalogTask:
    """One run of ``lxd_image_catalog``."""

    stored_note = ""

    def __init__(self, module: AnsibleModule, options: CatalogOptions) -> None:
        self._module = module
        self._options = options
        self._deadline = Deadline(options.timeout)
        self._publisher = Publisher(
            options.location, options.policy, self._deadline, options.verify
        )
        self.place = options.location.root

    @property
    def changes_made(self) -> dict[str, Any]:
        """What the task has changed before it failed."""
        actions = self._publisher.actions
        return {"changed": bool(actions), "actions": actions}

    def publish(self) -> dict[str, Any]:
        """Publish, or say what the controller has to send first, in ``needs``. The values to return."""
        check_mode = bool(self._module.check_mode)
        entries = [
            self._with_bare_file(entry, bare) if bare else entry
            for entry, bare in zip(self._options.entries, self._options.bare)
        ]
        only_asks = self._options.only_asks
        # Everything has an eye on the deadline itself, but for what the system may never let go.
        result = self._deadline.call(
            lambda: self._publisher.publish(entries, check_mode or only_asks), PATIENCE_SECONDS
        )
        if not result.is_planned or (result.needs_files and not check_mode):
            needs = {"facts": list(result.needs_facts), "files": list(result.needs_files)}
            return {"changed": False, "needs": needs}
        values = {
            "changed": bool(result.actions),
            "actions": list(result.actions),
            "versions": result.versions,
        }
        if self._module._diff:
            values["diff"] = {"before": result.before, "after": result.after}
        return values

    def _with_bare_file(self, entry: CatalogEntry, bare: BareRootfs) -> CatalogEntry:
        """The entry with its disk or root file system without metadata."""
        from ..catalog.bare_file import BareFile
        from ..options.image_import import LocalFiles
        from .rootfs import rootfs_request, rootfs_url_source

        self._module.no_log_values.update(bare.secrets)
        directory = temporary_directory(self._module)
        request = rootfs_request(bare, lambda: bare.facts, None, directory, self._deadline)
        is_local = isinstance(bare.location, LocalFiles)
        web = None if is_local else rootfs_url_source(bare, request)
        return replace(entry, bare=BareFile(request, web))

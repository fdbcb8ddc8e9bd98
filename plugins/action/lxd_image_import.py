# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's part of ``lxd_image_import``, for image files that are on the controller."""

from __future__ import annotations

from typing import Any

from ansible_collections.imagestore.lxd.plugins.plugin_utils import controller_files
from ansible_collections.imagestore.lxd.plugins.plugin_utils.controller_file_action import (
    ControllerFileAction,
    with_first_actions,
)
from ansible_collections.imagestore.lxd.plugins.plugin_utils.controller_files import (
    ControllerImage,
)


class ActionModule(ControllerFileAction):
    """Identifies the image in a file, asks the module whether the store lacks it, and only then sends the file."""

    def _run_task(self) -> dict[str, Any]:
        args = self._task.args
        files = ("src", "metadata", "rootfs")
        names = [name for name in (*files, "url", "metadata_url", "rootfs_url") if args.get(name)]
        # Invalid combinations of options are reported by the module.
        if names not in controller_files.FILE_FORMS or controller_files.is_remote(args):
            return self._run_final({})
        paths = {name: controller_files.find(self, str(args[name])) for name in names}
        if controller_files.is_local(self):
            return self._run_final({**paths, "remote_src": True})
        image = controller_files.controller_image(args, paths, self._deadline)
        result = self._import(image, names)
        if image.warning:
            self._display.warning(image.warning)
        return result

    def _import(self, image: ControllerImage, names: list[str]) -> dict[str, Any]:
        expected = self._task.args.get("fingerprint")
        facts = {"fingerprint": str(expected).strip().lower()} if expected else image.identify()
        facts["name"] = image.name
        in_background, check_mode = self._in_background, self._task.check_mode
        only_asks = in_background and not check_mode
        first = self._run_module({"_file": {**facts, "only_asks": only_asks}})
        if first.get("failed"):
            return first
        needs_file = "file" in first.pop("needs", ())
        if expected and needs_file:
            # Up to here the file did not have to be read. It has to be the expected image.
            read = image.identify()
            if check_mode or read.get("fingerprint") not in (None, facts["fingerprint"]):
                facts = {**read, "name": image.name}
                first = self._run_module({"_file": facts})
                first.pop("needs", None)
                if first.get("failed"):
                    return first
        if check_mode or not needs_file:
            return self._run_final({"_file": facts}) if in_background else first
        compression = str(self._task.args.get("compression") or "gzip")
        with image.as_files(compression) as (paths, archive):
            sent = controller_files.send(self, paths, self._vars)
        options = {"_file": {"name": image.name, "archive": archive}, "remote_src": True}
        return with_first_actions(
            first, self._run_final({**dict(zip(names, sent, strict=True)), **options})
        )

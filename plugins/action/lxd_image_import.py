# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of ``lxd_image_import``: for image files that are here and not on the managed host."""

from __future__ import annotations

from typing import Any

from ansible_collections.imagestore.lxd.plugins.plugin_utils import controller_files
from ansible_collections.imagestore.lxd.plugins.plugin_utils.controller_file_action import (
    ControllerFileAction,
)
from ansible_collections.imagestore.lxd.plugins.plugin_utils.controller_files import (
    ControllerImage,
)


class ActionModule(ControllerFileAction):
    """Finds out what a file is, lets the module see whether the store lacks it, and only then sends it."""

    def _run_task(self) -> dict[str, Any]:
        args = self._task.args
        files = ("src", "metadata", "rootfs")
        names = [name for name in (*files, "url", "metadata_url") if args.get(name)]
        # Which options go together is for the module to say; here it only matters whether there are files to find.
        if names not in (["src"], ["metadata", "rootfs"]) or controller_files.is_remote(args):
            return self._run_final({})
        paths = [controller_files.find(self, str(args[name])) for name in names]
        if controller_files.is_here(self):
            return self._run_final({**dict(zip(names, paths, strict=True)), "remote_src": True})
        image = ControllerImage(*paths, deadline=self._deadline)
        answer = self._import(image, names)
        if image.remark:
            self._display.warning(image.remark)
        return answer

    def _import(self, image: ControllerImage, names: list[str]) -> dict[str, Any]:
        given = self._task.args.get("fingerprint")
        known = {"fingerprint": str(given).strip().lower()} if given else image.identify()
        known["name"] = image.name
        in_background, check_mode = self._in_background, self._task.check_mode
        first = self._run_module({"_file": {**known, "asks": in_background and not check_mode}})
        if first.get("failed"):
            return first
        needed = "file" in first.pop("needs", ())
        if given and needed:
            # Now its content matters, and it has to be what was announced.
            found = image.identify()
            if check_mode or found.get("fingerprint") not in (None, known["fingerprint"]):
                known = {**found, "name": image.name}
                first = self._run_module({"_file": known})
                first.pop("needs", None)
                if first.get("failed"):
                    return first
        if check_mode or not needed:
            return self._run_final({"_file": known}) if in_background else first
        compression = str(self._task.args.get("compression") or "gzip")
        with image.as_files(compression) as (paths, archive):
            sent = controller_files.send(self, paths, self._vars)
        there = {"_file": {"name": image.name, "archive": archive}, "remote_src": True}
        return _together(first, self._run_final({**dict(zip(names, sent, strict=True)), **there}))


def _together(first: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
    """The result of both calls: the first may have made the server trust the client."""
    if first.get("actions") and "actions" in last:
        last["actions"] = [*first["actions"], *last["actions"]]
        last["changed"] = True
    return last

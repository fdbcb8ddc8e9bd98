# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of ``lxd_image_catalog``: for image files that are here and not on the managed host."""

from __future__ import annotations

from typing import Any

from ansible_collections.imagestore.lxd.plugins.plugin_utils import controller_files
from ansible_collections.imagestore.lxd.plugins.plugin_utils.controller_file_action import (
    ControllerFileAction,
)
from ansible_collections.imagestore.lxd.plugins.plugin_utils.controller_files import (
    ControllerImage,
)

_FILES = ("src", "metadata", "rootfs")


class ActionModule(ControllerFileAction):
    """Tells the module what the files are, if it asks for that, and sends those that its tree lacks."""

    def _run_task(self) -> dict[str, Any]:
        args = self._task.args
        given = args.get("images")
        # What is wrong with the options is for the module to say.
        if controller_files.is_remote(args) or not isinstance(given, list):
            return self._run_final({})
        found = [self._found(one) if isinstance(one, dict) else {} for one in given]
        if not any(found):
            return self._run_final({})
        if controller_files.is_here(self):
            images = [
                {**one, **paths} if paths else one for one, paths in zip(given, found, strict=True)
            ]
            return self._run_final({"images": images, "remote_src": True})
        return self._publish(
            [ControllerImage(*one.values(), deadline=self._deadline) for one in found]
        )

    def _found(self, one: dict[str, Any]) -> dict[str, str]:
        """The files of one image by the options that name them; none if it has none."""
        if one.get("state") == "absent":
            return {}
        return {
            name: controller_files.find(self, str(one[name])) for name in _FILES if one.get(name)
        }

    def _publish(self, images: list[ControllerImage]) -> dict[str, Any]:
        told: list[dict[str, Any]] = [
            {"stamp": image.change_stamp()} if image.paths else {} for image in images
        ]
        asks = self._in_background and not self._task.check_mode
        while True:
            result = self._run_module({"_controller": {"images": told, "asks": asks}})
            lacks = result.get("lacks")
            if result.get("failed") or not lacks:
                break
            for number in lacks["facts"]:
                told[number]["described"] = images[number].image_info()
            for number in lacks["files"]:
                told[number]["paths"] = controller_files.send(
                    self, images[number].paths, self._vars, f"{number}-"
                )
        if not self._in_background or result.get("failed"):
            return result
        return self._run_final({"_controller": {"images": told}})

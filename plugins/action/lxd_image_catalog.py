# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's part of ``lxd_image_catalog``, for image files that are on the controller."""

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
    """Sends the module the facts and the files that its tree lacks; the module says of which entries."""

    def _run_task(self) -> dict[str, Any]:
        args = self._task.args
        images = args.get("images")
        # Invalid options are reported by the module.
        if controller_files.is_remote(args) or not isinstance(images, list):
            return self._run_final({})
        found = [self._find_files(image) if isinstance(image, dict) else {} for image in images]
        if not any(found):
            return self._run_final({})
        if controller_files.is_local(self):
            images = [
                {**image, **paths} if paths else image
                for image, paths in zip(images, found, strict=True)
            ]
            return self._run_final({"images": images, "remote_src": True})
        return self._publish(
            [ControllerImage(*paths.values(), deadline=self._deadline) for paths in found]
        )

    def _find_files(self, image: dict[str, Any]) -> dict[str, str]:
        """The paths of an image's files on the controller by the options that name them; none if it has none."""
        if image.get("state") == "absent":
            return {}
        return {
            name: controller_files.find(self, str(image[name]))
            for name in _FILES
            if image.get(name)
        }

    def _publish(self, images: list[ControllerImage]) -> dict[str, Any]:
        entries: list[dict[str, Any]] = [
            {"stamp": image.change_stamp()} if image.paths else {} for image in images
        ]
        only_asks = self._in_background and not self._task.check_mode
        while True:
            result = self._run_module({"_controller": {"entries": entries, "only_asks": only_asks}})
            needs = result.get("needs")
            if result.get("failed") or not needs:
                break
            for number in needs["facts"]:
                entries[number]["facts"] = images[number].image_info()
            for number in needs["files"]:
                entries[number]["paths"] = controller_files.send(
                    self, images[number].paths, self._vars, f"{number}-"
                )
        if not self._in_background or result.get("failed"):
            return result
        return self._run_final({"_controller": {"entries": entries}})

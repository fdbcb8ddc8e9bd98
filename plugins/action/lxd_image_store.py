# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's part of ``lxd_image_store``, for entries whose image files are on the controller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.imagestore.lxd.plugins.plugin_utils import controller_files
from ansible_collections.imagestore.lxd.plugins.plugin_utils.controller_file_action import (
    ControllerFileAction,
    with_first_actions,
)
from ansible_collections.imagestore.lxd.plugins.plugin_utils.controller_files import (
    ControllerImage,
)

_FILES = ("src", "metadata", "rootfs")


class ActionModule(ControllerFileAction):
    """Tells the module what its files are, and sends those that the store lacks; the module says of which entries."""

    def _run_task(self) -> dict[str, Any]:
        entries = self._task.args.get("images")
        # Invalid options are reported by the module.
        if not isinstance(entries, list):
            return self._run_final({})
        options = [self._file_options(entry) for entry in entries]
        if not any(options):
            return self._run_final({})
        here = controller_files.is_local(self)
        known: list[dict[str, Any] | None] = []
        images: dict[int, ControllerImage] = {}
        for number, names in enumerate(options):
            known.append(None)
            if not names:
                continue
            try:
                entry = entries[number]
                paths = {name: controller_files.find(self, str(entry[name])) for name in names}
                if here:
                    known[number] = {**paths, "remote_src": True}
                    continue
                images[number] = controller_files.controller_image(entry, paths, self._deadline)
                known[number] = {"_file": self._identified(images[number], entries[number])}
            except AnsibleActionFail as error:
                # It fails this entry alone, which is for the module to say.
                name = str(entries[number][names[-1]])
                known[number] = _failed(name, error)
        return self._converge(known, images, options)

    def _file_options(self, entry: Any) -> list[str]:
        """The options of an entry that name files of the controller; none if it has none."""
        if not isinstance(entry, dict):
            return []
        options = self._options(entry)
        names = [name for name in _FILES if entry.get(name)]
        on_controller = names in controller_files.FILE_FORMS
        return names if on_controller and not controller_files.is_remote(options) else []

    def _options(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """The options of an entry, with those that it has by default."""
        defaults = self._task.args.get("defaults")
        return {**(defaults if isinstance(defaults, Mapping) else {}), **entry}

    @staticmethod
    def _identified(image: ControllerImage, entry: Mapping[str, Any]) -> dict[str, Any]:
        given = entry.get("fingerprint")
        facts = {"fingerprint": str(given).strip().lower()} if given else image.identify()
        return {**facts, "name": image.name}

    def _converge(
        self,
        known: list[dict[str, Any] | None],
        images: Mapping[int, ControllerImage],
        options: list[list[str]],
    ) -> dict[str, Any]:
        only_asks = self._in_background and not self._task.check_mode
        first = self._run_module({"_files": {"entries": known, "only_asks": only_asks}})
        needs = first.pop("needs", [])
        if first.get("failed") or (not needs and not self._in_background):
            return first
        for number in needs:
            try:
                known[number] = self._sent(images[number], number, options[number])
            except AnsibleActionFail as error:
                known[number] = _failed(images[number].name, error)
        for image in images.values():
            if image.warning:
                self._display.warning(image.warning)
        last = self._run_final({"_files": {"entries": known, "only_asks": False}})
        return with_first_actions(first, last)

    def _sent(self, image: ControllerImage, number: int, names: list[str]) -> dict[str, Any]:
        """What the module has to know of files that are on its host then."""
        compression = str(
            self._options(self._task.args["images"][number]).get("compression") or "gzip"
        )
        with image.as_files(compression) as (paths, archive):
            sent = controller_files.send(self, paths, self._vars, f"{number}-")
        file = {"name": image.name, "archive": archive}
        return {"_file": file, "remote_src": True, **dict(zip(names, sent, strict=True))}


def _failed(name: str, error: AnsibleActionFail) -> dict[str, Any]:
    """What the module is told of a file that cannot be used; it says so in the middle of a sentence."""
    problem = str(error)
    return {"_file": {"name": name, "problem": problem[:1].lower() + problem[1:]}}

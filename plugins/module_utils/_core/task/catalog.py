# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The task that publishes images: its options become a catalogue's rules and images, its outcome the result."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Mapping

from ansible.module_utils.basic import AnsibleModule

from ..errors import OptionError
from . import conclude

if TYPE_CHECKING:
    from ..catalog import Files, Publisher
    from ..catalog.entries import Given

READING_SECONDS = 1800
"""For reading the files of the images."""


def run(module: AnsibleModule) -> None:
    """Do the task and end the module."""
    task = PublishingTask(module)
    conclude(module, "publish images", task, task.publish)


class PublishingTask:
    """What the options of ``lxd_image_catalog`` mean."""

    stored_note = ""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module
        self._params: Mapping[str, Any] = module.params

    @property
    def place(self) -> str:
        """The root of the tree."""
        return str(self._params["root"])

    @property
    def changes_made(self) -> dict[str, Any]:
        """What the task has changed before it failed."""
        done = self._publisher.done if "_publisher" in vars(self) else []
        return {"changed": bool(done), "actions": done}

    @cached_property
    def _publisher(self) -> Publisher:
        from ..catalog import CatalogLocation, Publisher
        from ..catalog.planning import CatalogPolicy
        from ..deadline import Deadline

        place, rules = CatalogLocation.parse(self._params), CatalogPolicy.parse(self._params)
        return Publisher(place, rules, Deadline(READING_SECONDS), self._params["verify"])

    def publish(self) -> dict[str, Any]:
        """Publish, or tell the controller what it has to tell or send first. The values to return."""
        from ..catalog.entries import parse_images

        publisher = self._publisher
        images = parse_images(self._params["images"])
        announced = self._params["_controller"] or {}
        sources = list(zip(images, self._files(images, announced)))
        asks = bool(announced.get("asks"))
        result = publisher.publish(sources, bool(self._module.check_mode or asks))
        values = {
            "changed": bool(result.actions),
            "actions": list(result.actions),
            "versions": result.versions,
        }
        lacking = {"facts": list(result.lacks_facts), "files": list(result.lacks_files)}
        if result.lacks_facts or (result.lacks_files and not self._module.check_mode):
            return {"changed": False, "lacks": lacking}
        if self._module._diff:
            values["diff"] = {"before": result.before, "after": result.after}
        return values

    def _files(self, images: list[Given], announced: Mapping[str, Any]) -> list[Files | None]:
        from ..archives.image_info import ImageInfo, change_stamp
        from ..catalog import Files

        if not announced and not self._params["remote_src"] and any(one.paths for one in images):
            raise OptionError(
                "the files are on the controller, and this module was not called by its action plugin",
                "Set remote_src: true for files of the managed host.",
            )
        if not announced:
            return [
                Files(change_stamp(one.paths), one.paths) if one.paths else None for one in images
            ]

        def told(raw: Mapping[str, Any]) -> Files:
            facts, paths = raw.get("described"), raw.get("paths")
            return Files(
                raw["stamp"],
                tuple(paths) if paths else None,
                ImageInfo.parse(facts) if facts else None,
            )

        return [told(raw) if raw else None for raw in announced["images"]]

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each module that manages a store does, from its options to the values that it returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import ImageNotFound, NeedsFile
from ..images import is_prefix
from .results import alias_values, image_values, shown_image

if TYPE_CHECKING:
    from ..options.image_alias import AliasOptions
    from ..options.image_copy import CopyOptions
    from ..options.image_export import ExportOptions
    from ..options.image_import import ImportOptions
    from ..options.image_info import InfoOptions
    from ..options.image_publish import PublishOptions
    from ..options.image_state import ImageStateOptions
    from ..planning import Plan
    from ..store_view import StoreView
    from . import Task


def copy_image(task: Task, options: CopyOptions) -> dict[str, Any]:
    """Make the store hold the image that the options name at a source."""
    from ..convergence import converge, planned_image
    from .sources import copy_source

    if not is_prefix(options.request.name.lower()):
        task.prefetch(options.request.alias)
    # Options that do not fit the source are found here, before the server is told to trust this client.
    source = copy_source(task, options)
    task.progress.name = options.request.name
    plan_for = planned_image(source, options.desired, task.progress)
    result = converge(task.store, plan_for, task.progress, task.check_mode, options.desired)
    return image_values(task, result)


def import_image(task: Task, options: ImportOptions) -> dict[str, Any]:
    """Make the store hold the image that is in files or on a web server.

    Of a file of the controller the result says in ``needs`` whether it has to be sent (see ``plugins/action``).
    """
    from ..convergence import converge, planned_image
    from ..sources import record_missing
    from .import_source import import_source

    controller_file = options.controller_file
    only_asks = controller_file is not None and controller_file.only_asks
    task.progress.name = options.label
    with import_source(task, options) as source:
        plan_for = planned_image(source, options.desired, task.progress)
        check_mode = task.check_mode or only_asks
        try:
            result = converge(task.store, plan_for, task.progress, check_mode, options.desired)
        except NeedsFile:
            return {**task.changes_made, "needs": ["file"]}
        if not check_mode:
            record_missing(source, task.store)
    values = task.changes_made if only_asks else image_values(task, result)
    return {**values, "needs": ["file"]} if controller_file and result.arrives else values


def publish_image(task: Task, options: PublishOptions) -> dict[str, Any]:
    """Make the store hold an image of an instance. The server makes it, so no image data is transferred."""
    from ..convergence import converge, planned_image
    from ..sources.instance import InstanceSource

    task.prefetch(next(iter(options.desired.aliases or ()), None))
    task.progress.name = options.request.name
    source = InstanceSource(task.store, options.request)
    plan_for = planned_image(source, options.desired, task.progress)
    result = converge(task.store, plan_for, task.progress, task.check_mode, options.desired)
    values = image_values(task, result)
    return {**values, "would_transfer": 0} if task.check_mode else values


def manage_image(task: Task, options: ImageStateOptions) -> dict[str, Any]:
    """Give an image of the store the desired attributes and aliases, or delete it."""
    from ..convergence import converge, planned_absence, planned_attributes

    if options.desired:
        plan_for = planned_attributes(options.name, options.desired, task.progress)
    else:
        plan_for = planned_absence(options.name)
    result = converge(task.store, plan_for, task.progress, task.check_mode, options.desired)
    return image_values(task, result)


def manage_alias(task: Task, options: AliasOptions) -> dict[str, Any]:
    """Make an alias what is desired."""
    from ..convergence import converge
    from ..planning.aliases import plan_alias
    from ..store_access import with_visibility_hint

    desired = options.desired

    def plan(view: StoreView) -> Plan:
        view.see((desired.name, desired.final_name))
        try:
            if desired.target and view.resolve(desired.target) is None:
                view.list_all()  # for the error to say what there is
            return plan_alias(view.contents(), desired)
        except ImageNotFound as error:
            raise with_visibility_hint(task.store, error) from error

    return alias_values(task, converge(task.store, plan, task.progress, task.check_mode))


def list_images(task: Task, options: InfoOptions) -> dict[str, Any]:
    """The images that fit the options."""
    from .sources import offered_images

    if options.source.is_given:
        task.place = options.source.place
        images = offered_images(task, options)
    elif options.all_projects:
        from ..all_projects import contents_of_all_projects

        images = contents_of_all_projects(task.store.server).images
    else:
        images = task.store.contents().images
        if not images:
            from ..store_access import visibility_warning

            task.warn(visibility_warning(task.store))
    return {"images": [shown_image(image.raw) for image in images if options.filter.matches(image)]}


def export_image(task: Task, options: ExportOptions) -> dict[str, Any]:
    """Write an image's files into a directory."""
    from ..exporting import export, require_directory
    from .sources import export_source

    task.progress.name = options.name
    require_directory(options.dest)
    _require_file_attributes(task, options.dest)
    source = export_source(task, options)
    result = export(source, options.dest, task.deadline, task.progress, task.check_mode)
    values = {
        **task.changes_made,
        "fingerprint": result.image.fingerprint,
        "image": shown_image(result.image.raw),
        "files": result.files,
    }
    diff = {"before": {"files": result.before}, "after": {"files": result.files}}
    module = task.module
    for path in result.files.values():
        if not task.check_mode or result.before:
            attributes = module.load_file_common_arguments(module.params, path=path)
            values["changed"] = module.set_fs_attributes_if_different(
                attributes, values["changed"], diff if result.before else None
            )
    if module._diff:
        values["diff"] = diff
    return values


def _require_file_attributes(task: Task, path: str) -> None:
    """Have Ansible say now what it could not do with owner, group and mode, and not when all has been fetched."""
    module = task.module
    check_mode, module.check_mode = module.check_mode, True
    attributes = module.load_file_common_arguments(module.params, path=path)
    module.set_fs_attributes_if_different(attributes, False)
    module.check_mode = check_mode

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The task of ``lxd_image_store``: its entries become what single tasks have, its outcome the result."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from ..convergence import PlanFor, Progress, planned_absence, planned_attributes, planned_image
from ..errors import ImageStoreError, OptionError
from ..options.image_copy import CopyOptions
from ..options.image_state import ImageStateOptions
from ..planning.desired_state import DesiredState
from ..sources.controller_file import ControllerFileUpload
from ..store_sync import Outcome, merged_diff, sync
from ..store_sync.entries import Entry
from ..store_sync.unlisted import Unlisted
from .import_source import import_source
from .results import readable_diff, shown_image
from .sources import SharedSources, copy_source

if TYPE_CHECKING:
    from ..options.image_store import StoreEntry, StoreOptions
    from ..sources import Offer, Source
    from . import Task


def manage_store(task: Task, options: StoreOptions) -> dict[str, Any]:
    """Make the store hold what the entries describe. Ends the module itself if entries have failed."""
    shared = SharedSources()
    with ExitStack() as files:
        entries = [_entry(task, one, shared, files) for one in options.entries]
        outcome = Outcome(entries)
        unlisted = Unlisted(options.protect, options.retain) if options.delete_unlisted else None
        check_mode = task.check_mode or options.only_asks
        try:
            sync(task.store, outcome, unlisted, options.parallel, check_mode, _awaits_file)
        finally:
            # What was done so far is part of the report, whatever went wrong.
            task.progress.actions += _actions(outcome)
            task.progress.transferred = sum(entry.progress.transferred for entry in entries)
    awaited = [
        number
        for number, entry in enumerate(entries)
        if entry.works and entry.offer and _awaits_file(entry.offer)
    ]
    if outcome.needs or (options.only_asks and awaited):
        return {**task.changes_made, "needs": outcome.needs or awaited}
    if options.only_asks:
        return task.changes_made
    return _values(task, outcome)


def _awaits_file(offer: Offer) -> bool:
    return isinstance(offer, ControllerFileUpload)


def _entry(task: Task, one: StoreEntry, shared: SharedSources, files: ExitStack) -> Entry:
    """The entry, ready to be planned. What is wrong with its source or files is kept for its turn."""
    options, progress = one.options, Progress(name=one.label, recorder=task.recorder)
    desired = options.desired
    source: Source | None = None
    name = ""
    error: ImageStoreError | None = None
    if isinstance(options, ImageStateOptions):
        name = options.name
    else:
        try:
            if isinstance(options, CopyOptions):
                source = copy_source(task, options, shared)
            else:
                source = files.enter_context(import_source(task, options))
        except OptionError as wrong:
            # As with every other wrong option: nothing is to be done.
            raise OptionError(f"{one.title}: {wrong.message}", wrong.hint) from wrong
        except ImageStoreError as wrong:
            error = wrong

    def make_plan(state: DesiredState | None) -> PlanFor:
        if source and state:
            return planned_image(source, state, progress)
        return planned_attributes(name, state, progress) if state else planned_absence(name)

    return Entry(
        label=one.label,
        title=one.title,
        attempt=options.attempt,
        desired=desired,
        make_plan=make_plan,
        progress=progress,
        source=source,
        name=name,
        error=error,
    )


def _actions(outcome: Outcome) -> list[str]:
    own = [f"{entry.label}: {action}" for entry in outcome.entries for action in entry.actions]
    return own + [f"delete image {image.fingerprint[:12]}" for image in outcome.deleted]


def _values(task: Task, outcome: Outcome) -> dict[str, Any]:
    """The values to return; a failure has the same, and a message that names the entries."""
    entries = outcome.entries
    images = [_entry_values(task, entry) for entry in entries]
    values: dict[str, Any] = {
        "changed": bool(task.progress.actions) or any(one["changed"] for one in images),
        "actions": task.progress.actions,
        "transferred": task.progress.transferred,
        "images": images,
        "deleted": [
            {
                "fingerprint": image.fingerprint,
                "aliases": sorted(image.alias_names),
                "size": image.size,
            }
            for image in outcome.deleted
        ],
    }
    if task.check_mode:
        expected = [one["would_transfer"] for one in images if not one["failed"]]
        values["would_transfer"] = None if None in expected else sum(expected)
    if task.module._diff:
        values["diff"] = readable_diff(*merged_diff(outcome))
    if outcome.failed:
        said = "; ".join(
            f"{entry.title}: cannot {entry.attempt}: {str(entry.error).rstrip('.')}"
            for entry in outcome.failed
        )
        task.module.fail_json(
            msg=f"{len(outcome.failed)} of {len(entries)} images failed ({task.place}): {said}.",
            **values,
        )
    if outcome.error:
        task.module.fail_json(
            msg=f"Cannot delete the unlisted images ({task.place}): {outcome.error}", **values
        )
    return values


def _entry_values(task: Task, entry: Entry) -> dict[str, Any]:
    result = entry.result
    values: dict[str, Any] = {
        "label": entry.label,
        "changed": bool(entry.actions or entry.progress.stored),
        "fingerprint": entry.fingerprint,
        "image": shown_image(result.image) if result and result.image else None,
        "actions": list(entry.actions),
        "transferred": entry.progress.transferred,
        "failed": entry.error is not None,
        "msg": str(entry.error) if entry.error else "",
    }
    if task.check_mode:
        values["would_transfer"] = result.would_transfer if result else 0
    return values

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The images of a whole store: what single tasks would do, with one look, one plan and transfers beside each other."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Callable, Iterable, Sequence

from ..access import VIEW_ALIASES, VIEW_IMAGES, delete_image
from ..contents import Contents
from ..convergence import converge, predict, require_possible, transfer
from ..errors import ConflictError, ImageNotFound, ImageStoreError
from ..images import Image, short_fingerprint
from ..planning.steps import MoveAlias
from ..sources import Offer, record_missing, update_with_retry
from ..store import Store
from ..store_access import require_write_access
from ..store_view import StoreView
from .contradictions import Claim, require_consistent
from .entries import Entry, follow_names, lead, unfollow
from .unlisted import ENTRY_PROPERTY, Unlisted


@dataclass
class Outcome:
    """What came of all entries, and the images that were deleted because no entry is about them.

    ``needs`` are the positions of entries whose files the controller has to send first; nothing was changed then.
    """

    entries: Sequence[Entry]
    deleted: list[Image] = field(default_factory=list)
    needs: list[int] = field(default_factory=list)
    error: ImageStoreError | None = None
    """What kept the images that no entry is about from being deleted."""

    @property
    def failed(self) -> list[Entry]:
        """The entries that could not be done."""
        return [entry for entry in self.entries if entry.error]


def sync(
    store: Store,
    outcome: Outcome,
    unlisted: Unlisted | None,
    parallel: int,
    check_mode: bool,
    awaits_file: Callable[[Offer], bool],
) -> None:
    """Make the store hold what the entries of ``outcome`` want; it is filled, and outlives an error.

    An entry that fails does not stop the others, but then nothing is deleted. ``unlisted`` None: images that no entry
    is about stay. ``awaits_file`` tells of an offer that the controller has to send its file first. Raises OptionError
    if entries contradict each other, and whatever keeps the store from being looked at.
    """
    entries = outcome.entries
    if not entries:
        # Nothing is to be done; but a server that does not answer, or rejects this client, is no success.
        require_write_access(store)
        return
    view = StoreView(store)
    view.list_all()
    _plan_all(store, entries, view)
    for entry in entries:
        _attempt(entry, _require_possible, store, view)
    if not check_mode:
        outcome.needs = [
            number
            for number, entry in enumerate(entries)
            if entry.works and entry.offer and awaits_file(entry.offer)
        ]
        if outcome.needs:
            return
        _transfer_all(store, [entry for entry in entries if entry.works], parallel)
    for entry in entries:
        if entry.desired:
            _attempt(entry, _predict if check_mode else _converge, store, view)
    _follow(entries)
    if not outcome.failed:
        for entry in entries:
            if entry.deletes:
                _attempt(entry, _predict_deletions if check_mode else _delete, store, view)
        _follow(entries)
    if unlisted:
        try:
            if not check_mode:
                _note_entries(store, entries)
            if not outcome.failed:
                _delete_unlisted(store, outcome, unlisted, view, check_mode)
        except ImageStoreError as error:
            outcome.error = error


def _plan_all(store: Store, entries: Sequence[Entry], view: StoreView) -> None:
    """Plan all entries, those about one image together. Raises OptionError if entries contradict each other."""
    follow_names(entries)
    for entry in entries:
        _attempt(entry, _plan, store, view)
    for entry in unfollow(entries):
        _attempt(entry, _plan, store, view)
    _require_consistent([entry for entry in entries if not entry.error], view)
    for entry in lead(entries):
        _attempt(entry, _plan, store, view)


def _attempt(
    entry: Entry, step: Callable[[Entry, Store, StoreView], None], store: Store, view: StoreView
) -> None:
    """Do a step of an entry, unless it has failed or another does its work, and keep what goes wrong."""
    if not entry.works:
        return
    try:
        step(entry, store, view)
    except ImageStoreError as error:
        entry.error = error


def _plan(entry: Entry, store: Store, view: StoreView) -> None:
    try:
        entry.plan = entry.plan_for(view)
    except ImageNotFound:
        # A client without rights sees public images only, which is then what is wrong.
        require_write_access(store, (VIEW_IMAGES, VIEW_ALIASES))
        raise
    offer = entry.offer
    # Whether two entries are about one image is to be known, and what a list lacks is asked for before it is sent.
    if offer and not offer.fingerprint and offer.identify():
        entry.plan = entry.plan_for(view)


def _require_consistent(entries: Sequence[Entry], view: StoreView) -> None:
    claims = [Claim(entry.title, entry.identity, entry.wanted, entry.name) for entry in entries]
    aliases = sorted({alias for claim in claims for alias in claim.aliases})
    require_consistent(claims, {alias: view.by_alias(alias) for alias in aliases})


def _require_possible(entry: Entry, store: Store, view: StoreView) -> None:
    """Check the rights for what is to be done, and before an image is called absent that may only be hidden."""
    if entry.plan is None:
        return
    sees_private = any(not image.public for image in view.contents().images)
    if entry.plan.actions or (entry.plan.subject is None and not sees_private):
        require_possible(store, entry.plan, entry.desired)


def _transfer_all(store: Store, entries: Iterable[Entry], parallel: int) -> None:
    """Transfer what is missing, several images at a time, each over its own connection to the server."""

    def transfer_one(entry: Entry) -> None:
        deadline = store.server.transport.deadline
        own = Store(store.server.with_deadline(deadline), store.project)
        try:
            if entry.offer:
                transfer(own, entry.offer, entry.progress)
        except ConflictError:
            # Another client transferred it meanwhile: the next look finds it.
            return
        except ImageStoreError as error:
            entry.error = error

    missing = [entry for entry in entries if entry.offer]
    if missing:
        # Imported late: an unchanged task does not need it.
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(min(parallel, len(missing))) as pool:
            list(pool.map(transfer_one, missing))


def _converge(entry: Entry, store: Store, _view: StoreView) -> None:
    if entry.plan and not entry.plan.actions:
        entry.result = predict([entry.plan])
        record_missing(entry.source, store)
    else:
        earlier = [entry.plan] if entry.plan else []
        entry.result = converge(
            store, entry.plan_for, entry.progress, False, entry.desired, earlier
        )


def _predict(entry: Entry, _store: Store, _view: StoreView) -> None:
    if entry.plan:
        entry.result = predict([entry.plan])


def _delete(entry: Entry, store: Store, view: StoreView) -> None:
    """Delete the image that is to be absent, or those that the entry has replaced."""
    if entry.desired is None:
        if entry.plan and not entry.plan.actions:
            _predict(entry, store, view)
            return
    elif not any(isinstance(step, MoveAlias) for step in entry.progress.steps) and not (
        entry.outdates and entry.plan_with_deletions(view).actions
    ):
        return
    earlier = [entry.plan] if entry.plan else []
    entry.result = converge(
        store, entry.plan_with_deletions, entry.progress, False, entry.desired, earlier
    )


def _predict_deletions(entry: Entry, _store: Store, view: StoreView) -> None:
    entry.result = predict([entry.plan_with_deletions(view)])


def _follow(entries: Iterable[Entry]) -> None:
    for entry in entries:
        entry.follow()


def _delete_unlisted(
    store: Store, outcome: Outcome, unlisted: Unlisted, view: StoreView, check_mode: bool
) -> None:
    """Delete what no entry is about, after another look; in check mode, only tell what that would be.

    There is no other look if the first one, ``view``, and the plans tell that there is nothing to delete.
    """
    listed = _labels(outcome.entries)
    foreseen = unlisted.choose(_afterwards(view.list_all(), outcome.entries), listed)
    if foreseen:
        require_write_access(store, [delete_image(image.fingerprint) for image in foreseen])
    if check_mode:
        outcome.deleted += foreseen
        return
    if not foreseen:
        return
    for image in unlisted.choose(store.contents(), listed):
        if _delete_as_seen(store, image):
            outcome.deleted.append(image)


def _afterwards(contents: Contents, entries: Iterable[Entry]) -> Contents:
    """What the store would hold after the plans of the entries, as far as other images are concerned."""
    plans = [entry.plan for entry in entries if entry.plan]
    deleted = {image.fingerprint for plan in plans for image in plan.deleted}
    moved = {
        alias: entry.fingerprint
        for entry in entries
        for alias in ((entry.wanted.aliases or ()) if entry.wanted else ())
    }
    return Contents(
        tuple(
            replace(
                image,
                aliases=tuple(
                    alias
                    for alias in image.aliases
                    if moved.get(alias.name, image.fingerprint) == image.fingerprint
                ),
            )
            for image in contents.images
            if image.fingerprint not in deleted
        )
    )


def _labels(entries: Sequence[Entry]) -> dict[str, str]:
    """The label of each image that is to be present, which is that of the first entry about it."""
    return {
        entry.fingerprint: entry.label
        for entry in reversed(entries)
        if entry.fingerprint and entry.desired
    }


def _note_entries(store: Store, entries: Sequence[Entry]) -> None:
    """Note on each image which entry it belongs to, so that it is known when another has replaced it."""
    labels = _labels([entry for entry in entries if not entry.error])
    noted = {
        entry.fingerprint: (entry.result.image.get("properties") or {}).get(ENTRY_PROPERTY)
        for entry in entries
        if entry.result and entry.result.image and entry.desired
    }
    for fingerprint, label in labels.items():
        if noted.get(fingerprint) != label:
            _note_entry(store, fingerprint, label)


def _note_entry(store: Store, fingerprint: str, label: str) -> None:
    def changes(image: Image) -> dict[str, Any]:
        return {"properties": {**image.properties, ENTRY_PROPERTY: label}}

    update_with_retry(store, fingerprint, changes)


def _delete_as_seen(store: Store, image: Image) -> bool:
    """Delete an image, unless somebody has changed its aliases since it was seen; whether it was deleted."""
    try:
        now = store.writer.current_image(image.fingerprint)
    except (ConflictError, ImageNotFound):
        return False
    if now.alias_names != image.alias_names or now.cached:
        return False
    store.writer.delete_image(image.fingerprint)
    return True


def merged_diff(outcome: Outcome) -> tuple[dict[str, Any], dict[str, Any]]:
    """The diffs of all entries as one: attributes by label, aliases and images of all together."""
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for entry in outcome.entries:
        if not entry.result:
            continue
        for whole, values in ((before, entry.result.before), (after, entry.result.after)):
            own = dict(values)
            for shared in ("aliases", "images"):
                if shared in own:
                    whole.setdefault(shared, {}).update(own.pop(shared))
            if own:
                whole.setdefault("attributes", {})[entry.label] = own
    for image in outcome.deleted:
        shown = {"aliases": sorted(image.alias_names), "size": image.size}
        before.setdefault("images", {})[short_fingerprint(image.fingerprint)] = shown
    return before, after

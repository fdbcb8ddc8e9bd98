# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mirrors selected images of a source in the tree of a catalog.

The source is read and its files are downloaded without the lock of the tree, so that others can publish meanwhile. With
the lock, the catalog is read again, the files are moved into the tree, and the documents are replaced.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any, Collection, Mapping, Sequence

from ..catalog.documents import require_readable
from ..catalog.mirrored import READERS, shown_products
from ..catalog.planning import CatalogPlan, complete_plan, list_versions, readable
from ..catalog.publishing import CatalogLocation, reported_actions
from ..catalog.record import Catalog, Mirror, Part
from ..catalog.sizes import readable_size
from ..catalog.web_root import WebRoot, require_folder
from ..deadline import Deadline
from ..errors import ConflictError, FileError, OptionError
from . import MirrorPolicy, MirrorSource, Obtained
from .generated import GeneratedDocuments
from .selection import SelectEntry, Selector
from .staging import Staging

MAX_FAULTS_SHOWN = 5
MAX_ATTEMPTS = 3


@dataclass(frozen=True)
class MirrorResult:
    """The result of a task. In check mode, it also has the bytes to transfer and to drop.

    ``before`` and ``after`` have the mirror alone.
    """

    versions: list[dict[str, Any]] = field(default_factory=list)
    warnings: Sequence[str] = ()
    before: Catalog = field(default_factory=Catalog)
    after: Catalog = field(default_factory=Catalog)
    would_transfer: int = 0
    would_drop: int = 0

    @property
    def diff(self) -> dict[str, Any]:
        """What was mirrored before and after."""
        return {
            "before": readable(shown_products(self.before)),
            "after": readable(shown_products(self.after)),
        }


@dataclass(frozen=True)
class _Publication:
    """A plan for the tree, its documents, those of them to write, and what to report of it.

    There are no documents if those of the tree are known to be as they have to be.
    """

    plan: CatalogPlan
    texts: Mapping[str, str]
    stale: Sequence[str]
    actions: Sequence[str]

    @property
    def changes_nothing(self) -> bool:
        """Whether the tree is as it has to be."""
        return not (self.texts or self.actions or self.plan.expired)


class Mirroring:
    """One task's work on a tree. ``actions`` and ``transferred`` have what was done so far, also after a failure."""

    def __init__(self, location: CatalogLocation, policy: MirrorPolicy, deadline: Deadline) -> None:
        self._location = location
        self._policy = policy
        self._deadline = deadline
        self.tree = WebRoot(location.root, deadline)
        self.staging = Staging(self.tree, deadline)
        self._generated = GeneratedDocuments(self.tree, location)
        self.actions: list[str] = []
        self.transferred = 0

    def update(
        self, source: MirrorSource, entries: Sequence[SelectEntry], check_mode: bool
    ) -> MirrorResult:
        """Mirror what the entries select of a source.

        Raises OptionError, FileError, ConnectionFailed, ApiError, TimedOut. If only some versions could not be
        mirrored, the others were, and the FileError names them.
        """
        self._require_folder(check_mode)
        catalog, files = self.tree.record(), self.tree.files()
        previous = catalog.mirror(source.address, source.protocol)
        selector = Selector(entries, previous.selected)
        target = source.plan(selector, previous, check_mode)
        warnings = selector.conclude(source.address)
        present = _present({**previous.parts, **target.parts}, files, self._damaged(previous))
        publication = self._publication(catalog, target, files, present)
        self._require_room(publication.plan, files)
        if check_mode:
            missing = {path: part for path, part in target.parts.items() if path not in present}
            return self._result(publication, target, warnings, missing)
        for attempt in range(MAX_ATTEMPTS):
            obtained = source.obtain(target, previous, present, self._deadline)
            self.transferred += obtained.received
            damaged = present.intersection(obtained.staged)
            present -= damaged
            try:
                publication = self._publish(obtained, present, None if damaged else publication)
                break
            except ConflictError as error:
                # Another task has removed files that were there.
                if attempt == MAX_ATTEMPTS - 1:
                    raise FileError(error.message, "Run the task again.") from error
                present -= self.tree.missing(target.parts)
        self.staging.remove_abandoned()
        _require_no_faults(obtained)
        return self._result(publication, obtained.mirror, warnings)

    def withdraw(self, address: str, protocol: str, check_mode: bool) -> MirrorResult:
        """Withdraw all images of a source. A tree that does not exist is not created."""
        self._require_folder(check_mode)
        nothing = Mirror(address, protocol)
        if not os.path.lexists(self.tree.root):
            return MirrorResult()
        if check_mode:
            catalog, files = self.tree.record(), self.tree.files()
            return self._result(self._publication(catalog, nothing, files, set(files)), nothing)
        publication = self._publish(Obtained(nothing), set())
        self.staging.forget_documents(address)
        return self._result(publication, nothing)

    def _require_folder(self, check_mode: bool) -> None:
        if self._location.header_map and not check_mode:
            require_folder(self._location.header_map)

    def _damaged(self, previous: Mirror) -> Collection[str]:
        return self.tree.damaged(previous.parts) if self._policy.verify else ()

    def _publication(
        self,
        catalog: Catalog,
        mirror: Mirror,
        files: Mapping[str, int],
        present: Collection[str],
    ) -> _Publication:
        """What to do so that a catalog has this mirror. Raises OptionError if that is not possible."""
        after = catalog.with_mirror(mirror)
        plan = complete_plan(catalog, after, self._policy.grace, files, int(time.time()))
        texts: Mapping[str, str] = {}
        if plan.after != plan.before or not self._generated.are_current():
            texts = self._location.documents(plan.after)
            require_readable(texts)
        stale = [path for path, text in texts.items() if not self.tree.has_document(path, text)]
        before = catalog.mirror(*mirror.key).parts
        replaced = [path for path in mirror.parts if path in before and path not in present]
        actions = reported_actions(plan, replaced, stale)
        return _Publication(plan, texts, stale, actions)

    def _publish(
        self, obtained: Obtained, present: Collection[str], planned: _Publication | None = None
    ) -> _Publication:
        """Publish what was obtained. ``planned`` is used if the catalog has not changed since it was made.

        Raises ConflictError if files have been removed meanwhile.
        """
        tree, mirror = self.tree, obtained.mirror
        if planned and planned.changes_nothing and not obtained.staged and not obtained.faults:
            return planned
        with tree.locked():
            catalog, files = tree.record(), tree.files()
            if (
                planned
                and catalog == planned.plan.before
                and planned.plan.after.mirror(*mirror.key) == mirror
            ):
                publication = planned
            else:
                publication = self._publication(catalog, mirror, files, present)
            parts = mirror.parts
            placed = [
                staged
                for path, staged in obtained.staged.items()
                if path in parts and self.staging.has(staged)
            ]
            there = {path: files.get(path) for path in parts}
            there.update({staged.part.path: staged.part.size for staged in placed})
            if any(there[path] != part.size for path, part in parts.items()):
                raise ConflictError(f"another task has removed files below {tree}")
            for staged in placed:
                tree.adopt(staged.part, self.staging.path_of(staged.part))
            stale = {path: publication.texts[path] for path in publication.stale}
            with tree.prepared(stale) as replace_documents:
                self.actions[:] = publication.actions
                replace_documents()
            if publication.texts:
                self._generated.remember(publication.texts)
            tree.remove(publication.plan.expired)
        return publication

    def _require_room(self, plan: CatalogPlan, files: Mapping[str, int]) -> None:
        """Raises OptionError if the files of the tree would be larger than ``max_bytes`` in all."""
        limit = self._policy.max_bytes
        if limit is None:
            return
        sizes = {path: part.size for path, part in plan.after.parts.items()}
        sizes.update({path: files.get(path, 0) for path in plan.after.leaving})
        total = sum(sizes.values())
        if total > limit:
            raise OptionError(
                f"the files below {self.tree} would take {readable_size(total)}, and max_size is"
                f" {readable_size(limit)}",
                "Select fewer images, lower keep, or raise max_size. Nothing was changed.",
            )

    def _result(
        self,
        publication: _Publication,
        mirror: Mirror,
        warnings: Sequence[str] = (),
        missing: Mapping[str, Part] | None = None,
    ) -> MirrorResult:
        plan = publication.plan
        self.actions[:] = publication.actions
        listed = plan.after.parts
        dropped = {path: part for path, part in plan.before.parts.items() if path not in listed}
        before, after = (
            Catalog(mirrors=(one.mirror(*mirror.key),)) for one in (plan.before, plan.after)
        )
        return MirrorResult(
            _versions(mirror),
            warnings,
            before,
            after,
            sum(part.size for part in (missing or {}).values()),
            sum(part.size for part in dropped.values()),
        )


def _present(
    parts: Mapping[str, Part], files: Mapping[str, int], damaged: Collection[str]
) -> set[str]:
    """The paths of those files that the tree has, as far as it is known."""
    return {
        path for path, part in parts.items() if files.get(path) == part.size and path not in damaged
    }


def _versions(mirror: Mirror) -> list[dict[str, Any]]:
    """The images of a mirror, for the result of a task."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for product in mirror.listed:
        for reader in READERS:
            for image in product.images(reader):
                name = product.names[0] if product.names else product.name
                key = (name, image.type, image.product.architecture, image.serial)
                found.setdefault(
                    (*key, image.fingerprint),
                    {
                        "name": name,
                        "image_type": image.type,
                        "architecture": image.product.architecture,
                        "version": image.serial,
                        "fingerprint": image.fingerprint,
                        "size": sum(file.size for file in image.files),
                    },
                )
    return [*list_versions(mirror.exported), *found.values()]


def _require_no_faults(obtained: Obtained) -> None:
    if not obtained.faults:
        return
    shown = [f"{title}: {fault.rstrip('.')}" for title, fault in sorted(obtained.faults.items())]
    more = len(shown) - MAX_FAULTS_SHOWN
    raise FileError(
        f"{len(shown)} version{'s' if len(shown) > 1 else ''} could not be mirrored:"
        f" {'; '.join(shown[:MAX_FAULTS_SHOWN])}{f'; and {more} more' if more > 0 else ''}",
        "All others are mirrored, and versions that were mirrored before remain.",
    )

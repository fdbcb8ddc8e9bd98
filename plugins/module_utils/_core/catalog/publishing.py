# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A static tree of images that any web server can serve: versions are published into it, and old ones withdrawn.

Files come first, then the record, then what is generated from it; last, files are removed that nobody needs any more.
So a task that is killed leaves a valid tree, and any later one completes what the record says.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping, Sequence

from ..archives.image_info import ImageInfo, image_info, read_image_info
from ..deadline import Deadline
from ..errors import FileError
from ..images import short_fingerprint
from .bare_images import BareImages
from .client_commands import PUBLIC
from .documents import documents, require_readable
from .entries import CatalogEntry
from .planning import (
    CatalogPlan,
    CatalogPolicy,
    list_versions,
    missing_parts,
    plan_catalog,
    readable,
)
from .record import Catalog, Part
from .web_root import WebRoot, require_folder


@dataclass(frozen=True)
class CatalogLocation:
    """Where a catalog is, and the address at which clients find it, without a slash at its end.

    ``header_map`` is the path of a map for nginx, or None. ``access`` is what the web server asks its clients for.
    """

    root: str
    base_url: str
    header_map: str | None = None
    access: str = PUBLIC

    def documents(self, catalog: Catalog) -> dict[str, str]:
        """The documents of a catalog here."""
        return documents(catalog, self.base_url, self.header_map, self.access)


@dataclass(frozen=True)
class PublishResult:
    """What was done, or in check mode would be.

    ``needs_facts`` and ``needs_files`` are the positions of entries of which the controller has to send the facts or
    the files first. Then nothing was done. ``is_planned`` is whether there is a plan already, which check mode shows.
    """

    versions: list[dict[str, Any]] = field(default_factory=list)
    actions: tuple[str, ...] = ()
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    needs_facts: tuple[int, ...] = ()
    needs_files: tuple[int, ...] = ()
    is_planned: bool = True


class Publisher:
    """One task's work on a catalog. ``actions`` has what was done so far, also after a failure."""

    def __init__(
        self,
        location: CatalogLocation,
        policy: CatalogPolicy,
        deadline: Deadline,
        verify: bool = False,
    ) -> None:
        self._location = location
        self._policy = policy
        self._verify = verify
        self._deadline = deadline
        self._tree = WebRoot(location.root, deadline)
        self.actions: list[str] = []

    def publish(self, entries: Sequence[CatalogEntry], check_mode: bool = False) -> PublishResult:
        """Publish these entries, or withdraw those that are absent.

        In check mode nothing is written. Raises FileError, OptionError, TimedOut; the catalog is then as it was.
        """
        if self._location.header_map and not check_mode:
            require_folder(self._location.header_map)
        with ExitStack() as stack:
            return self._publish(entries, BareImages(stack), check_mode)

    def _publish(
        self, entries: Sequence[CatalogEntry], bare: BareImages, check_mode: bool
    ) -> PublishResult:
        now = int(time.time())
        known = self._tree.remembered()
        complete: list[CatalogEntry] = []
        needs_facts: list[int] = []
        needs_files: list[int] = []
        for number, entry in enumerate(entry.with_files() for entry in entries):
            if entry.files is None:
                complete.append(entry)
                continue
            facts = entry.facts or known.get(entry.files.stamp) or self._read(entry, bare)
            if facts:
                complete.append(entry.with_facts(facts, now))
            elif entry.bare:
                # Its image can only be made here.
                needs_files.append(number)
            else:
                needs_facts.append(number)
        if needs_facts or needs_files:
            return PublishResult(
                needs_facts=tuple(needs_facts), needs_files=tuple(needs_files), is_planned=False
            )
        with nullcontext() if check_mode else self._tree.locked():
            return self._converge(complete, bare, now, check_mode)

    def _read(self, entry: CatalogEntry, bare: BareImages) -> ImageInfo | None:
        """The facts of an entry, from its files; None if they are on the controller."""
        if entry.files is None or entry.files.paths is None:
            return None
        try:
            if entry.bare:
                return image_info(bare.files(entry))
            return read_image_info(*entry.files.paths, deadline=self._deadline)
        except FileError as error:
            raise FileError(f"{entry.spec}: {error.message}", error.hint) from error

    def _converge(
        self, entries: Sequence[CatalogEntry], bare: BareImages, now: int, check_mode: bool
    ) -> PublishResult:
        tree = self._tree
        files = tree.files()
        plan = plan_catalog(tree.record(), entries, self._policy, files, now)
        damaged = tree.damaged(plan.after.own_parts) if self._verify else []
        missing = missing_parts(plan, files, damaged)
        sources = _sources(entries)
        _require_sources(plan.after, missing, sources, tree)
        needed = {path: sources[path] for path in missing}
        unsent = sorted({one.number for one in needed.values() if not one.is_here})
        location = self._location
        texts = location.documents(plan.after)
        require_readable(texts)
        stale = [path for path, text in texts.items() if not tree.has_document(path, text)]
        replaced = [path for path in missing if path in plan.before.parts]
        actions = reported_actions(plan, replaced, stale)
        if not check_mode and not unsent:
            for path, part in missing.items():
                source = needed[path]
                tree.place(part, source.path(bare), source.changed())
            with tree.prepared({path: texts[path] for path in stale}) as replace_documents:
                self.actions[:] = actions
                replace_documents()
            tree.remove(plan.expired)
            self._remember(plan.after, entries)
        return PublishResult(
            list_versions(plan.after.products),
            tuple(actions),
            readable(plan.before.products),
            readable(plan.after.products),
            needs_files=tuple(unsent),
        )

    def _remember(self, catalog: Catalog, entries: Iterable[CatalogEntry]) -> None:
        """Remember the facts of this task's entries, and those of what is published."""
        published = {
            version.fingerprint for product in catalog.products for version in product.versions
        }
        known = self._tree.remembered()
        kept = {stamp: one for stamp, one in known.items() if one.fingerprint in published}
        kept.update(
            {entry.files.stamp: entry.facts for entry in entries if entry.files and entry.facts}
        )
        if kept != known:
            self._tree.remember(kept)


@dataclass(frozen=True)
class _PartSource:
    """Where a file of the tree comes from: which file of which entry, and the entry's position."""

    number: int
    entry: CatalogEntry
    part: int

    @property
    def is_here(self) -> bool:
        """Whether it is on this host."""
        return self.entry.files is not None and self.entry.files.paths is not None

    def path(self, bare: BareImages) -> str:
        """Its path, if it is here; of an image that has yet to be made, after that."""
        return bare.paths(self.entry)[self.part] if self.entry.bare else self._named_path

    def changed(self) -> FileError:
        """The error for a file that is not what the facts say, which may be those of an earlier task."""
        bare = self.entry.bare
        if bare:
            return FileError(
                f"{self.entry.spec}: the image that is made of {bare.request.name} now differs from the published one,"
                " whose file is missing or damaged",
                "The version of qemu-img has changed, or the file has. Withdraw that version (state: absent), then"
                " publish it again.",
            )
        return FileError(
            f"{self._named_path} changed while it was being copied", "Run the task again."
        )

    @property
    def _named_path(self) -> str:
        return ((self.entry.files and self.entry.files.paths) or ())[self.part]


def _sources(entries: Sequence[CatalogEntry]) -> dict[str, _PartSource]:
    """For each file of the entries, by its path in the tree, where it comes from."""
    sources: dict[str, _PartSource] = {}
    for number, entry in enumerate(entries):
        for which, part in enumerate(entry.version.parts if entry.files else ()):
            sources.setdefault(part.path, _PartSource(number, entry, which))
    return sources


def reported_actions(plan: CatalogPlan, replaced: Iterable[str], stale: Iterable[str]) -> list[str]:
    """What to report. Documents are named only if nothing else changes."""
    actions = [f"replace file {short_fingerprint(path.rpartition('/')[2])}" for path in replaced]
    actions += plan.actions
    return actions or [f"write {path}" for path in stale]


def _require_sources(
    catalog: Catalog, missing: Mapping[str, Part], sources: Mapping[str, Any], tree: WebRoot
) -> None:
    """Raises FileError if the task lacks a source of files that are missing or damaged."""
    lost = [
        f"{path} of {product} {version.name}"
        for product in catalog.products
        for version in product.versions
        for path in (part.path for part in version.parts)
        if path in missing and path not in sources
    ]
    if lost:
        more = f", and {len(lost) - 3} more" if len(lost) > 3 else ""
        raise FileError(
            f"files below {tree} are missing or damaged: {', '.join(lost[:3])}{more}",
            "Publish that version from its file again, or withdraw it (state: absent).",
        )

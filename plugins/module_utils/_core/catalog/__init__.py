# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A static tree of images that any web server can serve, kept as a task says: versions published, old ones withdrawn.

Files come first, then the record, then what is made from it, and last the files go that nobody needs any more. So a
run that is killed leaves a tree that is right, and any later run completes what the record says.
"""

from __future__ import annotations

import re
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping, Sequence

from ..archives.image_info import ImageInfo, read_image_info
from ..deadline import Deadline
from ..errors import FileError, OptionError
from ..images import short_fingerprint
from ..simplestreams import INDEX, File
from ..simplestreams import writing as streams
from .entries import Given, Publication
from .header_map import header_map
from .page import page
from .planning import CatalogPlan, CatalogPolicy, listed, needed, planned, shown
from .record import Catalog, Part, Product
from .web_root import PAGE, RECORD, WebRoot, require_outside

_ADDRESS = re.compile(
    r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?\Z"
)


@dataclass(frozen=True)
class CatalogLocation:
    """Where a catalogue is, and what clients call it. ``header_map`` is the path of a map for nginx, or None."""

    root: str
    base_url: str
    header_map: str | None = None

    @classmethod
    def parse(cls, params: Mapping[str, Any]) -> CatalogLocation:
        """From the options of ``lxd_image_catalog``. Raises OptionError."""
        base_url = params["base_url"].strip().rstrip("/")
        if not _ADDRESS.match(base_url):
            raise OptionError(
                f"base_url is {params['base_url']!r}, which is no address that clients could use",
                "It is like https://images.example.com, perhaps with a port or a path.",
            )
        if params["header_map"]:
            require_outside(params["header_map"], params["root"])
        return cls(params["root"], base_url, params["header_map"])


@dataclass(frozen=True)
class Files:
    """Where the file or files of one image are, and what is known of them.

    ``paths`` is None for those of the controller that were not sent; ``stamp`` tells them from others, and from
    themselves once they have changed.
    """

    stamp: str
    paths: tuple[str, ...] | None = None
    described: ImageInfo | None = None


@dataclass(frozen=True)
class PublishResult:
    """How it ended, or in check mode would.

    ``lacks_facts`` and ``lacks_files`` have the numbers of the images of which the controller has to tell or to send
    more first. Then nothing was done.
    """

    versions: list[dict[str, Any]] = field(default_factory=list)
    actions: tuple[str, ...] = ()
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    lacks_facts: tuple[int, ...] = ()
    lacks_files: tuple[int, ...] = ()


class Publisher:
    """One task's work on a catalogue. ``done`` says what it has done so far; it outlives a failure."""

    def __init__(
        self,
        place: CatalogLocation,
        rules: CatalogPolicy,
        deadline: Deadline,
        verify: bool = False,
    ) -> None:
        self._place = place
        self._deadline = deadline
        self._rules = rules
        self._verify = verify
        self._tree = WebRoot(place.root)
        self.done: list[str] = []

    def publish(
        self, images: Sequence[tuple[Given, Files | None]], check_mode: bool = False
    ) -> PublishResult:
        """Have these images in the catalogue, or not, as each says. An absent one has no files.

        In check mode say what that would do, and write nothing. Raises FileError, OptionError; the catalogue is then
        as it was.
        """
        known = self._tree.known()
        facts: dict[str, ImageInfo] = {}
        publications: list[Publication] = []
        sources: dict[str, tuple[int, str | None]] = {}
        lacking: list[int] = []
        for number, (given, files) in enumerate(images):
            if files is None:
                continue
            one = files.described or known.get(files.stamp) or _read(given, files, self._deadline)
            if one is None:
                lacking.append(number)
                continue
            facts[files.stamp] = one
            publication = Publication(given, one)
            publications.append(publication)
            paths = files.paths or [None] * len(one.parts)
            for part, path in zip(publication.version.parts, paths):
                sources.setdefault(part.path, (number, path))
        if lacking:
            return PublishResult(lacks_facts=tuple(lacking))
        withdrawals = [given for given, _files in images if given.absent]
        with nullcontext() if check_mode else self._tree.locked():
            return self._settled(publications, withdrawals, sources, facts, check_mode)

    def _settled(
        self,
        publications: Sequence[Publication],
        withdrawals: Sequence[Given],
        sources: Mapping[str, tuple[int, str | None]],
        facts: Mapping[str, ImageInfo],
        check_mode: bool,
    ) -> PublishResult:
        tree = self._tree
        there = tree.files()
        plan = planned(
            tree.record(), publications, withdrawals, self._rules, there, int(time.time())
        )
        damaged = tree.damaged(plan.after.parts) if self._verify else []
        lacking = needed(plan, there, damaged)
        _require_sources(plan.after, lacking, sources, tree)
        unsent = sorted({sources[path][0] for path in lacking if sources[path][1] is None})
        documents = _documents(plan.after, self._place)
        stale = [path for path, text in documents.items() if tree.read(path) != text]
        mended = [path for path in lacking if path in plan.before.parts]
        actions = self._actions(plan, mended, stale)
        if not check_mode and not unsent:
            for path, part in lacking.items():
                tree.place(part, sources[path][1] or "")
            for path in stale:
                tree.write(path, documents[path])
                self.done[:] = actions
            tree.remove(plan.expired)
            self.done[:] = actions
            self._remember(plan.after, facts)
        return PublishResult(
            listed(plan.after),
            tuple(actions),
            shown(plan.before),
            shown(plan.after),
            lacks_files=tuple(unsent),
        )

    @staticmethod
    def _actions(plan: CatalogPlan, mended: Iterable[str], stale: Iterable[str]) -> list[str]:
        """What to say. Where the catalogue changes, its documents do, too: that goes without saying."""
        actions = [f"replace file {short_fingerprint(path.rpartition('/')[2])}" for path in mended]
        actions += [*plan.actions, *plan.notes]
        return actions or [f"write {path}" for path in stale]

    def _remember(self, catalog: Catalog, facts: Mapping[str, ImageInfo]) -> None:
        """Keep what this task knows of files, and what was known of those that are published."""
        published = {
            version.fingerprint for product in catalog.products for version in product.versions
        }
        known = self._tree.known()
        kept = {stamp: one for stamp, one in known.items() if one.fingerprint in published}
        kept.update(facts)
        if kept != known:
            self._tree.remember(kept)


def _read(given: Given, files: Files, deadline: Deadline) -> ImageInfo | None:
    if files.paths is None:
        return None
    try:
        return read_image_info(*files.paths, deadline=deadline)
    except FileError as error:
        raise FileError(f"{given}: {error.message}", error.hint) from error


def _require_sources(
    catalog: Catalog, lacking: Mapping[str, Part], sources: Mapping[str, Any], tree: WebRoot
) -> None:
    """Raises FileError if files are missing or wrong of which the task has no source."""
    lost = [
        f"{path} of {product} {version.name}"
        for product in catalog.products
        for version in product.versions
        for path in (part.path for part in version.parts)
        if path in lacking and path not in sources
    ]
    if lost:
        more = f", and {len(lost) - 3} more" if len(lost) > 3 else ""
        raise FileError(
            f"below {tree} files are missing, or not what they have to be: {', '.join(lost[:3])}{more}",
            "Publish that version from its file again, or withdraw it (state: absent).",
        )


def _documents(catalog: Catalog, place: CatalogLocation) -> dict[str, str]:
    """All that is made from the record, and itself, in the order in which it is written."""
    products = _products(catalog.products)
    documents = {
        RECORD: catalog.text(),
        streams.PRODUCTS: streams.products_text(products),
        INDEX: streams.index_text(products),
    }
    if place.header_map:
        documents[place.header_map] = header_map(catalog, place.base_url)
    documents[PAGE] = page(catalog, place.base_url)
    return documents


def _products(products: Iterable[Product]) -> dict[str, Any]:
    """The products as simplestreams has them; a unified virtual machine would be taken for a container there."""
    return {
        f"{product.name}:{product.type}:{product.architecture}": streams.product(
            product.architecture,
            product.names,
            # Servers make the image's description of it, which else would begin with nothing.
            {
                "os": product.os or product.name,
                **{
                    name: value
                    for name, value in (("release", product.release), ("variant", product.variant))
                    if value
                },
            },
            product.requirements,
            {
                version.name: streams.items(
                    version.fingerprint,
                    [File(part.path, part.sha256, part.size) for part in version.parts],
                )
                for version in product.versions
                if product.is_streamed(version)
            },
        )
        for product in products
        if any(map(product.is_streamed, product.versions))
    }

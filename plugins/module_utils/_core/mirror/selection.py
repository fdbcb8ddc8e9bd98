# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which images of a source are mirrored. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Collection, Iterable, Sequence

from ..architectures import common_architecture
from ..errors import OptionError

MAX_ENTRIES_SHOWN = 10


@dataclass(frozen=True)
class Candidate:
    """What a selection looks at: the images of one type and architecture that share their names.

    ``architecture`` is LXD's name, ``arch`` the source's own name for it.
    """

    aliases: tuple[str, ...]
    type: str
    architecture: str
    arch: str
    os: str
    release: str
    variant: str

    @property
    def spellings(self) -> Iterable[str]:
        """The aliases, without and with the names of the architecture."""
        names = {self.arch, self.architecture, common_architecture(self.architecture)}
        for alias in self.aliases:
            yield alias
            for name in names:
                yield f"{alias}/{name}"


@dataclass(frozen=True)
class SelectEntry:
    """One entry of a selection; all fields that are not None have to fit.

    Texts are patterns (``fnmatch``). ``architectures`` are LXD's names.
    """

    alias: str | None = None
    os: str | None = None
    release: str | None = None
    variant: str | None = None
    architectures: tuple[str, ...] | None = None
    image_types: tuple[str, ...] | None = None

    def fits(self, candidate: Candidate) -> bool:
        """Whether these images are selected."""
        return (
            (self.architectures is None or candidate.architecture in self.architectures)
            and (self.image_types is None or candidate.type in self.image_types)
            and _fits(self.os, candidate.os)
            and _fits(self.release, candidate.release)
            and _fits(self.variant, candidate.variant)
            and (
                self.alias is None
                or any(_fits(self.alias, spelling) for spelling in candidate.spellings)
            )
        )

    def __str__(self) -> str:
        """The entry as the record keeps it, and as messages show it."""
        return ", ".join(
            f"{name}={value if isinstance(value, str) else '+'.join(value)}"
            for name, value in vars(self).items()
            if value is not None
        )


def _fits(pattern: str | None, text: str) -> bool:
    return pattern is None or fnmatchcase(text, pattern)


class Selector:
    """The selection of one task, which is asked of each candidate in turn.

    ``fitted_earlier`` are the entries that have fitted in an earlier run.
    """

    def __init__(self, entries: Sequence[SelectEntry], fitted_earlier: Collection[str]) -> None:
        self._entries = entries
        self._fitted_earlier = fitted_earlier
        self._fitting: set[SelectEntry] = set()

    def chooses(self, candidate: Candidate) -> bool:
        """Whether these images are selected."""
        fitting = [entry for entry in self._entries if entry.fits(candidate)]
        self._fitting.update(fitting)
        return bool(fitting)

    @property
    def fitted(self) -> tuple[str, ...]:
        """The entries that have fitted, in this run or earlier."""
        names = (
            str(entry)
            for entry in self._entries
            if entry in self._fitting or str(entry) in self._fitted_earlier
        )
        return tuple(dict.fromkeys(names))

    def conclude(self, source: str) -> list[str]:
        """Warnings of entries that no longer fit anything. Raises OptionError if one never has.

        To be called when all candidates were seen; ``source`` is what messages call their origin.
        """
        unfit = [str(entry) for entry in self._entries if entry not in self._fitting]
        unknown = [name for name in unfit if name not in self._fitted_earlier]
        if unknown:
            shown = "; ".join(unknown[:MAX_ENTRIES_SHOWN])
            more = len(unknown) - MAX_ENTRIES_SHOWN
            raise OptionError(
                f"{source} has no images for {shown}{f' and {more} more entries' if more > 0 else ''} (select)",
                "Patterns distinguish upper and lower case. lxd_image_info lists the images of a source.",
            )
        return [f"{source} has no more images for {name} (select)" for name in unfit]


def newest(serials: Iterable[str], keep: int, since_day: str | None) -> frozenset[str]:
    """The versions to mirror: the ``keep`` newest, and those of ``since_day`` (``YYYYMMDD``) or later."""
    ordered = sorted(set(serials), reverse=True)
    return frozenset(
        serial
        for number, serial in enumerate(ordered)
        if number < keep or (since_day is not None and serial[:8] >= since_day)
    )

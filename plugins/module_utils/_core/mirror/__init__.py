# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mirrors images of other servers in the tree of a catalog."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Collection, Protocol

from ..catalog.record import Mirror, Part
from ..deadline import Deadline
from .selection import Selector


@dataclass(frozen=True)
class MirrorPolicy:
    """Which versions are kept, and how files are downloaded.

    ``keep`` versions of each product are kept, and those not older than ``keep_days``. All files of the tree together
    may have ``max_bytes``. Files stay for ``grace`` seconds after they have left the index. With ``verify``, the files
    of the source are read again.
    """

    keep: int = 2
    keep_days: int | None = None
    max_bytes: int | None = None
    grace: int = 7200
    verify: bool = False
    parallel: int = 4
    retries: int = 3


@dataclass(frozen=True)
class StagedFile:
    """A complete and verified file in the staging directory, and which file it is there (device and inode)."""

    part: Part
    identity: tuple[int, int]


@dataclass
class Obtained:
    """What was obtained from a source.

    ``staged`` are the complete files in the staging directory, by their paths in the tree. ``faults`` are versions that
    could not be obtained, and why. ``received`` counts bytes.
    """

    mirror: Mirror
    staged: dict[str, StagedFile] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    received: int = 0


class MirrorSource(Protocol):
    """A server whose images are mirrored."""

    @property
    def address(self) -> str:
        """Its normalized address."""

    @property
    def protocol(self) -> str:
        """The protocol of the source."""

    def plan(self, selector: Selector, previous: Mirror, check_mode: bool) -> Mirror:
        """What to mirror of the images that it has now. Raises FileError, ConnectionFailed, ApiError, TimedOut."""

    def obtain(
        self, target: Mirror, previous: Mirror, present: Collection[str], deadline: Deadline
    ) -> Obtained:
        """Download all files of ``target``, which ``plan`` returned, except those that are ``present`` in the tree.

        They are in the staging directory afterwards, complete and verified. Of a product that has a fault, all versions
        of ``previous`` remain whose files are present. Raises TimedOut, and FileError if nothing can be written.
        """

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An image whose file is on the controller. What it is was found out there; the file comes only if it has to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ..errors import NeedsFile
from ..images import Alias, Image
from ..store import Store
from ..store_view import StoreView
from . import Offer, TransferResult, require_fingerprint


@dataclass(frozen=True)
class ControllerFile:
    """What the controller knows of a file: its ``name`` for messages, and what was found in it, if that was needed.

    ``archive`` is the digest of a directory, ``size`` the bytes that an upload sends, if that is known.
    """

    name: str
    fingerprint: str | None = None
    type: str | None = None
    archive: str | None = None
    size: int | None = None
    asks: bool = False
    """Whether the controller only asks if the file is needed, and nothing is to be changed."""

    @classmethod
    def parse(cls, given: Mapping[str, Any] | None) -> ControllerFile | None:
        """From the hidden option that the controller fills."""
        return cls(**given) if given else None


class ControllerFileSource:
    """The image in a file that is elsewhere. With ``expected``, it must have that fingerprint."""

    def __init__(self, announcement: ControllerFile, expected: str | None) -> None:
        self._announcement = announcement
        self._expected = expected
        self.aliases: tuple[Alias, ...] = ()

    def find(self, view: StoreView) -> Image | Offer:
        """The image in the store, or an offer that needs the file. Raises FileError if it is not the expected one."""
        known = self._announcement
        if self._expected and known.fingerprint:
            require_fingerprint(known.name, known.fingerprint, self._expected)
        fingerprint = known.fingerprint or self._expected
        if known.archive and not fingerprint:
            held = view.by_archive(known.archive)
        else:
            held = view.by_fingerprint(fingerprint)
        return held if held and not held.cached else ControllerFileUpload(known, held)


class ControllerFileUpload(Offer):
    """The file, once it is here."""

    route = "upload"

    def __init__(self, announcement: ControllerFile, replaces: Image | None) -> None:
        self.fingerprint = announcement.fingerprint
        self.type = announcement.type
        self.size = announcement.size
        self.replaces = replaces
        self._name = announcement.name

    def transfer(self, store: Store) -> TransferResult:
        # Before anything makes way for it: the file is still to come.
        raise NeedsFile(f"{self._name} is on the controller")

    def _transfer(self, store: Store) -> TransferResult:
        return self.transfer(store)

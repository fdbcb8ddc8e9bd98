# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An image whose file is on the controller, which tells what is in it and sends it only if the store lacks it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Mapping

from ..errors import FileError, NeedsFile, OptionError
from . import Offer, TransferResult, require_fingerprint

if TYPE_CHECKING:
    from ..images import Alias, Image
    from ..store import Store
    from ..store_view import StoreView


@dataclass(frozen=True)
class ControllerFile:
    """What the controller knows of a file: its ``name`` in messages, and what is in it if it had to be read.

    ``archive`` is the digest of a directory, ``size`` the number of bytes that an upload sends, if file.
    """

    name: str
    fingerprint: str | None = None
    type: str | None = None
    archive: str | None = None
    size: int | None = None
    problem: str = ""
    """What keeps the controller from sending the file; empty if nothing does."""
    only_asks: bool = False
    """Whether the controller only asks if the file is needed. Nothing is changed then."""

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> ControllerFile:
        """From the hidden option that the action plugin sets. Raises OptionError if a task sets it otherwise."""
        texts = [raw.get(name) for name in ("fingerprint", "type", "archive")]
        if (
            set(raw) <= {field.name for field in fields(cls)}
            and isinstance(raw.get("name"), str)
            and all(text is None or isinstance(text, str) for text in texts)
            and isinstance(raw.get("size", 0), (int, type(None)))
        ):
            return cls(**raw)
        raise OptionError("_file is set by the action plugin only", "Remove it.")


class ControllerFileSource:
    """The image in a file of the controller. With ``expected``, it must have that fingerprint."""

    def __init__(self, file: ControllerFile, expected: str | None) -> None:
        self._file = file
        self._expected = expected
        self.aliases: tuple[Alias, ...] = ()

    def find(self, view: StoreView) -> Image | Offer:
        """The image in the store, or an offer that needs the file. Raises FileError if it is not the expected one."""
        file = self._file
        if file.problem:
            raise FileError(file.problem)
        if self._expected and file.fingerprint:
            require_fingerprint(file.name, file.fingerprint, self._expected)
        fingerprint = file.fingerprint or self._expected
        if file.archive and not fingerprint:
            held = view.by_archive(file.archive)
        else:
            held = view.by_fingerprint(fingerprint)
        return held if held and not held.cached else ControllerFileUpload(file, held)


class ControllerFileUpload(Offer):
    """An upload that needs the file from the controller first."""

    route = "upload"

    def __init__(self, file: ControllerFile, replaces: Image | None) -> None:
        self.fingerprint = file.fingerprint
        self.type = file.type
        self.size = file.size
        self.replaces = replaces
        self.records_archive = bool(file.archive)
        self._name = file.name

    def transfer(self, store: Store) -> TransferResult:
        # Nothing is deleted for it before the file is on this host.
        raise NeedsFile(f"{self._name} is on the controller")

    def _transfer(self, store: Store) -> TransferResult:
        return self.transfer(store)

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An image whose file is on the controller, which tells what is in it and sends it only if the store lacks it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Mapping

from ..errors import FileError, NeedsFile, OptionError
from . import Offer, TransferResult, require_fingerprint

if TYPE_CHECKING:
    from ..images import Alias, Image
    from ..store import Store
    from ..store_view import StoreView
    from .disk import RootfsRequest


@dataclass(frozen=True)
class ControllerFile:
    """What the controller knows of a file: its ``name`` in messages, and what is in it if it had to be read.

    ``archive`` is the digest of a directory, ``size`` the number of bytes that an upload sends, if it is known. Of a
    bare disk or root file system, ``digests`` are those of the file by algorithm, and ``size`` is that of the file, or
    None if it has to be converted.
    """

    name: str
    fingerprint: str | None = None
    type: str | None = None
    archive: str | None = None
    size: int | None = None
    digests: Mapping[str, str] | None = None
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
            and isinstance(raw.get("digests", {}), (dict, type(None)))
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


class ControllerRootfsSource:
    """The disk or root file system in a file of the controller."""

    def __init__(self, file: ControllerFile, request: RootfsRequest) -> None:
        self._file = file
        self._request = request
        self.aliases: tuple[Alias, ...] = ()

    def find(self, view: StoreView) -> Image | Offer:
        """The image that was made of the same file before, or an offer that needs the file. Raises FileError."""
        file, request = self._file, self._request
        if file.problem:
            raise FileError(file.problem)
        held = view.by_fingerprint(request.expected)
        if held is None and not request.expected:
            held = self._made_before(view)
        if held and not held.cached:
            return held
        request.require_usable(file.type)
        if request.checksum and file.digests:
            request.checksum.require(file.digests.get(request.checksum.algorithm, ""), file.name)
            held = held or self._by_digest(view)
        if held and not held.cached:
            request.note_missing(held, request.keys(file.digests or {}))
            return held
        size = request.image_size(file.type or "", file.size)
        return ControllerFileUpload(replace(file, fingerprint=request.expected, size=size), held)

    def record_missing(self, store: Store) -> None:
        """Record by what the image can be recognized."""
        self._request.record_missing(store)

    def _made_before(self, view: StoreView) -> Image | None:
        request = self._request
        return request.by_checksum(view) if request.checksum else self._by_digest(view)

    def _by_digest(self, view: StoreView) -> Image | None:
        digest = (self._file.digests or {}).get("sha256")
        if digest is None or not view.has_rootfs_keys:
            return None
        return view.by_rootfs_key(self._request.key("sha256", digest))


class ControllerFileUpload(Offer):
    """An upload that needs the file from the controller first."""

    route = "upload"

    def __init__(self, file: ControllerFile, replaces: Image | None) -> None:
        self.fingerprint = file.fingerprint
        self.type = file.type
        self.size = file.size
        self.replaces = replaces
        self.records_content = bool(file.archive or file.digests)
        self._name = file.name

    def transfer(self, store: Store) -> TransferResult:
        # Nothing is deleted for it before the file is on this host.
        raise NeedsFile(f"{self._name} is on the controller")

    def _transfer(self, store: Store) -> TransferResult:
        return self.transfer(store)

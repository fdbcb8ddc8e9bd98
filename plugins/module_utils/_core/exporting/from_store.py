# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Exports of an image store: the files under the names that the server gives them."""

from __future__ import annotations

import re
from typing import Generator, Iterable, Iterator, Mapping

from ..downloads import Download, OpenResponse, Retries
from ..errors import FileError
from ..images import Image
from ..sources.export_form import MAX_HEAD_BYTES, ExportForm, file_name, is_form
from ..sources.lxd import require_type
from ..store import Store
from ..store_access import with_visibility_hint
from ..store_view import StoreView
from . import Content, ExportPart


class StoreExport:
    """The image that ``name`` means in a store. Raises ImageNotFound, also if it is not of the type ``wanted``."""

    def __init__(self, store: Store, name: str, wanted: str | None = None) -> None:
        view = StoreView(store)
        image = view.resolve(name)
        if image is None:
            raise with_visibility_hint(store, view.not_found(name))
        require_type(wanted, image.type, name, store)
        image.require_verifiable_files()
        self.image = image
        self._store = store

    def parts(self, retries: Retries) -> Generator[ExportPart, None, None]:
        """Its files, each to be read before the next. Raises FileError as soon as they exceed the image.

        A unified image is the body itself, a split one a form with two parts (``client/lxd_images.go``, GetImageFile).
        """
        image = self.image

        def open_at(headers: Mapping[str, str]) -> OpenResponse:
            plain = {"Accept-Encoding": "identity", **headers}
            transport = self._store.server.transport
            return OpenResponse(transport, self._store.export(image.fingerprint, plain))

        download = Download(open_at, retries)
        response = download.opened.response
        content_type = response.headers.get("Content-Type", "")
        # A form adds two headers and three boundaries to the files.
        extra = 3 * MAX_HEAD_BYTES if is_form(content_type) else 0
        blocks = _bounded(download, image.size + extra)
        try:
            if not is_form(content_type):
                disposition = response.headers.get("Content-Disposition", "")
                yield _part("src", _checked_name(disposition, "", image), blocks)
                return
            form = ExportForm(content_type, blocks)
            for key, prefix in (("metadata", "meta-"), ("rootfs", "")):
                yield _part(key, _checked_name(form.next_part(), prefix, image), form.content())
        finally:
            response.close()


def _part(key: str, name: str, blocks: Iterator[bytes]) -> ExportPart:
    return ExportPart(key, name, lambda _have: Content(0, blocks))


def _bounded(blocks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """The blocks, as long as they are no more than ``limit`` bytes in all. Raises FileError."""
    seen = 0
    for block in blocks:
        seen += len(block)
        if seen > limit:
            raise FileError(
                "the server sends more data than the size of the image",
                "Nothing was written.",
            )
        yield block


def _checked_name(disposition: str, prefix: str, image: Image) -> str:
    """The name that a server gives a file. Raises FileError if it is not the one that the image's file always has.

    Anything else could replace whatever else is in the directory (``lxd/images.go``, imageExport, has the pattern).
    """
    name = file_name(disposition)
    stem = f"{prefix}{image.fingerprint}"
    if not re.match(re.escape(stem) + r"(\.[A-Za-z0-9]{1,16}){0,3}\Z", name):
        raise FileError(
            f"the server names a file {name[:120]!r}; expected {stem} with the extension of its format",
            "Nothing was written.",
        )
    return name

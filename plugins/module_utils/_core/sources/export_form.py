# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the form in which a server exports a split image, as it arrives and within bounds."""

from __future__ import annotations

import re
from typing import Iterable, Iterator

from ..errors import ConnectionFailed, FileError

MAX_HEAD_BYTES = 16 << 10
"""Bytes of the header of one part; servers send some two hundred."""

_BOUNDARY = re.compile(r'boundary="?([^";\s]{1,70})"?')
_FILENAME = re.compile(r'filename="?([^";]{1,255})')


def is_form(content_type: str) -> bool:
    """Whether an export with this content type is a form, and so a split image."""
    return content_type.startswith("multipart/")


def file_name(disposition: str) -> str:
    """The file name in a Content-Disposition header, as it stands there; empty if it has none."""
    found = _FILENAME.search(disposition)
    return found[1].strip() if found else ""


class ExportForm:
    """The parts of a form, each to be read before the next (``client/lxd_images.go``, GetImageFile).

    Raises FileError if it is not such a form, ConnectionFailed if it ends in the middle.
    """

    def __init__(self, content_type: str, blocks: Iterable[bytes]) -> None:
        boundary = _BOUNDARY.search(content_type)
        if not boundary:
            raise FileError("the server sent a form without a boundary")
        self._blocks = iter(blocks)
        self._mark = b"\r\n--" + boundary[1].encode("latin-1")
        # So that the first boundary looks like all others.
        self._buffer = b"\r\n"

    def next_part(self) -> str:
        """Skip the rest of the current part; the Content-Disposition of the next one."""
        for _block in self.content():
            pass
        self._read_to(self._mark)
        head = self._read_to(b"\r\n\r\n").decode("utf-8", "replace")
        for line in head.splitlines():
            name, _colon, value = line.partition(":")
            if name.lower() == "content-disposition":
                return value.strip()
        raise FileError("the server sent a form in which a file is missing")

    def content(self) -> Iterator[bytes]:
        """The content of the current part, in blocks."""
        kept = len(self._mark) - 1
        while True:
            end = self._buffer.find(self._mark)
            if end >= 0:
                if end:
                    yield self._buffer[:end]
                self._buffer = self._buffer[end:]
                return
            if len(self._buffer) > kept:
                yield self._buffer[:-kept]
                self._buffer = self._buffer[-kept:]
            self._fill()

    def _read_to(self, mark: bytes) -> bytes:
        while mark not in self._buffer[:MAX_HEAD_BYTES]:
            if len(self._buffer) >= MAX_HEAD_BYTES:
                raise FileError(
                    f"the server sent a form with a header of more than {MAX_HEAD_BYTES} bytes"
                )
            self._fill()
        before, _mark, self._buffer = self._buffer.partition(mark)
        return before

    def _fill(self) -> None:
        block = next(self._blocks, b"")
        if not block:
            raise ConnectionFailed("the export ended in the middle of its form")
        self._buffer += block

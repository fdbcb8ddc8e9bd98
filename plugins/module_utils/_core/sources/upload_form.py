# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The form in which a split image is uploaded: two parts, in the order and with the names that LXD requires."""

from __future__ import annotations

import uuid
from typing import Iterable, Iterator, Sequence, TypeVar

from ..images import VIRTUAL_MACHINE
from ..transport.body import Stream

Content = TypeVar("Content")


class UploadForm:
    """The headers around the two files of a split image in the body of ``POST /1.0/images``.

    Only the name of the second part tells whether it is the image of a container or of a virtual machine
    (``lxd/images.go``, getImgPostInfo).
    """

    def __init__(self, image_type: str | None, metadata_name: str, rootfs_name: str) -> None:
        boundary = uuid.uuid4().hex
        rootfs = "rootfs.img" if image_type == VIRTUAL_MACHINE else "rootfs"
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._metadata = _head(boundary, "metadata", metadata_name)
        self._rootfs = b"\r\n" + _head(boundary, rootfs, rootfs_name)
        self._end = f"\r\n--{boundary}--\r\n".encode()

    @property
    def length(self) -> int:
        """Bytes of the form without the files."""
        return len(self._metadata) + len(self._rootfs) + len(self._end)

    def stream(self, files: Sequence[Iterable[bytes]], size: int | None) -> Stream:
        """The body as a stream; ``size`` is the bytes of both files, None if unknown."""
        metadata, rootfs = files

        def blocks() -> Iterator[bytes]:
            for piece in self.around(metadata, rootfs):
                if isinstance(piece, bytes):
                    yield piece
                else:
                    yield from piece

        length = None if size is None else self.length + size
        return Stream(blocks(), self.content_type, length, self.length)

    def around(self, metadata: Content, rootfs: Content) -> list[bytes | Content]:
        """The body as a list of its pieces, with the given contents in between."""
        return [self._metadata, metadata, self._rootfs, rootfs, self._end]


def _head(boundary: str, name: str, file_name: str) -> bytes:
    quoted = file_name.replace("\\", "_").replace('"', "_").replace("\r", "_").replace("\n", "_")
    return (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{quoted}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode("utf-8", "surrogateescape")

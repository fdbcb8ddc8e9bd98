# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Exports of an image server: the files of an image under the names that a LXD server would give them."""

from __future__ import annotations

import re
from typing import Callable, Generator

from ..downloads import Download, Retries
from ..errors import FileError
from ..simplestreams import EVERY_FAMILY, File
from ..sources.simplestreams import ImageServer
from . import Content, ExportPart

_ENDING = re.compile(r"(\.tar)?\.[A-Za-z0-9]{1,16}\Z")


class ImageServerExport:
    """The image that ``name`` means at an image server, with the metadata for LXD unless there is only Incus'.

    ``architecture`` is that of aliases that name none. Raises ImageNotFound, and FileError if the size of a file is
    not known, since nothing would bound it.
    """

    def __init__(
        self, server: ImageServer, architecture: str, name: str, wanted: str | None = None
    ) -> None:
        listing = server.listing(EVERY_FAMILY, architecture)
        found = listing.find(name, wanted)
        for file in found.files:
            if not file.size:
                raise FileError(
                    f"{server.address} does not tell the size of {file.path}",
                    "Fix this on the image server.",
                )
        self.image = found.with_aliases(listing.aliases_of(found))
        self._files = found.files
        self._server = server

    def parts(self, retries: Retries) -> Generator[ExportPart, None, None]:
        """Its files, each requested when it is read. Raises FileError if one is not as the index has it."""
        keys = (("src", ""),) if len(self._files) == 1 else (("metadata", "meta-"), ("rootfs", ""))
        for (key, prefix), file in zip(keys, self._files):
            ending = _ENDING.search(file.path)
            name = f"{prefix}{self.image.fingerprint}{ending[0] if ending else ''}"
            yield ExportPart(key, name, self._opener(file, retries), file)

    def _opener(self, file: File, retries: Retries) -> Callable[[int], Content]:
        """A function that requests the file, of which some bytes are there already."""

        def opened(have: int) -> Content:
            download = Download(lambda headers: self._server.open(file, headers), retries, have)
            return Content(download.start, download)

        return opened

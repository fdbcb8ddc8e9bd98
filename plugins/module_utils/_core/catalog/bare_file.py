# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disks and root file systems without metadata that the entries of a catalog name."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Iterator

from ..archives.files import ImageFiles
from ..sources.disk import RootfsFileSource, RootfsRequest

if TYPE_CHECKING:
    from ..sources.disk_url import RootfsUrlSource


@dataclass(frozen=True)
class BareFile:
    """The disk or root file system of an entry: a file that the entry names, or one of a web server."""

    request: RootfsRequest
    web: RootfsUrlSource | None = None

    def stamp(self, of_file: str) -> str:
        """What distinguishes the image that is made of it; ``of_file`` distinguishes the file that the entry names.

        A checksum file is asked for. Raises FileError, ApiError, ConnectionFailed, TimedOut.
        """
        request = self.request
        checksum = request.checksum
        if self.web and checksum:
            return request.key(checksum.algorithm, checksum.digest)
        return request.key("stamp", f"{of_file} {checksum or ''}")

    @contextmanager
    def opened(self, paths: tuple[str, ...]) -> Iterator[RootfsFileSource]:
        """The file, verified, open as long as the context lasts; ``paths`` has the path of a file on this host."""
        request = self.request
        if self.web:
            with self.web.downloaded(self.web.retries()) as source:
                yield source
            return
        with ImageFiles(*paths, deadline=request.deadline) as file:
            source = RootfsFileSource(request, file)
            source.require_checksum()
            request.require_usable(source.recognized.type)
            yield source

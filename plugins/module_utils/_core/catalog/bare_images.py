# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images that are made of disks and root file systems without metadata, to be published."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from .entries import CatalogEntry

if TYPE_CHECKING:
    from ..archives.files import ImageFiles


class BareImages:
    """The images of the entries of one task that have no metadata.

    Each is made when it is first needed, and kept until the end of ``stack``.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._made: dict[str, ImageFiles] = {}

    def files(self, entry: CatalogEntry) -> ImageFiles:
        """The metadata and the rootfs of an entry's image. A file that it names has to be on this host.

        Raises FileError, OptionError, ConnectionFailed and TimedOut.
        """
        named, bare = entry.files, entry.bare
        if bare is None or named is None or named.paths is None:
            raise ValueError(f"{entry.spec} has no disk or root file system on this host")
        if named.stamp not in self._made:
            source = self._stack.enter_context(bare.opened(named.paths))
            self._made[named.stamp] = self._stack.enter_context(source.image_files())
        return self._made[named.stamp]

    def paths(self, entry: CatalogEntry) -> tuple[str, ...]:
        """Paths of these files, which may have no names."""
        return tuple(f"/proc/self/fd/{file.fileno()}" for file in self.files(entry).files)

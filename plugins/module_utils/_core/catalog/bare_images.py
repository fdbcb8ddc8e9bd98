# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images that are made of bare disks and root file systems, to be published."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from types import TracebackType
from typing import Callable

from ..archives.files import ImageFiles
from ..deadline import Deadline
from ..disks.workspace import Workspace
from .entries import CatalogEntry


class BareImages:
    """The images of the entries of one task that have no metadata. A context manager.

    Each is made when it is first needed, and kept until the end of the context.
    """

    def __init__(self, open_workspace: Callable[[], Workspace], deadline: Deadline) -> None:
        self._open_workspace = open_workspace
        self._deadline = deadline
        self._stack = ExitStack()
        self._made: dict[str, ImageFiles] = {}

    def __enter__(self) -> BareImages:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def files(self, entry: CatalogEntry) -> ImageFiles:
        """The metadata and the rootfs of an entry's image. Its file has to be on this host. Raises FileError."""
        named, facts = entry.files, entry.spec.rootfs
        if named is None or named.paths is None or facts is None:
            raise ValueError(f"{entry.spec} has no bare disk or root file system on this host")
        if named.stamp not in self._made:
            from ..disks.conversion import image_files
            from ..disks.recognition import recognize

            (path,) = named.paths
            original = self._stack.enter_context(ImageFiles(path, deadline=self._deadline))
            (file,) = original.files
            found = recognize(path, file, self._deadline)
            self._made[named.stamp] = self._stack.enter_context(
                image_files(path, file, found, facts, self._workspace, self._deadline)
            )
        return self._made[named.stamp]

    def paths(self, entry: CatalogEntry) -> tuple[str, ...]:
        """Paths of these files, which may have no names."""
        return tuple(f"/proc/self/fd/{file.fileno()}" for file in self.files(entry).files)

    @cached_property
    def _workspace(self) -> Workspace:
        return self._open_workspace()

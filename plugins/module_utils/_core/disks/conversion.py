# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of the image that is made of a bare disk or root file system: its metadata, and what is sent as rootfs."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING, Iterator

from ..archives import ArchiveError
from ..archives.files import ImageFiles
from ..errors import FileError
from .disk_bytes import RefusedDisk
from .metadata import RootfsFacts, metadata_archive
from .recognition import Recognized, recognize
from .workspace import Workspace

if TYPE_CHECKING:
    from ..deadline import Deadline

METADATA_NAME = "metadata.tar"


@contextmanager
def image_files(
    name: str,
    file: IO[bytes],
    found: Recognized,
    facts: RootfsFacts,
    workspace: Workspace,
    deadline: Deadline,
) -> Iterator[ImageFiles]:
    """The files of the image as a split image, open as long as the context lasts.

    ``file`` was recognized as ``found``; ``name`` is its name in messages. The second file is that one itself if it is
    sent unchanged, else a temporary one. Raises FileError, CannotUnpack and TimedOut.
    """
    with ExitStack() as stack:
        metadata = stack.enter_context(workspace.file())
        content = metadata_archive(found.type, facts)
        workspace.fill(metadata, content, f"the metadata for {name}")
        rootfs = file
        if found.packing:
            rootfs = stack.enter_context(workspace.file())
            _unpack(name, file, found.packing, rootfs, workspace, deadline)
            # Only its beginning was checked until now.
            found = recognize(f"{name}, unpacked,", rootfs, deadline)
            if found.packing or found.format in ("tar", "squashfs"):
                raise FileError(
                    f"{name} has changed while it was being read", "Run the task again."
                )
        elif found.format == "vmdk" and not _is_private(file):
            # Its headers could be replaced after they were checked.
            rootfs = stack.enter_context(workspace.file())
            _copy(name, file, rootfs, workspace, deadline)
            found = recognize(name, rootfs, deadline)
        if not found.is_sent_unchanged:
            target = stack.enter_context(workspace.file())
            # Imported late, as all that only some disks need.
            from .qemu_img import convert

            convert(name, rootfs, found.format, target, workspace, deadline)
            if rootfs is not file:
                rootfs.close()
            rootfs = target
        names = (METADATA_NAME, name)
        yield ImageFiles.of_open(names, (metadata, rootfs), deadline)


def _unpack(
    name: str,
    file: IO[bytes],
    packing: str,
    target: IO[bytes],
    workspace: Workspace,
    deadline: Deadline,
) -> None:
    from .packed import unpacked_disk

    try:
        with unpacked_disk(file, packing, deadline) as stream:
            workspace.write(stream, target, f"{name}, unpacked,", deadline)
    except RefusedDisk as refused:
        raise FileError(f"{name} {refused.reason}", refused.hint) from refused
    except ArchiveError as error:
        raise FileError(f"{name} is damaged: {error}", "Get the file again.") from error


def _copy(
    name: str, file: IO[bytes], target: IO[bytes], workspace: Workspace, deadline: Deadline
) -> None:
    workspace.require(os.fstat(file.fileno()).st_size, f"a copy of {name}")
    with os.fdopen(os.dup(file.fileno()), "rb", buffering=0) as own:
        own.seek(0)
        workspace.write(own, target, f"a copy of {name}", deadline)


def _is_private(file: IO[bytes]) -> bool:
    """Whether only this user, or root, can write to a file."""
    status = os.fstat(file.fileno())
    return status.st_uid in (0, os.geteuid()) and not status.st_mode & 0o022

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Image files of the controller: found, looked at, packed, and sent to the managed host.

Private to the collection. The controller needs neither requests nor a way to any image server for this.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

from ansible import constants
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible_collections.imagestore.lxd.plugins.module_utils._core.archives.archive_scan import (
    detect_image_type,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.archives.compression import (
    compressed,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.archives.files import ImageFiles
from ansible_collections.imagestore.lxd.plugins.module_utils._core.archives.image_directory import (
    ImageDirectory,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.archives.image_info import (
    change_stamp,
    read_image_info,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.deadline import Deadline
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import ImageStoreError
from ansible_collections.imagestore.lxd.plugins.module_utils._core.images import CONTAINER


class ControllerImage:
    """An image in a file or directory of the controller, or in two files; ``paths`` are absolute.

    All reading ends with ``deadline``.
    """

    def __init__(self, *paths: str, deadline: Deadline) -> None:
        self.paths = paths
        self._deadline = deadline
        self.remark = ""
        """What has to be said of a directory, once it was packed; mostly nothing."""

    @property
    def is_directory(self) -> bool:
        """Whether it has to be packed to become a file."""
        return len(self.paths) == 1 and os.path.isdir(self.paths[0])

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return " and ".join(self.paths)

    def identify(self) -> dict[str, Any]:
        """What is in it, in the words of ``_core/sources/controller_file.py``. Reads all of it."""
        with _said("look at", self.name):
            if self.is_directory:
                tree = ImageDirectory(self.paths[0], self._deadline)
                archive = tree.digest()
                self.remark = tree.remark
                return {"archive": archive, "type": CONTAINER}
            with ImageFiles(*self.paths, deadline=self._deadline) as files:
                return {
                    "type": detect_image_type(files),
                    "fingerprint": files.digest(),
                    "size": files.size,
                }

    def image_info(self) -> dict[str, Any]:
        """All that is to be known to publish it, in the words of ``_core/archives/image_info.py``. Reads all of it."""
        with _said("look at", self.name):
            return read_image_info(*self.paths, deadline=self._deadline).plain

    def change_stamp(self) -> str:
        """What changes whenever its files do, without reading them."""
        with _said("look at", self.name):
            return self._deadline.call(lambda: change_stamp(self.paths))

    @contextmanager
    def as_files(self, compression: str) -> Iterator[tuple[tuple[str, ...], str | None]]:
        """Its files, to be sent, and the digest of the directory that they were made of, or None."""
        if not self.is_directory:
            yield self.paths, None
            return
        archive = sha256()

        def read(tree: ImageDirectory) -> Iterator[bytes]:
            for block in tree.archive():
                archive.update(block)
                yield block

        with tempfile.NamedTemporaryFile(dir=_local_folder(), suffix=".tar") as file:
            with _said("pack", self.name):
                tree = ImageDirectory(self.paths[0], self._deadline)
                for block in compressed(read(tree), compression):
                    file.write(block)
                file.flush()
                self.remark = tree.remark
            yield (file.name,), archive.hexdigest()


def _local_folder() -> str:
    """Where the controller keeps what is temporary."""
    return str(constants.config.get_config_value("DEFAULT_LOCAL_TMP"))


@contextmanager
def _said(verb: str, name: str) -> Iterator[None]:
    """Errors of the library as those of an action."""
    try:
        yield
    except ImageStoreError as error:
        raise AnsibleActionFail(f"Cannot {verb} {name} on the controller: {error}") from error


def find(action: ActionBase, path: str) -> str:
    """The absolute path of a file of the controller, sought where ``ansible.builtin.copy`` seeks it."""
    try:
        return str(action._find_needle("files", path))
    except AnsibleError as error:
        raise AnsibleActionFail(f"Cannot find {path} on the controller: {error}") from error


def is_remote(args: Mapping[str, Any]) -> bool:
    """Whether the task's files are on the managed host."""
    try:
        return bool(boolean(args.get("remote_src", False)))
    except TypeError:
        # The module words what is wrong with it.
        return True


def is_here(action: ActionBase) -> bool:
    """Whether the managed host is the controller, and the module there can read what we can."""
    become = action._connection.become
    alone = become is None or become.get_option("become_user") in (None, "root")
    return bool(action._connection.transport == "local" and alone)


def send(
    action: ActionBase, paths: tuple[str, ...], task_vars: Mapping[str, Any], group: str = ""
) -> list[str]:
    """Send files into the task's temporary folder on the managed host, which goes when the task ends; their paths.

    Each call of one task needs a ``group`` of its own: files may have the same name.
    """
    shell = action._connection._shell
    if shell.tmpdir is None:
        action._make_tmp_path()
    names = [_plain(path) for path in paths]
    sent = []
    for number, (path, name) in enumerate(zip(paths, names, strict=True)):
        own = group + (name if names.count(name) == 1 else f"{number}-{name}")
        sent.append(str(action._transfer_file(path, shell.join_path(shell.tmpdir, own))))
    action._fixup_perms2((shell.tmpdir, *sent))
    return sent


def _plain(path: str) -> str:
    """What to call a file on the managed host, so that neither Ansible nor a shell there reads more into its name."""
    return re.sub("[^0-9A-Za-z._-]", "_", os.path.basename(path))[-100:]


def remove(action: ActionBase) -> None:
    """Remove the task's temporary folder on the managed host, with all that was sent there, before the task ends."""
    action._remove_tmp_path(action._connection._shell.tmpdir)

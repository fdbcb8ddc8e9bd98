# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Image files of the controller: finding, reading, packing and sending them to the managed host.

Private to the collection. The controller needs neither requests nor access to any server for this.
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
from ansible_collections.imagestore.lxd.plugins.module_utils._core.archives.files import (
    Digest,
    ImageFiles,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.archives.image_directory import (
    ImageDirectory,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.archives.image_info import (
    change_stamp,
    read_image_info,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.deadline import Deadline
from ansible_collections.imagestore.lxd.plugins.module_utils._core.disks.recognition import (
    recognize,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import ImageStoreError
from ansible_collections.imagestore.lxd.plugins.module_utils._core.images import CONTAINER

FILE_FORMS = (["src"], ["metadata", "rootfs"], ["rootfs"])
"""The combinations of options that name the files of an image."""


class ControllerImage:
    """An image in a file or directory of the controller, or in two files; ``paths`` are absolute.

    All reading ends with ``deadline``.
    """

    def __init__(self, *paths: str, deadline: Deadline) -> None:
        self.paths = paths
        self._deadline = deadline
        self.warning = ""
        """A warning about a directory, known once it has been packed; usually empty."""

    @property
    def is_directory(self) -> bool:
        """Whether it has to be packed into a file before it can be sent."""
        return len(self.paths) == 1 and os.path.isdir(self.paths[0])

    @property
    def name(self) -> str:
        """Its name in messages."""
        return " and ".join(self.paths)

    def identify(self) -> dict[str, Any]:
        """The fields of ``ControllerFile`` that are known after reading all of it."""
        with _action_errors("inspect", self.name):
            if self.is_directory:
                directory = ImageDirectory(self.paths[0], self._deadline)
                archive = directory.digest()
                self.warning = directory.warning
                return {"archive": archive, "type": CONTAINER}
            with ImageFiles(*self.paths, deadline=self._deadline) as files:
                return {
                    "type": detect_image_type(files),
                    "fingerprint": files.digest(),
                    "size": files.size,
                }

    def image_info(self) -> dict[str, Any]:
        """The fields of ``ImageInfo``, as they are published. Reads all of it."""
        with _action_errors("inspect", self.name):
            return read_image_info(*self.paths, deadline=self._deadline).plain

    def change_stamp(self) -> str:
        """A text that changes whenever its files do. The files are not read."""
        with _action_errors("inspect", self.name):
            return self._deadline.call(lambda: change_stamp(self.paths))

    @contextmanager
    def as_files(self, compression: str) -> Iterator[tuple[tuple[str, ...], str | None]]:
        """The files to send, and the digest of the directory that they were packed from, or None.

        A directory is packed into a temporary file, which exists as long as the context.
        """
        if not self.is_directory:
            yield self.paths, None
            return
        archive = sha256()

        def read(directory: ImageDirectory) -> Iterator[bytes]:
            for block in directory.archive():
                archive.update(block)
                yield block

        with tempfile.NamedTemporaryFile(dir=_local_folder(), suffix=".tar") as file:
            with _action_errors("pack", self.name):
                directory = ImageDirectory(self.paths[0], self._deadline)
                for block in compressed(read(directory), compression):
                    file.write(block)
                file.flush()
                self.warning = directory.warning
            yield (file.name,), archive.hexdigest()


class ControllerRootfs(ControllerImage):
    """A bare disk or root file system in a file of the controller, and the checksum that it is to have, if any."""

    def __init__(self, path: str, deadline: Deadline, checksum: str = "") -> None:
        super().__init__(path, deadline=deadline)
        algorithm = checksum.strip().lower().partition(":")[0]
        self._algorithms = {"sha256", "sha512"} if algorithm == "sha512" else {"sha256"}

    def identify(self) -> dict[str, Any]:
        with (
            _action_errors("inspect", self.name),
            ImageFiles(*self.paths, deadline=self._deadline) as file,
        ):
            found = recognize(self.name, file.files[0], self._deadline)
            running = {name: Digest(file, algorithm=name) for name in self._algorithms}
            return {
                "type": found.type,
                "digests": {name: digest.result() for name, digest in running.items()},
                "size": file.size if found.is_sent_unchanged else None,
            }


def controller_image(
    options: Mapping[str, Any], files: Mapping[str, str], deadline: Deadline
) -> ControllerImage:
    """The image in files of the controller: their paths by the options that name them. ``options`` are the task's."""
    if list(files) == ["rootfs"]:
        return ControllerRootfs(files["rootfs"], deadline, str(options.get("checksum") or ""))
    return ControllerImage(*files.values(), deadline=deadline)


def _local_folder() -> str:
    """Ansible's folder for temporary files on the controller."""
    return str(constants.config.get_config_value("DEFAULT_LOCAL_TMP"))


@contextmanager
def _action_errors(verb: str, name: str) -> Iterator[None]:
    """Raise errors of the library as errors of an action plugin."""
    try:
        yield
    except ImageStoreError as error:
        # Ansible would add the text of a cause, which is in this one already.
        raise AnsibleActionFail(f"Cannot {verb} {name} on the controller: {error}") from None


def find(action: ActionBase, path: str) -> str:
    """The absolute path of a file of the controller, sought where ``ansible.builtin.copy`` seeks it."""
    try:
        return str(action._find_needle("files", path))
    except AnsibleError:
        where = "" if os.path.isabs(path) else ", neither in files/ nor beside the playbook or role"
        # Ansible's own text has a line for each place, most of them twice.
        raise AnsibleActionFail(
            f"Cannot find {path} on the controller{where}. If it is on the managed host, set remote_src: true."
        ) from None


def is_remote(args: Mapping[str, Any]) -> bool:
    """Whether the task's files are on the managed host."""
    try:
        return bool(boolean(args.get("remote_src", False)))
    except TypeError:
        # The module reports what is wrong with it.
        return True


def is_local(action: ActionBase) -> bool:
    """Whether the managed host is the controller, and the module runs as a user who can read the same files."""
    become = action._connection.become
    can_read = become is None or become.get_option("become_user") in (None, "root")
    return bool(action._connection.transport == "local" and can_read)


def send(
    action: ActionBase, paths: tuple[str, ...], task_vars: Mapping[str, Any], group: str = ""
) -> list[str]:
    """Send files into the task's temporary folder on the managed host, which is removed when the task ends.

    Returns their paths there. Each call of one task needs a ``group`` of its own: files may have the same name.
    """
    shell = action._connection._shell
    if shell.tmpdir is None:
        action._make_tmp_path()
    names = [_safe_name(path) for path in paths]
    sent = []
    for number, (path, name) in enumerate(zip(paths, names, strict=True)):
        own = group + (name if names.count(name) == 1 else f"{number}-{name}")
        sent.append(str(action._transfer_file(path, shell.join_path(shell.tmpdir, own))))
    action._fixup_perms2((shell.tmpdir, *sent))
    return sent


def _safe_name(path: str) -> str:
    """The name of a file on the managed host, without characters that mean something to Ansible or a shell."""
    return re.sub("[^0-9A-Za-z._-]", "_", os.path.basename(path))[-100:]


def remove_sent(action: ActionBase) -> None:
    """Remove the task's temporary folder on the managed host, with all files in it, before the task ends."""
    action._remove_tmp_path(action._connection._shell.tmpdir)

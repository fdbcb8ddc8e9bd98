# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of exports while they are written: hidden and locked. The next task can resume an interrupted one."""

from __future__ import annotations

import fcntl
import os
import re
import stat
import tempfile
import time
from contextlib import contextmanager, suppress
from typing import IO, Any, Iterator, NamedTuple

from ..simplestreams import File

PREFIX = ".lxd_image_export-"
"""The beginning of a file's name while it is written."""

DAYS_KEPT = 7
"""How long a file that a later task can resume is kept."""

_RESUMABLE = re.compile(re.escape(PREFIX) + r"[0-9a-f]{64}\Z")


class TemporaryFile(NamedTuple):
    """A file that is being written: open, and locked until the end of its context.

    One that ``is_resumable`` may have the beginning of its content from an earlier task, and can be left for a later.
    """

    path: str
    content: IO[bytes]
    is_resumable: bool


@contextmanager
def open_temporary(dest: str, expected: File | None) -> Iterator[TemporaryFile]:
    """A file with a temporary name. It is resumable if it is known what the file has to become."""
    file = None
    if expected and expected.sha256:
        path = os.path.join(dest, f"{PREFIX}{expected.sha256}")
        file = _open_resumable(path)
    if file:
        with file:
            yield TemporaryFile(path, file, True)
        return
    with _open_new(dest) as named:
        yield TemporaryFile(named.name, named.file, False)


def _open_new(dest: str) -> Any:
    while True:
        file = tempfile.NamedTemporaryFile(  # noqa: SIM115  # closed by the caller
            dir=dest, prefix=PREFIX, delete=False
        )
        with suppress(OSError):
            # On file systems without locks, no file is considered abandoned either.
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        # Another task considered it abandoned and deleted it just before it was locked.
        file.close()


def _open_resumable(path: str) -> IO[bytes] | None:
    """The file at this path, created if it does not exist; None if another task uses it, or another user may.

    The name can be predicted, so another user with write permission could have placed any file there.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        file = os.fdopen(os.open(path, flags, 0o600), "r+b")
    except OSError:
        return None
    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        opened, found = os.fstat(file.fileno()), os.lstat(path)
        is_own = stat.S_ISREG(opened.st_mode) and opened.st_uid == os.geteuid()
        is_private = opened.st_nlink == 1 and not opened.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if is_own and is_private and os.path.samestat(opened, found):
            return file
    file.close()
    return None


def remove_abandoned(dest: str) -> None:
    """Delete the temporary files that killed exports left in a directory: those that are not locked.

    Those that a later task can resume are kept for some days.
    """
    for name in os.listdir(dest):
        if not name.startswith(PREFIX):
            continue
        path = os.path.join(dest, name)
        with suppress(OSError):
            age = time.time() - os.lstat(path).st_mtime
            if _RESUMABLE.match(name) and age < DAYS_KEPT * 86_400:
                continue
            with open(path, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(path)

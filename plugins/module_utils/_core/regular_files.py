# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small files that users name: read whole, within bounds, and without waiting for anybody to write to them."""

from __future__ import annotations

import os
import stat

from .errors import FileError


def read_regular_file(path: str, role: str, limit: int) -> bytes:
    """The content of a file of at most ``limit`` bytes; ``role`` says in messages what it is given as.

    Raises FileError: also if it is not a regular file (a FIFO would block for ever, a device has no end), or larger.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise _unreadable(path, role, f"it is a {_kind(mode)}, not a regular file")
            content = file.read(limit + 1)
    except (OSError, ValueError) as error:
        raise _unreadable(path, role, getattr(error, "strerror", None) or str(error)) from error
    if len(content) > limit:
        raise _unreadable(path, role, f"it is larger than {limit >> 10} KiB")
    return content


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _unreadable(path: str, role: str, reason: str) -> FileError:
    return FileError(f"cannot read {path}, the {role}: {reason}")


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "FIFO (named pipe)"
    return "device" if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else "special file"

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cleans up after a process that is killed, which no ``finally`` can."""

from __future__ import annotations

import os
import resource
from contextlib import contextmanager
from typing import Callable, Iterator, NoReturn

MAX_DESCRIPTORS = 65536
"""Descriptors that are closed at most: the limit itself can be a billion."""


@contextmanager
def watchdog(clean_up: Callable[[], object]) -> Iterator[None]:
    """Have ``clean_up`` called if this process ends while the context lasts, whatever ends it.

    It is then called in a child process, which waits meanwhile in a session of its own: the end of an SSH connection
    does not reach it. What it raises is lost. A context that is left, also by an error, calls nothing.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _wait_in_child(reader, clean_up)
    os.close(reader)
    try:
        yield
    finally:
        os.write(writer, b".")
        os.close(writer)
        os.waitpid(child, 0)


def _wait_in_child(reader: int, clean_up: Callable[[], object]) -> NoReturn:
    """Wait for the parent: it writes a byte at the end of the context, and nothing if it ends before."""
    try:
        os.setsid()
        _close_all_but(reader)
        if not os.read(reader, 1):
            clean_up()
    finally:
        # Not sys.exit: what the parent does at its own end is not for its copy to do.
        os._exit(0)


def _close_all_but(kept: int) -> None:
    """Close what was inherited: the pipes that Ansible reads to their end, the connections of the parent."""
    limit = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], MAX_DESCRIPTORS)
    if limit < 0:
        limit = MAX_DESCRIPTORS
    os.closerange(0, kept)
    os.closerange(kept + 1, limit)
    # 0 to 2 have to be open: another descriptor of that number would get what libraries print.
    for _standard in range(3):
        os.open(os.devnull, os.O_RDWR)

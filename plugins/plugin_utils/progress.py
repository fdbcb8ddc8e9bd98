# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shows how far the transfers of a module are, while it runs. Private to the collection.

No connection of Ansible hands out what a module says before the module has ended, and a task with ``async`` takes two
more commands even where there is nothing to transfer. So the module keeps its progress in a file of its temporary
directory (``module_utils/_core/transfer_progress.py``), and a thread reads it here: only once the module has run for
some seconds, and over a connection object of its own. That is a copy of the task's, so it is of the same kind, with the
same options and the same ``become``; ssh then shares the connection that exists.
"""

from __future__ import annotations

import contextvars
import copy
import json
import os
import re
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.text.formatters import bytes_to_human
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import clean_text
from ansible_collections.imagestore.lxd.plugins.module_utils._core.transfer_progress import (
    MAX_BYTES,
    PREFIX,
)

OUTPUT_IS_TERMINAL = os.isatty(1)
"""Whether the standard output of the command is a terminal.

Strategies load the action plugins before they start the workers, which have no terminal from ansible-core 2.19 on.
"""

VARIABLE = "IMAGESTORE_PROGRESS"

SHOW_SECONDS = 5
"""How long a transfer takes before it is shown, and until it is shown again."""

MIN_PAUSE_SECONDS = 1

IDLE_SECONDS = 3
"""Until the next look while nothing is transferred, so that no transfer of more than ``SHOW_SECONDS`` is missed."""

MAX_NUMBER = 1 << 60
"""Of bytes and seconds that another host tells."""

MAX_SECONDS_SHOWN = 99 * 3600


@contextmanager
def shown_progress(action: ActionBase, task_vars: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Show the transfers of the module that runs while the context lasts; the options that it needs for that."""
    if not _is_wanted(action):
        yield {}
        return
    host = str(task_vars.get("inventory_hostname", ""))
    delegate = action._task.delegate_to
    watcher = ProgressWatcher(action, f"{host} -> {delegate}" if delegate else host)
    with watcher.watching():
        yield {"_progress": watcher.number}


def _is_wanted(action: ActionBase) -> bool:
    task = action._task
    if task.async_val or task.check_mode or task.no_log:
        return False
    setting = os.environ.get(VARIABLE, "").strip()
    if not setting:
        return OUTPUT_IS_TERMINAL
    try:
        return bool(boolean(setting))
    except TypeError:
        raise AnsibleActionFail(
            f"The environment variable {VARIABLE} is {setting!r}, which is not a boolean. Use true or false."
        ) from None


@dataclass(frozen=True)
class TransferState:
    """How far one transfer is, as the module tells it."""

    number: float | None
    image: str
    moved: float | None
    total: float | None
    percent: float | None
    rate: float | None
    seconds: float

    @classmethod
    def parse(cls, line: str) -> TransferState:
        """From a line of the module's file, which may be anything. Raises ValueError, TypeError and the like."""
        raw = json.loads(line)
        return cls(
            number=_number(raw["number"]),
            image=clean_text(str(raw["image"])),
            moved=_number(raw["moved"]),
            total=_number(raw["total"]),
            percent=_number(raw["percent"]),
            rate=_number(raw["rate"]),
            seconds=_number(raw["seconds"]) or 0,
        )

    @property
    def text(self) -> str:
        """For people: bytes of bytes, rate, time left, as far as they are known."""
        parts = []
        if self.moved is not None:
            of_all = f" of {bytes_to_human(self.total)}" if self.total else ""
            parts.append(f"{bytes_to_human(self.moved)}{of_all}")
        elif self.percent is not None:
            parts.append(f"{self.percent}%")
        elif self.total:
            parts.append(f"{bytes_to_human(self.total)} in all")
        if self.is_moved:
            return ", ".join([*parts, "still working"])
        if self.rate is not None:
            parts.append(f"{bytes_to_human(self.rate)}/s")
        left = self.seconds_left
        parts.append(f"{_time(self.seconds)} so far" if left is None else f"{_time(left)} left")
        return ", ".join(parts)

    @property
    def is_moved(self) -> bool:
        """Whether all bytes are where they have to be, and something is done with them."""
        return self.percent == 100 or bool(self.total and self.moved and self.moved >= self.total)

    @property
    def seconds_left(self) -> float | None:
        """How long it takes from now on; None if that cannot be told."""
        if self.total and self.moved is not None and self.rate:
            return (self.total - self.moved) / self.rate
        if self.percent:
            return self.seconds * (100 - self.percent) / self.percent
        return None


class ProgressWatcher:
    """Reads the file of one run of a module, and shows what it has as lines that begin with ``host``.

    The module has to be run with ``number`` as its option ``_progress``.
    """

    def __init__(self, action: ActionBase, host: str) -> None:
        self.number = secrets.randbits(63)
        self._host = host
        self._reader = _with_own_connection(action)
        self._ended = threading.Event()
        self._shown_at: dict[float | None, float] = {}
        """When each transfer was shown, by its number."""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Show the transfers as long as the context lasts."""
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(self._watch,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            # It may be reading just now. Whatever hinders that does not hinder the task.
            thread.join(SHOW_SECONDS)

    def _watch(self) -> None:
        pause: float = SHOW_SECONDS
        while not self._ended.wait(pause):
            states: list[TransferState] = []
            # Connections of any kind can fail in any way, and a transfer goes on without being shown.
            with suppress(Exception):
                states = self._read()
            pause = min(map(self._show, states), default=IDLE_SECONDS)

    def _show(self, state: TransferState) -> float:
        """Show a transfer if it is time for it; the seconds until it is time again."""
        now = time.monotonic()
        since = min(state.seconds, now - self._shown_at.get(state.number, -SHOW_SECONDS))
        if since < SHOW_SECONDS:
            return max(SHOW_SECONDS - since, MIN_PAUSE_SECONDS)
        if not self._ended.is_set():
            line = f"progress: [{self._host}] {state.image}: {state.text}"
            # From a worker this goes to the main process, which writes one line after the other.
            self._reader._display.display(line, screen_only=True)
            self._shown_at[state.number] = now
        return SHOW_SECONDS

    def _read(self) -> list[TransferState]:
        """The transfers in the file; none if there is no file."""
        path = f"{_as_shell_word(self._directory)}/{PREFIX}{self.number}"
        result = self._reader._low_level_execute_command(f"head -c {MAX_BYTES} {path}")
        states = []
        if result["rc"] == 0:
            for line in result["stdout"][:MAX_BYTES].splitlines():
                with suppress(ArithmeticError, LookupError, TypeError, ValueError):
                    states.append(TransferState.parse(line))
        return states

    @property
    def _directory(self) -> str:
        """The module's temporary directory, as ``ActionBase._update_module_args`` tells it to the module."""
        reader = self._reader
        tmpdir = None if reader._is_become_unprivileged() else reader._connection._shell.tmpdir
        return str(tmpdir or reader.get_shell_option("remote_tmp", default="~/.ansible/tmp"))


def _with_own_connection(action: ActionBase) -> ActionBase:
    """The same action over another connection of the same kind: both may be used at the same time."""
    own = copy.copy(action)
    own._connection = copy.copy(action._connection)
    own._connection.become = copy.copy(action._connection.become)
    return own


def _as_shell_word(path: str) -> str:
    """A path for a shell command, in which ``~`` and variables mean what they mean to the shell."""
    return re.sub(r"([^\w@%+=:,./~${}-])", r"\\\1", path)


def _number(value: Any) -> float | None:
    """Raises ValueError, TypeError and the like unless it is one, or None."""
    if value is None or 0 <= value < MAX_NUMBER:
        number: float | None = value
        return number
    raise ValueError(value)


def _time(seconds: float) -> str:
    """As in 0:01:15."""
    return str(timedelta(seconds=int(min(seconds, MAX_SECONDS_SHOWN))))

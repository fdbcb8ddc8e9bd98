# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measures a module in a process of its own, the command-line client, and both in turns."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import ClientConfig, Server

from . import payload

_INSIDE = Path(__file__).with_name("inside.py")
_MODULES = "ansible_collections.imagestore.lxd.plugins.modules"

QUIET = 0.1
"""The share of the processors' time that others may use while something is measured."""

PATIENCE = 20
"""Seconds to wait for a quiet moment."""

DISTURBED: list[bool] = []
"""For each turn so far, whether something else kept the machine busy when it began."""


class Unexpected(Exception):
    """A measured command failed."""


@dataclass(frozen=True)
class Cost:
    """The cost of a command: seconds, and for a module its peak memory and the bytes read."""

    seconds: float
    memory: int = 0
    read: int = 0
    outcome: Mapping[str, Any] = field(default_factory=dict)


class Modules:
    """Runs modules of the collection in processes of their own, as Ansible does on a managed host."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._payload = payload.build(folder / "payload.zip")

    def run(self, name: str, **params: Any) -> Cost:
        """Run a module. The time is measured inside the process and includes imports."""
        return self._run(f"{_MODULES}.{name}", params)

    def empty(self) -> Cost:
        """Run an empty module."""
        return self._run(payload.EMPTY, {})

    def _run(self, name: str, params: Mapping[str, Any]) -> Cost:
        report = self._folder / "report"
        done = subprocess.run(
            [sys.executable, str(_INSIDE), str(self._payload), name, str(report)],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": params}),
            capture_output=True,
            text=True,
            # With the checkout on the path, the module would be imported from there.
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
            check=False,
        )
        if done.returncode != 0 or not done.stdout:
            raise Unexpected(f"{name} failed: {done.stdout}{done.stderr}")
        seconds, memory, read = report.read_text().split()
        return Cost(float(seconds), int(memory), int(read), json.loads(done.stdout))


def client(server: Server, *arguments: str, config: ClientConfig | None = None) -> Cost:
    """Run the command-line client on a server, which for a ``config`` with remotes is ``local``.

    The time is that of its process.
    """
    words = ["--force-local", *arguments] if config is None else arguments
    command = [*server.family.client, *words]
    remotes = {config.family.configuration: str(config.folder)} if config else {}
    started = time.perf_counter()
    done = subprocess.run(
        command,
        env={**os.environ, **server.environment, **remotes},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        raise Unexpected(f"{' '.join(command)} failed: {done.stderr}")
    return Cost(seconds)


def by_turns(rounds: int, **sides: Callable[[], Iterable[Cost]]) -> dict[str, list[Cost]]:
    """Run all commands once in each round, and return their median costs.

    A command can return several costs.
    """
    taken: dict[str, list[Iterable[Cost]]] = {name: [] for name in sides}
    for _round in range(rounds):
        for name, work in sides.items():
            _settle()
            taken[name].append(work())
    return {
        name: [_median(part) for part in zip(*costs, strict=True)] for name, costs in taken.items()
    }


def _settle() -> None:
    """Wait until everything is on disk and the processors are idle, so that commands do not affect each other.

    On a machine that is busy otherwise, it continues after some seconds.
    """
    os.sync()
    end = time.monotonic() + PATIENCE
    while (busy := _busy()) > QUIET and time.monotonic() < end:
        pass
    DISTURBED.append(busy > QUIET)


def _busy() -> float:
    """The current load of the processors, as a share of their time."""
    before = os.times().elapsed, _processor_seconds()
    time.sleep(0.2)
    after = os.times().elapsed, _processor_seconds()
    return (after[1] - before[1]) / (after[0] - before[0]) / (os.cpu_count() or 1)


def _processor_seconds() -> float:
    """The total busy time of the processors, without waiting for disks (``man 5 proc_stat``)."""
    words = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _idle, _waits, *others = map(int, words)
    return (user + nice + system + sum(others[:3])) / os.sysconf("SC_CLK_TCK")


def _median(costs: Iterable[Cost]) -> Cost:
    """The median of several costs, for each value separately."""
    listed = list(costs)
    return Cost(
        statistics.median(cost.seconds for cost in listed),
        int(statistics.median(cost.memory for cost in listed)),
        int(statistics.median(cost.read for cost in listed)),
    )

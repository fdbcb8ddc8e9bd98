# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The progress of transfers, as it is seen on the terminal of whoever runs a play."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playbooks import prepare, read_results

LINE = re.compile(
    r"progress: \[(?P<host>\w+)\] (?P<image>\S+): "
    r"(?P<moved>[\d.]+ .?B)(?: of (?P<total>[\d.]+ .?B))?, (?P<rate>[\d.]+ .?B/s), (?P<left>\d:\d\d:\d\d) left"
)


@dataclass(frozen=True)
class Watched:
    """What a play wrote to its terminal: lines, and the seconds from its start on when they came."""

    status: int
    lines: list[tuple[float, str]]
    results: dict[str, dict[str, Any]]

    @property
    def output(self) -> str:
        return "\n".join(line for _time, line in self.lines)

    def progress(self, host: str) -> list[tuple[float, dict[str, str]]]:
        """The lines about transfers of a host."""
        found = ((seconds, LINE.fullmatch(line)) for seconds, line in self.lines)
        return [
            (seconds, line.groupdict()) for seconds, line in found if line and line["host"] == host
        ]


def watch(
    folder: Path, hosts: dict[str, dict[str, Any]], *tasks: dict[str, Any], **keys: Any
) -> Watched:
    """Run a play on a terminal."""
    command, environment = prepare(folder, hosts, *tasks, **keys)
    terminal, slave = pty.openpty()
    started = time.monotonic()
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave
    )
    os.close(slave)
    lines: list[tuple[float, str]] = []
    rest = b""
    # A terminal that nobody uses any more is an error to read.
    with suppress(OSError):
        while data := os.read(terminal, 1 << 16):
            *whole, rest = (rest + data).split(b"\n")
            now = time.monotonic() - started
            lines += [(now, line.decode().rstrip("\r")) for line in whole]
    os.close(terminal)
    return Watched(process.wait(), lines, read_results(folder))

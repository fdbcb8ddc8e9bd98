# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A session: each reader gets its share of the time, in a process with limits of memory, and of processor time for
one input."""

from __future__ import annotations

import argparse
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import FrameType

from hypothesis import HealthCheck, Phase, given, settings

from .readers import TARGETS, Target, only_errors_of_the_library

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests/fuzz/corpus"
FOUND = ROOT / ".cache/fuzz"

ADDRESS_SPACE = 512 << 20
MEMORY = 150 << 20  # resident, of a worker or one of its own processes
SECONDS_FOR_ONE = 8  # of processor time


class TooSlow(Exception):
    """One input takes too long."""


class TooLarge(Exception):
    """One input takes too much memory."""


def main() -> int:
    """Run a session; 1 if a reader did what it must not."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("seconds", type=float, nargs="?", default=60, help="for all of them")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--worker", action="store_true", help="fuzz one target in this process")
    options = parser.parse_args()
    FOUND.mkdir(parents=True, exist_ok=True)
    if options.worker:
        return _work(options.targets[0], options.seconds)
    names = options.targets or list(TARGETS)
    workers = min(os.cpu_count() or 1, len(names))
    share = options.seconds * workers / len(names)
    with ThreadPoolExecutor(workers) as pool:
        results = list(pool.map(lambda name: _start(name, share), names))
    return max(results)


def _start(name: str, seconds: float) -> int:
    """Fuzz one target in a process of its own."""
    command = [sys.executable, str(Path(__file__).parent), str(seconds), name, "--worker"]
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds + 600,
            check=False,
        )
        output, status = done.stdout, done.returncode
    except subprocess.TimeoutExpired:
        output, status = "it does not come to its end\n", 1
    if status:
        output += f"        the last input is {_last(name)}\n"
    print(output, end="", flush=True)
    return 1 if status else 0


def _last(name: str) -> Path:
    return FOUND / f"{name}.last"


def _work(name: str, seconds: float) -> int:
    target = TARGETS[name]
    files = sorted((CORPUS / name).iterdir())
    signal.signal(signal.SIGPROF, _too_slow)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    start = time.monotonic()
    try:
        for file in files:
            _feed(name, target, file.read_bytes())
        count = _fuzz(name, target, [file.read_bytes() for file in files], start + seconds)
    except Exception:
        data = _last(name).read_bytes()
        saved = FOUND / f"{name}-{sha256(data).hexdigest()[:12]}"
        saved.write_bytes(data)
        print(f" FAILED  {name}: {saved} ({len(data)} bytes)")
        print("".join(f"        {line}" for line in traceback.format_exc().splitlines(True)))
        return 1
    print(f"     ok  {name}: {count} inputs in {time.monotonic() - start:.0f} s")
    return 0


def _fuzz(name: str, target: Target, seeds: list[bytes], end: float) -> int:
    """Feed the reader until the time is over; how many inputs it has had."""
    count = 0

    @settings(
        max_examples=200,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
    )
    @given(target.inputs(seeds))
    def feed(data: bytes) -> None:
        nonlocal count
        count += 1
        _feed(name, target, data)

    while time.monotonic() < end:
        feed()
    return count


def _feed(name: str, target: Target, data: bytes) -> None:
    """Give the reader one input."""
    _last(name).write_bytes(data)
    before = _peak_memory()
    with _within(SECONDS_FOR_ONE), only_errors_of_the_library():
        target.read(data)
    after = _peak_memory()
    if after > max(before, MEMORY):
        raise TooLarge(f"{after >> 20} MiB")


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _too_slow(_signal: int, _frame: FrameType | None) -> None:
    raise TooSlow(f"more than {SECONDS_FOR_ONE} seconds of processor time")


def _peak_memory() -> int:
    users = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(user).ru_maxrss for user in users) << 10

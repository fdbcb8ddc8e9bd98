# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run nox sessions as steps: some at a time, one line each, the output of those that failed.

    steps.py                  all of them, as ``make test``
    steps.py NAME...          some of them; the name of a session stands for all of its steps
    steps.py --list           their names as JSON, in two lists: what a workflow makes its jobs from
    steps.py --show NAME [ARGUMENT...]
                              one session in the foreground, with nothing of nox around it (``make demo``)

The environment of a session is made before its first run, reused from then on, and made anew when what defines it
has changed: requirements, antsibull-nox.toml, the Pythons, the tools in .venv, the place of the checkout.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pythons
from environments import definition

ROOT = Path(__file__).resolve().parents[2]
LOGS = ROOT / ".cache/logs"
KEYS = ROOT / ".cache/environments"
WORKERS = 2 * (os.cpu_count() or 1)  # steps with servers wait for them about half of their time
FAMILIES = tuple(pythons.CORE_OF_FAMILY)  # of servers, as the lab calls them
LIMIT = 2700  # seconds for one step
SHOWN = 400  # lines of a failed step; all of them are in its log

# Lines that help nobody to understand a failure: pip on places that its settings name in vain, and set-up.
_NOISE = re.compile(
    r"^WARNING: (Location|Url) '.*' is ignored|^\[notice\]"
    r"|^(Installing requirements for|Using cached pip|nox > uv binary)|^WARNING: Using locale"
)


@dataclass
class Step:
    """A nox session, or one run of it: with servers of one family."""

    session: str
    needs: str = ""  # a path without which there is nothing to do yet
    family: str = ""  # empty if it starts no servers
    part: str = ""  # what its words choose, if they choose something
    words: tuple[str, ...] = ()
    why_not: str = ""  # why it cannot run on this machine

    @property
    def name(self) -> str:
        return "-".join(filter(None, (self.session, self.family, self.part)))

    @property
    def runs(self) -> bool:
        return not self.why_not and (not self.needs or (ROOT / self.needs).exists())

    @property
    def environment(self) -> dict[str, str]:
        # CI=true: antsibull-nox checks the format of files instead of changing them.
        return {"CI": "true", **({"LAB_FAMILY": self.family} if self.family else {})}


def steps() -> list[Step]:
    """All steps of ``make test``, the long ones first."""
    cores = list(reversed(pythons.CORES))
    targets = "tests/integration/targets"
    found = [Step("system", "tests/system", family) for family in FAMILIES[1:]]
    found += [
        Step("system", "tests/system", FAMILIES[0], part=part, words=words)
        for part, words in _parts().items()
    ]
    found += [
        _with_core("integration", core, targets, family)
        for family, core in pythons.CORE_OF_FAMILY.items()
    ]
    found += [_with_core("sanity", line) for line in cores]
    found.append(Step("fuzz", words=("30",)))
    found += [Step(name) for name in ("ansible-lint", "build-import-check", "typing")]
    for version in pythons.VERSIONS:
        missing = "" if pythons.find(version) else f"Python {version} was not found"
        found.append(Step(f"units-{version}", needs="tests/unit", why_not=missing))
    names = (
        "docs codeqa formatters yamllint page docs-check extra-checks license-check changelog"
        " repository antsibull-nox-config"
    )
    return found + [Step(name) for name in names.split()]


def _parts() -> dict[str, tuple[str, ...]]:
    """The system tests in two parts. What needs no server, or LXD, makes its run longer than those of the others."""
    patterns = ("test_catalog*.py", "test_documentation.py", "test_image_*.py", "test_mirror*.py")
    folder = ROOT / "tests/system"
    chosen = sorted(str(path) for pattern in patterns for path in folder.glob(pattern))
    others = [f"--ignore-glob={folder}/{pattern}" for pattern in patterns]
    return {"pages": tuple(chosen), "": ("tests/system", *others)}


def _with_core(name: str, line: str, needs: str = "", family: str = "") -> Step:
    versions = pythons.CORES[line]
    missing = f"ansible-core {line} needs Python {' or '.join(versions)}, which was not found"
    why_not = "" if pythons.first(versions) else missing
    return Step(f"{name}-{line}", needs, family, why_not=why_not)


def nox(*words: str) -> list[str]:
    return [sys.executable, "-m", "nox", "--non-interactive", *words]


class Running:
    """The processes that were started and have not ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now: set[subprocess.Popen[bytes]] = set()
        self.stopped = False

    def run(self, words: list[str], log: Path, **environment: str) -> int:
        """Run a command with its output at the end of a log."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                words,
                cwd=ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        with self._lock:
            self._now.add(process)
        try:
            return process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            with log.open("a") as output:
                output.write(f"\nstopped: it took longer than {LIMIT} seconds\n")
            _end(process)
            return 124
        finally:
            with self._lock:
                self._now.discard(process)

    def stop(self) -> None:
        self.stopped = True
        with self._lock:
            for process in self._now:
                _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(5)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


RUNNING = Running()
_making: dict[str, threading.Lock] = defaultdict(threading.Lock)


def prepare(session: str, log: Path) -> int:
    """Make the environment of a session, if it is not there as it has to be."""
    log.unlink(missing_ok=True)
    key, wanted = KEYS / session, definition(session)
    with _making[session]:  # its steps share it
        if key.exists() and key.read_text() == wanted:
            return 0
        key.unlink(missing_ok=True)
        if code := RUNNING.run(nox("--reuse-venv", "never", "--install-only", "-s", session), log):
            return code
        key.write_text(wanted)
    log.unlink()
    return 0


def run(step: Step, log: Path) -> int:
    """Run a step in the background."""
    words = nox("-R", "-s", step.session, *(("--", *step.words) if step.words else ()))
    return prepare(step.session, log) or RUNNING.run(words, log, **step.environment)


def show(name: str, *words: str) -> int:
    """Run a session in the foreground, with arguments."""
    log = LOGS / f"{name}.log"
    if prepare(name, log):
        print("\n".join(readable(log)))
        return 1
    with owner() as number:
        environment = {**os.environ, "LAB_OWNER": number, "NOX_QUIET": "1"}
        return subprocess.run(
            nox("-R", "-s", name, "--", *words), cwd=ROOT, env=environment, check=False
        ).returncode


@contextmanager
def owner() -> Iterator[str]:
    """The id of a process that lives as long as this block and no longer than this process, however that ends."""
    waiter = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(waiter, stdin=subprocess.PIPE, start_new_session=True) as process:
        yield str(process.pid)


def lab(*words: str) -> int:
    """Run a command of the lab, if there is a lab."""
    if not (ROOT / "tests/lab").exists():
        return 0
    log = LOGS / "lab.log"
    return RUNNING.run(["python3", "tests/lab", *words], log)


def readable(log: Path) -> list[str]:
    lines = log.read_text(errors="replace").splitlines()
    return [line for line in lines if not _NOISE.search(line)]


def tests_in(log: Path) -> str:
    """What pytest said at the end of its runs."""
    found = re.findall(
        r"^(?:=+ )?(\d+ (?:passed|failed).*?) in [\d.]+s", log.read_text(errors="replace"), re.M
    )
    return " / ".join(dict.fromkeys(found))


class Run:
    """One run of steps, with what came of them."""

    def __init__(self, todo: list[Step]) -> None:
        self._todo = todo
        self._turn = threading.Lock()
        self.passed: list[str] = []
        self.failed: list[str] = []
        self.skipped: dict[str, str] = {}

    def all(self) -> None:
        workers = [threading.Thread(target=self._work, daemon=True) for number in range(WORKERS)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def _work(self) -> None:
        while step := self._next():
            try:
                self._do(step)
            except Exception:  # a fault of this program must not look like a step that passed
                self.failed.append(step.name)
                say("FAILED", 0, step.name, "", traceback.format_exc().splitlines())

    def _next(self) -> Step | None:
        with self._turn:
            return self._todo.pop(0) if self._todo else None

    def _do(self, step: Step) -> None:
        if not step.runs:
            reason = step.why_not or f"there is no {step.needs} yet"
            self.skipped[step.name] = reason
            say("not run", 0, step.name, reason)
            return
        log = LOGS / f"{step.name}.log"
        start = time.monotonic()
        code = run(step, log)
        if RUNNING.stopped:
            return
        seconds = time.monotonic() - start
        if code == 0:
            self.passed.append(step.name)
            say("ok", seconds, step.name, tests_in(log))
        else:
            self.failed.append(step.name)
            say("FAILED", seconds, step.name, tests_in(log), readable(log))


_saying = threading.Lock()


def say(
    status: str, seconds: float, name: str, remark: str = "", output: list[str] | None = None
) -> None:
    """One line for a step, and its output if it failed."""
    with _saying:
        print(f"{status:>7} {seconds:5.0f} s  {name:<23} {remark}".rstrip())
        if output is not None:
            if len(output) > SHOWN:
                print(f"        … (all of it in .cache/logs/{name}.log)")
            for line in output[-SHOWN:]:
                print(f"        {line}")
        sys.stdout.flush()


def test(names: list[str]) -> int:
    """Run steps; 0 if none failed."""
    known = steps()
    if unknown := set(names) - {name for step in known for name in (step.name, step.session)}:
        there = ", ".join(step.name for step in known)
        print(f"No such step: {', '.join(sorted(unknown))}. There are: {there}")
        return 2
    start = time.monotonic()
    todo = [step for step in known if not names or {step.name, step.session} & set(names)]
    run = Run(list(todo))
    with_servers = any(step.family and step.runs for step in todo)
    if with_servers:
        (LOGS / "lab.log").unlink(missing_ok=True)
        # What others have left behind is no reason to fail, and no reason not to go on.
        lab("sweep")
        # The tests between families meet servers of others.
        if lab("install", *FAMILIES):
            run.failed.append("lab")
            say("FAILED", time.monotonic() - start, "lab", "", readable(LOGS / "lab.log"))
        else:
            say("ok", time.monotonic() - start, "lab")
    with owner() as number:
        os.environ["LAB_OWNER"] = number
        run.all()
    if with_servers:
        lab("sweep")
    absent = [version for version in pythons.VERSIONS if not pythons.find(version)]
    print(
        f"\nPythons not found: {', '.join(absent)}"
        if absent
        else "\nall Pythons from 3.8 to 3.13 were found"
    )
    for name, reason in run.skipped.items():
        print(f"not run: {name} ({reason})")
    if run.failed:
        print(f"failed: {', '.join(run.failed)}")
    minutes, seconds = divmod(round(time.monotonic() - start), 60)
    # Servers that were started in passing count as long as they were stopped by their tests.
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = (used.ru_utime + used.ru_stime) / 60
    print(f"{minutes} min {seconds} s, {processor:.1f} min of processor time")
    counts = f"{len(run.passed)} passed, {len(run.failed)} failed"
    print(f"steps: {counts}, {len(run.skipped)} skipped" if run.skipped else f"steps: {counts}")
    # A step that somebody asked for by its name has to run.
    return 1 if run.failed or set(names) & set(run.skipped) else 0


def list_steps() -> int:
    """Print the names of all steps: those without servers, and those with servers."""
    for name, with_servers in (("checks", False), ("servers", True)):
        chosen = [step.name for step in steps() if bool(step.family) == with_servers]
        print(f"{name}={json.dumps(chosen)}")
    return 0


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    if arguments.list:
        return list_steps()
    LOGS.mkdir(parents=True, exist_ok=True)
    KEYS.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return show(*arguments.names) if arguments.show else test(arguments.names)
    except KeyboardInterrupt:
        RUNNING.stop()
        lab("sweep")
        print("stopped")
        os._exit(130)  # without waiting for the workers


if __name__ == "__main__":
    sys.exit(main())

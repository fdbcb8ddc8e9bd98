# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the collection's modules as Ansible does: each task in a process of its own, with its options as JSON."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from module_forkserver import PLUGINS, module_forkserver

from lab import Image, KeyPair, LabError, Server

MODULES = f"{PLUGINS}.modules"


@dataclass(frozen=True)
class Limits:
    """What a module process may use, and what is asserted when it has ended.

    ``address_space`` is set as RLIMIT_AS. ``memory`` is the peak of resident memory (which starts at some 50 MiB, the
    Python interpreter with all libraries). ``seconds`` is processor time, which also a busy machine measures well.
    """

    address_space: int = 512 << 20
    memory: int = 150 << 20
    seconds: float = 20


class Outcome(dict[str, Any]):
    """What a module returned, and what it took.

    ``peak_memory`` is in bytes, of the module's process or the largest of those that it started. ``seconds`` is the
    processor time of all of them.
    """

    peak_memory: int
    seconds: float

    @property
    def failed(self) -> bool:
        return bool(self.get("failed"))

    @property
    def actions(self) -> list[str]:
        return list(self["actions"])


class Run:
    """A module at work, in a process of its own. ``wait`` returns what it says in the end."""

    def __init__(self, name: str, params: dict[str, Any], limits: Limits | None = None) -> None:
        self._limits = limits
        output, output_writer = os.pipe()
        usage, usage_writer = os.pipe()
        self._output, self._usage = os.fdopen(output, "rb"), os.fdopen(usage, "rb")
        try:
            self.pid = module_forkserver().start(
                f"{MODULES}.{name}",
                params,
                output_writer,
                usage_writer,
                limits.address_space if limits else None,
            )
        finally:
            os.close(output_writer)
            os.close(usage_writer)

    @property
    def has_ended(self) -> bool:
        """Whether its process is gone."""
        return not Path(f"/proc/{self.pid}").exists()

    def wait(self, seconds: float = 300) -> Outcome:
        """All that it said, when it has ended. One that hangs is killed after so many seconds."""
        said = b""
        end = time.monotonic() + seconds
        with self._output, self._usage:
            while select.select([self._output], [], [], max(0, end - time.monotonic()))[0]:
                part = os.read(self._output.fileno(), 1 << 16)
                said += part
                if not part:
                    break
            else:
                os.kill(self.pid, signal.SIGKILL)
                raise AssertionError(f"the module still runs after {seconds} seconds")
            peak_memory, processor_time = (self._usage.read() or b"0 0").split()
        text = said.decode()
        # Nothing that a user, a file or a server can cause may end in a traceback.
        assert "Traceback" not in text, text
        # The answer is the last line; what libraries print besides is nobody's business.
        assert text.strip(), "the module said nothing"
        outcome = Outcome(json.loads(text.strip().splitlines()[-1]))
        outcome.peak_memory, outcome.seconds = int(peak_memory), float(processor_time)
        if self._limits:
            _assert_within(self._limits, outcome)
        return outcome

    def kill(self) -> None:
        """Kill it, as if its host had crashed. It may have come to its end before."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._output.read()
        self._output.close()
        self._usage.close()


def _assert_within(limits: Limits, outcome: Outcome) -> None:
    assert 0 < outcome.peak_memory <= limits.memory, (
        f"the module used {outcome.peak_memory >> 20} MiB of memory, not up to {limits.memory >> 20}: {outcome}"
    )
    assert 0 < outcome.seconds <= limits.seconds, (
        f"the module took {outcome.seconds:.1f} seconds of processor time, not up to {limits.seconds}: {outcome}"
    )


class Modules:
    """The collection's modules, for one server or for whatever ``defaults`` name."""

    def __init__(self, **defaults: Any) -> None:
        self.defaults = defaults
        self.limits: Limits | None = None

    def with_options(self, **defaults: Any) -> Modules:
        """The same with other defaults, within the same limits."""
        modules = Modules(**{**self.defaults, **defaults})
        modules.limits = self.limits
        return modules

    def without(self, *names: str) -> Modules:
        """The same without some of the defaults, within the same limits."""
        modules = Modules(
            **{name: self.defaults[name] for name in self.defaults if name not in names}
        )
        modules.limits = self.limits
        return modules

    def limited(self, **limits: Any) -> Modules:
        """The same, each in a process with an address space of 512 MiB, which asserts that it took no more than …

        The fields of ``Limits`` are the arguments. For hostile input::

            message = modules.limited().import_fails(image, timeout=5)
        """
        modules = self.with_options()
        modules.limits = Limits(**limits)
        return modules

    def at(self, server: Server) -> Modules:
        """The same, for the Unix socket of this server."""
        return self.with_options(server=f"unix://{server.socket}")

    def over_tls(self, server: Server, pair: KeyPair) -> Modules:
        """The same, over TLS as the client with this certificate, who knows the server's."""
        identity = {"client_cert": str(pair.certificate), "client_key": str(pair.key)}
        reach = {"server": server.url, "server_cert": str(server.certificate)}
        return self.with_options(**reach, **identity)

    def start(self, module: str, /, check: bool = False, **params: Any) -> Run:
        """Start a module, in diff mode so that its diff is part of every answer."""
        mode = {"_ansible_check_mode": check, "_ansible_diff": True}
        return Run(module, {**self.defaults, **params, **mode}, self.limits)

    def run(self, module: str, /, check: bool = False, **params: Any) -> Outcome:
        """Run a module to its end, however it ends."""
        return self.start(module, check, **params).wait()

    def fails(self, module: str, /, check: bool = False, **params: Any) -> str:
        """Run a module that is to fail; what it says."""
        outcome = self.run(module, check, **params)
        assert outcome.failed, f"it did not fail: {outcome}"
        return str(outcome["msg"])

    def done(self, module: str, /, check: bool = False, **params: Any) -> Outcome:
        """Run a module that is to succeed."""
        outcome = self.run(module, check, **params)
        assert not outcome.failed, outcome["msg"]
        return outcome

    def import_image(self, image: Image | Path, check: bool = False, **params: Any) -> Outcome:
        """Import an image of this host, which has to succeed."""
        return self.done("lxd_image_import", check, **files(image), **params)

    def import_url(self, url: str, check: bool = False, **params: Any) -> Outcome:
        """Import an image of a web server, which has to succeed."""
        return self.done("lxd_image_import", check, url=url, **params)

    def import_fails(self, image: Image | Path, check: bool = False, **params: Any) -> str:
        """Import an image of this host, which has to fail."""
        return self.fails("lxd_image_import", check, **files(image), **params)


def files(image: Image | Path) -> dict[str, Any]:
    """The options that name the files of an image."""
    if isinstance(image, Path):
        return {"src": str(image), "remote_src": True}
    if image.rootfs is None:
        return {"src": str(image.metadata), "remote_src": True}
    return {"metadata": str(image.metadata), "rootfs": str(image.rootfs), "remote_src": True}


def timed_out(attempt: Callable[[int], str], reached: str) -> str:
    """What a task says whose time is over while it does what ``reached`` is said of.

    ``attempt`` runs it with a timeout and returns its message. On a busy machine, the time may be over before the task
    has come so far: it is then tried again with more.
    """
    said = ""
    for seconds in (2, 8, 32):
        said = attempt(seconds)
        assert f"timed out after {seconds} seconds" in said, said
        if reached in said:
            return said
    raise AssertionError(said)


def until(happens: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if happens():
                return
        except LabError:
            pass
        time.sleep(0.01)
    raise AssertionError("it did not happen")

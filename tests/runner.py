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
from pathlib import Path
from typing import Any

from module_forkserver import PLUGINS, module_forkserver

from lab import Image, KeyPair, LabError, Server

MODULES = f"{PLUGINS}.modules"


class Outcome(dict[str, Any]):
    """What a module returned."""

    @property
    def failed(self) -> bool:
        return bool(self.get("failed"))

    @property
    def actions(self) -> list[str]:
        return list(self["actions"])


class Run:
    """A module at work, in a process of its own. ``wait`` returns what it says in the end."""

    def __init__(self, name: str, params: dict[str, Any]) -> None:
        reading, writing = os.pipe()
        self._output = os.fdopen(reading, "rb")
        try:
            self.pid = module_forkserver().start(f"{MODULES}.{name}", params, writing)
        finally:
            os.close(writing)

    def wait(self, seconds: float = 120) -> Outcome:
        """All that it said, when it has ended."""
        said = b""
        end = time.monotonic() + seconds
        with self._output:
            while select.select([self._output], [], [], max(0, end - time.monotonic()))[0]:
                part = os.read(self._output.fileno(), 1 << 16)
                said += part
                if not part:
                    break
            else:
                os.kill(self.pid, signal.SIGKILL)
                raise AssertionError(f"the module still runs after {seconds} seconds")
        text = said.decode()
        # Nothing that a user, a file or a server can cause may end in a traceback.
        assert "Traceback" not in text, text
        # The answer is the last line; what libraries print besides is nobody's business.
        assert text.strip(), "the module said nothing"
        return Outcome(json.loads(text.strip().splitlines()[-1]))

    def kill(self) -> None:
        """Kill it, as if its host had crashed. It may have come to its end before."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._output.read()
        self._output.close()


class Modules:
    """The collection's modules, for one server or for whatever ``defaults`` name."""

    def __init__(self, **defaults: Any) -> None:
        self.defaults = defaults

    def at(self, server: Server) -> Modules:
        """The same, for the Unix socket of this server."""
        return Modules(**{**self.defaults, "server": f"unix://{server.socket}"})

    def over_tls(self, server: Server, pair: KeyPair) -> Modules:
        """The same, over TLS as the client with this certificate, who knows the server's."""
        identity = {"client_cert": str(pair.certificate), "client_key": str(pair.key)}
        reach = {"server": server.url, "server_cert": str(server.certificate)}
        return Modules(**{**self.defaults, **reach, **identity})

    def start(self, module: str, /, check: bool = False, **params: Any) -> Run:
        """Start a module, in diff mode so that its diff is part of every answer."""
        mode = {"_ansible_check_mode": check, "_ansible_diff": True}
        return Run(module, {**self.defaults, **params, **mode})

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


def until(happens: Callable[[], bool], seconds: float = 20) -> None:
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

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One scratch server: a daemon in a folder of its own."""

from __future__ import annotations

import atexit
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from . import api, leftovers, records
from .addresses import free_address
from .endpoint import Endpoint, execute
from .errors import LabError
from .families import FAMILY
from .families import family as family_named
from .processes import PATIENCE, Process, me

GRACE = 15  # seconds for a daemon to end; LXD itself would wait minutes for running operations


class Server(Endpoint):
    """A server of one family. As a context manager it starts, and is removed at the end.

    ``https`` lets it listen on a loopback address of its own, ``storage`` gives it a pool and a
    default profile with a root disk (containers start, without a network), ``debug`` makes it log
    its requests, which ``requests`` reads. ``lab`` is the folder to make its own folder in.
    ``ca_file`` is the PEM file of the authority that it trusts in place of the machine's, and
    ``config`` the server's configuration. ``arguments`` and ``environment`` are for the daemon.
    """

    #: What ``lxd init --preseed`` is to be given on the first start; may be changed before.
    settings: dict[str, object] | None = None

    def __init__(
        self,
        name: str = "one",
        *,
        family: str = FAMILY,
        lab: Path | None = None,
        https: bool = True,
        storage: bool = True,
        debug: bool = True,
        ca_file: Path | None = None,
        config: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        owner: Process | None = None,
    ) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,19}", name):
            raise LabError(f"a server's name is up to 20 of a-z, 0-9 and -, not {name!r}")
        if os.geteuid() != 0:
            raise LabError("only root can start servers")
        trusted = {"SSL_CERT_FILE": str(ca_file.absolute())} if ca_file else {}
        record = records.Record(
            name=name,
            family=family_named(family).name,
            owner=owner or records.owner(),
            address=free_address() if https else None,
            debug=debug,
            arguments=list(arguments),
            environment={**(environment or {}), **trusted},
        )
        super().__init__(records.lab_folder(lab) / name, record)
        self._popen: subprocess.Popen[bytes] | None = None
        self.settings = _settings(record.address, storage, config or {})
        try:
            records.make_folder(self.folder)
        except FileExistsError:
            raise LabError(f"{self.lab} has a server {name!r} already") from None
        record.save(self.folder)
        if self.owner == me():
            atexit.register(self._at_exit, os.getpid())

    @classmethod
    def load(cls, folder: Path) -> Server:
        """The server in this folder, whoever has started it."""
        server = cls.__new__(cls)
        Endpoint.__init__(server, folder.absolute(), records.Record.load(folder))
        server._popen = None
        return server

    def __enter__(self) -> Server:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()

    def __repr__(self) -> str:
        return f"<Server {self.name} ({self.family.name}) in {self.folder}>"

    @property
    def running(self) -> bool:
        """Whether the daemon's process is alive."""
        return self._record.daemon is not None and self._record.daemon.alive

    @property
    def pid(self) -> int | None:
        """The daemon's process id while it runs."""
        return self._record.daemon.pid if self._record.daemon and self.running else None

    @property
    def owner(self) -> Process:
        """The process without which nobody needs this server any more."""
        return self._record.owner

    def start(self) -> None:
        """Start the daemon, for the first time or again, and wait until it is ready."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start the daemon where it does not run, and do not wait for it."""
        if self.running:
            return
        self.family.install()
        if not self.directory.exists():
            records.make_folder(self.directory)
        verbosity = "--debug" if self._record.debug else "--verbose"
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                [*self.family.daemon, "--group", "root", verbosity, *self._record.arguments],
                env={**os.environ, **self._record.environment, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                umask=0o022,
                start_new_session=True,
            )
        self._record.daemon = Process.find(self._popen.pid)
        self._record.save(self.folder)

    def wait_ready(self) -> None:
        """Wait until the daemon answers; for the first time also give it address and storage."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                api.call(self.socket, "GET", "/internal/ready", timeout=5)
                break
            except (OSError, LabError) as error:
                if not self.running or time.monotonic() > end:
                    self._end(0)
                    raise LabError(f"{self!r} did not start: {error}{self._complaints()}") from None
            time.sleep(0.02)
        if self.settings is not None:
            self._preseed(self.settings)
            self.settings = None

    def stop(self, grace: float = GRACE) -> None:
        """End the daemon: SIGTERM, SIGKILL after ``grace`` seconds.

        It keeps all it has, for ``start``. Its containers go on, as they do in real life.
        """
        self._end(grace)

    def kill(self) -> None:
        """End the daemon with SIGKILL, as if it had crashed. Its containers go on."""
        if self._record.daemon:
            self._record.daemon.send(signal.SIGKILL)
        self._end(GRACE)

    def restart(self) -> None:
        """Stop the daemon and start it again."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """Delete its instances, stop it, and remove its folder and all else it left."""
        atexit.unregister(self._at_exit)
        if not self.folder.exists():
            return
        if self._record.clustered:
            self.kill()  # without the other members it could do nothing but wait for them
        elif self.running:
            with suppress(LabError):
                self._delete_instances()
        self._end(GRACE)
        leftovers.clean(self.directory, self.family)
        leftovers.remove(self.folder)
        records.forget(self.folder)
        if records.is_ours(self.lab) and not records.in_lab(self.lab):
            leftovers.remove(self.lab)

    def _preseed(self, settings: Mapping[str, object]) -> None:
        command = [*self.family.init, "--preseed"]
        execute(command, self.environment, json.dumps(settings), PATIENCE)
        if "cluster" in settings:
            self._record.clustered = True
            self._record.save(self.folder)

    def _delete_instances(self) -> None:
        """Delete all instances of all projects, running or not."""
        for instance in self.api("GET", "/1.0/instances?recursion=1&all-projects=true", timeout=10):
            self.run("delete", "--force", "--project", instance["project"], instance["name"])

    def _end(self, grace: float) -> None:
        """End the daemon and reap it, so that no zombie is left where it is our child."""
        if self._record.daemon:
            self._record.daemon.end(grace)
        if self._popen is not None:
            self._popen.wait()
            self._popen = None

    def _complaints(self) -> str:
        """The last errors in the daemon's log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        bad = [line for line in lines if "level=warn" not in line and "level=debug" not in line]
        return "".join(f"\n  {line[:300]}" for line in bad[-4:])

    def _at_exit(self, pid: int) -> None:
        """Remove a server that its program forgot to remove."""
        if os.getpid() == pid:  # and not in a fork of it
            with suppress(LabError):
                self.remove()


def _settings(address: str | None, storage: bool, config: Mapping[str, str]) -> dict[str, object]:
    """What a new server is configured with."""
    listen = {"core.https_address": address} if address else {}
    settings: dict[str, object] = {"config": {**listen, **config}}
    if storage:
        root = {"type": "disk", "path": "/", "pool": "default"}
        settings["storage_pools"] = [{"name": "default", "driver": "dir"}]
        settings["profiles"] = [{"name": "default", "devices": {"root": root}}]
    return settings

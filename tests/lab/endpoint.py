# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server as those see it who only speak to it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

from . import api
from .certificates import fingerprint
from .errors import LabError
from .families import Family, family
from .records import Record
from .requestlog import Request, read


class Endpoint:
    """Where a server is, and how to ask it things besides the code that is tested."""

    def __init__(self, folder: Path, record: Record) -> None:
        self.folder = folder
        self._record = record

    @property
    def name(self) -> str:
        """Its name, unique in its lab folder."""
        return self._record.name

    @property
    def family(self) -> Family:
        """The kind of server it is."""
        return family(self._record.family)

    @property
    def lab(self) -> Path:
        """The lab folder, with the folders of all servers of one lab."""
        return self.folder.parent

    @property
    def directory(self) -> Path:
        """The daemon's own folder, ``LXD_DIR`` or ``INCUS_DIR``."""
        return self.folder / "d"

    @property
    def socket(self) -> Path:
        """The daemon's Unix socket."""
        return self.directory / "unix.socket"

    @property
    def log(self) -> Path:
        """What the daemon writes; it goes on in the same file after a restart."""
        return self.folder / "log"

    @property
    def address(self) -> str | None:
        """``HOST:PORT`` where it listens for https, if it does."""
        return self._record.address

    @property
    def url(self) -> str:
        """Its https URL."""
        if self.address is None:
            raise LabError(f"the server {self.name} does not listen on https")
        return f"https://{self.address}"

    @property
    def certificate(self) -> Path:
        """The PEM file of the certificate that it shows on https."""
        cluster = self.directory / "cluster.crt"
        return cluster if cluster.exists() else self.directory / "server.crt"

    @property
    def certificate_fingerprint(self) -> str:
        """SHA-256 of that certificate in DER, in lower-case hexadecimal digits."""
        return fingerprint(self.certificate)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead its family's command-line client to it."""
        return {
            self.family.directory: str(self.directory),
            self.family.configuration: str(self.folder / "client"),
        }

    def run(self, *arguments: str, stdin: str = "", timeout: float = 120) -> str:
        """Run the family's client on this server and return what it prints.

        ``LabError`` with its standard error when it fails or takes longer than ``timeout`` seconds.
        """
        command = [*self.family.client, "--force-local", *arguments]
        return execute(command, self.environment, stdin, timeout)

    def api(self, method: str, url: str, body: object = None, *, timeout: float = 60) -> Any:
        """Make one request through the Unix socket and return the ``metadata`` of the answer.

        ``ApiError`` when the server refuses. A background operation is returned, not waited for.
        """
        try:
            return api.call(self.socket, method, url, body, timeout=timeout)
        except OSError as error:
            raise LabError(f"the server {self.name} does not answer: {error}") from error

    def operation(self, method: str, url: str, body: object = None, *, timeout: float = 60) -> Any:
        """Make a request that starts a background operation, and return it when it has succeeded."""
        started = self.api(method, url, body, timeout=timeout)
        ended = self.api("GET", f"/1.0/operations/{started['id']}/wait", timeout=timeout)
        if ended["status_code"] != 200:
            raise LabError(f"the server {self.name} failed at {method} {url}: {ended['err']}")
        return ended

    def has(self, extension: str) -> bool:
        """Whether it announces this API extension."""
        return extension in self.api("GET", "/1.0")["api_extensions"]

    @property
    def version(self) -> tuple[int, ...]:
        """Its version: 5.0.2 is ``(5, 0, 2)``."""
        text = self.api("GET", "/1.0")["environment"]["server_version"]
        return tuple(int(part) for part in re.findall(r"\d+", text))

    def is_lxd_since(self, *version: int) -> bool:
        """Whether it is a LXD of this version or a later one, for what no API extension tells."""
        return self.family.protocol == "lxd" and self.version >= version

    def images(self, project: str = "default") -> dict[str, dict[str, Any]]:
        """All images of a project, by fingerprint, as the server describes them."""
        answer = self.api("GET", f"/1.0/images?recursion=1&project={project}") or []
        return {image["fingerprint"]: image for image in answer}

    def aliases(self, project: str = "default") -> dict[str, str]:
        """The fingerprint behind each alias of a project."""
        answer = self.api("GET", f"/1.0/images/aliases?recursion=1&project={project}") or []
        return {alias["name"]: alias["target"] for alias in answer}

    def trust(self, certificate: Path, *, projects: str | None = None) -> None:
        """Trust a client's certificate; restricted to ``projects`` (a comma list) where given."""
        limits = () if projects is None else ("--restricted", "--projects", projects)
        self.run(*self.family.trust, str(certificate), *limits)

    def trusted(self) -> list[str]:
        """The fingerprints of the clients' certificates that it trusts."""
        return [url.rpartition("/")[2] for url in self.api("GET", "/1.0/certificates") or []]

    def token(self, name: str) -> str:
        """A token with which a client of that name can make itself trusted, once."""
        return self.run(*self.family.token, name).strip().splitlines()[-1]

    def mark(self) -> int:
        """This moment in the server's log, for ``requests``."""
        return self.log.stat().st_size

    def requests(self, since: int = 0, until: int | None = None) -> list[Request]:
        """The requests that it has handled since a ``mark`` (and until another one), in order.

        Those of ``run``, ``api`` and the like are among them. Needs a server with ``debug``.
        """
        if not self._record.debug:
            raise LabError(f"the server {self.name} runs without debug and logs no requests")
        return read(self.log, since, until)

    def writes(self, since: int = 0, until: int | None = None) -> list[Request]:
        """Those of ``requests`` that may change something: all but GET, HEAD and OPTIONS."""
        return [request for request in self.requests(since, until) if request.writes]


def execute(command: list[str], environment: dict[str, str], stdin: str, timeout: float) -> str:
    """Run a command and return its standard output; ``LabError`` with its standard error."""
    shown = " ".join(command)
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **environment},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        raise LabError(f"{command[0]} is not installed; run: python3 tests/lab install") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"{shown}: still running after {timeout} seconds") from None
    if done.returncode != 0:
        raise LabError(f"{shown}: {done.stderr.strip() or f'status {done.returncode}'}")
    return done.stdout

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real web server: nginx over TLS, with a folder of files and whatever else a test wants of it."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

from .addresses import free_host
from .certificates import Authority, KeyPair
from .errors import LabError
from .packages import install
from .processes import PATIENCE
from .requestlog import Request

PACKAGES = ("nginx-light",)

#: The site that the package brings listens on port 80 of all addresses, those of others included.
_WELCOME = Path("/etc/nginx/sites-enabled/default")

_CONFIGURATION = """
user root;  # so that it reads whatever a test has made
daemon off;
worker_processes 2;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log {folder}/access.log;
    {maps}
    types {{ text/html html; application/json json; }}
    default_type application/octet-stream;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {host}:443 ssl;
        listen {host}:80;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        root {root};
        {directives}
    }}
}}
"""


class WebServer:
    """nginx on a loopback address of its own, on the usual ports. It works while used as a context manager.

    Its certificate is for that address, and signed by ``authority``. ``directives`` are added to its server block,
    ``maps`` to the http block around that.
    """

    def __init__(
        self, authority: Authority, root: Path, directives: str = "", maps: str = ""
    ) -> None:
        self.root = root
        self.host = free_host()
        self._authority = authority
        self._directives = directives
        self._maps = maps

    @property
    def url(self) -> str:
        """Its address over https; over http it is the same with that scheme."""
        return f"https://{self.host}"

    @property
    def pair(self) -> KeyPair:
        """Its certificate and key."""
        return self._pair

    def __enter__(self) -> WebServer:
        install(PACKAGES)
        _WELCOME.unlink(missing_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix="lab-web-", dir="/tmp"))
        self._folder.chmod(0o755)
        self._pair = self._authority.issue(f"web-{self.host}", self.host)
        (self._folder / "nginx.conf").write_text(
            _CONFIGURATION.format(
                folder=self._folder,
                host=self.host,
                certificate=self._pair.certificate,
                key=self._pair.key,
                root=self.root,
                directives=self._directives,
                maps=self._maps,
            )
        )
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        subprocess.run(["rm", "-rf", str(self._folder)], check=True)

    def start(self) -> None:
        """Start it, for the first time or again."""
        command = [
            "nginx",
            "-c",
            str(self._folder / "nginx.conf"),
            "-e",
            str(self._folder / "error.log"),
        ]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        end = time.monotonic() + PATIENCE
        while not (self._folder / "pid").exists():
            if self._process.poll() is not None or time.monotonic() > end:
                raise LabError(f"nginx did not start: {(self._folder / 'error.log').read_text()}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop it. Who asks then is refused."""
        self._process.terminate()
        self._process.wait()

    def reload(self) -> None:
        """Have it read its configuration again, and wait until none of it answers by the old one.

        Nobody who is being served notices.
        """
        before = self._workers()
        self._process.send_signal(signal.SIGHUP)
        end = time.monotonic() + PATIENCE
        while before & self._workers():
            if time.monotonic() > end:
                raise LabError(f"nginx goes on: {(self._folder / 'error.log').read_text()}")
            time.sleep(0.01)

    def _workers(self) -> set[str]:
        """The process ids of those that answer."""
        pid = self._process.pid
        return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())

    @property
    def requests(self) -> list[Request]:
        """The requests that it has answered, in order."""
        quoted = (line.split('"')[1].split() for line in self._log())
        return [Request(words[0], words[1]) for words in quoted if len(words) == 3]

    @property
    def statuses(self) -> list[int]:
        """The HTTP statuses of its answers, in order."""
        return [int(line.split('"')[2].split()[0]) for line in self._log()]

    def _log(self) -> list[str]:
        return (self._folder / "access.log").read_text().splitlines()

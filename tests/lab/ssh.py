# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host to reach over SSH, which is this machine, by a user who has to become root."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

from .addresses import free_host
from .errors import LabError
from .packages import install
from .processes import PATIENCE

PACKAGES = ("openssh-server", "openssh-client", "sudo")
PORT = 2222

_CONFIGURATION = """
Port {port}
ListenAddress {host}
HostKey {folder}/host
PidFile none
AuthorizedKeysFile {folder}/%u
StrictModes no
UsePAM no
PasswordAuthentication no
Subsystem sftp internal-sftp
"""


class SshHost:
    """An sshd on a loopback address, and a user of its own for as long as it is used as a context manager.

    ``variables`` are those that Ansible needs to come in and to become root.
    """

    def __init__(self) -> None:
        self.host = free_host()
        self.user = f"lab{os.getpid()}"

    @property
    def variables(self) -> dict[str, object]:
        """Variables of the host, for an inventory."""
        options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        return {
            "ansible_host": self.host,
            "ansible_port": PORT,
            "ansible_user": self.user,
            "ansible_ssh_private_key_file": str(self._folder / "key"),
            "ansible_ssh_common_args": options,
        }

    @property
    def home(self) -> Path:
        """The user's home."""
        return Path(pwd.getpwnam(self.user).pw_dir)

    @property
    def connections(self) -> int:
        """How many connections it has accepted up to now."""
        return (self._folder / "log").read_text().count("Accepted publickey")

    def __enter__(self) -> SshHost:
        install(PACKAGES)
        self._folder = Path(tempfile.mkdtemp(prefix="lab-ssh-", dir="/tmp"))
        self._folder.chmod(0o755)
        try:
            self._run(
                "useradd", "--create-home", "--shell", "/bin/sh", "--password", "*", self.user
            )
            self._sudoers.write_text(f"{self.user} ALL=(ALL) NOPASSWD: ALL\n")
            for name in ("host", "key"):
                self._run(
                    "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._folder / name)
                )
            (self._folder / "key.pub").rename(self._folder / self.user)
            configuration = _CONFIGURATION.format(port=PORT, host=self.host, folder=self._folder)
            (self._folder / "sshd_config").write_text(configuration)
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
            command = ["/usr/sbin/sshd", "-D", "-e", "-f", str(self._folder / "sshd_config")]
            with (self._folder / "log").open("wb") as log:
                self._process = subprocess.Popen(command, stderr=log)
            self._wait()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    @property
    def _sudoers(self) -> Path:
        return Path("/etc/sudoers.d") / self.user

    def _wait(self) -> None:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection((self.host, PORT), timeout=1).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise LabError(
                        f"sshd did not start: {(self._folder / 'log').read_text()}"
                    ) from None
                time.sleep(0.02)

    def _remove(self) -> None:
        process = getattr(self, "_process", None)
        if process:
            process.terminate()
            process.wait()
        subprocess.run(["pkill", "-KILL", "-u", self.user], check=False, capture_output=True)
        subprocess.run(
            ["userdel", "--force", "--remove", self.user], check=False, capture_output=True
        )
        self._sudoers.unlink(missing_ok=True)
        subprocess.run(["rm", "-rf", str(self._folder)], check=True)

    @staticmethod
    def _run(*command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(f"{' '.join(command)}: {done.stderr.strip()}")

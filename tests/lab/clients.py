# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration of a command-line client, with servers as its remotes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .certificates import KeyPair, client_certificate
from .endpoint import Endpoint, execute
from .families import Family


@dataclass(frozen=True)
class ClientConfig:
    """A folder with the configuration of a command-line client, ``LXD_CONF`` or ``INCUS_CONF``."""

    folder: Path
    pair: KeyPair
    family: Family

    def run(self, *arguments: str, stdin: str = "", timeout: float = 120) -> str:
        """Run the client with this configuration, in which the servers are remotes by name."""
        environment = {self.family.configuration: str(self.folder)}
        return execute([*self.family.client, *arguments], environment, stdin, timeout)


def client_config(
    folder: Path, servers: Sequence[Endpoint], *, trusted: bool = True, default: str | None = None
) -> ClientConfig:
    """Write a client's configuration with the servers as remotes, under their names.

    It holds ``config.yml``, ``client.crt`` and ``client.key`` (kept where they are there) and
    ``servercerts/NAME.crt``. With ``trusted`` the servers trust that client. ``default`` is the
    name of the default remote, else the first server. It is for the client of the first server's
    family.
    """
    folder = Path(folder).absolute()
    pinned = folder / "servercerts"
    pinned.mkdir(parents=True, exist_ok=True)
    pair = KeyPair(folder / "client.crt", folder / "client.key")
    if not pair.certificate.exists():
        client_certificate(folder)
    family = servers[0].family
    lines = [f"default-remote: {default or servers[0].name}", "remotes:"]
    for server in servers:
        shutil.copyfile(server.certificate, pinned / f"{server.name}.crt")
        lines += [
            f"  {server.name}:",
            f"    addr: {server.url}",
            "    auth_type: tls",
            "    project: default",
            f"    protocol: {family.protocol}",
            "    public: false",
        ]
        if trusted and pair.fingerprint not in server.trusted():
            server.trust(pair.certificate)
    (folder / "config.yml").write_text("\n".join([*lines, "aliases: {}", ""]))
    return ClientConfig(folder, pair, family)

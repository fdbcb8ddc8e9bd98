# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Loopback addresses for servers, so that many of them can listen on the same machine."""

from __future__ import annotations

import random
import socket

from .errors import LabError

PORT = 8443


def free_address() -> str:
    """``HOST:PORT`` that nobody listens on, from 127.50.0.0 to 127.99.255.255.

    The port is the usual one, unless something listens to it on all addresses of the machine.
    """
    for port in (PORT, PORT, PORT, *random.sample(range(20000, 30000), 20)):
        host = free_host()
        if is_free(host, port):
            return f"{host}:{port}"
    raise LabError("no loopback address is free")


def free_host() -> str:
    """A loopback address at random, of so many that nobody else will have it."""
    return f"127.{random.randint(50, 99)}.{random.randint(0, 255)}.{random.randint(1, 254)}"


def is_free(host: str, port: int) -> bool:
    """Whether one can listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True

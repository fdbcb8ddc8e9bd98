# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes for modules, in no time: one that has imported all they need, and forks for each of them.

Run as a program it is that process. It takes its orders over the socket which is its standard input: a module's name,
options, environment and limit of address space, with two files: for its output, and for what it used (peak memory
and processor time).
A module finds itself in a process of its own, as it does on a managed host; it only did not have to be compiled for
that. (The integration targets send them in full.)
"""

from __future__ import annotations

import atexit
import fcntl
import importlib
import json
import os
import pkgutil
import resource
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from functools import cache
from typing import Any, NoReturn

PLUGINS = "ansible_collections.imagestore.lxd.plugins"
LARGEST_ORDER = 1 << 20


class ModuleForkServer:
    """The process that forks, seen from the tests."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, __file__]
            self._process = subprocess.Popen(
                command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL
            )
        atexit.register(self.close)

    def start(
        self,
        module: str,
        params: Mapping[str, Any],
        output: int,
        usage: int,
        address_space: int | None = None,
    ) -> int:
        """Start a module; its process id.

        Output and errors go to the file with the descriptor ``output``. When the module has ended by itself, two
        numbers are written to ``usage``: the largest resident memory that it or one of its own processes had, in
        bytes, and the seconds of processor time that all of them took.
        ``address_space`` is RLIMIT_AS in bytes, which its own processes inherit.
        """
        arguments = {"ANSIBLE_MODULE_ARGS": params}
        order = json.dumps([module, arguments, dict(os.environ), address_space]).encode()
        socket.send_fds(self._socket, [order], [output, usage])
        return int(self._socket.recv(32))

    def close(self) -> None:
        """End it. Modules that are at work go on."""
        self._socket.close()
        self._process.wait()


@cache
def module_forkserver() -> ModuleForkServer:
    """The one of this program."""
    return ModuleForkServer()


def _serve(orders: socket.socket) -> None:
    _import_everything()
    # Nobody waits for the children: whoever reads their output knows when they are done.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        order, files, _flags, _address = socket.recv_fds(orders, LARGEST_ORDER, 2)
        if not order:
            return
        pid = os.fork()
        if pid == 0:
            _be_module(json.loads(order), *files)
        for file in files:
            os.close(file)
        orders.send(str(pid).encode())


def _import_everything() -> None:
    import requests  # noqa: F401

    for folder in ("module_utils", "modules"):
        package = importlib.import_module(f"{PLUGINS}.{folder}")
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(found.name)


def _be_module(
    order: tuple[str, dict[str, Any], dict[str, str], int | None], output: int, usage: int
) -> NoReturn:
    name, arguments, environment, address_space = order
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(environment)
    # A module that nobody has wrapped reads its options from there.
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, LARGEST_ORDER)  # nobody reads yet
    os.write(writing, json.dumps(arguments).encode())
    os.close(writing)
    for number, file in enumerate((reading, output, output)):
        os.dup2(file, number)
    if address_space is not None:
        resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    try:
        sys.modules[name].main()
    except SystemExit:
        # Modules end so, with whatever result.
        pass
    except BaseException:
        traceback.print_exc()
    # As any Python program does, it ends no earlier than its threads.
    threading._shutdown()  # type: ignore[attr-defined]
    sys.stdout.flush()
    sys.stderr.flush()
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    peak = max(one.ru_maxrss for one in used) << 10
    seconds = sum(one.ru_utime + one.ru_stime for one in used)
    os.write(usage, f"{peak} {seconds}".encode())
    os._exit(0)


if __name__ == "__main__":
    _serve(socket.socket(fileno=os.dup(0)))

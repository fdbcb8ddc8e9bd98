# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several servers at once, and the end of those that nobody needs any more."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from . import leftovers, records
from .errors import LabError
from .server import Server


def up(*names: str, lab: Path | None = None, **options: Any) -> list[Server]:
    """Start servers of these names side by side in one lab folder, a new one where none is given.

    ``options`` are those of ``Server``. When one of them fails, all are removed again.
    """
    lab = records.lab_folder(lab)
    started: list[Server] = []
    try:
        for name in names:
            started.append(Server(name, lab=lab, **options))
            started[-1].launch()
        for server in started:
            server.wait_ready()
    except BaseException:
        for server in started:
            with suppress(LabError):
                server.remove()
        if records.is_ours(lab) and not records.in_lab(lab):
            leftovers.remove(lab)
        raise
    return started


@contextmanager
def servers(*names: str, lab: Path | None = None, **options: Any) -> Iterator[list[Server]]:
    """Servers of these names for the time of a ``with`` statement."""
    started = up(*names, lab=lab, **options)
    try:
        yield started
    finally:
        _remove(started)


def attach(lab: Path) -> list[Server]:
    """All servers of a lab folder, whoever has started them."""
    return [Server.load(folder) for folder in records.in_lab(lab)]


def down(lab: Path) -> list[str]:
    """Remove all servers of a lab folder, and the folder where the lab made it; say which."""
    lab = lab.absolute()
    found = attach(lab)
    if not found and not records.is_ours(lab):
        raise LabError(f"{lab} is not a lab folder")
    removed = _remove(found)
    if records.is_ours(lab):
        leftovers.remove(lab)
    return removed


def orphans() -> list[Server]:
    """The servers of this machine whose owner is gone."""
    found = []
    for folder in records.registered():
        with suppress(LabError):  # its removal is under way
            server = Server.load(folder)
            if not server.owner.alive:
                found.append(server)
    return found


def sweep() -> list[str]:
    """Remove all servers of this machine whose owner is gone, and say which."""
    records.REGISTRY.mkdir(mode=0o700, exist_ok=True)
    with (records.REGISTRY / ".sweep").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _remove(orphans())


def _remove(found: list[Server]) -> list[str]:
    """Remove all these servers, even when one of them cannot be removed; say which."""
    errors = []
    for server in found:
        try:
            server.remove()
        except LabError as error:
            errors.append(str(error))
    if errors:
        raise LabError("; ".join(errors))
    return [str(server.folder) for server in found]

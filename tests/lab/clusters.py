# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several servers that are the members of one cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from . import leftovers, records
from .errors import LabError
from .server import Server


@contextmanager
def cluster(
    size: int = 3, *, config: Mapping[str, str] | None = None, **options: Any
) -> Iterator[list[Server]]:
    """The members of a new cluster, named ``n1``, ``n2`` and so on, for a ``with`` statement.

    ``config`` is the cluster's configuration, ``options`` are those of ``up``. Stop, kill and start
    members as any server; of three, two must run for the cluster to answer. To start again after a
    majority was down, ``launch`` enough of them before the first ``wait_ready``.
    """
    members = up_cluster(*(f"n{number + 1}" for number in range(size)), config=config, **options)
    try:
        yield members
    finally:
        _remove(members)


def up_cluster(
    *names: str, lab: Path | None = None, config: Mapping[str, str] | None = None, **options: Any
) -> list[Server]:
    """Start the members of a new cluster; when one of them fails, all are removed again."""
    lab = records.lab_folder(lab)
    members: list[Server] = []
    try:
        for name in names:
            members.append(Server(name, lab=lab, **options))
            members[-1].launch()
        for member in members:
            _settle(member, members[0])
        for key, value in (config or {}).items():
            # Not before there is a cluster: a daemon dies from some of these keys.
            members[0].run("config", "set", key, value)
    except BaseException:
        _remove(members)
        if records.is_ours(lab) and not records.in_lab(lab):
            leftovers.remove(lab)
        raise
    return members


def _remove(members: list[Server]) -> None:
    for member in members:
        with suppress(LabError):
            member.kill()  # all at once: alone they would wait for each other
    for member in members:
        member.remove()


def _settle(member: Server, first: Server) -> None:
    """Found the cluster, or join it."""
    settings: dict[str, object] = {"enabled": True}
    if member is first:
        assert member.settings is not None
        member.settings["cluster"] = {**settings, "server_name": member.name}
    else:
        token = first.run("cluster", "add", member.name, "--quiet").strip().splitlines()[-1]
        settings["cluster_token"] = token
        settings["server_address"] = member.address
        pool = {"entity": "storage-pool", "name": "default", "key": "source", "value": ""}
        settings["member_config"] = [pool]
        member.settings = {"cluster": settings}
    member.wait_ready()

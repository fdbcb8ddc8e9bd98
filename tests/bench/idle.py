# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cost of an unchanged task in a store with many images."""

from __future__ import annotations

import io
import os
import platform
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lab import Server

from .measure import Cost, Unexpected, by_turns, client
from .setting import Row, Setting

STORE = 100
"""How many images the store holds."""

SLOWER = 0.7
"""How much more time it may take than a module which does nothing at all, as a share of that module's."""


def filled(setting: Setting, name: str) -> tuple[Server, list[Path]]:
    """Another server with many small images, and their files."""
    server = setting.start(name)
    paths = [tiny(setting.folder / f"tiny-{number}.tar", number) for number in range(STORE)]
    for path in paths:
        client(server, "image", "import", str(path))
    return server, paths


def rows(
    setting: Setting, task: Callable[[], Cost], asked: Sequence[Server], requests: int
) -> Iterator[Row]:
    """The cost of the second and later runs of a task; ``asked`` are the servers that it can connect to."""
    task()
    marks = [server.mark() for server in asked]
    if task().outcome["changed"]:
        raise Unexpected("the task has something to do every time")
    made = sum(len(server.requests(mark)) for server, mark in zip(asked, marks, strict=True))
    taken = by_turns(
        4 * setting.rounds, ours=lambda: [task()], empty=lambda: [setting.modules.empty()]
    )
    (ours,), (empty,) = taken["ours"], taken["empty"]
    yield Row(f"requests, {STORE} images in the store", made, requests)
    yield Row(
        "more time than an empty module",
        ours.seconds / empty.seconds - 1,
        SLOWER,
        "of it",
        f"{1000 * ours.seconds:.0f} ms, empty module {1000 * empty.seconds:.0f} ms",
    )


def fill(server: Server, count: int) -> None:
    """Add images to the database of a LXD server. They have no files, which no task here needs."""
    statement = f"""
        WITH RECURSIVE numbers(number) AS
            (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < {count})
        INSERT INTO images (fingerprint, filename, size, architecture, upload_date, project_id)
        SELECT lower(hex(randomblob(32))), 'tiny.tar', 1, 2, '2030-01-01 00:00:00+00:00', 1
        FROM numbers"""
    command = [server.family.daemon[0], "sql", "global", statement]
    if count:
        subprocess.run(
            command, env={**os.environ, **server.environment}, check=True, capture_output=True
        )


def tiny(path: Path, number: int) -> Path:
    """Write one of many minimal images."""
    with tarfile.TarFile(path, "w") as archive:
        text = f"architecture: {platform.machine()}\ncreation_date: {1_700_000_000 + number}\n"
        metadata = tarfile.TarInfo("metadata.yaml")
        metadata.size = len(text)
        archive.addfile(metadata, io.BytesIO(text.encode()))
        rootfs = tarfile.TarInfo("rootfs")
        rootfs.type = tarfile.DIRTYPE
        archive.addfile(rootfs)
        archive.addfile(tarfile.TarInfo("rootfs/init"))
    return path

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``lxd_image_import`` of a directory compared with ``lxc image import DIR``."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from pathlib import Path

from lab import build_directory

from .measure import Cost, Unexpected, by_turns, client
from .setting import MIB, Row, Setting

FILES = 20_000
SIZE = 500 * MIB
"""Bytes in all files together."""

ROUNDS = 1
"""The client takes minutes for one, which is so much more than ours that no more are needed."""


def directory(setting: Setting) -> Iterator[Row]:
    """A directory of 500 MiB in 20,000 files, half of them compressible."""
    server, modules, tree = setting.server, setting.modules, _grow(setting.folder)
    resent = 0

    def task() -> Cost:
        socket = f"unix://{server.socket}"
        return modules.run("lxd_image_import", server=socket, src=str(tree), remote_src=True)

    def ours() -> Iterable[Cost]:
        nonlocal resent
        first, again = task(), task()
        if not first.outcome["transferred"]:
            raise Unexpected(f"the module did not do what it was to: {first.outcome}")
        resent += again.outcome["transferred"]
        client(server, "image", "delete", first.outcome["fingerprint"])
        return first, again

    def theirs() -> Iterable[Cost]:
        cost = client(server, "image", "import", str(tree), "--alias", "tree")
        client(server, "image", "delete", "tree")
        return (cost,)

    taken = by_turns(ROUNDS, ours=ours, theirs=theirs)
    (first, again), (reference,) = taken["ours"], taken["theirs"]
    for what, cost in (("first import", first), ("import of what is there", again)):
        remark = f"{cost.seconds:.2f} s, lxc {reference.seconds:.2f} s"
        yield Row(what, cost.seconds / reference.seconds, 0.5, "of lxc", remark)
    yield Row("sent for what is there", resent, 0, "bytes")
    yield Row("peak memory", first.memory / MIB, 100, "MiB")


def _grow(folder: Path) -> Path:
    """An image directory with this number of files."""
    tree = build_directory(folder, name="tree")
    chance = random.Random(1)
    text = b"".join(b"%d bottles of beer on the wall\n" % number for number in range(1000))
    size = SIZE // FILES
    for number in range(FILES):
        path = tree / f"rootfs/data/{number // 100}/{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        begin = chance.randrange(len(text) - size // 2)
        path.write_bytes(chance.randbytes(size - size // 2) + text[begin : begin + size // 2])
    return tree

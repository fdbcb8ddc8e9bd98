# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``lxd_image_import`` of disks without metadata compared with ``qemu-img convert`` and ``lxc image import``."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from lab import Server, build_image, build_large_disk

from .measure import Cost, Modules, Unexpected, by_turns, client
from .setting import Row, Setting, ratio


def qcow2(setting: Setting) -> Iterator[Row]:
    """A qcow2 disk of the given size, which is sent as it is."""
    disk = setting.folder / "disk.qcow2"
    raw = build_large_disk(setting.folder, setting.size)
    _convert(raw, disk)
    raw.unlink()
    yield from _against_client(setting, disk, needs_conversion=False)
    disk.unlink()


def raw(setting: Setting) -> Iterator[Row]:
    """A raw disk of the given size, which is converted to qcow2."""
    disk = build_large_disk(setting.folder, setting.size)
    yield from _against_client(setting, disk, needs_conversion=True)
    disk.unlink()


def _against_client(setting: Setting, disk: Path, needs_conversion: bool) -> Iterator[Row]:
    server, modules = setting.server, setting.modules
    metadata = build_image("vm", setting.folder).metadata

    def ours() -> Iterable[Cost]:
        first = _import(modules, server, disk, sends=True)
        again = _import(modules, server, disk, sends=False)
        client(server, "image", "delete", first.outcome["fingerprint"])
        return first, again

    def theirs() -> Iterable[Cost]:
        seconds, sent = 0.0, disk
        if needs_conversion:
            sent = setting.folder / "converted.qcow2"
            seconds = _convert(disk, sent)
        seconds += client(server, "image", "import", str(metadata), str(sent)).seconds
        if needs_conversion:
            sent.unlink()
        (image,) = server.images()
        client(server, "image", "delete", image)
        return (Cost(seconds),)

    taken = by_turns(setting.rounds, ours=ours, theirs=theirs)
    (first, again), (reference,) = taken["ours"], taken["theirs"]
    yield ratio("first import", first, reference, 1.0)
    yield ratio("import of what is there", again, reference, 0.3)


def _import(modules: Modules, server: Server, disk: Path, sends: bool) -> Cost:
    """Import a disk and check whether it was sent."""
    socket = f"unix://{server.socket}"
    cost = modules.run("lxd_image_import", server=socket, remote_src=True, rootfs=str(disk))
    if (cost.outcome["changed"], bool(cost.outcome["transferred"])) != (sends, sends):
        raise Unexpected(f"the module did not do what it was to: {cost.outcome}")
    return cost


def _convert(disk: Path, target: Path) -> float:
    """Convert a raw disk to qcow2. Returns the seconds that it takes."""
    started = time.perf_counter()
    command = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(disk), str(target)]
    subprocess.run(command, check=True)
    return time.perf_counter() - started

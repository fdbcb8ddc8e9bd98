# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``lxd_image_import`` compared with ``lxc image import``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from lab import Image, Server, build_large

from . import idle
from .measure import Cost, Modules, Unexpected, by_turns, client
from .setting import MIB, Row, Setting, ratio


def unified(setting: Setting) -> Iterator[Row]:
    """A unified image of the given size."""
    yield from _against_client(setting, setting.large())


def split(setting: Setting) -> Iterator[Row]:
    """A split image of the given size."""
    yield from _against_client(setting, setting.large(split=True))


def _against_client(setting: Setting, image: Image) -> Iterator[Row]:
    server, modules = setting.server, setting.modules

    def ours() -> Iterable[Cost]:
        first = _import(modules, server, image, sends=True)
        again = _import(modules, server, image, sends=False)
        _delete(server, image)
        return first, again

    def theirs() -> Iterable[Cost]:
        cost = client(server, "image", "import", *map(str, image.paths))
        _delete(server, image)
        return (cost,)

    taken = by_turns(setting.rounds, ours=ours, theirs=theirs)
    (first, again), (reference,) = taken["ours"], taken["theirs"]
    yield ratio("first import", first, reference, 1.0)
    yield ratio("import of what is there", again, reference, 0.3)


def fingerprint(setting: Setting) -> Iterator[Row]:
    """An existing image given by its fingerprint: its file is not read."""
    server, modules, image = setting.server, setting.modules, setting.large()
    _import(modules, server, image, sends=True)
    # A path of the same length, because reading the options counts as well.
    stub = setting.folder / image.metadata.name.replace("large", "empty")
    stub.write_bytes(b"x")

    def named(path: Path) -> Cost:
        # The file is another image, of which nothing may be read.
        options = {"src": str(path), "remote_src": True, "fingerprint": image.fingerprint}
        cost = modules.run("lxd_image_import", server=f"unix://{server.socket}", **options)
        _expect(cost, image, sends=False)
        return cost

    taken = by_turns(
        setting.rounds, large=lambda: [named(image.metadata)], stub=lambda: [named(stub)]
    )
    _delete(server, image)
    (large,), (none,) = taken["large"], taken["stub"]
    yield Row(
        "read more than with a file of one byte",
        large.read - none.read,
        0,
        "bytes",
        f"{large.seconds * 1000:.0f} ms",
    )


def memory(setting: Setting) -> Iterator[Row]:
    """The memory of an import, for four times the size."""
    image = build_large(setting.folder, 4 * setting.size, version="memory")
    cost = _import(setting.modules, setting.server, image, sends=True)
    _delete(setting.server, image)
    image.metadata.unlink()
    yield Row(
        "peak memory at four times the size", cost.memory / MIB, 100, "MiB", f"{cost.seconds:.2f} s"
    )


def unchanged(setting: Setting) -> Iterator[Row]:
    """An unchanged task in a store with many images."""
    server, paths = idle.filled(setting, "imported")
    wish = {"aliases": ["it"], "properties": {"os": "tiny"}, "public": True, "profiles": []}

    def task() -> Cost:
        socket = f"unix://{server.socket}"
        return setting.modules.run(
            "lxd_image_import", server=socket, src=str(paths[-1]), remote_src=True, **wish
        )

    yield from idle.rows(setting, task, [server], 1)


def _import(modules: Modules, server: Server, image: Image, sends: bool) -> Cost:
    """Import an image and check whether it was sent."""
    names = ("metadata", "rootfs") if image.rootfs else ("src",)
    files = dict(zip(names, map(str, image.paths), strict=True))
    socket = f"unix://{server.socket}"
    cost = modules.run("lxd_image_import", server=socket, remote_src=True, **files)
    _expect(cost, image, sends)
    return cost


def _expect(cost: Cost, image: Image, sends: bool) -> None:
    outcome = cost.outcome
    if (outcome["changed"], outcome["fingerprint"]) != (sends, image.fingerprint):
        raise Unexpected(f"the module did not do what it was to: {outcome}")


def _delete(server: Server, image: Image) -> None:
    client(server, "image", "delete", image.fingerprint)

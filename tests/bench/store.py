# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``lxd_image_store`` compared with a task for each image, and tasks in stores with thousands of images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from lab import Proxy, Server, build_image, build_large

from . import idle
from .measure import Cost, Unexpected, by_turns, client
from .setting import MIB, Row, Setting

ENTRIES = 50
IMPORTS, SIZE = 20, 64 * MIB
COPIES, ROUND_TRIP = 12, 0.05
FEW, MANY = 10, 5000

Entry = dict[str, Any]


def unchanged(setting: Setting) -> Iterator[Row]:
    """An unchanged store of 50 images."""
    server = setting.start("fleet", debug=False)
    paths = [idle.tiny(setting.folder / f"fleet-{number}.tar", number) for number in range(ENTRIES)]
    entries: list[Entry] = [
        {"src": str(path), "remote_src": True, "aliases": [path.stem], "public": True}
        for path in paths
    ]
    _together(setting, server, entries)

    def one() -> Iterable[Cost]:
        return (_alone(setting, server, entries[-1], changed=False),)

    def together() -> Iterable[Cost]:
        return (_together(setting, server, entries, changed=False),)

    def loop() -> Iterable[Cost]:
        return (_loop(setting, server, entries, changed=False),)

    taken = by_turns(setting.rounds, one=one, together=together, loop=loop)
    (single,), (ours,), (theirs,) = taken["one"], taken["together"], taken["loop"]
    yield _ratio("50 entries and one import", ours, single, 2, "of one")
    yield _ratio("50 entries and 50 imports", ours, theirs, 0.2, "of loop")


def imports(setting: Setting) -> Iterator[Row]:
    """The first import of 20 images of 64 MiB."""
    server = setting.start("importing", debug=False)
    images = [build_large(setting.folder, SIZE, version=f"n{number}") for number in range(IMPORTS)]
    entries: list[Entry] = [
        {"src": str(image.metadata), "remote_src": True, "aliases": [f"n{number}"]}
        for number, image in enumerate(images)
    ]
    yield from _against_loop(setting, server, entries, "20 first imports", 0.7)


def copies(setting: Setting) -> Iterator[Row]:
    """12 first copies through a link with a round trip of 50 ms."""
    server, source = setting.start("copying", debug=False), setting.start("distant", debug=False)
    for number in range(COPIES):
        image = build_image("tar.gz", setting.folder / "copied", version=str(number))
        client(source, "image", "import", str(image.metadata), f"--alias=n{number}", "--public")
    with Proxy(source.url) as link:
        link.latency = ROUND_TRIP / 2
        entries: list[Entry] = [
            {
                "image": f"n{number}",
                "source_server": link.url,
                "source_cert": str(source.certificate),
                "aliases": [f"n{number}"],
            }
            for number in range(COPIES)
        ]
        yield from _against_loop(setting, server, entries, "12 first copies", 0.5)


def large(setting: Setting) -> Iterator[Row]:
    """Unchanged tasks in a store of 5,000 images and in one of 10."""
    source = setting.start("offered", debug=False)
    path = idle.tiny(setting.folder / "offered.tar", 0)
    client(source, "image", "import", str(path), "--alias=it", "--public")
    imported = {"src": str(idle.tiny(setting.folder / "own.tar", 1)), "remote_src": True}
    copied = {
        "image": "it",
        "source_server": source.url,
        "source_cert": str(source.certificate),
    }
    servers = {count: setting.start(f"of-{count}", debug=False) for count in (FEW, MANY)}
    for count, server in servers.items():
        for number in range(10):
            path = idle.tiny(setting.folder / f"filler-{number}.tar", 10 + number)
            client(server, "image", "import", str(path))
        idle.fill(server, count - 10)
    for what, entry in (("import by alias", imported), ("copy by alias", copied)):
        own: Entry = {**entry, "aliases": [what.split()[0]]}
        for server in servers.values():
            _alone(setting, server, own)

        def few(own: Entry = own) -> Iterable[Cost]:
            return (_alone(setting, servers[FEW], own, changed=False),)

        def many(own: Entry = own) -> Iterable[Cost]:
            return (_alone(setting, servers[MANY], own, changed=False),)

        taken = by_turns(4 * setting.rounds, few=few, many=many)
        yield _ratio(f"unchanged {what}", taken["many"][0], taken["few"][0], 1.1, "of few")


def _against_loop(
    setting: Setting, server: Server, entries: list[Entry], what: str, target: float
) -> Iterator[Row]:
    def together() -> Iterable[Cost]:
        cost = _together(setting, server, entries)
        _empty(server)
        return (cost,)

    def loop() -> Iterable[Cost]:
        cost = _loop(setting, server, entries)
        _empty(server)
        return (cost,)

    taken = by_turns(setting.rounds, together=together, loop=loop)
    yield _ratio(what, taken["together"][0], taken["loop"][0], target, "of loop")


def _together(setting: Setting, server: Server, entries: list[Entry], changed: bool = True) -> Cost:
    cost = setting.modules.run("lxd_image_store", server=f"unix://{server.socket}", images=entries)
    return _checked(cost, changed)


def _alone(setting: Setting, server: Server, entry: Entry, changed: bool = True) -> Cost:
    module = "lxd_image_copy" if "image" in entry else "lxd_image_import"
    return _checked(setting.modules.run(module, server=f"unix://{server.socket}", **entry), changed)


def _loop(setting: Setting, server: Server, entries: list[Entry], changed: bool = True) -> Cost:
    """A task for each entry. What Ansible adds to each task is not counted."""
    return Cost(sum(_alone(setting, server, entry, changed).seconds for entry in entries))


def _checked(cost: Cost, changed: bool) -> Cost:
    if cost.outcome["changed"] is not changed:
        raise Unexpected(f"the module did not do what it was to: {cost.outcome}")
    return cost


def _empty(server: Server) -> None:
    for fingerprint in server.images():
        server.operation("DELETE", f"/1.0/images/{fingerprint}")


def _ratio(what: str, ours: Cost, theirs: Cost, target: float, unit: str) -> Row:
    remark = f"{ours.seconds:.2f} s, the other {theirs.seconds:.2f} s"
    return Row(what, ours.seconds / theirs.seconds, target, unit, remark)

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands of ``python3 tests/lab``. Each prints one JSON document."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from . import bad, images, labs, large
from .clients import client_config
from .clusters import up_cluster
from .errors import LabError
from .families import FAMILIES, FAMILY, IMAGE_TOOLS, family
from .packages import install
from .records import parent
from .server import Server

_EPILOG = """\
The servers that "up" starts belong to the process whose id is in LAB_OWNER, else to the Ansible
command that runs it, else to its parent process. "sweep" removes servers whose owner is gone.
LAB_FAMILY names the family of servers for which none is said. LAB_LXD is the path of a daemon, with
lxc beside it, that makes the family lxd in place of Debian's: LAB_LXD=/snap/lxd/current/bin/lxd
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 1 when it fails, with the reason on standard error."""
    options = _parser().parse_args(arguments)
    try:
        print(json.dumps(options.run(options), indent=2))
    except (LabError, OSError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def facts(server: Server) -> dict[str, object]:
    """What a test needs to know about a server, ready for JSON."""
    listens = server.address is not None
    return {
        "family": server.family.name,
        "starts_containers": server.family.starts_containers,
        "folder": str(server.folder),
        "socket": str(server.socket),
        "url": server.url if listens else None,
        "certificate": str(server.certificate) if listens else None,
        "certificate_fingerprint": server.certificate_fingerprint if listens else None,
        "log": str(server.log),
        "pid": server.pid,
        "environment": server.environment,
        "command": [*server.family.client, "--force-local"],
        "token_command": [*server.family.client, *server.family.token],
    }


def _install(options: argparse.Namespace) -> object:
    chosen = [family(name) for name in options.family or [FAMILY]]
    return {"installed": [name for one in chosen for name in one.install()]}


def _up(options: argparse.Namespace) -> object:
    start = up_cluster if options.cluster else labs.up
    started = start(
        *options.name,
        lab=options.folder,
        family=options.family,
        https=options.https,
        storage=options.storage,
        debug=options.debug,
        ca_file=options.ca_file,
        owner=parent(),
    )
    lab = started[0].lab
    answer: dict[str, object] = {"folder": str(lab)}
    answer["servers"] = {server.name: facts(server) for server in started}
    if options.client:
        config = client_config(lab / "client", started)
        answer["client"] = {
            "folder": str(config.folder),
            "variable": config.family.configuration,
            "certificate": str(config.pair.certificate),
            "key": str(config.pair.key),
        }
    if orphans := labs.orphans():
        names = ", ".join(str(server.folder) for server in orphans)
        print(f"lab: nobody needs {names} any more; run: python3 tests/lab sweep", file=sys.stderr)
    return answer


def _down(options: argparse.Namespace) -> object:
    return {"removed": labs.down(options.folder)}


def _sweep(_options: argparse.Namespace) -> object:
    return {"removed": labs.sweep()}


def _images(options: argparse.Namespace) -> object:
    install(IMAGE_TOOLS)
    folder = options.folder.absolute()
    built: dict[str, object] = {}
    for kind in options.kind or images.KINDS:
        if kind == "directory":
            path = images.build_directory(folder, version=options.version, name=options.name)
            built[kind] = {"type": "container", "paths": [str(path)]}
        elif kind.startswith("bad-"):
            path = bad.build_bad(kind.removeprefix("bad-"), folder)
            built[kind] = {"paths": [str(path)], "size": path.stat().st_size}
        elif kind in ("large", "large-split"):
            split = kind == "large-split"
            image = large.build_large(folder, options.size, split=split, version=options.version)
            built[kind] = _image(image)
        else:
            image = images.build_image(
                kind,
                folder,
                version=options.version,
                name=options.name,
                architecture=options.architecture,
            )
            built[kind] = _image(image)
    return {"folder": str(folder), "images": built}


def _image(image: images.Image) -> dict[str, object]:
    return {
        "type": image.type,
        "fingerprint": image.fingerprint,
        "size": image.size,
        "paths": [str(path) for path in image.paths],
    }


def _start(options: argparse.Namespace) -> object:
    server = _server(options)
    server.start()
    return facts(server)


def _stop(options: argparse.Namespace) -> object:
    server = _server(options)
    server.stop()
    return facts(server)


def _kill(options: argparse.Namespace) -> object:
    server = _server(options)
    server.kill()
    return facts(server)


def _requests(options: argparse.Namespace) -> object:
    server = _server(options)
    position = server.mark()
    read = server.writes if options.writes else server.requests
    found = [{"method": one.method, "path": one.path} for one in read(options.since, position)]
    return {"requests": found, "position": position}


def _server(options: argparse.Namespace) -> Server:
    return Server.load(options.folder / options.name)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lab",
        description="Scratch image servers and small real images for tests, on Debian 12 as root.",
        epilog=_EPILOG,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        added.set_defaults(run=run)
        return added

    def on_server(name: str, run: object, text: str) -> argparse.ArgumentParser:
        added = command(name, run, text)
        added.add_argument("folder", type=Path, metavar="FOLDER", help="the lab folder")
        added.add_argument("name", metavar="NAME", help="the server's name")
        return added

    known = ", ".join(FAMILIES)
    added = command("install", _install, "install what is missing for families of servers")
    added.add_argument("family", nargs="*", metavar="FAMILY", help=f"{known} (default: {FAMILY})")

    added = command("up", _up, "start servers and say where they are")
    added.add_argument("name", nargs="+", metavar="NAME", help="names for the servers")
    added.add_argument("--family", default=FAMILY, help=f"{known} (default: %(default)s)")
    added.add_argument("--folder", type=Path, help="the lab folder (default: a new one)")
    added.add_argument("--cluster", action="store_true", help="make them members of a cluster")
    added.add_argument("--client", action="store_true", help="also make a client they trust")
    added.add_argument("--ca-file", type=Path, help="the authority they trust, in PEM")
    yes = argparse.BooleanOptionalAction
    added.add_argument("--https", action=yes, default=True, help="listen on https")
    added.add_argument("--storage", action=yes, default=True, help="make a storage pool")
    added.add_argument("--debug", action=yes, default=True, help="log requests")

    added = command("down", _down, "remove the servers of a lab folder")
    added.add_argument("folder", type=Path, metavar="FOLDER", help="the lab folder")

    command("sweep", _sweep, "remove all servers whose owner is gone")

    kinds = ", ".join([*images.KINDS, "directory", "large", "large-split"])
    spoiled = ", ".join(f"bad-{sort}" for sort in bad.BAD)
    added = command("images", _images, "build images and say where they are")
    added.add_argument("folder", type=Path, metavar="FOLDER", help="where to build them")
    added.add_argument(
        "kind", nargs="*", metavar="KIND", help=f"{kinds}, {spoiled} (default: all small good ones)"
    )
    added.add_argument("--version", default="1", help="another one gives another fingerprint")
    added.add_argument("--name", default="busybox", help="for the files (default: %(default)s)")
    added.add_argument(
        "--architecture",
        default=platform.machine(),
        help="which they say they are for, but large ones (default: %(default)s)",
    )
    added.add_argument("--size", type=int, default=1 << 30, help="bytes in large ones")

    on_server("start", _start, "start a server that was stopped or killed")
    on_server("stop", _stop, "stop a server's daemon and keep what it holds")
    on_server("kill", _kill, "kill a server's daemon, as if it had crashed")
    added = on_server("requests", _requests, "list the requests that a server has handled")
    added.add_argument("--since", type=int, default=0, help='a "position" of an earlier list')
    added.add_argument("--writes", action="store_true", help="only those that may change something")
    return parser

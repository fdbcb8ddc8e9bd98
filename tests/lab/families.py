# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kinds of servers: what they are made of and how they are spoken to."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from . import cache
from .errors import LabError
from .packages import install, unpack

#: What the images are made with.
IMAGE_TOOLS = (
    "busybox-static",
    "openssl",
    "qemu-utils",
    "squashfs-tools",
    "squashfs-tools-ng",
    "xz-utils",
    "zstd",
)


@dataclass(frozen=True)
class Family:
    """A kind of server.

    ``daemon``, ``client`` and ``init`` are the beginnings of command lines, with the paths of their
    executables; ``trust`` and ``token`` are the client's commands for these. ``directory`` and
    ``configuration`` name the environment variables for the daemon's folder and for the client's
    configuration. ``protocol`` is what the client calls its own kind of servers.
    """

    name: str
    packages: tuple[str, ...]
    daemon: tuple[str, ...]
    client: tuple[str, ...]
    init: tuple[str, ...]
    directory: str
    configuration: str
    trust: tuple[str, ...]
    token: tuple[str, ...]
    protocol: str

    starts_containers: ClassVar[bool] = True

    def install(self) -> list[str]:
        """Install what is missing of it, and return that."""
        return install((*self.packages, *IMAGE_TOOLS))


class Provided(Family):
    """A family whose programs are there already, by their paths."""

    def install(self) -> list[str]:
        for program, *_words in (self.daemon, self.client):
            if not os.access(program, os.X_OK):
                raise LabError(f"LAB_LXD names a daemon with lxc beside it: there is no {program}")
        return super().install()


class Backported(Family):
    """A family from bookworm-backports. Only what is asked for comes from there."""

    def install(self) -> list[str]:
        return [*super().install(), *install(INCUS, "bookworm", "bookworm-backports")]


class Unpacked(Family):
    """A family from Debian unstable, in a folder of its own with the libraries it needs."""

    starts_containers = False

    def install(self) -> list[str]:
        return [*super().install(), *unpack(INCUS, "sid", UNSTABLE, _use_own_libraries)]


def _use_own_libraries(made: Path, folder: Path) -> None:
    """Have a daemon that was unpacked in ``made`` use what will be beside it in ``folder``."""
    libraries = folder / "usr/lib/x86_64-linux-gnu"
    loader = ["--set-interpreter", str(libraries / "ld-linux-x86-64.so.2")]
    # It must not be run through the loader: to start a container it runs its own executable.
    path = ["--force-rpath", "--set-rpath", str(libraries)]
    command = ["patchelf", *loader, *path, str(made / "usr/libexec/incus/incusd")]
    subprocess.run(command, check=True, capture_output=True)


INCUS = ("incus-base", "incus-client")
UNSTABLE = cache.folder() / "incus7"


def _incus(kind: type[Family], name: str, root: Path, packages: tuple[str, ...]) -> Family:
    client = str(root / "usr/bin/incus")
    return kind(
        name=name,
        packages=packages,
        daemon=(str(root / "usr/libexec/incus/incusd"),),
        client=(client,),
        init=(client, "admin", "init"),
        directory="INCUS_DIR",
        configuration="INCUS_CONF",
        trust=("config", "trust", "add-certificate"),
        token=("config", "trust", "add", "--quiet"),
        protocol="incus",
    )


def _lxd(given: str | None) -> Family:
    """The LXD of Debian, or the one whose daemon was given by its path, with ``lxc`` beside it."""
    daemon = Path(given).absolute() if given else Path("/usr/bin/lxd")
    return (Provided if given else Family)(
        name="lxd",
        packages=() if given else ("lxd", "lxd-client"),
        daemon=(str(daemon),),
        client=(str(daemon.with_name("lxc")),),
        init=(str(daemon), "init"),
        directory="LXD_DIR",
        configuration="LXD_CONF",
        trust=("config", "trust", "add"),
        token=("config", "trust", "add", "--quiet", "--name"),
        protocol="lxd",
    )


LXD = _lxd(os.environ.get("LAB_LXD"))
INCUS6 = _incus(Backported, "incus6", Path("/"), ())
INCUS7 = _incus(
    Unpacked, "incus7", UNSTABLE, ("attr", "liblxc-common", "patchelf", "rsync", "uidmap")
)

FAMILIES = {family.name: family for family in (LXD, INCUS6, INCUS7)}

#: The name of the family where none is said: LAB_FAMILY makes it another.
FAMILY = os.environ.get("LAB_FAMILY") or LXD.name


def family(name: str) -> Family:
    """The family with this name."""
    try:
        return FAMILIES[name]
    except KeyError:
        raise LabError(f"there is no family {name!r}, only {', '.join(FAMILIES)}") from None

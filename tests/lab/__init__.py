# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scratch image servers, small real images and a faulty line, for tests on Debian 12 as root.

With ``tests`` on the path::

    with servers("one", "two") as (one, two):
        image = build_image("split", tmp_path, version="2")
        one.run("image", "import", *map(str, image.paths), "--alias", "demo")
        with Proxy(two.url) as line:
            line.cut(500_000)
            mark = two.mark()
            ...  # what is tested, against one.socket and line.url
        assert not two.writes(mark)

On the command line: ``python3 tests/lab --help``.
"""

from __future__ import annotations

from .bad import BAD, build_bad
from .bare import build_disk, build_rootfs, debian_rootfs
from .certificates import Authority, KeyPair, client_certificate
from .clients import ClientConfig, client_config
from .clusters import cluster, up_cluster
from .connect_proxy import ConnectProxy
from .content import STANDARD
from .errors import ApiError, LabError
from .families import FAMILIES, FAMILY, Family
from .images import KINDS, Image, build_directory, build_image
from .labs import attach, down, servers, sweep, up
from .large import build_large, build_large_disk
from .machine import whole_machine
from .proxy import DOWN, UP, Proxy
from .registry import Registry
from .requestlog import Request
from .server import Server
from .signing import SigningKey
from .ssh import SshHost
from .web import WebServer

__all__ = [
    "BAD",
    "DOWN",
    "FAMILIES",
    "FAMILY",
    "KINDS",
    "STANDARD",
    "UP",
    "ApiError",
    "Authority",
    "ClientConfig",
    "ConnectProxy",
    "Family",
    "Image",
    "KeyPair",
    "LabError",
    "Proxy",
    "Registry",
    "Request",
    "Server",
    "SigningKey",
    "SshHost",
    "WebServer",
    "attach",
    "build_bad",
    "build_directory",
    "build_disk",
    "build_image",
    "build_large",
    "build_large_disk",
    "build_rootfs",
    "client_certificate",
    "client_config",
    "cluster",
    "debian_rootfs",
    "down",
    "servers",
    "sweep",
    "up",
    "up_cluster",
    "whole_machine",
]

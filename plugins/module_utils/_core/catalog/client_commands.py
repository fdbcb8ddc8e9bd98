# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands and tasks with which people take images from a catalogue, ready to be pasted.

Two ways lead to an image. As a remote, the server offers all but unified images of virtual machines, since clients
would take those for containers' images. By its address, it gives unified images, and of two that share name and
architecture the container's. What neither leads to is fetched as a file.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from typing import Iterable, Sequence
from urllib.parse import urlsplit

from ..images import CONTAINER, VIRTUAL_MACHINE
from .record import Product

LXD, INCUS, ANSIBLE = "LXD", "Incus", "Ansible"

TOOLS = (LXD, INCUS, ANSIBLE)

_PROGRAMS = ((LXD, "lxc"), (INCUS, "incus"))
_COLLECTION = "imagestore.lxd"

# Remotes that the clients come with.
_TAKEN = re.compile("|images|local|ubuntu(-minimal)?(-daily)?")

# What YAML takes for a text without quotes, if it is no word of its own.
_PLAIN = re.compile(
    r"(https?://[A-Za-z0-9]|[A-Za-z])[A-Za-z0-9._+/-]*(:[0-9]+)?(/[A-Za-z0-9._+/-]*)?"
)
_WORDS = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null"])


@dataclass(frozen=True)
class Command:
    """What to type for one tool; ``way`` says in a few words how it gets there."""

    tool: str
    way: str
    text: str


class ClientCommands:
    """A catalogue as its clients know it: by ``base_url``, which has no slash at its end, and as a remote."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.remote = _remote(base_url)

    def first(self) -> list[Command]:
        """What makes the catalogue a remote, once."""
        words = ["remote", "add", self.remote, self.base_url, "--protocol=simplestreams"]
        return [
            Command(tool, "Once: add this server as a remote", _line(program, *words))
            for tool, program in _PROGRAMS
        ]

    def publishing(self) -> Command:
        """How the catalogue gets an image."""
        lines = [
            "- name: Publish an image",
            f"  {_COLLECTION}.lxd_image_catalog:",
            "    root: /srv/lxd-images",
            f"    base_url: {_scalar(self.base_url)}",
            "    images:",
            "      - name: alpine",
            "        src: alpine.tar.xz",
        ]
        return Command(ANSIBLE, "On the server", "\n".join(lines))

    def commands(self, products: Sequence[Product], others: Iterable[Product]) -> list[Command]:
        """For products that share name and type. ``others`` are all products of that name."""
        containers = {
            other.architecture
            for other in others
            if other.type == CONTAINER and not other.newest.is_split
        }
        is_container = products[0].type == CONTAINER
        listed = [one for one in products if is_container or one.newest.is_split]
        unified = [one for one in products if not one.newest.is_split]
        addressed = [one for one in unified if is_container or one.architecture not in containers]
        found = []
        if listed:
            found += self._as_remote(listed[0], _but(listed, products))
        if addressed:
            found += self._by_address(addressed[0], _but(addressed, products))
        for product in unified:
            if product not in addressed:
                found += self._as_file(product, _but([product], products))
        return found

    def _as_remote(self, product: Product, only: str) -> list[Command]:
        name = product.name
        vm = [] if product.type == CONTAINER else ["--vm"]
        words = ["image", "copy", f"{self.remote}:{name}", "local:", "--alias", name, *vm]
        commands = [
            Command(tool, f"From the remote{only}", _line(program, *words))
            for tool, program in _PROGRAMS
        ]
        options = {
            "image": name,
            **({"image_type": VIRTUAL_MACHINE} if vm else {}),
            "source_server": self.base_url,
            "source_protocol": "simplestreams",
        }
        task = _task(f"Copy {name}", "lxd_image_copy", options, name)
        return [*commands, Command(ANSIBLE, f"From the remote{only}", task)]

    def _by_address(self, product: Product, only: str) -> list[Command]:
        name, url = product.name, f"{self.base_url}/images/{product.name}"
        way = f"By its address{only}"
        words = ["image", "import", url, "--alias", name]
        commands = [Command(tool, way, _line(program, *words)) for tool, program in _PROGRAMS]
        if product.type == CONTAINER:  # it is copied, and one task is enough
            return commands
        task = _task(f"Import {name}", "lxd_image_import", {"url": url}, name)
        return [*commands, Command(ANSIBLE, way, task)]

    def _as_file(self, product: Product, only: str) -> list[Command]:
        name, newest = product.name, product.newest
        path = newest.parts[0].path
        url, file = f"{self.base_url}/{path}", path.rpartition("/")[2]
        way = f"As a file{only}"
        fetch = _line("curl", "-fO", url)
        commands = [
            Command(
                tool, way, f"{fetch}\n{_line(program, 'image', 'import', file, '--alias', name)}"
            )
            for tool, program in _PROGRAMS
        ]
        options = {"url": url, "fingerprint": newest.fingerprint}
        task = _task(f"Import {name}", "lxd_image_import", options, name)
        return [*commands, Command(ANSIBLE, way, task)]


def _remote(base_url: str) -> str:
    """What to call it as a remote: as its host, if nothing speaks against it."""
    try:
        host = urlsplit(base_url).hostname or ""
    except ValueError:
        host = ""
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", host).strip("-.")
    return f"{name or 'image'}-server" if _TAKEN.fullmatch(name) else name


def _but(chosen: Sequence[Product], products: Sequence[Product]) -> str:
    """For which architectures a command is, where it is not for all."""
    if len(chosen) == len(products):
        return ""
    return f", {' and '.join(product.architecture for product in chosen)} only"


def _line(*words: str) -> str:
    return " ".join(map(shlex.quote, words))


def _task(name: str, module: str, options: dict[str, str], alias: str) -> str:
    lines = [f"- name: {_scalar(name)}", f"  {_COLLECTION}.{module}:"]
    lines += [f"    {option}: {_scalar(value)}" for option, value in options.items()]
    return "\n".join([*lines, "    aliases:", f"      - {_scalar(alias)}"])


def _scalar(text: str) -> str:
    """A text for YAML, quoted if it needs that."""
    is_plain = all(map(_PLAIN.fullmatch, text.split(" "))) and text.lower() not in _WORDS
    return text if is_plain else json.dumps(text, ensure_ascii=False)

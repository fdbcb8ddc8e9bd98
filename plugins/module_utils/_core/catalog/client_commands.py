# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands and tasks with which people get images of a catalog, ready to be pasted.

The server is added as a simplestreams remote, which offers virtual machine images in one file to Incus 7.0.1 and later
only: other clients would import these as containers. By URL it serves images in one file; where a container and a
virtual machine image share name and architecture, the container's. What is available in neither way is downloaded as a
file.

A private server asks for a password or a client certificate. Clients accept a password in the address of a remote; but
servers that import by URL do not send it with their second request, and neither clients nor servers show a certificate.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Any, Iterable, Sequence
from urllib.parse import urlsplit

from ..errors import MissingLibrary
from ..images import CONTAINER, VIRTUAL_MACHINE
from .record import Product, streamed_versions

LXD, INCUS, ANSIBLE = "LXD", "Incus", "Ansible"

TOOLS = (LXD, INCUS, ANSIBLE)

PUBLIC, PASSWORD, CERTIFICATE = "public", "password", "certificate"
"""What a server asks its clients for."""

ACCESS = (PUBLIC, PASSWORD, CERTIFICATE)

_PASSWORD_VARIABLE = "{{ image_password }}"
_CERTIFICATE_FILES = ("/path/to/client.crt", "/path/to/client.key")

_CLIENTS = ((LXD, "lxc"), (INCUS, "incus"))
_COLLECTION = "imagestore.lxd"

_BUILT_IN_REMOTES = re.compile("|images|local|ubuntu(-minimal)?(-daily)?")
"""Names of remotes that clients come with, and the empty one."""


@dataclass(frozen=True)
class Command:
    """What to paste for one tool; ``caption`` says what it does."""

    tool: str
    caption: str
    text: str


class ClientCommands:
    """The commands for one catalog. ``base_url`` has no slash at its end; ``remote`` is the name of the remote.

    ``access`` is what the server asks for, one of ``ACCESS``. Credentials are placeholders.
    """

    def __init__(self, base_url: str, access: str = PUBLIC) -> None:
        self.base_url = base_url
        self.access = access
        self.remote = _remote_name(base_url)

    def add_remote(self) -> list[Command]:
        """Add the server as a remote, once."""
        if self.access == CERTIFICATE:
            return []
        url = self.base_url
        if self.access == PASSWORD:
            url = url.replace("://", "://USER:PASSWORD@", 1)
        words = ["remote", "add", self.remote, url, "--protocol=simplestreams"]
        return _client_commands("Add this server as a remote", *words)

    def publish_example(self) -> Command:
        """Publish an image, on the server."""
        options = {
            "root": "/srv/lxd-images",
            "base_url": self.base_url,
            **({} if self.access == PUBLIC else {"access": self.access}),
            "images": [{"name": "alpine", "src": "alpine.tar.xz"}],
        }
        text = _task("Publish an image", "lxd_image_catalog", options)
        return Command(ANSIBLE, "On the server", text)

    def get_image(self, products: Sequence[Product], same_name: Iterable[Product]) -> list[Command]:
        """Get an image of products that share name and type; ``same_name`` are all products of that name."""
        is_container = products[0].type == CONTAINER
        containers = [other for other in same_name if other.type == CONTAINER and not is_container]
        hidden_by = {other.architecture for other in containers if not other.newest.is_split}
        streamed = streamed_versions([*products, *containers])
        from_remote = [one for one in products if is_container or one.newest.is_split]
        unified = [one for one in products if not one.newest.is_split]
        by_url = [one for one in unified if one.architecture not in hidden_by]
        if self.access == CERTIFICATE:
            by_url.clear()
        found = []
        if from_remote:
            found += self._from_remote(from_remote[0], _architecture_note(from_remote, products))
        for_incus = [
            one
            for one in products
            if one.is_for_incus_only(one.newest) and one.newest in streamed.get(one.key, ())
        ]
        if for_incus and self.access != CERTIFICATE:
            found += self._for_incus(for_incus[0], _architecture_note(for_incus, products))
        if by_url:
            found += self._by_url(by_url[0], _architecture_note(by_url, products))
        for product in unified:
            if product not in by_url and not is_container:
                found += self._as_file(product, _architecture_note([product], products))
        return found

    def _from_remote(self, product: Product, note: str) -> list[Command]:
        name, caption = product.name, f"From the remote{note}"
        vm = [] if product.type == CONTAINER else ["--vm"]
        words = ["image", "copy", f"{self.remote}:{name}", "local:", "--alias", name, *vm]
        options = {
            "image": name,
            **({"image_type": VIRTUAL_MACHINE} if vm else {}),
            "source_server": self.base_url,
            "source_protocol": "simplestreams",
            **self._source_credentials,
            "aliases": [name],
        }
        task = Command(ANSIBLE, caption, _task(f"Copy {name}", "lxd_image_copy", options))
        if self.access == CERTIFICATE:
            return [task]
        return [*self._launch(product, note), *_client_commands(caption, *words), task]

    def _launch(self, product: Product, note: str) -> list[Command]:
        """Create an instance and start it; the client gives it a name."""
        vm = [] if product.type == CONTAINER else ["--vm"]
        words = ["launch", f"{self.remote}:{product.name}", *vm]
        return _client_commands(f"Launch an instance{note}", *words)

    def _for_incus(self, product: Product, note: str) -> list[Command]:
        versions = "with Incus 7.0.1, 7.1 or later (earlier versions take it for a container image)"
        caption = f"From the remote{note}, {versions}"
        remote = f"{self.remote}:{product.name}"
        words = ["image", "copy", remote, "local:", "--alias", product.name, "--vm"]
        launch = self._launch(product, f"{note}, {versions}")
        return [one for one in (*launch, *_client_commands(caption, *words)) if one.tool == INCUS]

    def _by_url(self, product: Product, note: str) -> list[Command]:
        name, url, caption = product.name, f"{self.base_url}/images/{product.name}", f"By URL{note}"
        commands = []
        if self.access == PUBLIC:
            commands += _client_commands(caption, "image", "import", url, "--alias", name)
        # The task that copies a container image from the remote is enough.
        if product.type != CONTAINER:
            options = {"url": url, **self._url_credentials, "aliases": [name]}
            text = _task(f"Import {name}", "lxd_image_import", options)
            commands.append(Command(ANSIBLE, caption, text))
        return commands

    def _as_file(self, product: Product, note: str) -> list[Command]:
        name, newest, caption = product.name, product.newest, f"As a file{note}"
        path = newest.parts[0].path
        url, file = f"{self.base_url}/{path}", path.rpartition("/")[2]
        login = {
            PUBLIC: (),
            PASSWORD: ("--user", "USER"),
            CERTIFICATE: ("--cert", _CERTIFICATE_FILES[0], "--key", _CERTIFICATE_FILES[1]),
        }[self.access]
        download = _shell_line("curl", "-fO", *login, url)
        commands = [
            Command(one.tool, caption, f"{download}\n{one.text}")
            for one in _client_commands(caption, "image", "import", file, "--alias", name)
        ]
        if self.access == CERTIFICATE:
            return commands
        options = {
            "url": url,
            "fingerprint": newest.fingerprint,
            **self._url_credentials,
            "aliases": [name],
        }
        task = _task(f"Import {name}", "lxd_image_import", options)
        return [*commands, Command(ANSIBLE, caption, task)]

    @property
    def _source_credentials(self) -> dict[str, str]:
        """The options by which a task shows what the server asks for."""
        if self.access == CERTIFICATE:
            return dict(zip(("source_client_cert", "source_client_key"), _CERTIFICATE_FILES))
        return self._password_options("source")

    @property
    def _url_credentials(self) -> dict[str, str]:
        """The same for a task with ``url``, which cannot show a certificate."""
        return self._password_options("url")

    def _password_options(self, prefix: str) -> dict[str, str]:
        if self.access != PASSWORD:
            return {}
        return {f"{prefix}_username": "USER", f"{prefix}_password": _PASSWORD_VARIABLE}


def _remote_name(base_url: str) -> str:
    """The host of the server, unless clients would not accept that as the name of a remote."""
    try:
        host = urlsplit(base_url).hostname or ""
    except ValueError:
        host = ""
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", host).strip("-.")
    return f"{name or 'image'}-server" if _BUILT_IN_REMOTES.fullmatch(name) else name


def _architecture_note(chosen: Sequence[Product], products: Sequence[Product]) -> str:
    """The architectures that a command is for, if it is not for all."""
    if len(chosen) == len(products):
        return ""
    return f", {' and '.join(product.architecture for product in chosen)} only"


def _client_commands(caption: str, *words: str) -> list[Command]:
    return [Command(tool, caption, _shell_line(client, *words)) for tool, client in _CLIENTS]


def _shell_line(*words: str) -> str:
    return " ".join(map(shlex.quote, words))


def _task(name: str, module: str, arguments: dict[str, Any]) -> str:
    """A task in YAML, with lists indented as is usual in playbooks. Raises MissingLibrary."""
    try:
        import yaml
    except ImportError as error:
        raise MissingLibrary("PyYAML") from error

    class Dumper(yaml.SafeDumper):
        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False)

    task = {"name": name, f"{_COLLECTION}.{module}": arguments}
    text: str = yaml.dump(
        [task], Dumper=Dumper, sort_keys=False, allow_unicode=True, width=float("inf")
    )
    return text.rstrip("\n")

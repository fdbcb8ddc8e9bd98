# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``lxd_image_copy`` compared with ``lxc image copy``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lab import Server, client_config

from . import idle
from .measure import Cost, Unexpected, by_turns, client
from .setting import MIB, Row, Setting, ratio


def pull(setting: Setting) -> Iterator[Row]:
    """The target pulls an image of the given size."""
    yield from _against_client(setting, "pull", 1.05)


def relay(setting: Setting) -> Iterator[Row]:
    """An image of the given size is relayed through this machine."""
    yield from _against_client(setting, "relay", 0.8)


def _against_client(setting: Setting, mode: str, target: float) -> Iterator[Row]:
    # By its fingerprint, because the client cannot relay a public image by alias.
    source, server, name = setting.source, setting.server, setting.large().fingerprint
    config = client_config(setting.folder / "client", [source])
    options = {"server": f"unix://{server.socket}", "config_dir": str(config.folder)}

    def ours() -> Iterable[Cost]:
        cost = setting.modules.run(
            "lxd_image_copy", source_remote=source.name, image=name, mode=mode, **options
        )
        if cost.outcome["actions"] != [mode]:
            raise Unexpected(f"the module did not do what it was to: {cost.outcome}")
        client(server, "image", "delete", name)
        return (cost,)

    def theirs() -> Iterable[Cost]:
        words = ("image", "copy", f"{source.name}:{name}", "local:", f"--mode={mode}")
        cost = client(server, *words, config=config)
        client(server, "image", "delete", name)
        return (cost,)

    taken = by_turns(setting.rounds, ours=ours, theirs=theirs)
    (cost,), (reference,) = taken["ours"], taken["theirs"]
    yield ratio(f"copy by {mode}", cost, reference, target)
    yield Row("peak memory", cost.memory / MIB, 100, "MiB")


def unchanged(setting: Setting) -> Iterator[Row]:
    """An unchanged copy in a store with many images."""
    server, paths = idle.filled(setting, "copied")
    source = setting.start("offering")
    client(source, "image", "import", str(paths[0]), "--alias=it", "--public")
    client(server, "image", "delete", _fingerprint(source))
    wish = {"aliases": ["mine"], "properties": {"os": "tiny"}, "public": True, "auto_update": True}

    def task() -> Cost:
        return setting.modules.run(
            "lxd_image_copy",
            server=f"unix://{server.socket}",
            source_server=source.url,
            source_cert_fingerprint=source.certificate_fingerprint,
            image="it",
            **wish,
        )

    yield from idle.rows(setting, task, [server, source], 2)


def _fingerprint(server: Server) -> str:
    """The fingerprint of the only image of a server."""
    (fingerprint,) = server.images()
    return fingerprint

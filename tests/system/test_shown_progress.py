# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The progress of transfers, as it is seen on the terminal of whoever runs a play."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.common.text.formatters import bytes_to_human, human_to_bytes
from ansible_collections.imagestore.lxd.plugins.module_utils._core.transfer_progress import PREFIX
from ansible_collections.imagestore.lxd.plugins.plugin_utils.progress import SHOW_SECONDS
from mirrors import MirrorSite

from lab import DOWN, Authority, Image, Proxy, Server, SshHost, build_large
from playbooks import LOCAL, prepare
from runner import Modules, until

MODULE = "imagestore.lxd.lxd_image"

LINE = re.compile(
    r"progress: \[(?P<host>\w+)\] (?P<image>\S+): "
    r"(?:(?P<moved>{0}) of (?P<total>{0}), |{0} in all, )?"
    r"(?:{0}/s, )?(?:\d:\d\d:\d\d (?:left|so far)|still working)".replace(
        "{0}", r"[\d.]+ (?:.?B|Bytes)"
    )
)


@dataclass(frozen=True)
class Watched:
    """What a play wrote to its terminal: lines, and the seconds from its start on when they came."""

    status: int
    lines: list[tuple[float, str]]

    @property
    def output(self) -> str:
        return "\n".join(line for _seconds, line in self.lines)

    def progress(self, host: str) -> list[tuple[float, dict[str, str | None]]]:
        """The lines about the transfers of a host. Each line about a transfer has to be complete."""
        found = []
        for seconds, line in self.lines:
            if "progress:" in line:
                matched = LINE.fullmatch(line)
                assert matched, line
                if matched["host"] == host:
                    found.append((seconds, matched.groupdict()))
        return found


def watch(folder: Path, hosts: dict[str, Any], *tasks: dict[str, Any], **keys: Any) -> Watched:
    """Run a play on a terminal."""
    command, environment = prepare(folder, hosts, *tasks, **keys)
    terminal, of_the_play = pty.openpty()
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=of_the_play,
        stderr=of_the_play,
    )
    os.close(of_the_play)
    lines: list[tuple[float, str]] = []
    rest = b""
    # A terminal that no process uses any more cannot be read.
    with suppress(OSError):
        while data := os.read(terminal, 1 << 16):
            *whole, rest = (rest + data).split(b"\n")
            now = time.monotonic() - started
            lines += [(now, line.decode().rstrip("\r")) for line in whole]
    os.close(terminal)
    return Watched(process.wait(), lines)


def left_files(*folders: Path) -> list[Path]:
    """The files with a progress that are left below these directories."""
    return [path for folder in folders for path in folder.rglob(f"{PREFIX}*")]


def recorded(folder: Path) -> list[dict[str, Any]]:
    """The transfers that are recorded below a directory."""
    texts = [path.read_text() for path in left_files(folder)]
    return [json.loads(line) for text in texts for line in text.split("\n")[:-1]]


@contextmanager
def slow(target: str | Path) -> Iterator[Proxy]:
    """A line to a server that carries some 2 MB per second."""
    with Proxy(target) as line:
        line.latency = 0.1
        yield line


def over_ssh(ssh: SshHost) -> dict[str, Any]:
    """Variables of a host over SSH, where tasks become root."""
    return {
        **ssh.variables,
        "ansible_become": True,
        "ansible_python_interpreter": sys.executable,
        # Not shared with other plays on this machine.
        "ansible_remote_tmp": str(ssh.home / ".ansible/tmp"),
    }


def start(folder: Path, task: dict[str, Any], progress: str) -> subprocess.Popen[str]:
    """Start a play of one task on this machine without a terminal."""
    folder.mkdir()
    command, environment = prepare(folder, {"here": LOCAL}, {"name": "it", **task})
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**environment, "IMAGESTORE_PROGRESS": progress},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_long_transfers_show_themselves_about_every_five_seconds(
    tmp_path: Path, lxd: Server, other: Server, ssh: SshHost
) -> None:
    """Here and over SSH with become, several at once; not in the background, and not without a terminal."""
    names = [
        "copied",
        "stored",
        "exported",
        "mirrored",
        "imported",
        "background",
        "unseen",
        "forced",
    ]
    paths = {name: build_large(tmp_path, 24 << 20, version=name).metadata for name in names}
    size = bytes_to_human(paths["copied"].stat().st_size)
    for name in names[:4]:
        other.run("image", "import", str(paths[name]), "--public", "--alias", name)
    with slow(lxd.socket) as line, slow(other.url) as from_url, slow(other.socket) as from_socket:
        store = {"server": f"unix://{lxd.socket}"}
        source = {"source_server": from_url.url, "source_cert": str(other.certificate)}

        def imported(name: str) -> dict[str, Any]:
            server = f"unix://{line.socket}"
            return {
                f"{MODULE}_import": {"server": server, "src": str(paths[name]), "remote_src": True}
            }

        entry = {**source, "image": "stored", "mode": "relay", "aliases": "an-alias"}
        exported = {
            "server": f"unix://{from_socket.socket}",
            "name": "exported",
            "dest": str(tmp_path),
        }
        tasks: dict[str, dict[str, Any]] = {
            "copied": {f"{MODULE}_copy": {**store, **source, "image": "copied", "mode": "pull"}},
            "stored": {f"{MODULE}_store": {**store, "images": [entry]}},
            "exported": {f"{MODULE}_export": exported},
            "mirrored": {
                f"{MODULE}_mirror": {
                    "root": str(tmp_path / "mirror"),
                    "base_url": "https://mirror.example.com",
                    "source_server": from_url.url,
                    "source_cert": str(other.certificate),
                    "select": ["mirrored"],
                }
            },
            "imported": imported("imported"),
            "background": {**imported("background"), "async": 600, "poll": 1},
        }
        hosts = {
            **dict.fromkeys(tasks, LOCAL),
            **dict.fromkeys(("copied", "background"), over_ssh(ssh)),
            "imported": {**over_ssh(ssh), "ansible_pipelining": True},
        }
        play = [
            {"name": name, **task, "when": f"inventory_hostname == '{name}'"}
            for name, task in tasks.items()
        ]
        unseen = start(tmp_path / "1", imported("unseen"), "")
        forced = start(tmp_path / "2", imported("forced"), "yes")
        watched = watch(tmp_path, hosts, *play, strategy="free")
        texts = [process.communicate()[0] for process in (unseen, forced)]

    assert watched.status == 0, watched.output
    shown = {host: watched.progress(host) for host in hosts}
    assert {host: {line["image"] for _seconds, line in lines} for host, lines in shown.items()} == {
        "copied": {"copied"},
        "stored": {"an-alias"},
        "exported": {"exported"},
        "mirrored": {"mirrored"},
        "imported": {paths["imported"].name},
        "background": set(),
    }
    for host, lines in shown.items():
        # Whatever delays a line, no line comes before five seconds for each have passed.
        times = [seconds for seconds, _line in lines]
        assert all(at >= SHOW_SECONDS * number for number, at in enumerate(times, 1)), (host, times)
        # When a transfer is first shown, the server may not have told yet how far it is.
        assert {line["total"] for _seconds, line in lines if line["total"]} <= {size}
        moved = [human_to_bytes(line["moved"]) for _seconds, line in lines if line["moved"]]
        assert moved == sorted(moved), host
        if lines and host != "copied":  # of that one, only the server knows
            assert max(moved) > 0, host
    assert max(map(len, shown.values())) > 1
    assert "progress:" not in texts[0]
    assert f"progress: [here] {paths['forced'].name}: " in texts[1]
    until(lambda: left_files(tmp_path, ssh.home) == [])


def test_a_killed_module_leaves_nothing_after_the_next_run(
    tmp_path: Path, modules: Modules, lxd: Server
) -> None:
    image = build_large(tmp_path, 8 << 20)
    temporary = tmp_path / "remote_tmp"
    asked = {"_progress": 1, "_ansible_remote_tmp": str(temporary)}
    with Proxy(lxd.socket) as line:
        line.stall(4 << 20)
        files = {"src": str(image.metadata), "remote_src": True}
        killed = modules.start("lxd_image_import", **asked, **files, server=f"unix://{line.socket}")
        until(lambda: left_files(temporary) != [])
        killed.kill()
    assert left_files(temporary) != []
    assert modules.import_image(image, **{**asked, "_progress": 2}).actions == ["upload"]
    assert left_files(temporary) == []


def test_unchanged_tasks_cost_no_request_and_no_connection_more(
    tmp_path: Path,
    lxd: Server,
    modules: Modules,
    image: Image,
    ssh: SshHost,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a terminal, where each command that Ansible runs on the managed host is a connection of its own."""
    # The tasks are not to be looked at while they last, however slow this machine is.
    monkeypatch.setenv("PLAYED_SHOW_SECONDS", "3600")
    modules.import_image(image)
    store = {"server": f"unix://{lxd.socket}"}
    each = {"ansible_ssh_args": "-o ControlMaster=no"}
    hosts = {"there": {**over_ssh(ssh), **each}}
    tasks = [
        {f"{MODULE}_import": {**store, "src": str(image.metadata), "remote_src": True}},
        {f"{MODULE}_import": {**store, "src": str(image.metadata)}},
        {f"{MODULE}_copy": {**store, "image": image.fingerprint, "source_project": "other"}},
    ]

    def connections(*tasks: dict[str, Any]) -> int:
        before = ssh.connections
        watched = watch(tmp_path, hosts, *({"name": "it", **task} for task in tasks))
        assert watched.status == 0, watched.output
        assert "changed=0" in watched.output
        return ssh.connections - before

    pings = connections(*[{"ansible.builtin.ping": {}}] * len(tasks))
    mark = lxd.mark()
    assert connections(*tasks) == pings
    assert len(lxd.requests(mark)) == len(tasks)


@pytest.mark.families("lxd")
def test_the_downloads_of_a_mirror_are_recorded(tmp_path: Path, authority: Authority) -> None:
    site = MirrorSite(tmp_path, authority)
    temporary = tmp_path / "remote_tmp"
    site.upstream.publish("alpine/3.23", "20260101", size=4 << 20)
    with site.server, Proxy(site.url) as line:
        fault = line.stall(3 << 20, DOWN, times=None)
        options = {"source_server": line.url, "source_cert": str(site.server.pair.certificate)}
        asked = {"_progress": 1, "_ansible_remote_tmp": str(temporary)}
        mirror = Modules().start("lxd_image_mirror", **{**site.params, **options, **asked})
        until(lambda: any(state["moved"] for state in recorded(temporary)))
        (state,) = recorded(temporary)
        line.heal()
        assert fault.struck
        assert not mirror.wait().failed
    assert (state["image"], state["total"]) == ("alpine/3.23 (amd64)", 4 << 20)
    assert 0 < state["moved"] < 4 << 20
    assert left_files(temporary) == []

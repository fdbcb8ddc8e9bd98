# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plays that are run by ansible-playbook, as users run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Played:
    """The result of a play: ``results`` has the return values of each task by name, ``output`` the whole output."""

    failed: bool
    results: dict[str, dict[str, Any]]
    output: str


def play(
    folder: Path,
    *tasks: dict[str, Any],
    check: bool = False,
    host: dict[str, Any] | None = None,
    **keys: Any,
) -> Played:
    """Run named tasks on this machine, or on a host with the variables ``host``, from a playbook in ``folder``."""
    command, environment = prepare(folder, {"target": host or LOCAL}, *tasks, **keys)
    done = subprocess.run(
        [*command, *(["--check"] if check else [])],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    return Played(done.returncode != 0, read_results(folder), done.stdout + done.stderr)


LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
"""Variables of a host that is this machine."""


def prepare(
    folder: Path, hosts: dict[str, dict[str, Any]], *tasks: dict[str, Any], **keys: Any
) -> tuple[list[str], dict[str, str]]:
    """Write a playbook and its inventory to ``folder``; the command that runs it there, and its environment."""
    inventory = {"all": {"hosts": hosts}}
    playbook = [{"hosts": "all", "gather_facts": False, **keys, "tasks": list(tasks)}]
    (folder / "inventory.yml").write_text(yaml.safe_dump(inventory))
    (folder / "play.yml").write_text(yaml.safe_dump(playbook))
    (folder / RESULTS).unlink(missing_ok=True)
    environment = {
        **os.environ,
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callback"),
        "ANSIBLE_CALLBACKS_ENABLED": "played",
        # Below the home directory, the path of a socket would soon be too long for the system.
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder / "cp"),
        "PLAYED_RESULTS": str(folder / RESULTS),
    }
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    return [program, "-i", "inventory.yml", "play.yml", "--diff"], environment


RESULTS = "results.jsonl"


def read_results(folder: Path) -> dict[str, dict[str, Any]]:
    """The return values of each task of the last play in ``folder``, by name."""
    results = folder / RESULTS
    lines = results.read_text().splitlines() if results.exists() else []
    return dict(json.loads(line) for line in lines)

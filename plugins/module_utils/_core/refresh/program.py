# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program with which an image server renews its mirrors by itself, without Ansible.

Its argument is a JSON file with ``mirrors``, each with options of lxd_image_mirror, ``defaults`` for them, and
``reload``, the command that makes the web server load a changed header map.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, Mapping, Sequence

from ..errors import FileError, ImageStoreError
from ..json_reader import parse_json
from ..masking import mask
from ..options.mirror import MirrorOptions, image_mirror
from ..regular_files import read_regular_file
from . import MirrorWork

MAX_BYTES = 1 << 20
MAX_VALUES = 10_000
_TRUE = ("1", "on", "t", "true", "y", "yes")
_FALSE = ("0", "f", "false", "n", "no", "off")


def main(arguments: Sequence[str]) -> int:
    """Renew all mirrors; the exit status, which is 1 if one of them has failed."""
    if len(arguments) != 1:
        sys.stderr.write("usage: refresh.pyz MIRRORS.json\n")
        return 2
    try:
        config = _config(arguments[0])
    except ImageStoreError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    header_map = config["defaults"].get("header_map")
    before = _content(header_map)
    failed = [
        mirror for mirror in config["mirrors"] if not _renew({**config["defaults"], **mirror})
    ]
    if _content(header_map) != before and not _reload(config.get("reload") or []):
        return 1
    return 1 if failed else 0


def _config(path: str) -> dict[str, Any]:
    """The content of the JSON file. Raises FileError."""
    content = read_regular_file(path, "list of mirrors", MAX_BYTES)
    try:
        config = parse_json(content, MAX_VALUES)
    except ValueError as error:
        raise FileError(f"{path} {error}") from error
    if not (
        isinstance(config, dict)
        and isinstance(config.get("defaults"), dict)
        and isinstance(config.get("mirrors"), list)
        and all(isinstance(mirror, dict) for mirror in config["mirrors"])
    ):
        raise FileError(f"{path} is not a list of mirrors with defaults")
    return config


def _renew(given: Mapping[str, Any]) -> bool:
    """Renew one mirror and write what was done; whether that worked."""
    secrets = [str(given[name]) for name in _secret_options() if given.get(name)]
    source = str(given.get("source_remote") or given.get("source_server"))
    work: MirrorWork | None = None

    def write(stream: Any, text: object) -> None:
        hidden = {*secrets, *(work.secrets if work else ())}
        stream.write(mask(f"{source}: {text}\n", sorted(hidden, key=len, reverse=True)))

    try:
        work = MirrorWork(MirrorOptions.from_params(_params(given)))
        result = work.run()
    except ImageStoreError as error:
        write(sys.stderr, error)
        return False
    finally:
        for action in work.actions if work else ():
            write(sys.stdout, action)
        sys.stdout.flush()
    for warning in result.warnings:
        write(sys.stderr, warning)
    write(sys.stdout, f"{work.transferred} bytes downloaded")
    return True


def _secret_options() -> list[str]:
    specification = image_mirror()["argument_spec"]
    return [name for name, option in specification.items() if option.get("no_log")]


def _params(given: Mapping[str, Any]) -> dict[str, Any]:
    """All options of lxd_image_mirror, with their defaults and types. Raises FileError."""
    specification = image_mirror()["argument_spec"]
    unknown = sorted(set(given) - set(specification))
    if unknown:
        raise FileError(f"{', '.join(unknown)}: there is no such option")
    return {
        name: _converted(name, given.get(name), option) for name, option in specification.items()
    }


def _converted(name: str, value: Any, option: Mapping[str, Any]) -> Any:
    """A value of the type that an option has, as Ansible converts it. Raises FileError."""
    if value is None:
        value = option.get("default")
    kind = option["type"]
    if value is None:
        return None
    if kind == "list":
        return value if isinstance(value, list) else [value]
    if isinstance(value, (dict, list)):
        raise FileError(f"{name} has a value of the wrong type")
    if kind == "bool":
        text = str(value).lower()
        if text in (*_TRUE, *_FALSE):
            return text in _TRUE
        raise FileError(f"{name} is {value!r}, which is neither true nor false")
    if kind == "int":
        try:
            return int(value)
        except ValueError as error:
            raise FileError(f"{name} is {value!r}, which is not a number") from error
    if kind == "path":
        return os.path.expanduser(os.path.expandvars(str(value)))
    if "choices" in option and value not in option["choices"]:
        raise FileError(f"{name} is {value!r}, which is none of {', '.join(option['choices'])}")
    return str(value)


def _content(path: str | None) -> bytes | None:
    try:
        with open(path or "", "rb") as file:
            return file.read()
    except OSError:
        return None


def _reload(command: Sequence[str]) -> bool:
    """Make the web server load the changed header map; whether that worked."""
    if not command:
        return True
    try:
        # There is no Ansible where this runs.
        # pylint: disable-next=ansible-bad-function
        done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"cannot run {json.dumps(list(command))}: {error}\n")
        return False
    return done.returncode == 0

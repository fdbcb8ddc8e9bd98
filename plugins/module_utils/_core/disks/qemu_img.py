# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Conversion of disks by ``qemu-img``.

It is told the format, never asked to guess it, and gets the file by its descriptor: no name of a file is interpreted,
and nothing is opened but what ``recognition`` has read.
"""

from __future__ import annotations

import json
import re
from typing import IO, TYPE_CHECKING

from ..archives.decompression import Output, find_program, run_program
from ..errors import FileError
from .workspace import Workspace

if TYPE_CHECKING:
    from ..deadline import Deadline

MAX_MEMORY_BYTES = 1 << 30
"""The stacks of up to 64 threads are part of it."""

_MAX_OUTPUT_BYTES = 1 << 16

_OPTIONS = "compat=1.1,cluster_size=65536,lazy_refcounts=off,refcount_bits=16,preallocation=off"
"""Said in full, since the defaults change between versions, and the image's fingerprint with them."""


def convert(
    name: str,
    disk: IO[bytes],
    format_name: str,
    target: IO[bytes],
    workspace: Workspace,
    deadline: Deadline,
) -> None:
    """Convert a disk, called ``name`` in messages, to qcow2. Raises FileError, CannotUnpack and TimedOut.

    The room that it takes is checked first. The disk has been recognized as complete in itself.
    """
    program = find_program("qemu-img", "qemu-utils")
    source = _source(disk, format_name)
    command = [program, "measure", "--output=json", "-O", "qcow2", source]
    measured = _run(command, [disk], deadline)
    _require_success(name, measured, workspace)
    workspace.require(_required_bytes(name, measured), f"{name} as a qcow2 disk")
    command = [program, "convert", "-O", "qcow2", "-o", _OPTIONS, source, _path(target)]
    _require_success(name, _run(command, [disk, target], deadline), workspace)


def _source(disk: IO[bytes], format_name: str) -> str:
    file = {"driver": "file", "filename": _path(disk)}
    return "json:" + json.dumps({"driver": format_name, "backing": None, "file": file})


def _path(file: IO[bytes]) -> str:
    return f"/proc/self/fd/{file.fileno()}"


def _run(command: list[str], files: list[IO[bytes]], deadline: Deadline) -> Output:
    left = deadline.left()
    return run_program(
        command, files, deadline, left, _MAX_OUTPUT_BYTES, MAX_MEMORY_BYTES, guarded=True
    )


def _required_bytes(name: str, measured: Output) -> int:
    try:
        return int(json.loads(measured.output)["required"])
    except (ValueError, KeyError, TypeError) as error:
        raise FileError(f"cannot convert {name}: qemu-img measure gives no size") from error


def _require_success(name: str, done: Output, workspace: Workspace) -> None:
    if done.status == 0:
        return
    if "No space left" in done.errors:
        raise workspace.full(f"{name} as a qcow2 disk")
    # Without the description of the file, which would be longer than what it says of it.
    reason = re.sub(r"'?json:\{.*\}'?: ", "", " ".join(done.errors.split()))[:300]
    if done.status is not None and done.status < 0 and not reason:
        reason = f"killed by signal {-done.status}"
    raise FileError(
        f"qemu-img cannot convert {name}: {reason or 'it took or wrote too much'}",
        "The disk may be damaged. qemu-img check says more.",
    )

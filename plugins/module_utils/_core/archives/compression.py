# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compression of a stream, on several processors."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Iterator

from ..errors import ImageStoreError, OptionError

BLOCK = 1 << 20
LEVEL = 6
MOST_WORKERS = 8
"""More are not faster than the receiver, and each holds blocks in memory."""

_PROGRAMS = {"zstd": ("zstd", "-qc", "-T0"), "xz": ("xz", "-qc", "-T0")}
_PACKAGES = {"zstd": "zstd", "xz": "xz-utils"}


def compressed(blocks: Iterator[bytes], kind: str) -> Iterator[bytes]:
    """The blocks, compressed with ``gzip``, ``zstd``, ``xz`` or ``none``. Raises OptionError without the program."""
    if kind == "none":
        return blocks
    if kind == "gzip":
        return _gzipped(blocks)
    command = _PROGRAMS[kind]
    if not shutil.which(command[0]):
        raise OptionError(
            f"compression: {kind} requires the program {command[0]}, which this host lacks",
            f"Install the package {_PACKAGES[kind]} there, or use gzip, which requires none.",
        )
    return _piped(blocks, command)


def _gzipped(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Concatenated gzip streams, which are a gzip stream. zlib releases the GIL, so the threads run in parallel."""
    workers = min(os.cpu_count() or 1, MOST_WORKERS)
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[bytes]] = deque()
        for block in blocks:
            waiting.append(pool.submit(gzip.compress, block, LEVEL, mtime=0))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _piped(blocks: Iterator[bytes], command: tuple[str, ...]) -> Iterator[bytes]:
    """The output of a program that reads the blocks."""
    failure: list[ImageStoreError] = []
    # run_command is not for streams, nor for the controller.
    # pylint: disable-next=ansible-bad-function
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:

        def feed() -> None:
            try:
                with process.stdin or open(os.devnull, "wb") as stdin:
                    for block in blocks:
                        stdin.write(block)
            except ImageStoreError as error:
                failure.append(error)
            except BrokenPipeError:
                # The program has ended. Its status is checked below.
                return

        feeder = threading.Thread(target=feed, daemon=True)
        feeder.start()
        try:
            while True:
                block = process.stdout.read(BLOCK) if process.stdout else b""
                if not block:
                    break
                yield block
            feeder.join()
        except BaseException:
            # The rest is not needed.
            process.kill()
            raise
    if failure:
        raise failure[0]
    if process.returncode:
        raise ImageStoreError(f"{command[0]} exited with status {process.returncode}")

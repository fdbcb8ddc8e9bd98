# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far the transfers of a task are, recorded in a small file while they take place.

The controller reads that file over a connection of its own (see ``plugin_utils/progress.py``). A file is the one thing
that works over every connection of Ansible: the output of a module arrives only when the module has ended.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import threading
import time
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any, Iterator, Mapping, Protocol

PREFIX = "lxd_image_progress-"
"""The file's name, before the number that the controller chooses."""

MAX_BYTES = 4096
"""Of the file. It is written at once: whoever reads it sees one state or the next."""

RECORD_SECONDS = 1

MAX_NAME_CHARACTERS = 100
"""Characters of an image's name."""


class Sent(Protocol):
    """A body of a request that counts the bytes it has handed on."""

    sent: int


class Transfer:
    """One transfer. Whatever moves its bytes updates it; another thread reads it.

    ``total`` is the size of the image in bytes, None if that is not known.
    """

    def __init__(self, image: str, total: int | None, number: int = 0) -> None:
        self.image = image
        self.number = number
        """Distinguishes it from others of the task, whose images may have the same name."""
        self.total = total
        self.moved: int | None = None
        """Bytes moved up to now; None if nobody counts them."""
        self.percent: int | None = None
        """What a server tells instead."""
        self.rate: float | None = None
        """Bytes per second, as a server tells them."""
        self._body: Sent | None = None
        self._started = self._moving_since = time.monotonic()

    def follow(self, body: Sent) -> None:
        """Count the bytes of a body that is about to be sent or received, from its beginning."""
        self._body = body
        self.total = getattr(body, "len", None) or self.total
        self._moving_since = time.monotonic()

    def read_operation(self, metadata: Mapping[str, Any]) -> None:
        """Take over what the server tells in the metadata of an operation.

        Such as ``{"download_progress": "rootfs: 42% (2.51MB/s)"}`` or, from a split image of another server,
        ``2.32MB (2.29MB/s)`` (``lxd/daemon_images.go``, ImageDownload, ``shared/units/units.go``).
        """
        for name, text in metadata.items():
            told = (
                _TOLD.match(text) if name.endswith("_progress") and isinstance(text, str) else None
            )
            if told and told["stage"] != "metadata":
                self.rate = _bytes(told["rate"])
                if told["percent"]:
                    self.percent = min(int(told["percent"]), 100)
                else:
                    self.moved = int(_bytes(told["bytes"]))

    def state(self) -> dict[str, Any]:
        """What the file has of it: ``percent`` is None if ``moved`` and ``total`` tell more."""
        now = time.monotonic()
        moved, percent, rate = self.moved, self.percent, self.rate
        if self._body:
            moved = self._body.sent
        elif percent is not None and self.total:
            moved = self.total * percent // 100
        if moved is not None and rate is None and now > self._moving_since:
            rate = moved / (now - self._moving_since)
        if moved is not None and self.total:
            # A form has headers besides the files.
            moved, percent = min(moved, self.total), None
        return {
            "number": self.number,
            "image": self.image[:MAX_NAME_CHARACTERS],
            "moved": moved,
            "total": self.total,
            "percent": percent,
            "rate": rate,
            "seconds": now - self._started,
        }


class TransferRecorder:
    """Keeps the transfers of one task in the file ``PREFIX`` and ``number`` of a directory, as long as there are some.

    That a file cannot be written is no reason for a transfer to fail: it is not shown then.
    """

    def __init__(self, directory: str, number: int) -> None:
        self._directory = directory
        self._path = os.path.join(directory, f"{PREFIX}{number}")
        self._transfers: list[Transfer] = []
        self._numbers = count()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        _remove_abandoned(directory)

    @contextmanager
    def record(self, image: str, total: int | None) -> Iterator[Transfer]:
        """Record a transfer as long as the context lasts."""
        transfer = Transfer(image, total, next(self._numbers))
        with self._lock:
            self._transfers.append(transfer)
            if len(self._transfers) == 1:
                self._ended = threading.Event()
                target, ended = self._write_until, self._ended
                self._thread = threading.Thread(target=target, args=(ended,), daemon=True)
                self._thread.start()
        try:
            yield transfer
        finally:
            with self._lock:
                self._transfers.remove(transfer)
                if not self._transfers and self._thread:
                    self._ended.set()
                    self._thread.join()

    def _write_until(self, ended: threading.Event) -> None:
        if ended.wait(RECORD_SECONDS):
            return
        with suppress(OSError):
            # As Ansible makes it (ansible/module_utils/basic.py, tmpdir).
            os.makedirs(self._directory, 0o700, exist_ok=True)
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                # Tells that the file is in use. Not every file system has locks; then none is taken for abandoned.
                with suppress(OSError):
                    fcntl.flock(file, fcntl.LOCK_EX)
                while True:
                    os.pwrite(file, self._content(), 0)
                    if ended.wait(RECORD_SECONDS):
                        break
            finally:
                os.close(file)
                os.unlink(self._path)

    def _content(self) -> bytes:
        """The transfers as lines of JSON, as many as fit, and blanks up to the size of the file."""
        content = b""
        for transfer in list(self._transfers):
            line = json.dumps(transfer.state()).encode() + b"\n"
            if len(content) + len(line) <= MAX_BYTES:
                content += line
        return content.ljust(MAX_BYTES)


def _remove_abandoned(directory: str) -> None:
    """Delete the files that killed modules left in a directory: those that are not locked."""
    with suppress(OSError):
        for name in os.listdir(directory):
            if name.startswith(PREFIX):
                path = os.path.join(directory, name)
                with suppress(OSError), open(path, "rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(path)


_TOLD = re.compile(
    r"(?:(?P<stage>[A-Za-z ]+): )?(?:(?P<percent>\d{1,3})%|(?P<bytes>[\d.]+[kMGTPE]?B))"
    r" \((?P<rate>[\d.]+[kMGTPE]?B)/s\)\Z"
)


def _bytes(text: str) -> float:
    """The bytes in a text such as ``2.32MB``."""
    number = text.rstrip("kMGTPEB")
    power = "kMGTPE".find(text[len(number)]) + 1
    try:
        return float(number) * 1000.0**power
    except ValueError:
        return 0

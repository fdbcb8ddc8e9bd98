# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads compressed files and the output of programs, in bounded time and memory."""

from __future__ import annotations

import os
import re
import resource
import select
import selectors
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import IO, TYPE_CHECKING, ContextManager, Iterator, Sequence

from ..errors import ImageStoreError
from ..watchdog import watchdog
from . import ArchiveError, Readable

if TYPE_CHECKING:
    import lzma

    from ..deadline import Deadline

MAX_DICTIONARY_BYTES = 80 << 20
"""Memory for xz and lzma, of which the highest level of xz takes 65 MiB."""

MAX_PROGRAM_BYTES = 128 << 20
"""Memory for a program."""

_BLOCK = 1 << 18

_ZSTD_PREFIX = re.compile(r"^(?:zstd: )?/\*stdin\*\\ ?: ", re.MULTILINE)
"""What the program says before an error: its own name, and the one that it gives to its input."""


class CannotUnpack(ImageStoreError):
    """This host cannot read a file, though servers may be able to."""


@contextmanager
def unpacked(file: IO[bytes], kind: str, deadline: Deadline) -> Iterator[Readable]:
    """The content of a compressed file, or of a tar archive, from its beginning.

    Reads raise ArchiveError if it is damaged, CannotUnpack if it takes more than this host has, and TimedOut. The
    file's own position stays as it is.
    """
    source = _File(file, deadline)
    if kind == "tar":
        yield source
    elif kind == "zstd":
        # The standard library has it from Python 3.14 on; servers call the program as well.
        with _zstd(file, deadline) as stream:
            yield stream
    elif kind in ("xz", "lzma"):
        yield _Checked(_Lzma(source))
    elif kind == "bzip2":
        import bz2

        with bz2.open(source) as stream:  # type: ignore[call-overload]  # it has what is read from it
            yield _Checked(stream)
    else:
        import gzip

        with gzip.open(source) as stream:  # type: ignore[call-overload]
            yield _Checked(stream)


class _File:
    """A file, read from its beginning until the deadline."""

    def __init__(self, file: IO[bytes], deadline: Deadline) -> None:
        self._number = file.fileno()
        self._deadline = deadline
        self._offset = 0

    def read(self, size: int = -1) -> bytes:
        """Read on; with no size, a block."""
        self._deadline.left()
        block = os.pread(self._number, size if size >= 0 else _BLOCK, self._offset)
        self._offset += len(block)
        return block


class _Checked:
    """A decompressed stream whose errors are ArchiveError."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        from zlib import error as zlib_error

        try:
            return self._stream.read(size)
        except (EOFError, OSError, zlib_error) as error:
            raise ArchiveError(str(error)) from error


class _Lzma:
    """An xz or lzma file. Unlike ``lzma.open``, it limits memory."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._packed = b""
        self._decompressor: lzma.LZMADecompressor | None = None

    def read(self, size: int) -> bytes:
        import lzma

        while True:
            if self._decompressor is None or self._decompressor.eof:
                if not self._next_stream():
                    return b""
                self._decompressor = lzma.LZMADecompressor(memlimit=MAX_DICTIONARY_BYTES)
            if self._decompressor.needs_input and not self._packed:
                self._packed = self._source.read(_BLOCK)
                if not self._packed:
                    raise ArchiveError("its compressed data end too early")
            packed, self._packed = self._packed, b""
            try:
                block = self._decompressor.decompress(packed, size)
            except lzma.LZMAError as error:
                if "limit" in str(error):
                    raise CannotUnpack(
                        f"it takes more than {MAX_DICTIONARY_BYTES >> 20} MiB of memory to unpack",
                        "Pack it with the level 9 of xz or less.",
                    ) from error
                raise ArchiveError(str(error)) from error
            self._packed = self._decompressor.unused_data  # none before the end of the stream
            if block:
                return block

    def _next_stream(self) -> bool:
        """Whether another stream begins, after the zeros that may stand between two."""
        while True:
            self._packed = self._packed.lstrip(b"\0") if self._decompressor else self._packed
            if self._packed:
                return True
            self._packed = self._source.read(_BLOCK)
            if not self._packed:
                return False


@contextmanager
def _zstd(file: IO[bytes], deadline: Deadline) -> Iterator[Readable]:
    program = find_program("zstd", "zstd")
    with open(os.dup(file.fileno()), "rb") as own:
        own.seek(0)
        with _started([program, "-dcq"], stdin=own) as process:
            try:
                yield _ProgramOutput(process, deadline)
            finally:
                process.kill()


class _ProgramOutput:
    """The output of a running program, until the deadline. The program must not write many errors."""

    def __init__(self, process: subprocess.Popen[bytes], deadline: Deadline) -> None:
        self._process = process
        self._deadline = deadline

    def read(self, size: int) -> bytes:
        block = self._ready(self._process.stdout, size)
        if not block:
            errors = self._ready(self._process.stderr, 1 << 12).decode(errors="replace")
            errors = " ".join(_ZSTD_PREFIX.sub("", errors).split())[:200]
            if "memory" in errors:
                raise CannotUnpack(
                    errors, "Pack it with a smaller window, as zstd does by default."
                )
            if errors:
                raise ArchiveError(errors)
            self._require_success()
        return block

    def _require_success(self) -> None:
        """Raises CannotUnpack if the program did not come to its end, so that its output is not complete."""
        try:
            status = self._process.wait(self._deadline.left())
        except subprocess.TimeoutExpired:
            self._deadline.left()
            raise
        if status:
            ended = f"was killed by signal {-status}" if status < 0 else f"ended with {status}"
            raise CannotUnpack(f"the program zstd {ended}")

    def _ready(self, pipe: IO[bytes] | None, size: int) -> bytes:
        if pipe is None:
            return b""
        ready = select.poll()
        ready.register(pipe, select.POLLIN)
        while not ready.poll(min(self._deadline.left(), 60) * 1000):
            continue
        return os.read(pipe.fileno(), size)


def _started(
    command: Sequence[str], stdin: IO[bytes] | int, files: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """A running program, which can use these files besides. Raises CannotUnpack if it cannot be started."""
    try:
        # run_command is not for streams, nor for the controller.
        # pylint: disable-next=ansible-bad-function,consider-using-with
        return subprocess.Popen(
            command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=files
        )
    except OSError as error:
        raise CannotUnpack(
            f"this host cannot run the program {command[0]}: {error.strerror}",
            "Repair its installation there.",
        ) from error


def find_program(name: str, package: str) -> str:
    """The path of a program. Raises CannotUnpack, naming the package that has it."""
    path = shutil.which(name)
    if not path:
        raise CannotUnpack(
            f"this host lacks the program {name}", f"Install the package {package} there."
        )
    return path


@dataclass(frozen=True)
class Output:
    """The output of a program; ``status`` is None if it was killed, because it wrote or took too much."""

    status: int | None
    output: bytes
    errors: str


def run_program(
    command: Sequence[str],
    files: Sequence[IO[bytes]],
    deadline: Deadline,
    seconds: float,
    limit: int,
    memory: int = MAX_PROGRAM_BYTES,
    guarded: bool = False,
) -> Output:
    """Run a program that uses these files by their descriptors, as in ``/dev/fd/N``.

    It has limits of time (``seconds``), ``memory`` and output (``limit`` bytes). If it is ``guarded``, it ends also if
    this process is killed. Raises CannotUnpack if it cannot be started, and TimedOut.
    """
    end = time.monotonic() + seconds
    written = {"output": b"", "errors": b""}
    started = _started(command, subprocess.DEVNULL, [file.fileno() for file in files])
    with started as process, selectors.DefaultSelector() as selector, _guard(process, guarded):
        _limit_memory(process.pid, memory)
        selector.register(process.stdout, selectors.EVENT_READ, "output")  # type: ignore[arg-type]
        selector.register(process.stderr, selectors.EVENT_READ, "errors")  # type: ignore[arg-type]
        try:
            while selector.get_map() and len(written["output"]) <= limit:
                left = min(deadline.left(), end - time.monotonic())
                if left <= 0:
                    break
                for key, _events in selector.select(left):
                    block = os.read(key.fd, _BLOCK)
                    if not block:
                        selector.unregister(key.fileobj)
                    elif key.data == "output" or len(written["errors"]) < _BLOCK:
                        written[key.data] += block
            complete = not selector.get_map()
        finally:
            if selector.get_map():
                process.kill()
        status = _exit_status(process, max(0.1, end - time.monotonic())) if complete else None
    return Output(status, written["output"], written["errors"].decode(errors="replace").strip())


def _guard(process: subprocess.Popen[bytes], guarded: bool) -> ContextManager[None]:
    """Ends the program with this process, if it is ``guarded``."""
    return watchdog(partial(os.kill, process.pid, signal.SIGKILL)) if guarded else nullcontext()


def _exit_status(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return None


def _limit_memory(pid: int, memory: int) -> None:
    try:
        resource.prlimit(pid, resource.RLIMIT_DATA, (memory, memory))
    except (AttributeError, OSError, ValueError):
        # It has ended or has a lower limit already, or this is a controller without Linux.
        return

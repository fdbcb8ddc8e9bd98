# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""OpenPGP signatures of checksum files, verified by ``gpgv``.

A signature is inside the file (a cleartext signature) or in a file beside it. What counts is gpgv's status output:
its exit status is also 0 for the signature of an expired key.
"""

from __future__ import annotations

import base64
import os
import shutil
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, Iterator, Sequence

from ..archives.decompression import Output, run_program
from ..deadline import Deadline
from ..errors import FileError, OptionError
from ..regular_files import read_regular_file

MAX_KEYRING_BYTES = 32 << 20
"""The keyring of all developers of Debian has about 27 MiB."""

MAX_SECONDS = 60

MAX_STATUS_BYTES = 1 << 17
"""A file for which ``gpgv`` writes more has too many signatures. (``run_program`` keeps more than this.)"""

_SIGNED = b"-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE = b"-----BEGIN PGP SIGNATURE-----"
_END = b"-----END PGP SIGNATURE-----"
_KEYS = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
_END_KEYS = b"-----END PGP PUBLIC KEY BLOCK-----"


class CleartextMessage:
    """A file with a signature inside it: the part that ``gpgv`` is given, and its text without any verification."""

    def __init__(self, message: bytes, unverified_text: bytes) -> None:
        self.message = message
        self.unverified_text = unverified_text

    @classmethod
    def find(cls, content: bytes) -> CleartextMessage | None:
        """The first signed message in a file; None if there is none."""
        lines = [line.rstrip() for line in content.split(b"\n")]
        try:
            start = lines.index(_SIGNED)
            text = lines.index(b"", start) + 1
            signature = lines.index(_SIGNATURE, text)
            end = lines.index(_END, signature) + 1
        except ValueError:
            return None
        message = b"\n".join(content.split(b"\n")[start:end]) + b"\n"
        return cls(message, b"\n".join(lines[text:signature]))


class Keyring:
    """The keys in a file, by which signatures are verified."""

    def __init__(self, path: str, deadline: Deadline) -> None:
        """Raises OptionError without the program ``gpgv``, FileError if the file cannot be read or has no keys."""
        self.path = path
        self._deadline = deadline
        program = shutil.which("gpgv")
        if not program:
            raise OptionError(
                "checksum_keyring requires the program gpgv, which this host lacks",
                "Install the package gpgv there (on Fedora and its relatives, gnupg2).",
            )
        self._program = program
        self._keys = _read_keys(path)

    def verified_text(self, message: CleartextMessage, signed: str) -> bytes:
        """The text of a signed message, as gpgv has verified it; ``signed`` is what messages call the file.

        Raises FileError.
        """
        with _temporary(message.message) as file:
            done = self._run([file], limit=len(message.message))
        if self._plaintexts(done) != 1:
            raise _invalid(signed, "it is not a signed message")
        self._require_good(done, signed)
        return done.output

    def verify(self, content: bytes, signature: bytes, signed: str) -> None:
        """Verify the signature of a file that is beside it. Raises FileError."""
        with _temporary(signature) as first, _temporary(content) as second:
            done = self._run([first, second], limit=0)
        if self._plaintexts(done):
            raise _invalid(signed, "the signature is itself a signed message")
        self._require_good(done, signed)

    def _run(self, files: Sequence[IO[bytes]], limit: int) -> Output:
        with _temporary(self._keys) as keys:
            command = [
                self._program,
                # None of the user's own keys and settings.
                *("--homedir", os.devnull),
                *("--keyring", _descriptor_path(keys)),
                *("--status-fd", "2"),
            ]
            if limit:
                command += ["--output", "-"]
            command += ["--", *map(_descriptor_path, files)]
            return run_program(command, [keys, *files], self._deadline, MAX_SECONDS, limit)

    def _plaintexts(self, done: Output) -> int:
        return sum(word == "PLAINTEXT" for word, _rest in _status(done))

    def _require_good(self, done: Output, signed: str) -> None:
        """Raises FileError unless a key of the keyring has made a valid signature, and none is wrong."""
        if done.status is None:
            raise _invalid(signed, "gpgv takes too long, or writes too much")
        if len(done.errors) >= MAX_STATUS_BYTES:
            raise _invalid(signed, "there are too many signatures")
        said = dict(_status(done))
        if "GOODSIG" in said and "VALIDSIG" in said and "BADSIG" not in said:
            return
        key = said.get("NO_PUBKEY", "")
        for word, reason in (
            ("BADSIG", "it does not match the content"),
            ("EXPKEYSIG", f"the key that made it has expired; {self.path} may have to be renewed"),
            ("EXPSIG", "it has expired"),
            ("REVKEYSIG", "the key that made it was revoked"),
            ("NO_PUBKEY", f"{self.path} does not contain the key {key} that made it"),
            ("NODATA", "it is not an OpenPGP signature"),
        ):
            if word in said:
                raise _invalid(signed, reason)
        messages = [line for line in done.errors.splitlines() if not line.startswith(_STATUS)]
        raise _invalid(signed, f"gpgv says: {' '.join(messages)[:200]}")


_STATUS = "[GNUPG:] "


def _status(done: Output) -> Iterator[tuple[str, str]]:
    """The keywords of gpgv's status output, each with what follows it."""
    for line in done.errors.splitlines():
        if line.startswith(_STATUS):
            word, _blank, rest = line[len(_STATUS) :].partition(" ")
            yield word, rest


def _invalid(signed: str, reason: str) -> FileError:
    return FileError(
        f"the signature of {signed} cannot be verified: {reason}",
        "Check checksum_keyring. If it has the right key, do not use the file.",
    )


def _read_keys(path: str) -> bytes:
    """The keys of a file in the form that gpgv reads, which is not the armored one. Raises FileError."""
    content = read_regular_file(path, "keyring (checksum_keyring)", MAX_KEYRING_BYTES)
    # A keybox, or a packet of OpenPGP: those begin with a byte whose first bit is set.
    if content[8:12] == b"KBXf" or content[:1] >= b"\x80":
        return content
    keys = b"".join(_unarmored(content))
    if not keys:
        raise FileError(
            f"{path}, given as checksum_keyring, contains no OpenPGP keys",
            "Export them with gpg --export.",
        )
    return keys


def _unarmored(content: bytes) -> Iterator[bytes]:
    """The content of armored blocks of keys; nothing of what is damaged."""
    lines = [line.strip() for line in content.split(b"\n")]
    end = 0
    while True:
        try:
            start = lines.index(b"", lines.index(_KEYS, end))
            end = lines.index(_END_KEYS, start)
        except ValueError:
            return
        # What begins with = is a checksum.
        encoded = b"".join(line for line in lines[start:end] if not line.startswith(b"="))
        with suppress(ValueError):
            yield base64.b64decode(encoded, validate=True)


@contextmanager
def _temporary(content: bytes) -> Iterator[IO[bytes]]:
    """A file without a name, so that nothing is left of it whatever happens. Raises FileError."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(tempfile.TemporaryFile(buffering=0))
            left = memoryview(content)
            while left:
                left = left[file.write(left) :]
            file.seek(0)
        except OSError as error:
            raise FileError(
                f"cannot write a temporary file to verify a signature: {error.strerror}",
                "Free some space, or set the environment variable TMPDIR to another directory.",
            ) from error
        yield file


def _descriptor_path(file: IO[bytes]) -> str:
    return f"/dev/fd/{file.fileno()}"

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checksums of files: digests, given or looked up in a checksum file, which can be signed."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Mapping
from urllib.parse import urlsplit

from ..downloads import Download, Retries, WebClient
from ..errors import ApiError, FileError
from ..urls import mask_credentials
from .listing import DIGITS, find_digest, path_of_url

__all__ = ["DIGITS", "Checksum", "ChecksumFile", "fetch_checksum", "path_of_url"]

MAX_BYTES = 1 << 20
"""The size of a checksum file. That of all daily images of a distribution has about 100 KiB."""

MAX_SIGNATURE_BYTES = 64 << 10

SIGNATURE_SUFFIXES = (".gpg", ".sign", ".asc")

_NOT_THERE = (403, 404, 410)
"""Statuses for a file that does not exist; object storage responds with 403."""


@dataclass(frozen=True)
class Checksum:
    """The digest of a file, in lower-case hex, by ``algorithm``: sha256 or sha512."""

    algorithm: str
    digest: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.digest}"

    def require(self, digest: str, name: str) -> None:
        """Raises FileError unless ``digest``, which the file ``name`` has by this algorithm, is this one."""
        if digest != self.digest:
            raise FileError(
                f"{name} has the checksum {self.algorithm}:{digest}, not {self}",
                "The file is damaged or was replaced, or checksum is for another one.",
            )


@dataclass(frozen=True)
class ChecksumFile:
    """The address of a checksum file, and the keyring by which its signature is verified (None: it is not).

    ``headers`` are sent to the server of this address only; they include the credentials.
    """

    algorithm: str
    url: str
    keyring: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts to mask besides the options."""
        return tuple(value for name, value in self.headers.items() if name == "Authorization")


def fetch_checksum(file: ChecksumFile, path: str, web: WebClient, retries: Retries) -> Checksum:
    """The checksum that a checksum file has for ``path``: that of a file, or of a URL (see ``path_of_url``).

    With a keyring, only what is signed is read. ``web`` is for the server of the checksum file, with its headers.
    Raises FileError, ApiError, ConnectionFailed, TimedOut; OptionError if a program is missing.
    """
    from .signatures import CleartextMessage, Keyring

    keyring = Keyring(file.keyring, retries.deadline) if file.keyring else None
    shown = mask_credentials(file.url)
    content = _read(web, file.url, retries, MAX_BYTES)
    message = CleartextMessage.find(content)
    if message:
        content = keyring.verified_text(message, shown) if keyring else message.unverified_text
    elif keyring:
        keyring.verify(content, _signature_beside(web, file.url, retries), shown)
    text = content.decode(errors="replace")
    return Checksum(file.algorithm, find_digest(text, file.algorithm, path, shown))


def _signature_beside(web: WebClient, url: str, retries: Retries) -> bytes:
    """The signature in a file of its own. Raises FileError if there is none."""
    parts = urlsplit(url)
    for suffix in SIGNATURE_SUFFIXES:
        address = parts._replace(path=parts.path + suffix).geturl()
        try:
            return _read(web, address, retries, MAX_SIGNATURE_BYTES)
        except ApiError as error:
            if error.status not in _NOT_THERE:
                raise
    raise FileError(
        f"{mask_credentials(url)} is not signed: there is no signature inside it, nor beside it"
        f" ({', '.join(SIGNATURE_SUFFIXES)})",
        "Remove checksum_keyring, or use a checksum file that is signed.",
    )


def _read(web: WebClient, url: str, retries: Retries, limit: int) -> bytes:
    """A small file. Raises FileError if it has more than ``limit`` bytes."""
    content = bytearray()
    for block in Download(partial(web.open, url), retries):
        content += block
        if len(content) > limit:
            raise FileError(
                f"{mask_credentials(url)} has more than {limit >> 10} KiB, too many for a checksum file or signature",
                "Check the URL in checksum.",
            )
    return bytes(content)

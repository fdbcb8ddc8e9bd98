# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checksum files: which digest one has for a file. What is read here may have been written by anybody."""

from __future__ import annotations

import re
from typing import Iterator
from urllib.parse import unquote, urlsplit

from ..errors import FileError

DIGITS = {"sha256": 64, "sha512": 128}
"""The algorithms that are supported, and how many hex digits a digest of each has."""

MAX_NAMES_SHOWN = 3
"""Names of a checksum file that a message quotes."""

# As the program sha256sum writes it: the digest, a blank, a blank or an asterisk, the name.
_GNU = re.compile(r"([0-9a-fA-F]{32,128})[ \t]+\*?(\S.*)\Z")
# As the program sha256sum --tag and those of BSD write it; OpenSSL omits the blanks.
_BSD = re.compile(r"[A-Za-z0-9/-]+ ?\((.+)\) ?= ?([0-9a-fA-F]{32,128})\Z")
_LONE = re.compile(r"[0-9a-fA-F]{32,128}\Z")


def find_digest(text: str, algorithm: str, path: str, listing: str) -> str:
    """The digest, in lower case, that a checksum file has for the file at ``path``, which is a path or that of a URL.

    A name in a checksum file may have directories; those of ``path`` have to end with them. If several names match,
    the longest one counts. ``listing`` is what messages call the checksum file. Raises FileError.
    """
    lines = [line.strip() for line in text.lstrip("\ufeff").split("\n")]
    lines = [line for line in lines if line and not line.startswith("#")]
    if len(lines) == 1 and _LONE.match(lines[0]):
        return _of_algorithm({lines[0].lower()}, algorithm, f"{listing} contains")
    entries = list(_entries(lines))
    if not entries:
        raise FileError(
            f"{listing} is not a checksum file: it has no line with a digest and a file name",
            "Check the URL in checksum.",
        )
    path = f"/{path.lstrip('/')}"
    if path.endswith("/"):
        raise FileError(
            f"the URL has no file name to look up in {listing}",
            "Set checksum to the digest of the file.",
        )
    matches = [(name, digest) for name, digest in entries if path.endswith(f"/{name}")]
    if not matches:
        names = list(dict.fromkeys(name for name, _digest in entries))
        shown = ", ".join(names[:MAX_NAMES_SHOWN])
        more = ", …" if len(names) > MAX_NAMES_SHOWN else ""
        raise FileError(
            f"{listing} does not list {path.rpartition('/')[2]}; it lists {shown}{more}",
            "Check the URL in checksum, and the name of the file.",
        )
    longest = max((name for name, _digest in matches), key=len)
    digests = {digest for name, digest in matches if name == longest}
    return _of_algorithm(digests, algorithm, f"{listing} lists {longest} with")


def path_of_url(url: str) -> str:
    """The path of a URL as its server knows it, whose end is the name of the file."""
    return unquote(urlsplit(url).path)


def _entries(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Names (without a leading ``./``) and digests (in lower case)."""
    for line in lines:
        gnu = _GNU.match(line)
        bsd = _BSD.match(line) if not gnu else None
        if gnu:
            digest, name = gnu.groups()
        elif bsd:
            name, digest = bsd.groups()
        else:
            continue
        while name.startswith("./"):
            name = name[2:].lstrip("/")
        if name:
            yield name, digest.lower()


def _of_algorithm(digests: set[str], algorithm: str, said: str) -> str:
    """The only digest of this algorithm. Files may list several algorithms. Raises FileError."""
    fitting = sorted(digest for digest in digests if len(digest) == DIGITS[algorithm])
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise FileError(
            f"{said} {len(fitting)} different {algorithm} digests",
            "Set checksum to the digest of the file.",
        )
    others = [name for name, digits in DIGITS.items() if digits in map(len, digests)]
    raise FileError(
        f"{said} no {algorithm} digest",
        f"Set checksum to {others[0]}: and the URL." if others else "Check the URL in checksum.",
    )

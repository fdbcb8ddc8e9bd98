# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one family of errors that the library raises.

Every error says what went wrong and, where there is something, what to do next. Facts that code may need (a status,
a fingerprint) are attributes: catch the class and read them; never look into the text.
"""

from __future__ import annotations

import traceback
from typing import Any, Mapping

MAX_QUOTED_CHARACTERS = 300
"""Characters of somebody else's text (a server's, a library's, a file's) that a message quotes."""

MAX_MESSAGE_CHARACTERS = 4000
"""Characters of a whole message, and of a whole hint."""


def clean_text(text: str, limit: int = MAX_QUOTED_CHARACTERS) -> str:
    """A text as one line that is safe to print: cut after ``limit`` characters, with control characters spelt out.

    A server's error text can be megabytes long, and can carry escape sequences for the terminal of whoever reads it.
    """
    shown = text[:limit] + "…" if len(text) > limit else text
    if shown.isprintable():
        return shown
    return "".join(map(_printable, " ".join(shown.split())))


def _printable(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


class ImageStoreError(Exception):
    """Root of the family.

    ``message`` is a clause without a full stop at its end; ``hint`` is a sentence saying what to do next, or empty.
    ``str()`` joins both. Whatever is quoted in them, both are safe to print and bounded in length.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        message = clean_text(message, MAX_MESSAGE_CHARACTERS).rstrip(". ")
        hint = clean_text(hint, MAX_MESSAGE_CHARACTERS)
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else f"{self.message}."


class OptionError(ImageStoreError):
    """What the user asked for cannot be done as it stands: an option's value, or two options together."""


class FileError(ImageStoreError):
    """A file is missing, unreadable, or not what it is given as."""


class ImageNotFound(ImageStoreError):
    """An alias or fingerprint does not name exactly one image."""


class ConnectionFailed(ImageStoreError):
    """No connection, or one that broke, or one that was not secure enough to go on.

    ``unreachable`` is whether no connection came about, ``refused`` that it was because nothing listens there.
    """

    def __init__(
        self, message: str, hint: str = "", unreachable: bool = False, refused: bool = False
    ) -> None:
        super().__init__(message, hint)
        self.unreachable = unreachable
        self.refused = refused


class AuthenticationError(ImageStoreError):
    """The server does not trust this client, or not with what the task needs."""


class TimedOut(ImageStoreError):
    """The task's deadline passed."""


class ApiError(ImageStoreError):
    """A server answered a request with an error; ``status`` is the HTTP status, ``reason`` the server's own words."""

    def __init__(self, message: str, status: int, reason: str = "", hint: str = "") -> None:
        super().__init__(message, hint)
        self.status = status
        self.reason = reason


class OperationFailed(ImageStoreError):
    """A background operation ended without success.

    ``err`` is the server's own word on it, and ``metadata`` what the operation has told besides.
    """

    def __init__(
        self, message: str, err: str, hint: str = "", metadata: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, hint)
        self.err = err
        self.metadata = metadata or {}


class ConflictError(ImageStoreError):
    """The store changed after it was read. Reading it again resolves this."""


class NeedsFile(ImageStoreError):
    """The image has to be sent, and its file is not on this host but on the controller."""


class MissingLibrary(ImageStoreError):
    """A Python library is not installed where it is needed; ``library`` is its name for pip, ``trace`` how it failed.

    To be raised from an ``except ImportError``.
    """

    def __init__(self, library: str) -> None:
        package = _DEBIAN_PACKAGES.get(library, f"python3-{library.lower()}")
        super().__init__(
            f"the Python library {library} is missing",
            f"On Debian and Ubuntu it is the package {package}: apt install {package}",
        )
        self.library = library
        self.trace = traceback.format_exc()


_DEBIAN_PACKAGES = {"PyYAML": "python3-yaml"}

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one family of errors that the library raises.

Every error says what went wrong and, where there is something, what to do next. Facts that code may need (a status,
a fingerprint) are attributes: catch the class and read them; never look into the text.
"""

from __future__ import annotations

import traceback


class ImageStoreError(Exception):
    """Root of the family.

    ``message`` is a clause without a full stop at its end; ``hint`` is a sentence saying what to do next, or empty.
    ``str()`` joins both.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message.rstrip(". \n")
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
    """No connection, or one that broke, or one that was not secure enough to go on."""


class AuthenticationError(ImageStoreError):
    """The server does not trust this client."""


class TimedOut(ImageStoreError):
    """The task's deadline passed."""


class ApiError(ImageStoreError):
    """A server answered a request with an error; ``status`` is the HTTP status, ``reason`` the server's own words."""

    def __init__(self, message: str, status: int, reason: str = "", hint: str = "") -> None:
        super().__init__(message, hint)
        self.status = status
        self.reason = reason


class OperationFailed(ImageStoreError):
    """A background operation ended without success; ``err`` is the server's own word on it."""

    def __init__(self, message: str, err: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.err = err


class ConflictError(ImageStoreError):
    """The store changed between the look and the deed. Looking again settles it."""


class NeedsFile(ImageStoreError):
    """The image has to be sent, and its file is not on this host but on the controller."""


class MissingLibrary(ImageStoreError):
    """A Python library is not installed where it is needed; ``library`` is its name for pip, ``trace`` how it failed.

    To be raised from an ``except ImportError``.
    """

    def __init__(self, library: str) -> None:
        super().__init__(f"the Python library {library} is missing")
        self.library = library
        self.trace = traceback.format_exc()

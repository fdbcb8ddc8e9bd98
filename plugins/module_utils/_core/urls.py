# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""URLs as people may read them: without what is secret in them."""

from __future__ import annotations

import re

MAX_SHOWN_CHARACTERS = 300
"""Characters of a URL in a message."""

_PORT = re.compile(r":\d*$")


def user_part(url: str) -> str:
    """What is, or may be, the user part of a URL, with the password; an empty text if it has none.

    It may contain characters that should have been quoted: then all up to the last ``@`` is taken for it.
    """
    rest = url.partition("//")[2]
    host = re.split("[/?#]", rest, maxsplit=1)[0]
    if "@" in host or (":" in host and "[" not in host and not _PORT.search(host)):
        return rest.rpartition("@")[0]
    if ":" in host and "[" not in host:
        # A port, or a user name and the beginning of a password.
        return rest.partition("?")[0].rpartition("@")[0]
    return ""


def mask_credentials(url: str) -> str:
    """A URL, or what should be one, for people to read: without user part and query, and not without end."""
    scheme, mark, rest = url.partition("//")
    user = user_part(url)
    rest, question, _query = rest[len(user) :].partition("?")
    shown = f"{scheme}{mark}{user and '***'}{rest}{question and '?***'}"
    return shown if len(shown) <= MAX_SHOWN_CHARACTERS else f"{shown[:MAX_SHOWN_CHARACTERS]}…"

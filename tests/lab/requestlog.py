# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which requests a daemon has handled, read from the log it writes with ``--debug``.

A client that is not trusted and asks for what only trusted ones may see leaves no method and path.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_VALUE = r'(?:"((?:[^"\\]|\\.)*)"|(\S+))'
_TRUSTED = re.compile(rf'msg="Handling API request" .*?\bmethod=(\S+) .*?\burl={_VALUE}')
_UNTRUSTED = re.compile(rf'msg="Allowing untrusted (\S+)" .*?\burl={_VALUE}')


class Request(NamedTuple):
    """One request: its method, and its path with the query as it was sent."""

    method: str
    path: str

    @property
    def writes(self) -> bool:
        """Whether a request with this method may change something."""
        return self.method not in ("GET", "HEAD", "OPTIONS")


def read(log: Path, since: int = 0, until: int | None = None) -> list[Request]:
    """The requests in a daemon's log between these bytes, without those of daemon to daemon."""
    with log.open("rb") as file:
        file.seek(since)
        text = file.read(-1 if until is None else max(0, until - since))
    lines = text.decode(errors="replace").splitlines()
    found = []
    for line in lines:
        if match := _TRUSTED.search(line) or _UNTRUSTED.search(line):
            method, quoted, plain = match.groups()
            path = plain or re.sub(r"\\(.)", r"\1", quoted)
            if not path.startswith("/internal/"):
                found.append(Request(method, path))
    return found

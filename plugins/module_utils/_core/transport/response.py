# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Responses of servers, the same over every kind of connection."""

from __future__ import annotations

import http.client
from typing import Callable, Sequence, overload


class Headers:
    """The headers of a response, by names in any case. Those of a repeated header are one, with commas between."""

    def __init__(self, find: Callable[[str], Sequence[str] | None]) -> None:
        self._find = find

    def values(self, name: str) -> list[str]:
        """The values of all headers of this name, in order."""
        return list(self._find(name) or ())

    @overload
    def get(self, name: str) -> str | None:
        """The value of a header, or None."""

    @overload
    def get(self, name: str, default: str) -> str:
        """The value of a header, or the default."""

    def get(self, name: str, default: str | None = None) -> str | None:
        values = self.values(name)
        return ", ".join(values) if values else default


class Response:
    """The response to one request, without its body, which is read with ``Transport.blocks`` or ``Transport.read``."""

    def __init__(
        self,
        status_code: int,
        reason: str,
        headers: Headers,
        read: Callable[[int], bytes],
        close: Callable[[], None],
    ) -> None:
        self.status_code = status_code
        self.reason = reason
        self.headers = headers
        self.read_some = read
        """Reads at most so many bytes of the body; no bytes are its end."""
        self.close = close
        """Ends the use of the response. Unless its body was read to the end, the connection is closed, too."""


class StrictResponse(http.client.HTTPResponse):
    """A response whose chunks have sizes. Python would read all that comes for a chunk of -1 bytes."""

    def _read_next_chunk_size(self) -> int:
        size: int = super()._read_next_chunk_size()  # type: ignore[misc]
        if size < 0:
            # http.client takes a size that is not a number for the end of a broken body.
            raise ValueError(f"a chunk of {size} bytes")
        return size

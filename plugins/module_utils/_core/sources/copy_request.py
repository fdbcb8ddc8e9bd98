# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task asks of a source that is another server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import ConnectionFailed

if TYPE_CHECKING:
    from ..store_view import StoreView


@dataclass(frozen=True)
class CopyRequest:
    """The image that is to be copied.

    ``name`` is an alias or fingerprint there; ``type`` None is whichever it stands for. With ``latest`` the source is
    asked on every run, else only where the store cannot tell. ``mode`` is a route or ``auto``. With ``auto_update``
    the target has to know the origin afterwards. ``alias`` is the first that the image is to have here, or None.
    """

    name: str
    type: str | None = None
    latest: bool = False
    copy_aliases: bool = False
    mode: str = "auto"
    retries: int = 3
    auto_update: bool = False
    alias: str | None = None

    @property
    def always_ask(self) -> bool:
        """Whether the source has to be asked in any case, whatever the store holds."""
        return self.latest or self.copy_aliases


def with_fingerprint_hint(
    error: ConnectionFailed, request: CopyRequest, view: StoreView
) -> ConnectionFailed:
    """The error for a source that cannot be reached, with a hint how to run without it."""
    present = view.by_alias(request.alias) if request.alias else None
    if request.always_ask:
        return error
    fingerprint = present.fingerprint if present else "<fingerprint>"
    return ConnectionFailed(
        error.message,
        f"{error.hint} With image={fingerprint} the source is contacted only if the store lacks that image.".strip(),
    )

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading and packing image files: formats, fingerprints, ``metadata.yaml``. Also used on the controller.

Formats are those of LXD's documentation (``doc/reference/image_format.md``) and of ``shared/archive.go``.
"""

from __future__ import annotations

from typing import Protocol


class ArchiveError(Exception):
    """The archive is damaged or not an archive. The text is the reason."""


class Readable(Protocol):
    """A stream of bytes: ``read`` returns up to ``size`` of them, and none at the end."""

    def read(self, size: int) -> bytes:
        """Read on."""

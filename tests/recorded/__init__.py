# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What real servers have answered to ``GET /1.0``, without what is about their hosts.

LXD 5.0.2, Incus 6.0.4 and Incus 7.0.2 are servers of the lab; LXD 5.21.7 and 6.9 were recorded once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent

SERVERS = ("lxd-5.0.2", "lxd-5.21.7", "lxd-6.9", "incus-6.0.4", "incus-7.0.2")


def server_info(name: str) -> dict[str, Any]:
    """The ``metadata`` of the answer of one of ``SERVERS`` to a client that may do everything."""
    info: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return info

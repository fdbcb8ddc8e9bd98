# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""stub until merged."""

from __future__ import annotations

from .record import Catalog


def page(catalog: Catalog, base_url: str) -> str:
    return "page " + catalog.text() + base_url + "</html>"

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sizes as people read them."""

from __future__ import annotations


def readable_size(size: int) -> str:
    """A number of bytes in the units of ``lxc image list``, which are not those of Ansible's formatter."""
    if size < 1000:
        return f"{size} B"
    number, units = size / 1024, ["KiB", "MiB", "GiB", "TiB"]
    while number >= 1000 and len(units) > 1:
        number /= 1024
        del units[0]
    digits = 0 if number >= 100 else 1 if number >= 10 else 2
    return f"{number:.{digits}f} {units[0]}"

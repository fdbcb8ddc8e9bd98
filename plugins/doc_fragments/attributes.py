# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all modules can and cannot do. Ansible finds fragments on attributes in this one file only."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Can run in check mode and say what would change, without a writing request to any server.
  diff_mode:
    support: full
    description: Says in diff mode what has changed, or in check mode would.
  idempotent:
    support: full
    description: Run again with the same options while nothing else changes, it changes nothing.
  async:
    support: full
    description: Can run with C(async).
  platform:
    platforms: posix
    support: full
    description: Target systems on which it can run. It needs no LXD there, only a way to a server.
"""

    ACTION_GROUP = r"""
options: {}
attributes:
  action_group:
    description: Options can be set for all modules of the group at once, in C(module_defaults).
    support: full
    membership:
      - imagestore.lxd.lxd
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Never changes anything.
  diff_mode:
    support: N/A
    description: Says in diff mode what has changed, or in check mode would.
  idempotent:
    support: full
    description: Never changes anything.
  async:
    support: full
    description: Can run with C(async).
  platform:
    platforms: posix
    support: full
    description: Target systems on which it can run. It needs no LXD there, only a way to a server.
"""

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Attributes of the modules. Ansible looks for attribute fragments in a file of this name only."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Can run in check mode and report what would change, without sending a writing request to any server.
  diff_mode:
    support: full
    description: Returns in diff mode what has changed, or in check mode would change.
  idempotent:
    support: full
    description: Running the task again makes no changes.
  async:
    support: full
    description: Can be run with C(async).
  platform:
    platforms: posix
    support: full
    description: Platforms of the managed host. LXD or Incus need not be installed there, if a server can be reached.
"""

    ACTION_GROUP = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/imagestore.lxd.lxd) in C(module_defaults) to set options for all modules of the group.
    support: full
    membership:
      - imagestore.lxd.lxd
"""

    ACTION_GROUP_SOURCE = r"""
options: {}
attributes:
  action_group:
    description: Options can be set for all modules of the group at once, in C(module_defaults).
    support: full
    membership:
      - imagestore.lxd.lxd
      - imagestore.lxd.source
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: This module makes no changes.
  diff_mode:
    support: N/A
    description: Returns in diff mode what has changed, or in check mode would change.
  idempotent:
    support: full
    description: This module makes no changes.
  async:
    support: full
    description: Can be run with C(async).
  platform:
    platforms: posix
    support: full
    description: Platforms of the managed host. LXD or Incus need not be installed there, if a server can be reached.
"""

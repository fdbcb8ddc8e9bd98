# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's part of ``lxd_image_mirror``, which shows the progress of transfers."""

from __future__ import annotations

from ansible_collections.imagestore.lxd.plugins.plugin_utils.module_action import ModuleAction


class ActionModule(ModuleAction):
    """Runs the module."""

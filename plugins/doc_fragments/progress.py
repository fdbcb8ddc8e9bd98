# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What modules have in common that show the progress of their transfers. See ``plugin_utils/progress.py``."""

from __future__ import annotations


class ModuleDocFragment:
    """The progress of transfers."""

    DOCUMENTATION = r"""
options: {}
notes:
  - A transfer that takes longer than five seconds shows its progress on the terminal of the controller, about every
    five seconds. Nothing is shown if the standard output of the command is not a terminal, for tasks with C(async) or
    C(no_log), and if E(IMAGESTORE_PROGRESS) is V(false) in the environment of the command. V(true) shows the progress
    without a terminal, too.
"""

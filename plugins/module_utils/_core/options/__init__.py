# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of each module: its argument specification, and the frozen dataclass that they become.

One file for each module, or for options that several share (the twin of a documentation fragment). A specification
is a function that returns the keyword arguments of ``AnsibleModule``; ``from_params`` of the dataclass makes every
check that needs no connection, and raises OptionError. Nothing below this layer sees a dict of parameters.
"""

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options for the aliases and attributes of an image. Declared in ``_core/options/image.py``."""

from __future__ import annotations


class ModuleDocFragment:
    """Aliases and attributes."""

    DOCUMENTATION = r"""
options:
  aliases:
    description:
      - Aliases that point to the image. Other aliases are kept, unless O(purge_aliases=true).
      - A single empty string means an empty list, for use on the command line.
    type: list
    elements: str
    aliases: [alias]
  purge_aliases:
    description:
      - Whether to remove all aliases of the image that are not in O(aliases).
    type: bool
    default: false
  alias_conflict:
    description:
      - What to do if one of O(aliases) points to another image.
      - V(move) moves the alias in a single request, so that it exists at any time.
      - V(fail) fails before anything is transferred.
      - The task always fails if the alias would move between a container image and a virtual machine image.
    type: str
    choices: [move, fail]
    default: move
  delete_replaced:
    description:
      - Whether to delete an image that loses its last alias to this task, after the new image has been added. Requires
        O(aliases).
    type: bool
    default: false
  properties:
    description:
      - Properties to set. Other properties are kept, unless O(purge_properties=true). An empty value removes the
        property.
      - Booleans become V(true) or V(false). Quote numbers with a decimal point, since YAML reads V(3.20) as V(3.2).
        They are an error without quotes.
    type: dict
  purge_properties:
    description:
      - Whether to remove all properties of the image that are not in O(properties).
    type: bool
    default: false
  public:
    description:
      - Whether clients that the server does not trust can see and copy the image.
    type: bool
  profiles:
    description:
      - The profiles that a new instance gets by default. They replace the existing ones; V([]) means none.
    type: list
    elements: str
  expires_at:
    description:
      - The expiry date of the image in ISO 8601, or V(never). A date without a time means midnight UTC.
      - The date is informational. Servers store and show it, but do not delete an image that has expired.
    type: str
"""

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wanted of an image; the twin of ``image()`` in ``_core/options.py``."""

from __future__ import annotations


class ModuleDocFragment:
    """Aliases and attributes."""

    DOCUMENTATION = r"""
options:
  aliases:
    description:
      - Aliases that are to exist and point to the image. Others stay, unless O(purge_aliases=true).
      - A lone empty string is the empty list, for ad-hoc commands.
    type: list
    elements: str
    aliases: [alias]
  purge_aliases:
    description:
      - Whether the image is to lose all aliases but those in O(aliases).
    type: bool
    default: false
  alias_conflict:
    description:
      - What to do about one of O(aliases) that points to another image.
      - V(move) points it here, in one step, so that no one finds it missing in between.
      - V(fail) fails before anything is transferred.
      - An alias is never moved between the image of a container and that of a virtual machine. That is an error.
    type: str
    choices: [move, fail]
    default: move
  delete_replaced:
    description:
      - Whether to delete an image that loses its last alias to this task, once the new image is in place.
        Needs O(aliases).
    type: bool
    default: false
  properties:
    description:
      - Properties to set on the image. Others stay, unless O(purge_properties=true). An empty value removes the
        property.
      - Booleans become V(true) or V(false). Numbers other than whole ones are an error, since YAML takes V(3.20) for
        V(3.2). Quote them.
    type: dict
  purge_properties:
    description:
      - Whether the image is to lose all properties but those in O(properties).
    type: bool
    default: false
  public:
    description:
      - Whether clients that the server does not trust can see and copy the image.
    type: bool
  profiles:
    description:
      - The profiles that an instance made of this image gets by default. Just these, V([]) for none.
    type: list
    elements: str
  expires_at:
    description:
      - When the image expires, in ISO 8601 (a date alone is midnight UTC), or V(never).
      - LXD only deletes images by this date that it fetched itself. To all others it is a note.
    type: str
"""

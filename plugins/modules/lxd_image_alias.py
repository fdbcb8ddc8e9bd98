# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxd_image_alias
short_description: Manage an image alias of LXD or Incus
version_added: 1.0.0
description:
  - Creates, moves, describes, renames or deletes one alias.
  - An alias is moved in a single request, so that it exists at any time.
author:
  - imagestore.lxd contributors (@imagestore)
extends_documentation_fragment:
  - imagestore.lxd.attributes
  - imagestore.lxd.attributes.action_group
  - imagestore.lxd.connection
options:
  name:
    description:
      - The name of the alias.
    type: str
    required: true
  target:
    description:
      - The image that the alias points to, given by another alias or by its fingerprint. The first twelve digits of
        the fingerprint are enough.
      - Required to create an alias. If omitted, an existing alias keeps its target.
      - Unlike the other modules, this one also moves an alias from a container image to a virtual machine image or
        back.
    type: str
  description:
    description:
      - The description of the alias. If omitted, an existing description is unchanged.
    type: str
  new_name:
    description:
      - A new name for the alias. If O(name) does not exist and O(new_name) does, the alias counts as renamed.
      - The task fails if O(new_name) exists and points to another image. If it points to the same image, it keeps its
        description, and O(name) is deleted.
    type: str
  state:
    description:
      - Whether the alias exists. The image itself is kept in either case.
    type: str
    choices: [present, absent]
    default: present
notes:
  - O(state=present) fails for an image that the server merely caches because an instance was created from it. The
    server deletes such images, with their aliases, when they have not been used for some days. Copy or import the
    image to keep it.
seealso:
  - module: imagestore.lxd.lxd_image
"""

EXAMPLES = r"""
- name: Create an alias, or move it to the image of another alias
  imagestore.lxd.lxd_image_alias:
    name: production
    target: busybox

- name: Describe an alias
  imagestore.lxd.lxd_image_alias:
    name: production
    description: Base image of the web servers

- name: Rename an alias
  imagestore.lxd.lxd_image_alias:
    name: production
    new_name: previous

- name: Delete an alias and keep the image
  imagestore.lxd.lxd_image_alias:
    name: testing
    state: absent
"""

RETURN = r"""
alias:
  description:
    - The alias as the server describes it, or null if it does not exist.
    - In check mode, the alias before the change.
  returned: success
  type: dict
  contains:
    name:
      description: The name of the alias.
      type: str
      sample: production
    description:
      description: The description of the alias.
      type: str
      sample: Base image of the web servers
    target:
      description: The fingerprint of the image that the alias points to.
      type: str
      sample: 3514a500ba85d17e5a1ad2a5a23c3e4a6fb4a3ae5e2f8c7d9b0a1c2d3e4f5061
    type:
      description: The type of that image, V(container) or V(virtual-machine).
      type: str
      sample: container
actions:
  description:
    - What was done, or in check mode would be done, in order.
    - Possible values are V(trust this client), and V(add alias), V(move alias), V(set description of alias),
      V(rename alias) or V(remove alias) followed by a name.
  returned: always
  type: list
  elements: str
  sample: [move alias production]
"""

from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.image_alias import (
    AliasOptions,
    image_alias,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task import run
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task.module import ImageModule
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task.work import manage_alias


def main() -> None:
    """Run the module."""
    run(ImageModule(**image_alias()), AliasOptions.from_params, manage_alias)


if __name__ == "__main__":
    main()

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxd_image_alias
short_description: Keep an alias of an image of LXD or Incus
version_added: 0.1.0
description:
  - Makes, moves, describes, renames or removes one alias.
  - An alias moves in one step. No one finds it missing in between.
author:
  - imagestore.lxd contributors (@imagestore)
extends_documentation_fragment:
  - imagestore.lxd.attributes
  - imagestore.lxd.attributes.action_group
  - imagestore.lxd.connection
options:
  name:
    description:
      - The alias.
    type: str
    required: true
  target:
    description:
      - The image that it points to, by another alias, or by its fingerprint, of which twelve digits will do.
      - An alias that does not exist needs one. Otherwise it stays where it is.
      - This module moves an alias from the image of a container to that of a virtual machine, too, which others
        refuse.
    type: str
  description:
    description:
      - What the alias is for. Without it, it stays as it is.
    type: str
  new_name:
    description:
      - Another name for the alias. If it has that name already, and O(name) is no alias any more, it is renamed.
      - An alias of that name that points to another image is an error. If it points to the same image, it keeps its
        description, and O(name) is removed.
    type: str
  state:
    description:
      - Whether there is to be such an alias. The image stays in either case.
    type: str
    choices: [present, absent]
    default: present
notes:
  - An image that the server merely caches, because an instance was made of it, is an error for O(state=present). The
    server removes it by itself some day, and its aliases with it. Copy or import it, and it stays.
seealso:
  - module: imagestore.lxd.lxd_image
"""

EXAMPLES = r"""
- name: Point an alias to the image of another
  imagestore.lxd.lxd_image_alias:
    name: production
    target: busybox
    description: What the web servers are made of

- name: Keep the old image under another alias
  imagestore.lxd.lxd_image_alias:
    name: production
    new_name: previous

- name: Remove an alias, and keep the image
  imagestore.lxd.lxd_image_alias:
    name: testing
    state: absent
"""

RETURN = r"""
alias:
  description:
    - The alias as the server describes it, or null if there is none.
    - In check mode the alias as it is now.
  returned: success
  type: dict
  sample:
    name: production
    description: What the web servers are made of
    target: 3514a500ba85d17e5a1ad2a5a23c3e4a6fb4a3ae5e2f8c7d9b0a1c2d3e4f5061
    type: container
actions:
  description:
    - What was done, or in check mode would be, in order.
    - These are V(trust this client), and V(add alias), V(move alias), V(set description of alias), V(rename alias) or
      V(remove alias) followed by what.
  returned: always
  type: list
  elements: str
  sample: [move alias production]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.imagestore.lxd.plugins.module_utils._core import options
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task import Task, run


def keep(task: Task) -> dict[str, Any]:
    """Make the alias what is asked."""
    return task.ensure_alias()


def main() -> None:
    """Run the module."""
    module = AnsibleModule(**options.image_alias())
    verb = "remove" if module.params["state"] == "absent" else "keep"
    run(module, f"{verb} the alias {module.params['name']}", keep)


if __name__ == "__main__":
    main()

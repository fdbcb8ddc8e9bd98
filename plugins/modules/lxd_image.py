# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxd_image
short_description: Keep or remove an image of LXD or Incus
version_added: 0.1.0
description:
  - Gives an image that is in the store already the aliases and attributes that the task names, or removes it.
  - What the task does not name stays as it is.
author:
  - imagestore.lxd contributors (@imagestore)
extends_documentation_fragment:
  - imagestore.lxd.attributes
  - imagestore.lxd.attributes.action_group
  - imagestore.lxd.connection
  - imagestore.lxd.image
options:
  name:
    description:
      - The image by one of its aliases, or by its fingerprint, of which twelve digits will do.
    type: str
    required: true
  state:
    description:
      - With V(present) it is an error if there is no such image. Get one with M(imagestore.lxd.lxd_image_copy) or
        M(imagestore.lxd.lxd_image_import).
      - With V(absent) the image is removed, and all its aliases with it. Instances that were made of it stay.
    type: str
    choices: [present, absent]
    default: present
  auto_update:
    description:
      - Whether the server replaces the image by itself when its source has a newer one under its alias.
      - V(true) works only for an image that the server pulled by an alias, from a public source. Elsewhere it is an
        error.
    type: bool
notes:
  - An image that the server merely caches, because an instance was made of it, is an error for O(state=present). The
    server removes it by itself some day. Copy or import it, and it stays.
seealso:
  - module: imagestore.lxd.lxd_image_alias
  - module: imagestore.lxd.lxd_image_copy
  - module: imagestore.lxd.lxd_image_import
"""

EXAMPLES = r"""
- name: Say when an image expires, and let everybody see it
  imagestore.lxd.lxd_image:
    name: busybox
    expires_at: 2030-12-31
    public: true

- name: Leave an image with just these aliases and properties
  imagestore.lxd.lxd_image:
    name: busybox
    aliases:
      - busybox
      - default
    purge_aliases: true
    properties:
      os: busybox
      release: "1.35"
    purge_properties: true

- name: Remove an image
  imagestore.lxd.lxd_image:
    name: busybox-old
    state: absent
"""

RETURN = r"""
fingerprint:
  description: The fingerprint of the image.
  returned: success
  type: str
  sample: 3514a500ba85d17e5a1ad2a5a23c3e4a6fb4a3ae5e2f8c7d9b0a1c2d3e4f5061
image:
  description:
    - The image as the server describes it, see U(https://documentation.ubuntu.com/lxd/latest/api/#/images/image_get).
    - In check mode the image as it is now. For O(state=absent) the image as it was, or null.
  returned: success
  type: dict
  sample:
    fingerprint: 3514a500ba85d17e5a1ad2a5a23c3e4a6fb4a3ae5e2f8c7d9b0a1c2d3e4f5061
    type: container
    architecture: x86_64
    size: 1031037
    aliases: [{name: busybox, description: ""}]
    properties: {os: busybox}
    public: false
    profiles: [default]
actions:
  description:
    - What was done, or in check mode would be, in order.
    - These are V(trust this client), and V(set), V(add alias), V(move alias), V(remove alias) or V(delete image)
      followed by what.
  returned: always
  type: list
  elements: str
  sample: [set public, add alias busybox]
transferred:
  description: Always 0. (Other modules return here how many bytes of image data they sent.)
  returned: always
  type: int
  sample: 0
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.imagestore.lxd.plugins.module_utils._core import options
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task import Task, run


def keep(task: Task) -> dict[str, Any]:
    """Give the image what is asked of it, or have it gone."""
    return task.ensure_image_state()


def main() -> None:
    """Run the module."""
    module = AnsibleModule(**options.image_attributes())
    verb = "remove" if module.params["state"] == "absent" else "keep"
    run(module, f"{verb} the image {module.params['name']}", keep)


if __name__ == "__main__":
    main()

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxd_image_info
short_description: Tell which images LXD or Incus has
version_added: 0.1.0
description:
  - Lists the images of a store, or those of them that fit.
  - With a source it lists instead what that offers. An image server (simplestreams) is asked directly, with no LXD
    involved.
author:
  - imagestore.lxd contributors (@imagestore)
extends_documentation_fragment:
  - imagestore.lxd.attributes.info
  - imagestore.lxd.attributes.action_group
  - imagestore.lxd.connection
  - imagestore.lxd.source
options:
  name:
    description:
      - Only the image with this alias or fingerprint. Twelve or more digits of a fingerprint will do.
    type: str
  properties:
    description:
      - Only images that have all these properties with just these values.
    type: dict
  image_type:
    description:
      - Only the images of containers, or of virtual machines.
    type: str
    choices: [container, virtual-machine]
  architecture:
    description:
      - Only images of this architecture, by any name that LXD knows for it. V(amd64) is V(x86_64).
    type: str
  all_projects:
    description:
      - List the images of all projects that this client may see, instead of one.
    type: bool
    default: false
seealso:
  - module: imagestore.lxd.lxd_image_copy
  - module: imagestore.lxd.lxd_image_import
"""

EXAMPLES = r"""
- name: See all images
  imagestore.lxd.lxd_image_info:
  register: store

- name: See whether there is an image of busybox for this architecture
  imagestore.lxd.lxd_image_info:
    name: busybox
    architecture: "{{ ansible_facts['architecture'] }}"
  register: busybox

- name: See all virtual machine images of all projects
  imagestore.lxd.lxd_image_info:
    image_type: virtual-machine
    all_projects: true
  register: disks

- name: See what the public image server has of Alpine for containers
  imagestore.lxd.lxd_image_info:
    source_remote: images
    image_type: container
    properties:
      os: Alpine
  register: alpines
"""

RETURN = r"""
images:
  description:
    - The images, each as the server describes it, see
      U(https://documentation.ubuntu.com/lxd/latest/api/#/images/image_get). With O(all_projects=true) each has a
      C(project) as well.
    - Those of a store come in the order of their fingerprints, which is the same each time.
    - An empty list if there are none, with a warning if this client may not see them.
  returned: success
  type: list
  elements: dict
  sample:
    - fingerprint: 3514a500ba85d17e5a1ad2a5a23c3e4a6fb4a3ae5e2f8c7d9b0a1c2d3e4f5061
      type: container
      architecture: x86_64
      size: 1031037
      aliases: [{name: busybox, description: ""}]
      properties: {os: busybox}
      public: false
      profiles: [default]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.imagestore.lxd.plugins.module_utils._core import options
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task import Task, run


def look(task: Task) -> dict[str, Any]:
    """The images that fit the options."""
    from ansible_collections.imagestore.lxd.plugins.module_utils._core.images import ImageFilter

    fits = ImageFilter.parse(task.params).matches
    return {"images": [dict(image.raw) for image in task.images() if fits(image)]}


def main() -> None:
    """Run the module."""
    run(AnsibleModule(**options.image_info()), "list the images", look, only_reads=True)


if __name__ == "__main__":
    main()

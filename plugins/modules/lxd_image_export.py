# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxd_image_export
short_description: Write an image of LXD or Incus to files
version_added: 0.1.0
description:
  - Has the file of an image (or the two files of a split image) in a directory of the managed host, under the names
    that C(lxc image export) gives them. M(imagestore.lxd.lxd_image_import) makes the same image of them again.
  - Files whose content is right already are not written again. Others are written under temporary names, and get
    their own when all of it has arrived and is known to be the image.
  - A task that was killed can leave hidden files behind whose names begin with C(.lxd_image_export-). The next task
    that writes to the directory removes them.
author:
  - imagestore.lxd contributors (@imagestore)
extends_documentation_fragment:
  - imagestore.lxd.attributes
  - imagestore.lxd.attributes.action_group
  - imagestore.lxd.connection
  - ansible.builtin.files
options:
  name:
    description:
      - The image by one of its aliases, or by its fingerprint, of which twelve digits will do.
    type: str
    required: true
  dest:
    description:
      - The directory for the files. It has to exist.
    type: path
    required: true
seealso:
  - module: imagestore.lxd.lxd_image_import
"""

EXAMPLES = r"""
- name: Write an image to files
  imagestore.lxd.lxd_image_export:
    name: busybox
    dest: /srv/backup
    mode: "0644"
  register: exported

- name: Make an image of them again, on another server
  imagestore.lxd.lxd_image_import:
    src: "{{ exported.files.src }}"
    remote_src: true
    remote: other
"""

RETURN = r"""
files:
  description:
    - The paths of the files, named as the options of M(imagestore.lxd.lxd_image_import) that take them. That is
      C(src) for a unified image, C(metadata) and C(rootfs) for a split one.
  returned: success
  type: dict
  sample:
    src: /srv/backup/3514a500ba85d17e5a1ad2a5a23c3e4a6fb4a3ae5e2f8c7d9b0a1c2d3e4f5061.tar.xz
fingerprint:
  description: The fingerprint of the image.
  returned: success
  type: str
  sample: 3514a500ba85d17e5a1ad2a5a23c3e4a6fb4a3ae5e2f8c7d9b0a1c2d3e4f5061
image:
  description:
    - The image as the server describes it, see U(https://documentation.ubuntu.com/lxd/latest/api/#/images/image_get).
  returned: success
  type: dict
  sample:
    fingerprint: 3514a500ba85d17e5a1ad2a5a23c3e4a6fb4a3ae5e2f8c7d9b0a1c2d3e4f5061
    type: container
    architecture: x86_64
    size: 1031037
actions:
  description: What was done, or in check mode would be. V(export), or nothing.
  returned: always
  type: list
  elements: str
  sample: [export]
transferred:
  description: How many bytes of image data were fetched.
  returned: always
  type: int
  sample: 1031037
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.imagestore.lxd.plugins.module_utils._core import options
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task import Task, run


def export(task: Task) -> dict[str, Any]:
    """Have the files of the image in the directory."""
    return task.export()


def main() -> None:
    """Run the module."""
    module = AnsibleModule(**options.image_export())
    run(module, f"export the image {module.params['name']} to {module.params['dest']}", export)


if __name__ == "__main__":
    main()

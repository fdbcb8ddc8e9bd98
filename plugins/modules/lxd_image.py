# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxd_image
short_description: Manage or delete an image of LXD or Incus
version_added: 1.0.0
description:
  - Sets aliases and attributes of an image that is already in the image store, or deletes the image.
  - Options that are omitted leave existing values unchanged.
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
      - An alias of the image, or its fingerprint. The first twelve digits of the fingerprint are enough.
    type: str
    aliases: [image]
    required: true
  state:
    description:
      - With V(present), the task fails if there is no such image. Use M(imagestore.lxd.lxd_image_copy) or
        M(imagestore.lxd.lxd_image_import) to add one.
      - With V(absent), the image is deleted together with all its aliases. Instances that were created from it are not
        affected.
    type: str
    choices: [present, absent]
    default: present
  auto_update:
    description:
      - Whether the server replaces the image when the alias it was pulled by points to a newer one at the source.
      - V(true) requires an image that the server pulled by alias from a public source. The task fails for any other
        image.
    type: bool
notes:
  - O(state=present) fails for an image that the server merely caches because an instance was created from it. The
    server deletes such images when they have not been used for some days. Copy or import the image to keep it.
seealso:
  - module: imagestore.lxd.lxd_image_alias
  - module: imagestore.lxd.lxd_image_copy
  - module: imagestore.lxd.lxd_image_import
"""

EXAMPLES = r"""
- name: Make an image public
  imagestore.lxd.lxd_image:
    name: busybox
    public: true

- name: Set an expiry date and a default profile
  imagestore.lxd.lxd_image:
    name: busybox
    expires_at: 2030-12-31
    profiles:
      - default

- name: Set the aliases and properties of an image and remove all others
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

- name: Delete an image
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
    - In check mode, the image before the change. With O(state=absent), the image before it was deleted, or null if
      there was none.
  returned: success
  type: dict
  contains:
    fingerprint:
      description: The SHA-256 that identifies the image.
      type: str
      sample: 3514a500ba85d17e5a1ad2a5a23c3e4a6fb4a3ae5e2f8c7d9b0a1c2d3e4f5061
    type:
      description: The kind of instances that can be created from it, V(container) or V(virtual-machine).
      type: str
      sample: container
    architecture:
      description: The architecture, by its kernel name.
      type: str
      sample: x86_64
    size:
      description: The size of its files in bytes.
      type: int
      sample: 1031037
    aliases:
      description: The aliases that point to the image.
      type: list
      elements: dict
      contains:
        name:
          description: The name of the alias.
          type: str
          sample: busybox
        description:
          description: The description of the alias. It can be empty.
          type: str
          sample: ""
    properties:
      description: The properties of the image. All values are strings.
      type: dict
      sample: {os: busybox, release: "1.35"}
    public:
      description: Whether clients that the server does not trust can see and copy the image.
      type: bool
      sample: false
    auto_update:
      description: Whether the server replaces the image when its source has a newer one.
      type: bool
      sample: false
    cached:
      description: Whether the server keeps the image only as a cache for new instances.
      type: bool
      sample: false
    profiles:
      description: The profiles that a new instance gets by default.
      type: list
      elements: str
      sample: [default]
    filename:
      description: The file name that the server has recorded. It can be empty.
      type: str
      sample: busybox.tar.xz
    created_at:
      description: When the image was built, in ISO 8601 as all dates here.
      type: str
      sample: "2026-11-24T07:30:00Z"
    uploaded_at:
      description: When the image was added to the store.
      type: str
      sample: "2026-11-24T08:00:00Z"
    last_used_at:
      description: When an instance was last created from the image. A year before 1971 means never.
      type: str
      sample: "1970-01-01T00:00:00Z"
    expires_at:
      description: When the image expires. A year before 1971 means never.
      type: str
      sample: "1970-01-01T00:00:00Z"
    update_source:
      description: Where the server pulled the image from.
      returned: if the server recorded it
      type: dict
      contains:
        server:
          description: The URL of the source. User name and password of a registry are masked.
          type: str
          sample: https://images.lxd.canonical.com
        protocol:
          description: The protocol of the source, V(lxd), V(simplestreams), V(incus) or V(oci).
          type: str
          sample: simplestreams
        alias:
          description: The alias or fingerprint at the source.
          type: str
          sample: alpine/3.23
        image_type:
          description: The kind of instances of the image, V(container) or V(virtual-machine). It can be empty.
          type: str
          sample: container
        certificate:
          description: The SHA-256 of the source's certificate instead of the certificate itself. It can be empty.
          type: str
          sample: ""
actions:
  description:
    - What was done, or in check mode would be done, in order.
    - Possible values are V(trust this client), and V(set), V(add alias), V(move alias), V(remove alias) or
      V(delete image) followed by a name.
  returned: always
  type: list
  elements: str
  sample: [set public, add alias busybox]
transferred:
  description: Always 0; this module transfers no image data.
  returned: always
  type: int
  sample: 0
would_transfer:
  description: Always 0; this module transfers no image data.
  returned: in check mode
  type: int
  sample: 0
diff:
  description:
    - The managed attributes before and after the task. C(aliases) contains the image that each alias points to.
    - C(images) in C(before) contains every image that is deleted, with its aliases and size.
  returned: in diff mode
  type: dict
  sample:
    before: {aliases: {busybox: 3514a500ba85}, public: false}
    after: {aliases: {busybox: 3514a500ba85}, public: true}
"""

from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.image_state import (
    ImageStateOptions,
    image_state,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task import run
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task.module import ImageModule
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task.work import manage_image


def main() -> None:
    """Run the module."""
    run(ImageModule(**image_state()), ImageStateOptions.from_params, manage_image)


if __name__ == "__main__":
    main()

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxd_image_publish
short_description: Publish an instance of LXD or Incus as an image
version_added: 1.0.0
description:
  - Makes an image of a stopped instance, of a snapshot, or with O(force=true) of a running instance, as
    C(lxc publish) does. The server makes it from the file system of the container or the disk of the virtual machine.
  - Running the task again makes no changes, until the instance has been started again, or the snapshot or the instance
    was replaced by a new one of the same name.
  - Options that are omitted leave existing values unchanged. A new image has the properties of the image that the
    instance was created from.
author:
  - imagestore.lxd contributors (@imagestore)
extends_documentation_fragment:
  - imagestore.lxd.attributes
  - imagestore.lxd.attributes.action_group
  - imagestore.lxd.connection
  - imagestore.lxd.image
  - imagestore.lxd.progress
options:
  instance:
    description:
      - The name of a container or virtual machine in O(project). The task fails if it is running, unless O(snapshot) or
        O(force) is set.
    type: str
    required: true
  snapshot:
    description:
      - The name of a snapshot of O(instance), to publish the snapshot. The instance may be running.
    type: str
  force:
    description:
      - Whether to stop a running instance while the image is made, and start it again.
      - It is stopped without a shutdown, as C(lxc publish --force) does. If its services need a shutdown, stop it in a
        task before.
      - The instance is started again in any case, also if the task fails or is killed.
      - Cannot be used with O(snapshot).
    type: bool
    default: false
  compression:
    description:
      - How the image is compressed. The default is the server's, which is usually C(gzip).
      - The server needs the program of that name.
      - An image that exists already is not made again for another compression.
    type: str
    choices: [none, gzip, xz, zstd]
  format:
    description:
      - Whether the image is a single file, or has its metadata in a separate file. The default is the server's, which
        is V(unified).
      - Requires Incus 6.13 or later. The task fails with other servers.
      - An image that exists already is not made again in another format.
    type: str
    choices: [unified, split]
notes:
  - What has been published is recorded in the property C(imagestore.instance) of the image, with the project and the
    name, the time when the instance was created, and the time of the snapshot or of the last start of the instance.
    O(properties) and O(purge_properties) do not affect this property.
  - After O(force=true), it has the time of the start by the task. A second run therefore does not stop the instance,
    whatever has changed in it since. To publish it again, restart it before.
  - Changes to a stopped instance, for example by restoring a snapshot or by C(lxc file push), are not noticed. Publish
    a snapshot in this case.
  - A server has the same content only once. If the store already has an image with the content of the instance, that
    image is the result, and records both.
  - Most servers cannot cancel the operation. After O(timeout), the server goes on and may store an image without
    aliases.
seealso:
  - module: imagestore.lxd.lxd_image_export
  - module: imagestore.lxd.lxd_image_copy
"""

EXAMPLES = r"""
- name: Publish a stopped container
  imagestore.lxd.lxd_image_publish:
    instance: template
    aliases:
      - web

- name: Publish a snapshot, and delete the image that it replaces
  imagestore.lxd.lxd_image_publish:
    instance: build1
    snapshot: release
    compression: zstd
    aliases:
      - web
    properties:
      os: busybox
      release: "1.35"
    expires_at: 2030-12-31
    delete_replaced: true

- name: Publish a running container, which is stopped meanwhile
  imagestore.lxd.lxd_image_publish:
    instance: build1
    force: true
    aliases:
      - web-next
"""

RETURN = r"""
fingerprint:
  description: The fingerprint of the image. Null in check mode if the image has yet to be made.
  returned: success
  type: str
  sample: 3514a500ba85d17e5a1ad2a5a23c3e4a6fb4a3ae5e2f8c7d9b0a1c2d3e4f5061
image:
  description:
    - The image as the server describes it, see U(https://documentation.ubuntu.com/lxd/latest/api/#/images/image_get).
    - In check mode, the image before the change, or null if there is none.
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
    - Possible values are V(publish), V(trust this client), and V(set), V(add alias), V(move alias), V(remove alias) or
      V(delete image) followed by a name.
  returned: always
  type: list
  elements: str
  sample: [publish, set public, add alias web]
transferred:
  description: Always 0; the server makes the image itself, and no image data is transferred.
  returned: always
  type: int
  sample: 0
would_transfer:
  description: Always 0; the server makes the image itself, and no image data is transferred.
  returned: in check mode
  type: int
  sample: 0
diff:
  description:
    - The managed attributes before and after the task. C(aliases) contains the image that each alias points to.
    - C(images) contains in C(before) every image that is deleted, with its aliases and size, and in C(after) the image
      that is made, with its size and route.
  returned: in diff mode
  type: dict
  sample:
    before: {aliases: {}}
    after: {aliases: {web: 3514a500ba85}, images: {3514a500ba85: {size: 1006.87 KB, route: publish}}}
"""

from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.image_publish import (
    PublishOptions,
    image_publish,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task import run
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task.module import ImageModule
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task.work import publish_image


def main() -> None:
    """Run the module."""
    run(ImageModule(**image_publish()), PublishOptions.from_params, publish_image)


if __name__ == "__main__":
    main()

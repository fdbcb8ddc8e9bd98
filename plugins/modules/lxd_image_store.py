# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxd_image_store
short_description: Manage the images of a whole LXD or Incus image store
version_added: 1.0.0
description:
  - Makes an image store hold all images of a list. Each entry of the list has the options of
    M(imagestore.lxd.lxd_image_copy), M(imagestore.lxd.lxd_image_import) or M(imagestore.lxd.lxd_image), and does what a
    task with that module would do.
  - The store is read once, whatever the number of entries, and several images are transferred at a time.
  - An entry that fails does not stop the others. The task fails at the end, reports which entries failed and why, and
    deletes nothing, neither images that are unlisted or to be absent nor those that an entry has replaced.
author:
  - imagestore.lxd contributors (@imagestore)
extends_documentation_fragment:
  - imagestore.lxd.attributes
  - imagestore.lxd.attributes.action_group
  - imagestore.lxd.connection
  - imagestore.lxd.progress
attributes:
  async:
    details:
      - Files of the controller are sent before the task goes to the background.
options:
  images:
    description:
      - The images. An empty list changes nothing; the task then only checks that the server answers and accepts the
        client.
      - An entry with O(ignore:image) is a copy, with the options of M(imagestore.lxd.lxd_image_copy). One with
        O(ignore:src), O(ignore:metadata), O(ignore:rootfs), O(ignore:url), O(ignore:metadata_url) or
        O(ignore:rootfs_url) is an import, with those of M(imagestore.lxd.lxd_image_import). One with O(ignore:name) is
        about an image of the store, with those of M(imagestore.lxd.lxd_image).
      - The options that connect to the managed server belong to the task and cannot be set in an entry.
      - Entries about the same image are merged. An entry whose O(ignore:name) is an alias of a copy or an import is
        about the image of that one. The task fails before it changes anything if entries contradict each
        other, for example if two of them set one alias to different images.
      - Results and messages identify an entry by its label, which is its first alias, else its O(ignore:image) or
        O(ignore:name), else the last part of its path or URL.
    type: list
    elements: dict
    required: true
  defaults:
    description:
      - Options for all entries that can have them and do not set them themselves; for example, O(ignore:remote_src) is
        used for files and not for URLs, and nothing for O(ignore:state=absent). A dictionary such as
        O(ignore:properties) is replaced, not merged.
      - It cannot contain options that choose an image or its aliases. O(ignore:state) can only be V(latest), which is
        used for copies.
    type: dict
  unlisted:
    description:
      - What happens to images without an entry. V(keep) keeps them, V(delete) deletes them after all entries have been
        processed. Images that the server only caches are never deleted.
      - V(delete) with an empty O(images) is an error.
    type: str
    choices: [keep, delete]
    default: keep
  protect:
    description:
      - Patterns of aliases, such as V(site-*). Unlisted images with a matching alias are kept.
    type: list
    elements: str
  retain:
    description:
      - How many images that an entry has replaced are kept without aliases, with O(unlisted=delete). The newest ones
        are kept, for each entry.
      - They are recognized by the property C(imagestore.entry), which the task sets on the images of its entries. An
        entry with O(ignore:delete_replaced) deletes the replaced image in any case.
    type: int
    default: 0
  parallel:
    description:
      - How many images are transferred at a time.
    type: int
    default: 4
seealso:
  - module: imagestore.lxd.lxd_image_copy
  - module: imagestore.lxd.lxd_image_import
  - module: imagestore.lxd.lxd_image
"""

EXAMPLES = r"""
- name: Manage two images of the store
  imagestore.lxd.lxd_image_store:
    images:
      - image: images:alpine/3.23
        aliases: [alpine]
      - src: busybox.tar.xz
        aliases: [busybox]

- name: Manage all images of the store and delete those that are not listed
  imagestore.lxd.lxd_image_store:
    defaults:
      state: latest
      delete_replaced: true
    images:
      - image: alpine/3.23
        source_remote: images
        aliases: [alpine]
      - src: /srv/images/busybox.tar.xz
        remote_src: true
        aliases: [busybox]
        properties:
          os: busybox
      - name: busybox-old
        state: absent
    unlisted: delete
    protect:
      - "site-*"
"""

RETURN = r"""
images:
  description: What happened to each entry, in the order of O(images).
  returned: success, and failure after the options were accepted
  type: list
  elements: dict
  contains:
    label:
      description: The label of the entry.
      type: str
      sample: alpine
    changed:
      description: Whether something was changed for the entry, or in check mode would be.
      type: bool
      sample: true
    fingerprint:
      description: The fingerprint of the image, if it is known.
      type: str
      sample: 3514a500ba85d17e5a1ad2a5a23c3e4a6fb4a3ae5e2f8c7d9b0a1c2d3e4f5061
    image:
      description: The image as the server describes it; in check mode as it is before the change, or null.
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
      description: What was done for the entry, or in check mode would be done, in order.
      type: list
      elements: str
      sample: [pull, add alias alpine]
    transferred:
      description: The bytes of image data that were transferred.
      type: int
      sample: 1031037
    would_transfer:
      description: The bytes of image data that would be transferred, or null if that is not known.
      returned: in check mode
      type: int
      sample: 1031037
    failed:
      description: Whether the entry failed.
      type: bool
      sample: false
    msg:
      description: Why the entry failed; otherwise empty.
      type: str
      sample: ""
deleted:
  description: The unlisted images that were deleted, or in check mode would be.
  returned: success, and failure after the options were accepted
  type: list
  elements: dict
  contains:
    fingerprint:
      description: The fingerprint of the image.
      type: str
      sample: 3514a500ba85d17e5a1ad2a5a23c3e4a6fb4a3ae5e2f8c7d9b0a1c2d3e4f5061
    aliases:
      description: The aliases that it had.
      type: list
      elements: str
      sample: [busybox-old]
    size:
      description: Its size in bytes.
      type: int
      sample: 1031037
actions:
  description: What was done for all entries, each with its label, and V(delete image) for unlisted images.
  returned: always
  type: list
  elements: str
  sample: ["alpine: pull", "alpine: add alias alpine"]
transferred:
  description: The bytes of image data that were transferred for all entries.
  returned: always
  type: int
  sample: 1031037
would_transfer:
  description: The bytes of image data that would be transferred for all entries, or null if that is not known.
  returned: in check mode
  type: int
  sample: 1031037
diff:
  description:
    - The aliases of all entries, the images that are transferred and deleted, and the other managed attributes by
      label.
  returned: in diff mode
  type: dict
  sample:
    before: {aliases: {}}
    after: {aliases: {alpine: 3514a500ba85}, images: {3514a500ba85: {size: 1006.87 KB, route: pull}}}
"""

from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.image_store import (
    StoreOptions,
    image_store,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task import run
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task.image_store import (
    manage_store,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task.module import ImageModule


def main() -> None:
    """Run the module."""
    run(ImageModule(**image_store()), StoreOptions.from_params, manage_store)


if __name__ == "__main__":
    main()

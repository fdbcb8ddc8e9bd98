# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxd_image_copy
short_description: Copy an image to LXD or Incus from another server
version_added: 1.0.0
description:
  - Copies an image into an image store, and sets its aliases and attributes.
  - The source is another LXD or Incus server, an image server (simplestreams), an OCI registry, or another project of
    the target server.
  - Options that are omitted leave existing values unchanged.
author:
  - imagestore.lxd contributors (@imagestore)
extends_documentation_fragment:
  - imagestore.lxd.attributes
  - imagestore.lxd.attributes.action_group_source # the first one decides
  - imagestore.lxd.attributes.action_group
  - imagestore.lxd.connection
  - imagestore.lxd.source
  - imagestore.lxd.image
  - imagestore.lxd.progress
options:
  image:
    description:
      - The alias of the image at the source, or its fingerprint. The first twelve digits of the fingerprint are
        enough.
      - With O(source_protocol=oci), the name of the image in the registry, with a tag or a digest, as in
        V(library/nginx:1.27) or V(library/nginx@sha256:DIGEST).
      - V(REMOTE:IMAGE) names the remote as well, as with C(lxc), if none of O(source_remote), O(source_server) and
        O(source_registry) is set. Otherwise a colon belongs to the name.
    type: str
    required: true
  image_type:
    description:
      - The image type to choose if an alias of the source stands for both a container and a virtual machine image. If
        omitted, the container image is copied.
      - The task fails if the image has another type.
    type: str
    choices: [container, virtual-machine]
  architecture:
    description:
      - The architecture of the image, if the source is an image server (simplestreams). Any name known to LXD is
        accepted; V(amd64) is the same as V(x86_64).
      - Defaults to the architecture of the target server.
    type: str
  mode:
    description:
      - How the image is transferred. With V(pull), the target server downloads it. With V(push), the source server
        sends it. With V(relay), this task streams it through the host it runs on, without storing it there.
      - V(auto) relays if a pull is known not to work, because the source is used through a Unix socket or does not
        listen on the network, because the target server downloads only from its image registries, or because the target
        is Incus and an image server has the image for LXD only, as that of Ubuntu. It also relays
        for O(state=latest) if an image server has changed within the last hour, since the target server may not see
        the change yet. Otherwise V(auto) pulls.
      - The mode is chosen before the transfer. If the transfer fails, no other mode is tried.
    type: str
    choices: [auto, pull, push, relay]
    default: auto
  retries:
    description:
      - How often V(relay) retries an interrupted transfer. It resumes where the transfer was interrupted if the source
        supports that, and starts again otherwise.
    type: int
    default: 3
  copy_aliases:
    description:
      - Whether to add the aliases that the image has at the source. The source is then contacted on every run.
    type: bool
    default: false
  auto_update:
    description:
      - Whether the server replaces the image when the alias points to a newer one at the source.
      - V(true) requires that the server pulls the image by alias from a public source and from its project
        V(default). The task fails in any other case.
    type: bool
  state:
    description:
      - V(present) accepts any image that was copied from this alias of the source before. The source is contacted only
        if the store alone does not tell.
      - V(latest) contacts the source on every run and copies the image that the alias points to now.
      - With O(source_protocol=oci), V(latest) replaces the image when the tag has moved. All aliases of the old image
        are moved to the new one and the old image is deleted, whatever O(alias_conflict) and O(delete_replaced) are.
    type: str
    choices: [present, latest]
    default: present
notes:
  - A server records from where it pulled a public image, and by which alias. It records nothing for private images,
    push and relay, and never a project. For such images, the source is contacted on every run. If O(image) is a full
    fingerprint, it is contacted only while the store lacks the image.
  - A server caches the index of an image server for an hour. If O(state=latest) finds a newer image than the server
    sees with O(mode=pull), the task fails and says so.
  - Images of a registry (O(source_protocol=oci)) are for containers, and are always pulled by the target server, which
    is Incus 6.3 or later with C(skopeo) installed. The registry is asked by this task what a name stands for, unless
    the store has an image that was pulled by this name. If the task cannot reach the registry, only the server asks
    it. Check mode then cannot tell whether the image would be pulled, and says that it would.
  - Incus identifies an image of a registry by its layers. An image that differs in its configuration alone, as in its
    command, is the same image for Incus.
seealso:
  - module: imagestore.lxd.lxd_image_import
  - module: imagestore.lxd.lxd_image_info
"""

EXAMPLES = r"""
- name: Copy an image from the public image server
  imagestore.lxd.lxd_image_copy:
    image: alpine/3.23
    source_remote: images

- name: Copy a virtual machine image and let the server keep it up to date
  imagestore.lxd.lxd_image_copy:
    image: debian/12
    image_type: virtual-machine
    source_remote: images
    aliases:
      - debian-vm
    auto_update: true

- name: Copy the image that the alias web of the build server points to now
  imagestore.lxd.lxd_image_copy:
    image: web
    state: latest
    source_server: https://build.example.com:8443
    source_cert: /etc/lxd/build.crt
    aliases:
      - web
    delete_replaced: true

- name: Copy a private image through this host, if the two servers cannot connect to each other
  imagestore.lxd.lxd_image_copy:
    image: web
    mode: relay
    source_server: https://build.example.com:8443
    source_cert: /etc/lxd/build.crt
    source_client_cert: /etc/lxd/client.crt
    source_client_key: /etc/lxd/client.key
    aliases:
      - web

- name: Copy an image from one project to another
  imagestore.lxd.lxd_image_copy:
    image: web
    source_project: build
    project: site
    aliases:
      - web
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
    - Possible values are V(pull), V(push), V(relay), V(replace cached image), V(trust this client), and V(set),
      V(add alias), V(move alias), V(remove alias) or V(delete image) followed by a name.
  returned: always
  type: list
  elements: str
  sample: [pull, set public, add alias busybox]
transferred:
  description: The bytes of image data that this task sent or had a server download. 0 in check mode.
  returned: always
  type: int
  sample: 1031037
would_transfer:
  description: The bytes of image data that the task would transfer, or null if that is not known.
  returned: in check mode
  type: int
  sample: 1031037
diff:
  description:
    - The managed attributes before and after the task. C(aliases) contains the image that each alias points to.
    - C(images) contains in C(before) every image that is deleted, with its aliases and size, and in C(after) the image
      that is transferred, with its size and route.
  returned: in diff mode
  type: dict
  sample:
    before: {aliases: {}}
    after: {aliases: {busybox: 3514a500ba85}, images: {3514a500ba85: {size: 1006.87 KB, route: pull}}}
"""

from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.image_copy import (
    CopyOptions,
    image_copy,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task import run
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task.module import ImageModule
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task.work import copy_image


def main() -> None:
    """Run the module."""
    run(ImageModule(**image_copy()), CopyOptions.from_params, copy_image)


if __name__ == "__main__":
    main()

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxd_image_info
short_description: List images of LXD or Incus
version_added: 1.0.0
description:
  - Lists the images of an image store, all of them or those that match.
  - With a O(source_remote), O(source_server), O(source_registry) or O(source_project), the images of that source are
    listed instead. An image server (simplestreams) is queried directly; no LXD is needed for that. The images of an
    OCI registry cannot be listed.
author:
  - imagestore.lxd contributors (@imagestore)
extends_documentation_fragment:
  - imagestore.lxd.attributes.info
  - imagestore.lxd.attributes.action_group_source # the first one decides
  - imagestore.lxd.attributes.action_group
  - imagestore.lxd.connection
  - imagestore.lxd.source
options:
  name:
    description:
      - List only the image with this alias or fingerprint. The first twelve digits of the fingerprint are enough.
    type: str
    aliases: [image]
  properties:
    description:
      - List only images that have all of these properties with these values.
    type: dict
  image_type:
    description:
      - List only container images or only virtual machine images.
    type: str
    choices: [container, virtual-machine]
  architecture:
    description:
      - List only images of this architecture. Any name known to LXD is accepted; V(amd64) is the same as V(x86_64).
    type: str
  all_projects:
    description:
      - List the images of all projects that the client has access to.
    type: bool
    default: false
seealso:
  - module: imagestore.lxd.lxd_image_copy
  - module: imagestore.lxd.lxd_image_import
"""

EXAMPLES = r"""
- name: Look up an image by its alias
  imagestore.lxd.lxd_image_info:
    name: busybox
  register: busybox

- name: Show its fingerprint
  ansible.builtin.debug:
    msg: "{{ busybox.images[0].fingerprint }}"

- name: List all images
  imagestore.lxd.lxd_image_info:
  register: store

- name: Show the aliases that exist
  ansible.builtin.debug:
    msg: "{{ store.images | map(attribute='aliases') | flatten | map(attribute='name') }}"

- name: List the virtual machine images of all projects
  imagestore.lxd.lxd_image_info:
    image_type: virtual-machine
    all_projects: true
  register: machines

- name: Show how much space they take
  ansible.builtin.debug:
    msg: "{{ machines.images | sum(attribute='size') | ansible.builtin.human_readable }}"

- name: List the Alpine container images of the public image server
  imagestore.lxd.lxd_image_info:
    source_remote: images
    image_type: container
    architecture: "{{ ansible_facts['architecture'] }}"
    properties:
      os: Alpine
  register: alpine

- name: Show which releases there are
  ansible.builtin.debug:
    msg: "{{ alpine.images | map(attribute='properties.release') | unique | sort }}"
"""

RETURN = r"""
images:
  description:
    - The images as the server describes them, see
      U(https://documentation.ubuntu.com/lxd/latest/api/#/images/image_get).
    - The images of a store are sorted by fingerprint.
    - The list is empty if no image matches. A warning says so if the client has no permission to see private images.
  returned: success
  type: list
  elements: dict
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
    project:
      description: The project of the image.
      returned: with O(all_projects=true)
      type: str
      sample: default
"""

from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.image_info import (
    InfoOptions,
    image_info,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task import run
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task.module import ImageModule
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task.work import list_images


def main() -> None:
    """Run the module."""
    run(ImageModule(**image_info()), InfoOptions.from_params, list_images, only_reads=True)


if __name__ == "__main__":
    main()

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxd_image_catalog
short_description: Publish images of LXD and Incus on a web server
version_added: 0.1.0
description:
  - Turns image files into a static tree that any web server can serve. Clients find images in it by simplestreams
    (C(lxc remote add), M(imagestore.lxd.lxd_image_copy)), people by a page, and with O(header_map) LXD and Incus find
    unified images by a plain address (C(lxc image import https://…), M(imagestore.lxd.lxd_image_import)).
  - Whoever reads meanwhile finds the old catalogue with its files, or the new one with its files. A run that is killed
    leaves a tree that is right, and the next one completes it.
  - The role P(imagestore.lxd.image_server#role) uses it, and sets up nginx.
author:
  - imagestore.lxd contributors (@imagestore)
extends_documentation_fragment:
  - imagestore.lxd.attributes
requirements:
  - PyYAML, to read the images' metadata
  - C(unsquashfs) (package squashfs-tools, 4.5 or later) for metadata in a squashfs, C(zstd) for archives of that kind
attributes:
  async:
    details:
      - Files of the controller are read and sent first, in the foreground.
options:
  root:
    description:
      - The directory that the web server serves. It is made if it is missing.
      - Its folder C(.catalog) is for this module alone, and need not be served.
    type: path
    required: true
  base_url:
    description:
      - The address under which clients find O(root), as in V(https://images.example.com).
    type: str
    required: true
  header_map:
    description:
      - A file to write for nginx, outside O(root), which its C(http) block includes. From the name in
        C(/images/NAME) and the client's architectures it finds the values of C(LXD-Image-Hash) and C(LXD-Image-URL),
        and of the same headers of Incus. nginx has to be reloaded when it has changed.
    type: path
  images:
    description:
      - The images to publish, or to withdraw. What it does not name stays as it is, unless O(purge=true). An empty
        list changes nothing.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - What clients call it. Letters and digits of ASCII, and C(. _ + - /) between them.
          - One name can stand for images of several architectures, and for a container and a virtual machine.
        type: str
        required: true
      src:
        description:
          - The file of a unified image.
        type: path
      metadata:
        description:
          - The metadata file of a split image, together with O(images[].rootfs).
        type: path
      rootfs:
        description:
          - The root file system of a split image. A qcow2 disk makes it a virtual machine's.
        type: path
      version:
        description:
          - Which version it is, as V(YYYYMMDD) or V(YYYYMMDD_HHMM). Twelve digits are the latter, since YAML drops the
            underscore. If left out, it is the image's creation date.
          - A version that is published keeps its content. The same version with other content is an error.
          - With O(images[].state=absent) the version to withdraw. If left out, all of them.
        type: str
      architecture:
        description:
          - The architecture, by any name that LXD knows. If left out, it is read from the image, or with
            O(images[].state=absent) all are meant. If given, it has to be that of the image.
        type: str
      image_type:
        description:
          - The type of image. If left out, it is read from the image, or with O(images[].state=absent) both are meant.
            If given, it has to be that of the image.
        type: str
        choices: [container, virtual-machine]
      os:
        description:
          - The name of the operating system. If left out, it is the property of the image.
        type: str
      release:
        description:
          - Its release. If left out, it is the property of the image.
        type: str
      variant:
        description:
          - Its variant. If left out, it is the property of the image.
        type: str
      aliases:
        description:
          - Further names. One that another image has is an error. If left out, those that are published stay.
        type: list
        elements: str
      requirements:
        description:
          - What instances need, as in C(secureboot) V(false). If left out, what is published stays.
        type: dict
      state:
        description:
          - Whether to publish it or to withdraw it.
        type: str
        choices: [present, absent]
        default: present
  remote_src:
    description:
      - Whether the files are on the managed host.
      - Otherwise they are on the controller, sought where M(ansible.builtin.copy) seeks them. A file is sent only if
        the tree lacks it, and removed from where it was sent to.
    type: bool
    default: false
  keep:
    description:
      - How many versions of each name, type and architecture are kept. Older ones are withdrawn.
    type: int
    default: 2
  grace:
    description:
      - How many seconds the files of withdrawn versions stay. Servers cache an index for an hour.
    type: int
    default: 7200
  purge:
    description:
      - Whether to withdraw all names that O(images) does not have. With an empty list that is all of them.
    type: bool
    default: false
  verify:
    description:
      - Whether to read all published files, and look for any whose content is not what it was. It is replaced if the
        task has it; otherwise the task fails.
      - Without it only missing files and wrong sizes are found.
    type: bool
    default: false
seealso:
  - module: imagestore.lxd.lxd_image_copy
  - module: imagestore.lxd.lxd_image_import
  - name: Image server
    description: What simplestreams is to LXD.
    link: https://documentation.ubuntu.com/lxd/latest/reference/remote_image_servers/
"""

EXAMPLES = r"""
- name: Publish an image that a build has left on the web server
  imagestore.lxd.lxd_image_catalog:
    root: /srv/lxd-images
    base_url: https://images.example.com
    remote_src: true
    images:
      - name: web
        src: /srv/images/web.tar.xz
        aliases: [web/stable]

- name: Publish images that are on the controller, of several kinds
  imagestore.lxd.lxd_image_catalog:
    root: /srv/lxd-images
    base_url: https://images.example.com
    header_map: /srv/nginx/lxd-images.map
    images:
      - name: busybox
        src: busybox.tar.xz
        version: 20261124_0730
        os: BusyBox
        release: "1.35"
      - name: disk
        metadata: disk-meta.tar.gz
        rootfs: disk.qcow2
        requirements:
          secureboot: false

- name: Withdraw a version that was a mistake, and a name that is no longer in use
  imagestore.lxd.lxd_image_catalog:
    root: /srv/lxd-images
    base_url: https://images.example.com
    images:
      - name: busybox
        version: 20261124_0730
        state: absent
      - name: busybox-old
        state: absent
"""

RETURN = r"""
actions:
  description:
    - What was done, or in check mode would be, in order.
    - These are V(publish), V(update) and V(withdraw), followed by what; V(replace file) for one that was damaged or
      missing, V(remove file) for one whose time is over, V(abandon file) for one that a killed run has left and that
      will be removed; and V(write) for documents, where nothing else changes.
  returned: always
  type: list
  elements: str
  sample: [publish web (container, x86_64) 20261124_0730, withdraw web (container, x86_64) 20261110_0730]
versions:
  description: All versions that are published then, or in check mode would be.
  returned: success
  type: list
  elements: dict
  sample:
    - name: web
      image_type: container
      architecture: x86_64
      version: 20261124_0730
      fingerprint: 3514a500ba85d17e5a1ad2a5a23c3e4a6fb4a3ae5e2f8c7d9b0a1c2d3e4f5061
      size: 1031037
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.imagestore.lxd.plugins.module_utils._core import options
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task.catalog import run


def main() -> None:
    """Run the module."""
    run(AnsibleModule(**options.image_catalog()))


if __name__ == "__main__":
    main()

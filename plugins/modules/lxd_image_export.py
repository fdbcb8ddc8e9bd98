# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxd_image_export
short_description: Export an image of LXD, Incus or an image server to files
version_added: 1.0.0
description:
  - Writes the file of a unified image, or the two files of a split image, to a directory of the managed host. The
    file names are those of C(lxc image export). M(imagestore.lxd.lxd_image_import) creates the same image from them.
  - With a O(source_remote), O(source_server) or O(source_project), the image comes from that source instead of the
    target server. An image server (simplestreams) is used directly; no LXD is needed for that. The files can then be
    carried to a site without a network.
  - The files of an image server are those for LXD, or those for Incus if there are no others. LXD and Incus both import
    either of them.
  - Files that already have the right content are not written again. Other files are written under temporary names, and
    renamed when all data has been received and verified, from an image server by the size and SHA-256 of each file. An
    interrupted transfer is resumed if the server supports that, and started again otherwise.
  - A task that was killed can leave hidden files whose names begin with C(.lxd_image_export-). The next task that
    exports to the directory removes them. Those with data of an image server are kept for seven days instead, also if a
    transfer has failed, and the next task that exports the image goes on from there.
author:
  - imagestore.lxd contributors (@imagestore)
extends_documentation_fragment:
  - imagestore.lxd.attributes
  - imagestore.lxd.attributes.action_group_source # the first one decides
  - imagestore.lxd.attributes.action_group
  - imagestore.lxd.connection
  - imagestore.lxd.source
  - ansible.builtin.files
  - imagestore.lxd.progress
options:
  name:
    description:
      - An alias of the image, or its fingerprint. The first twelve digits of the fingerprint are enough.
      - V(REMOTE:IMAGE) names the remote as well, as with C(lxc), if neither O(source_remote) nor O(source_server) is
        set. Otherwise a colon belongs to the name.
    type: str
    aliases: [image]
    required: true
  dest:
    description:
      - The directory to write to. It must exist.
    type: path
    required: true
  image_type:
    description:
      - The image type to choose if an alias of an image server stands for both a container and a virtual machine image.
        If omitted, the container image is exported.
      - The task fails if the image has another type.
    type: str
    choices: [container, virtual-machine]
  architecture:
    description:
      - The architecture of the image, if the source is an image server (simplestreams). Any name known to LXD is
        accepted; V(amd64) is the same as V(x86_64).
      - Defaults to the architecture of the host that the task runs on.
    type: str
  source_registry:
    description:
      - Cannot be used to export an image, since only a server can read its image registries.
    type: str
seealso:
  - module: imagestore.lxd.lxd_image_import
"""

EXAMPLES = r"""
- name: Export an image
  imagestore.lxd.lxd_image_export:
    name: busybox
    dest: /srv/backup
    mode: "0644"
  register: exported

- name: Import the files on another server
  imagestore.lxd.lxd_image_import:
    src: "{{ exported.files.src }}"
    remote_src: true
    remote: other

- name: Download an image of the public image server, to carry it to a site without a network
  imagestore.lxd.lxd_image_export:
    name: images:alpine/3.23
    architecture: amd64
    dest: /srv/carry
"""

RETURN = r"""
files:
  description:
    - The paths of the files, by the options of M(imagestore.lxd.lxd_image_import) that accept them.
  returned: success
  type: dict
  contains:
    src:
      description: The file of a unified image.
      returned: for a unified image
      type: str
      sample: /srv/backup/3514a500ba85d17e5a1ad2a5a23c3e4a6fb4a3ae5e2f8c7d9b0a1c2d3e4f5061.tar.xz
    metadata:
      description: The metadata file of a split image.
      returned: for a split image
      type: str
    rootfs:
      description: The root file system of a split image.
      returned: for a split image
      type: str
fingerprint:
  description: The fingerprint of the image.
  returned: success
  type: str
  sample: 3514a500ba85d17e5a1ad2a5a23c3e4a6fb4a3ae5e2f8c7d9b0a1c2d3e4f5061
image:
  description:
    - The image as its server describes it, see U(https://documentation.ubuntu.com/lxd/latest/api/#/images/image_get).
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
  description: V(export) if the files were written, or in check mode would be. Empty otherwise.
  returned: always
  type: list
  elements: str
  sample: [export]
transferred:
  description: The bytes of image data that this task received. 0 in check mode.
  returned: always
  type: int
  sample: 1031037
"""

from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.image_export import (
    ExportOptions,
    image_export,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task import run
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task.module import ImageModule
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task.work import export_image


def main() -> None:
    """Run the module."""
    run(ImageModule(**image_export()), ExportOptions.from_params, export_image)


if __name__ == "__main__":
    main()

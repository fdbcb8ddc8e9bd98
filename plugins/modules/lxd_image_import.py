# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxd_image_import
short_description: Import an image into LXD or Incus from files or a web server
version_added: 0.1.0
description:
  - Makes an image store hold the image that is in a file or directory (a unified image), in two files (a split image,
    metadata and root file system), or on a web server, with the aliases and attributes that the task names.
  - An image is known by its content. A file whose image the store has is not sent again, whatever its name.
  - What the task does not name stays as it is.
author:
  - imagestore.lxd contributors (@imagestore)
extends_documentation_fragment:
  - imagestore.lxd.attributes
  - imagestore.lxd.attributes.action_group
  - imagestore.lxd.connection
  - imagestore.lxd.image
attributes:
  async:
    details:
      - Files of the controller are sent first, in the foreground.
options:
  src:
    description:
      - The file of a unified image, which is a tar archive, compressed or not, or a squashfs.
      - Or a directory that holds C(metadata.yaml), C(rootfs/), and perhaps C(templates/). It is packed while it is
        sent, and known again as long as nothing in it changes. Sockets in it are left out, with a warning.
    type: path
  metadata:
    description:
      - The metadata file of a split image, together with O(rootfs).
    type: path
  rootfs:
    description:
      - The root file system of a split image, together with O(metadata). A squashfs or tar archive makes the image of
        a container, a qcow2 disk that of a virtual machine.
    type: path
  url:
    description:
      - The address of a unified image on a web server that answers with the headers C(LXD-Image-Hash) and
        C(LXD-Image-URL), or C(Incus-Image-Hash) and C(Incus-Image-URL). The task asks for them as a server would, and
        refuses an answer that is not fit.
      - With O(fingerprint), any file of any web server will do, and plain http, too.
    type: str
  metadata_url:
    description:
      - The address of the metadata file of a split image, together with O(rootfs_url) and O(fingerprint). Always
        relayed.
    type: str
  rootfs_url:
    description:
      - The address of the root file system of a split image.
    type: str
  remote_src:
    description:
      - Whether the files are on the managed host.
      - Otherwise they are on the controller, sought where M(ansible.builtin.copy) seeks them. They are sent only if
        the store lacks the image, and removed from the managed host again. Unlike there, files that are encrypted with
        Ansible Vault are refused.
    type: bool
    default: false
  fingerprint:
    description:
      - What the fingerprint of the image must be, all 64 digits of it. If the store has that image, no file is read
        and no web server is asked.
      - With another image the task fails, and nothing of it is kept.
    type: str
  compression:
    description:
      - How a directory is compressed. V(zstd) and V(xz) need the program of that name on the host that has the
        directory.
    type: str
    choices: [gzip, zstd, xz, none]
    default: gzip
  mode:
    description:
      - For O(url), who fetches the image. With V(pull) the managed server does, with V(relay) this task does, and
        streams it on without storing it.
      - V(auto) pulls where the server can. It relays where the server refuses (LXD 6.9 and later), where the web
        server's certificate is checked against O(url_ca_path) or not at all, where headers or credentials are needed,
        and where the web server sends none of the headers.
    type: str
    choices: [auto, pull, relay]
    default: auto
  retries:
    description:
      - How often a relay takes up a broken download, where it broke if the web server can, else from the start.
    type: int
    default: 3
  url_headers:
    description:
      - More headers for the server of O(url) or O(rootfs_url). They are sent to no other, and only by a relay.
      - Their values are masked in what the task returns. Numbers with a point and booleans need quotes.
    type: dict
  url_username:
    description:
      - A user name for the server of O(url) or O(rootfs_url), together with O(url_password).
    type: str
  url_password:
    description:
      - The password of O(url_username).
    type: str
  url_ca_path:
    description:
      - A PEM file with the authority that has signed the web server's certificate.
    type: path
    aliases: [ca_path]
  url_validate_certs:
    description:
      - Whether the web server's certificate is checked at all.
    type: bool
    default: true
seealso:
  - module: imagestore.lxd.lxd_image_copy
  - module: imagestore.lxd.lxd_image_info
  - name: Image format
    description: What has to be in the files.
    link: https://documentation.ubuntu.com/lxd/latest/reference/image_format/
"""

EXAMPLES = r"""
- name: Import a unified image
  imagestore.lxd.lxd_image_import:
    src: /srv/images/busybox.tar.xz
    remote_src: true
    aliases:
      - busybox

- name: Import a split image for virtual machines, and say more about it
  imagestore.lxd.lxd_image_import:
    metadata: /srv/images/disk-meta.tar.gz
    rootfs: /srv/images/disk.qcow2
    remote_src: true
    aliases:
      - disk
    properties:
      os: busybox
      release: "1.35"
    public: true
    expires_at: 2030-12-31

- name: Import an image that is on the controller, in files/ of the role or playbook
  imagestore.lxd.lxd_image_import:
    src: busybox.tar.xz
    aliases:
      - busybox

- name: Import what a build has left in a directory
  imagestore.lxd.lxd_image_import:
    src: /srv/build/busybox
    remote_src: true
    compression: zstd
    aliases:
      - busybox-next

- name: Import an image from a web server
  imagestore.lxd.lxd_image_import:
    url: https://images.example.com/images/busybox
    aliases:
      - busybox

- name: Import an image from any web server, since its fingerprint is known
  imagestore.lxd.lxd_image_import:
    url: https://downloads.example.com/busybox.tar.xz
    fingerprint: 3514a500ba85d17e5a1ad2a5a23c3e4a6fb4a3ae5e2f8c7d9b0a1c2d3e4f5061
    aliases:
      - busybox

- name: Put this week's build in the place of last week's
  imagestore.lxd.lxd_image_import:
    src: /srv/images/busybox-next.tar.xz
    remote_src: true
    aliases:
      - busybox
    delete_replaced: true
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
    - In check mode the image as it is now, or null.
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
    - These are V(upload), V(pull) or V(relay), V(replace cached image), V(trust this client), and V(set), V(add alias),
      V(move alias), V(remove alias) or V(delete image) followed by what.
  returned: always
  type: list
  elements: str
  sample: [upload, set public, add alias busybox]
transferred:
  description: How many bytes of image data this task sent, or had the server fetch.
  returned: always
  type: int
  sample: 1031037
"""

from typing import Any

from ansible_collections.imagestore.lxd.plugins.module_utils._core import options
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task import Task, run
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task.module import MaskingModule


def bring(task: Task) -> dict[str, Any]:
    """Bring the image that the options name into the store."""
    task.prefetch()
    with task.import_source() as source:
        return task.ensure_image(source)


def name_of(params: dict[str, Any]) -> str:
    """What to call the image in messages."""
    from ansible_collections.imagestore.lxd.plugins.module_utils._core.downloads import (
        mask_credentials,
    )

    on_the_controller = (params["_file"] or {}).get("name")
    names = (
        on_the_controller,
        params["src"],
        params["rootfs"],
        params["url"],
        params["rootfs_url"],
    )
    return mask_credentials(next(name for name in names if name))


def main() -> None:
    """Run the module."""
    module = MaskingModule(**options.image_import())
    run(module, f"import {name_of(module.params)}", bring)


if __name__ == "__main__":
    main()

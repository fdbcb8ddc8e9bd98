# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxd_image_copy
short_description: Copy an image to LXD or Incus from another server
version_added: 0.1.0
description:
  - Makes an image store hold an image that another server has, with the aliases and attributes that the task names.
  - The other server may be a LXD or Incus, an image server (simplestreams), or the managed server itself with another
    project.
  - What the task does not name stays as it is.
author:
  - imagestore.lxd contributors (@imagestore)
extends_documentation_fragment:
  - imagestore.lxd.attributes
  - imagestore.lxd.attributes.action_group
  - imagestore.lxd.connection
  - imagestore.lxd.source
  - imagestore.lxd.image
options:
  image:
    description:
      - The image by the alias that it has at the source, or by its fingerprint, of which twelve digits will do.
    type: str
    required: true
  image_type:
    description:
      - Which image an alias stands for, if the source has one for containers and one for virtual machines. Without
        it that for containers.
      - An image of another type is an error.
    type: str
    choices: [container, virtual-machine]
  architecture:
    description:
      - The architecture of the image, if the source is an image server (simplestreams), by any name that LXD knows
        for it. V(amd64) is V(x86_64).
      - Without it that of the managed server.
    type: str
  mode:
    description:
      - Who moves the image. With V(pull) the managed server fetches it, with V(push) the source sends it, with
        V(relay) this task streams it through the host that it runs on, without storing it there.
      - V(auto) pulls where the managed server can, and relays where it is known not to, because the source is reached
        through a Unix socket or does not listen on the network, or because the managed server takes images from its
        registries only. It also relays for O(state=latest) if an image server has changed within the hour, since a
        server may not see that yet.
      - The choice is made before anything moves. A route that fails is not followed by another.
    type: str
    choices: [auto, pull, push, relay]
    default: auto
  retries:
    description:
      - How often a relay takes up a broken transfer, where it broke if the source can, else from the start.
    type: int
    default: 3
  copy_aliases:
    description:
      - Whether the image is to have the aliases, too, that it has at the source. The source is then asked on every
        run.
    type: bool
    default: false
  auto_update:
    description:
      - Whether the server replaces the image by itself when the source has a newer one under its alias.
      - This works only for an image that the server pulled by an alias, from a public source, and from its project
        V(default). Elsewhere V(true) is an error.
    type: bool
  state:
    description:
      - V(present) is satisfied with an image that was once copied from there under that alias. The source is asked
        only where the store cannot tell.
      - V(latest) asks the source on every run, and has the image that it names now.
    type: str
    choices: [present, latest]
    default: present
notes:
  - A server records where it pulled a public image from, and under which alias. It records neither for a private
    image, nor for one that came by push or relay, and it never records a project. For such images the source is asked
    on every run; with a whole fingerprint as O(image) only while the store lacks it.
  - A server caches the index of an image server for an hour. When O(state=latest) finds a newer image by O(mode=pull)
    than the server can see, the task fails and says so.
seealso:
  - module: imagestore.lxd.lxd_image_import
  - module: imagestore.lxd.lxd_image_info
"""

EXAMPLES = r"""
- name: Copy an image from the public image server
  imagestore.lxd.lxd_image_copy:
    image: alpine/3.20
    source_remote: images
    aliases:
      - alpine

- name: Copy an image for virtual machines, and let the server keep it up to date
  imagestore.lxd.lxd_image_copy:
    image: debian/12
    image_type: virtual-machine
    source_remote: images
    aliases:
      - debian-vm
    auto_update: true

- name: Follow the image that the build server calls web
  imagestore.lxd.lxd_image_copy:
    image: web
    state: latest
    source_server: https://build.example.com:8443
    source_cert: /etc/lxd/build.crt
    aliases:
      - web
    delete_replaced: true

- name: Copy a private image through this host, since the servers cannot see each other
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
    - These are V(pull), V(push) or V(relay), V(replace cached image), V(trust this client), and V(set), V(add alias),
      V(move alias), V(remove alias) or V(delete image) followed by what.
  returned: always
  type: list
  elements: str
  sample: [pull, set public, add alias busybox]
transferred:
  description: How many bytes of image data this task sent, or had a server fetch.
  returned: always
  type: int
  sample: 1031037
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.imagestore.lxd.plugins.module_utils._core import options
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task import Task, run


def bring(task: Task) -> dict[str, Any]:
    """Bring the image that the options name into the store."""
    task.prefetch()
    return task.ensure_image(task.copy_source())


def main() -> None:
    """Run the module."""
    module = AnsibleModule(**options.image_copy())
    run(module, f"copy the image {module.params['image']}", bring)


if __name__ == "__main__":
    main()

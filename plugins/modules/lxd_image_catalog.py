# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxd_image_catalog
short_description: Publish images of LXD and Incus on a web server
version_added: 1.0.0
description:
  - Publishes image files in a directory that any web server can serve as static files. Clients find the images by
    simplestreams (C(lxc remote add), M(imagestore.lxd.lxd_image_copy)), and people on a web page. With O(header_map),
    LXD and Incus can also import unified images by URL (C(lxc image import https://…),
    M(imagestore.lxd.lxd_image_import)).
  - The index has a unified virtual machine image for Incus 7.0.1, 7.1 and later only. LXD does not see it there, and
    earlier versions of Incus list it as a container image. If there is a container image of the same name and
    architecture, the index does not have it. It can always be imported by URL, unless a unified container image has
    that URL.
  - Publishing is atomic. A client sees either the old index with its files or the new index with its files. If the
    task is killed, the directory remains valid, and the next run completes the rest.
  - The role P(imagestore.lxd.image_server#role) uses this module and sets up nginx.
author:
  - imagestore.lxd contributors (@imagestore)
extends_documentation_fragment:
  - imagestore.lxd.attributes
requirements:
  - PyYAML, to read the metadata of images and to write the page
  - C(qemu-img) (package qemu-utils) to convert disks that are not in the format qcow2
  - C(unsquashfs) (package squashfs-tools, 4.5 or later) for metadata in a squashfs, C(zstd) for zstd archives
  - requests >= 2.25 for O(images[].rootfs_url), C(gpgv) for O(images[].checksum_keyring)
attributes:
  async:
    details:
      - Files of the controller are read and sent before the task goes to the background.
options:
  root:
    description:
      - The document root of the web server, an absolute path. It is created if it does not exist.
      - Its subdirectory C(.catalog) is private to this module and need not be served.
    type: path
    required: true
  base_url:
    description:
      - The URL under which clients access O(root), for example V(https://images.example.com). It must be an C(https)
        URL, since clients do not use image servers over plain C(http).
    type: str
    required: true
  header_map:
    description:
      - A file to write for nginx, outside of O(root), to be included in its C(http) block. It maps the name in
        C(/images/NAME) and the architectures of the client to the values of C(LXD-Image-Hash) and C(LXD-Image-URL),
        and of the equivalent headers of Incus. Reload nginx when the file has changed.
      - Its directory must exist.
    type: path
  access:
    description:
      - What the web server asks its clients for. It changes the commands on the web page; the web server has to be
        configured accordingly. V(password) is basic authentication, V(certificate) a TLS client certificate, which LXD
        and Incus cannot show to an image server.
      - All tasks for one O(root) should use the same value.
    type: str
    choices: [public, password, certificate]
    default: public
    version_added: 1.1.0
  images:
    description:
      - The images to publish or to withdraw. Images that are not listed remain published, unless O(purge=true). An
        empty list changes nothing.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - The name under which clients find the image. It consists of ASCII letters and digits, with C(. _ + - /)
            between them.
          - Images of several architectures can have the same name, and so can a container and a virtual machine image.
        type: str
        required: true
      src:
        description:
          - The file of a unified image.
        type: path
      metadata:
        description:
          - The metadata file of a split image. Requires O(images[].rootfs).
        type: path
      rootfs:
        description:
          - The root file system of a split image. A qcow2 disk makes a virtual machine image.
          - Without O(images[].metadata), a disk or the root file system of a container that has no metadata, in one of
            the formats that O(imagestore.lxd.lxd_image_import#module:rootfs) accepts alone. The metadata is made from
            O(images[].architecture), O(images[].os), O(images[].release), O(images[].variant),
            O(images[].description) and O(images[].cloud_init), in the same way as by
            M(imagestore.lxd.lxd_image_import), so that the image gets the same fingerprint. O(images[].architecture)
            and O(images[].version) are then required.
        type: path
      rootfs_url:
        description:
          - The URL of a disk or root file system that has no metadata, as in O(images[].rootfs). Requires
            O(images[].checksum), and can therefore be a URL with C(http). It is downloaded by the managed host, also in
            check mode, unless it is published already.
        type: str
      version:
        description:
          - The version, as V(YYYYMMDD) or V(YYYYMMDD_HHMM). Twelve digits are read as the latter, because YAML drops
            the underscore of an unquoted number. Defaults to the creation date of the image, which must then be
            neither before 1970 nor in the future.
          - The content of a published version never changes. The task fails if the same version has other content.
          - With O(images[].state=absent), the version to withdraw. If omitted, all versions are withdrawn.
        type: str
      architecture:
        description:
          - The architecture, by any name known to LXD. It must be the one that the image has, which is also the
            default.
          - With O(images[].state=absent), the architecture to withdraw. If omitted, all architectures are withdrawn.
        type: str
      image_type:
        description:
          - The image type. It must be the one that the image has, which is also the default.
          - With O(images[].state=absent), the type to withdraw. If omitted, both types are withdrawn.
        type: str
        choices: [container, virtual-machine]
      os:
        description:
          - The name of the operating system. Defaults to the property of the image.
        type: str
      release:
        description:
          - The release of the operating system. Defaults to the property of the image. Quote numbers with a decimal
            point, since YAML reads V(24.10) as V(24.1). They are an error without quotes.
        type: raw
      variant:
        description:
          - The variant of the image. Defaults to the property of the image.
        type: str
      description:
        description:
          - The description in the metadata that is made for a disk or root file system.
        type: str
      cloud_init:
        description:
          - Whether containers get the cloud-init data of their configuration. Can be used only with a root file
            system that has no metadata.
        type: bool
        default: false
      checksum:
        description:
          - The checksum of a disk or root file system that has no metadata, as
            O(imagestore.lxd.lxd_image_import#module:checksum). If the image of this file is published already, a file
            at O(images[].rootfs_url) is not downloaded again.
        type: str
      checksum_keyring:
        description:
          - A file with OpenPGP keys on the managed host, by which the checksum file must be signed, as
            O(imagestore.lxd.lxd_image_import#module:checksum_keyring).
        type: path
      retries:
        description:
          - How often an interrupted download is retried.
        type: int
        default: 3
      url_headers:
        description:
          - Additional request headers for O(images[].rootfs_url) and the checksum file. The values are masked in all
            output. Quote booleans and numbers with a decimal point.
        type: dict
      url_username:
        description:
          - The user name for O(images[].rootfs_url) and the checksum file. Requires O(images[].url_password).
        type: str
      url_password:
        description:
          - The password of O(images[].url_username).
        type: str
      url_ca_path:
        description:
          - A PEM file on the managed host with the certificate authority that signed the certificates of these web
            servers.
        type: path
        aliases: [ca_path]
      url_validate_certs:
        description:
          - Whether to validate the certificates of these web servers.
        type: bool
        default: true
      url_allowed_hosts:
        description:
          - Hosts to which these web servers may redirect besides their own and those with public addresses, as patterns
            such as V(*.example.com).
        type: list
        elements: str
      aliases:
        description:
          - Additional names. The task fails if another image has one of them. If omitted, published aliases are
            unchanged.
        type: list
        elements: str
      requirements:
        description:
          - Requirements for instances, such as C(secureboot) V(false). If omitted, published requirements are
            unchanged.
        type: dict
      state:
        description:
          - Whether to publish or to withdraw the image.
        type: str
        choices: [present, absent]
        default: present
  remote_src:
    description:
      - Whether the files are on the managed host.
      - If V(false), they are searched for on the controller, as M(ansible.builtin.copy) does. A file is sent only if
        it is not published yet, and the sent copy is removed afterwards.
    type: bool
    default: false
  keep:
    description:
      - How many versions of each name, type and architecture to keep. Older versions are withdrawn.
    type: int
    default: 2
  grace:
    description:
      - How many seconds the files of withdrawn versions remain available. Servers cache an index for an hour.
    type: int
    default: 7200
  purge:
    description:
      - Whether to withdraw all names that are not in O(images). An empty list withdraws everything.
    type: bool
    default: false
  verify:
    description:
      - Whether to verify the content of all published files. A damaged file is replaced if it is among O(images);
        otherwise the task fails.
      - If V(false), only missing files and wrong sizes are detected.
    type: bool
    default: false
  timeout:
    description:
      - The maximum duration of the task in seconds, including reading and verifying files and waiting for another task
        that publishes in O(root).
    type: int
    default: 1800
seealso:
  - module: imagestore.lxd.lxd_image_copy
  - module: imagestore.lxd.lxd_image_import
  - name: Image server
    description: How LXD uses simplestreams.
    link: https://documentation.ubuntu.com/lxd/latest/reference/remote_image_servers/
"""

EXAMPLES = r"""
- name: Publish an image from a file on the web server
  imagestore.lxd.lxd_image_catalog:
    root: /srv/lxd-images
    base_url: https://images.example.com
    remote_src: true
    images:
      - name: web
        src: /srv/images/web.tar.xz

- name: Publish a unified and a split image from files on the controller
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
        aliases: [busybox/stable]
      - name: disk
        metadata: disk-meta.tar.gz
        rootfs: disk.qcow2
        requirements:
          secureboot: false

- name: Withdraw one version of an image, and all versions of another image
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
    - What was done, or in check mode would be done, in order.
    - Possible values are V(publish), V(update) and V(withdraw) followed by an image, V(replace file) for a damaged or
      missing file, V(remove file) for a withdrawn file after O(grace), V(abandon file) for a file left by a killed
      task, which is removed after O(grace), and V(write) for documents if nothing else changes.
  returned: always
  type: list
  elements: str
  sample: [publish web (container, x86_64) 20261124_0730, withdraw web (container, x86_64) 20261110_0730]
versions:
  description: All published versions after the task. In check mode, those that would be published.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name of the image.
      type: str
      sample: web
    image_type:
      description: V(container) or V(virtual-machine).
      type: str
      sample: container
    architecture:
      description: The architecture, by its kernel name.
      type: str
      sample: x86_64
    version:
      description: The version.
      type: str
      sample: "20261124_0730"
    fingerprint:
      description: The fingerprint of the image.
      type: str
      sample: 3514a500ba85d17e5a1ad2a5a23c3e4a6fb4a3ae5e2f8c7d9b0a1c2d3e4f5061
    size:
      description: The size of its files in bytes.
      type: int
      sample: 1031037
"""

from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.catalog import (
    image_catalog,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task.catalog import run
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task.module import ImageModule


def main() -> None:
    """Run the module."""
    run(ImageModule(**image_catalog()))


if __name__ == "__main__":
    main()

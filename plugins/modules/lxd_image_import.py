# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxd_image_import
short_description: Import an image into LXD or Incus from files or a web server
version_added: 1.0.0
description:
  - Imports an image into an image store, and sets its aliases and attributes. The image comes from one file or
    directory (a unified image), from two files (a split image, metadata and root file system), or from a web server.
  - Disks and root file systems as vendors publish them, which have no metadata, are imported as well. The metadata is
    made from the options, and a disk is converted if necessary.
  - Images are identified by their content. A file is not sent again if the store has its image, whatever the file is
    called.
  - Options that are omitted leave existing values unchanged.
author:
  - imagestore.lxd contributors (@imagestore)
extends_documentation_fragment:
  - imagestore.lxd.attributes
  - imagestore.lxd.attributes.action_group
  - imagestore.lxd.connection
  - imagestore.lxd.image
  - imagestore.lxd.progress
requirements:
  - C(qemu-img) (package qemu-utils) to convert disks that are not in the format qcow2
  - C(unsquashfs) (package squashfs-tools, 4.5 or later) to read a squashfs, C(xz) or C(zstd) for these formats
  - C(gpgv) for O(checksum_keyring)
attributes:
  async:
    details:
      - Files of the controller are sent before the task goes to the background.
options:
  src:
    description:
      - The file of a unified image, which is a squashfs or a tar archive, compressed or not.
      - Or a directory with C(metadata.yaml), C(rootfs/), and optionally C(templates/). A directory of the managed
        host is packed as it is sent. A directory of the controller is packed into a temporary file there, which is
        copied to a temporary file on the managed host. Both are removed afterwards. The image of a directory is
        recognized as long as nothing in the directory changes. Sockets are left out with a warning.
    type: path
  metadata:
    description:
      - The metadata file of a split image. Requires O(rootfs).
    type: path
  rootfs:
    description:
      - The root file system of a split image. A squashfs or tar archive makes a container image, a qcow2 disk a
        virtual machine image.
      - Without O(metadata), a bare disk or root file system. Its metadata is made from O(architecture), O(os),
        O(release), O(variant), O(description) and O(cloud_init).
      - A disk makes a virtual machine image. It is a qcow2, or a raw, vmdk, vhdx or vdi disk, which is converted by
        C(qemu-img) (in the Debian package C(qemu-utils)) on the managed host. Each of them can be compressed by gzip,
        xz, zstd or bzip2, or be the only file in a zip.
      - A disk must be complete in this file. It is rejected if it has a backing file, an external data file, a parent
        or content in other files, if it is encrypted or truncated, and if it has neither a partition table nor a
        boot sector. ISO images and OVA files are rejected, too.
      - Converted and unpacked disks need room in Ansible's C(remote_tmp) as long as the task runs. Whether there is
        enough is checked first.
      - The same file with the same options always becomes the same image, whatever the file is called, and if it is
        converted, with the same version of C(qemu-img). An image that was made of it before is recognized.
    type: path
  url:
    description:
      - The URL of a unified image on a web server that responds with the headers C(LXD-Image-Hash) and
        C(LXD-Image-URL), or C(Incus-Image-Hash) and C(Incus-Image-URL). The task requests and validates them before
        anything is transferred.
      - With O(fingerprint), it can be the URL of the file on any web server, also with C(http).
    type: str
  metadata_url:
    description:
      - The URL of the metadata file of a split image. Requires O(rootfs_url) and O(fingerprint). Such an image is
        always relayed.
    type: str
  rootfs_url:
    description:
      - The URL of the root file system of a split image.
      - Without O(metadata_url), the URL of a bare disk or root file system, which is as in O(rootfs). Requires
        O(checksum) or O(fingerprint), and can therefore be a URL with C(http). A qcow2 and a tar archive are streamed
        to the server, others are downloaded to Ansible's C(remote_tmp) first.
    type: str
  architecture:
    description:
      - The architecture of a bare disk or root file system, by any name that LXD knows, such as V(amd64) or V(x86_64).
        Default is that of the server.
    type: str
  os:
    description:
      - The operating system of a bare disk or root file system. Like O(release), O(variant) and O(description), it
        becomes a property of the image, as the images of distributions have them.
    type: str
  release:
    description:
      - The release of a bare disk or root file system. Quote numbers with a decimal point, since YAML reads V(24.10) as
        V(24.1). They are an error without quotes.
    type: raw
  variant:
    description:
      - The variant of a bare disk or root file system.
    type: str
  description:
    description:
      - The description of the image of a bare disk or root file system, which lists of images show.
    type: str
  cloud_init:
    description:
      - Whether the image of a bare root file system has templates that give cloud-init its seed, from C(cloud-init.*)
        and C(user.*) in the configuration of an instance. A template for C(/etc/hostname) is always included.
      - It cannot be used with a disk.
    type: bool
    default: false
  checksum:
    description:
      - The checksum of a bare disk or root file system, which is V(sha256:) or V(sha512:) followed by the digest, or by
        the C(https) URL of a checksum file in which the name of the file is looked up.
      - If the store has an image that was made of the file with this checksum, the file is not read or downloaded.
      - O(url_headers), O(url_username), O(url_password), O(url_ca_path) and O(url_validate_certs) apply to the URL of
        the checksum file as well.
    type: str
  checksum_keyring:
    description:
      - A file with OpenPGP keys on the managed host. The checksum file must have a valid signature by one of them,
        which is part of it, or beside it with the suffix C(.gpg), C(.sign) or C(.asc). It is verified by C(gpgv).
    type: path
  remote_src:
    description:
      - Whether the files are on the managed host.
      - If V(false), they are searched for on the controller, as M(ansible.builtin.copy) does. They are sent only if
        the store lacks the image, and removed from the managed host afterwards. Files encrypted with Ansible Vault
        are rejected.
    type: bool
    default: false
  fingerprint:
    description:
      - The expected fingerprint of the image, all 64 digits. If the store has this image, no file is read and no web
        server is contacted.
      - If the image turns out to be another, the task fails and the image is not kept.
    type: str
  compression:
    description:
      - How a directory is compressed. V(zstd) and V(xz) require the program of the same name on the host that has the
        directory.
    type: str
    choices: [gzip, zstd, xz, none]
    default: gzip
  mode:
    description:
      - How an image is transferred from O(url). With V(pull), the target server downloads it. With V(relay), this task
        downloads it and streams it to the server, without storing it.
      - V(auto) relays if the server cannot download the image, which is the case for LXD 6.9 and later, with
        O(url_ca_path), O(url_validate_certs=false), headers or credentials, and if the web server sends no image
        headers. Otherwise it pulls.
    type: str
    choices: [auto, pull, relay]
    default: auto
  retries:
    description:
      - How often a relay retries an interrupted download. It resumes where the download was interrupted if the web
        server supports that, and starts again otherwise.
    type: int
    default: 3
  url_headers:
    description:
      - Additional request headers for the server of O(url) or O(rootfs_url). They are not sent to any other server.
        Images with headers are relayed.
      - The values are masked in all output. Quote booleans and numbers with a decimal point.
    type: dict
  url_username:
    description:
      - The user name for the server of O(url) or O(rootfs_url). Requires O(url_password).
    type: str
  url_password:
    description:
      - The password of O(url_username).
    type: str
  url_ca_path:
    description:
      - A PEM file with the certificate authority that signed the web server's certificate.
    type: path
    aliases: [ca_path]
  url_validate_certs:
    description:
      - Whether to validate the web server's certificate.
    type: bool
    default: true
  url_allowed_hosts:
    description:
      - Hosts to which the web server is allowed to refer with C(LXD-Image-URL), C(Incus-Image-URL) or a redirect, as
        patterns such as V(*.example.com) or V(192.0.2.*).
      - Its own host and hosts with public addresses are always allowed. Loopback, link-local and private addresses,
        which may be accessible only from the managed host, are rejected unless they are listed. A URL with C(https)
        must not refer to one with C(http).
    type: list
    elements: str
seealso:
  - module: imagestore.lxd.lxd_image_copy
  - module: imagestore.lxd.lxd_image_info
  - name: Image format
    description: The required content of the files.
    link: https://documentation.ubuntu.com/lxd/latest/reference/image_format/
"""

EXAMPLES = r"""
- name: Import an image from files/ of the role or playbook
  imagestore.lxd.lxd_image_import:
    src: busybox.tar.xz
    aliases:
      - busybox

- name: Import an image from a file on the managed host
  imagestore.lxd.lxd_image_import:
    src: /srv/images/busybox.tar.xz
    remote_src: true
    aliases:
      - busybox

- name: Import a split virtual machine image and set attributes
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

- name: Import a disk without metadata
  imagestore.lxd.lxd_image_import:
    rootfs: /srv/images/cloud.vmdk
    remote_src: true
    os: Debian
    release: "12"
    description: Debian 12
    aliases:
      - debian-vm

- name: Import a root file system without metadata from the web, with templates for cloud-init
  imagestore.lxd.lxd_image_import:
    rootfs_url: https://downloads.example.com/rootfs.tar.xz
    checksum: sha256:https://downloads.example.com/SHA256SUMS
    os: Debian
    release: "12"
    cloud_init: true
    aliases:
      - debian

- name: Import the output directory of a build
  imagestore.lxd.lxd_image_import:
    src: /srv/build/busybox
    remote_src: true
    compression: zstd
    aliases:
      - busybox-next

- name: Import an image from a web server that sends image headers
  imagestore.lxd.lxd_image_import:
    url: https://images.example.com/images/busybox
    aliases:
      - busybox

- name: Import an image with a known fingerprint from any web server
  imagestore.lxd.lxd_image_import:
    url: https://downloads.example.com/busybox.tar.xz
    fingerprint: 3514a500ba85d17e5a1ad2a5a23c3e4a6fb4a3ae5e2f8c7d9b0a1c2d3e4f5061
    aliases:
      - busybox

- name: Replace last week's build with this week's
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
    - Possible values are V(upload), V(pull), V(relay), V(replace cached image), V(trust this client), and V(set),
      V(add alias), V(move alias), V(remove alias) or V(delete image) followed by a name.
  returned: always
  type: list
  elements: str
  sample: [upload, set public, add alias busybox]
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
    after: {aliases: {busybox: 3514a500ba85}, images: {3514a500ba85: {size: 1006.87 KB, route: upload}}}
"""

from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.image_import import (
    ImportOptions,
    image_import,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task import run
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task.module import ImageModule
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task.work import import_image


def main() -> None:
    """Run the module."""
    run(ImageModule(**image_import()), ImportOptions.from_params, import_image)


if __name__ == "__main__":
    main()

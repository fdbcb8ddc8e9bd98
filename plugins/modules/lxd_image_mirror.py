# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxd_image_mirror
short_description: Mirror images of other image servers on a web server
version_added: 1.0.0
description:
  - Mirrors selected images of an image server (simplestreams), or of a LXD or Incus server, in a directory that any web
    server can serve as static files. It is the directory of M(imagestore.lxd.lxd_image_catalog), so that own and
    mirrored images share one index and one web page.
  - Clients of the mirror see the names, aliases, versions and fingerprints of the source. Each file is verified before
    it is listed. If something fails, the mirror continues to serve what it had.
  - If nothing has changed, only the documents of the source are requested, and not transferred again where its web
    server supports that. Interrupted downloads are resumed, also by the next run.
  - A task replaces the selection of its source. Images of other sources and own images remain.
author:
  - imagestore.lxd contributors (@imagestore)
extends_documentation_fragment:
  - imagestore.lxd.attributes
  - imagestore.lxd.attributes.action_group_source
  - imagestore.lxd.progress
requirements:
  - requests >= 2.25
  - PyYAML, to write the page and to read a client configuration
attributes:
  action_group:
    membership:
      - imagestore.lxd.source # not of imagestore.lxd.lxd: there is no server to connect to
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
      - A file to write for nginx, as in M(imagestore.lxd.lxd_image_catalog). All tasks for one O(root) should name the
        same file.
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
  source_remote:
    description:
      - The source by its name in the client configuration (see O(config_dir)), with the address, project and
        certificates configured there.
      - If the client configuration has no such remote, one of the built-in remotes V(images), V(ubuntu),
        V(ubuntu-daily), V(ubuntu-minimal), V(ubuntu-minimal-daily) and V(local).
    type: str
  source_server:
    description:
      - The source by its URL, as V(https://host:8443) or V(unix:///path/to/unix.socket). With
        O(source_protocol=simplestreams), the URL of an image server, as V(https://images.example.com).
    type: str
  source_protocol:
    description:
      - The protocol of the source. V(lxd) and V(incus) are servers with an image store, whose images are exported.
        V(simplestreams) is a read-only image server.
      - Defaults to the protocol configured for O(source_remote), and to V(lxd) for O(source_server).
    type: str
    choices: [lxd, simplestreams, incus]
  source_project:
    description:
      - The project of a LXD or Incus server. Defaults to the project configured for O(source_remote), or else to
        V(default).
    type: str
  source_cert:
    description:
      - A PEM file with exactly the certificate of the source, whose host name is then not checked, or with the
        certificate of an authority that has signed it.
    type: path
  source_cert_fingerprint:
    description:
      - The SHA-256 of the certificate of the source, in hex.
    type: str
  source_client_cert:
    description:
      - A PEM file with a TLS client certificate. A LXD or Incus server shows private images, which are then mirrored
        too, only to clients that it trusts. Defaults to the certificate in the client configuration.
    type: path
  source_client_key:
    description:
      - A PEM file with the private key of O(source_client_cert).
    type: path
  source_bearer_token:
    description:
      - A bearer token for a LXD server with the API extension C(auth_bearer), instead of O(source_client_cert).
    type: str
  source_username:
    description:
      - The user name for a source that asks for a password. Requires O(source_password).
    type: str
  source_password:
    description:
      - The password of O(source_username).
    type: str
  select:
    description:
      - The images to mirror, as a list of alias patterns and dictionaries. An image is mirrored if an entry fits. All
        conditions of an entry have to fit. Required unless O(state=absent), with which it cannot be used.
      - A dictionary can have the patterns C(alias), C(os), C(release) and C(variant), and the lists C(architectures)
        and C(image_types) (V(container), V(virtual-machine)).
      - Patterns are those of shells, distinguish upper and lower case, and C(*) also matches slashes. C(alias) is
        compared with each alias, without and with the architecture at its end (V(alpine/3.23/amd64)).
      - The task fails if there are no images for an entry. If there were in an earlier run, it only warns, and the
        images are withdrawn. If the index of an image server has become empty, the task fails, and all images remain;
        O(state=absent) withdraws them.
      - Quote numbers, as in V("24.04").
    type: list
    elements: raw
  keep:
    description:
      - How many versions of each image to mirror, the newest of those that the source lists now.
    type: int
    default: 2
  keep_days:
    description:
      - Also mirror versions that are not older than this number of days, in addition to the O(keep) newest.
      - Cannot be used with O(state=absent).
    type: int
  max_size:
    description:
      - Fail, without any change, if all files below O(root) would be larger than this, for example V(40GiB). Units are
        KiB, MiB, GiB and TiB. Own images, and files that remain for O(grace), count as well.
      - Cannot be used with O(state=absent).
    type: str
  grace:
    description:
      - How many seconds the files of withdrawn versions remain available. Servers cache an index for an hour.
    type: int
    default: 7200
  verify:
    description:
      - Whether to verify the content of all files from this source again. Damaged files are downloaded again.
      - If V(false), only missing files and wrong sizes are detected.
    type: bool
    default: false
  parallel:
    description:
      - How many files to download at a time.
    type: int
    default: 4
  retries:
    description:
      - How often each interrupted download is resumed. After that, the next run continues it.
    type: int
    default: 3
  state:
    description:
      - Whether to mirror the selected images, or to withdraw all images of the source. To withdraw them, the source is
        not accessed; O(source_remote), or O(source_server) and O(source_protocol), say which one it is.
    type: str
    choices: [present, absent]
    default: present
  config_dir:
    description:
      - The directory with the client configuration that has O(source_remote). Defaults to the one that C(lxc) uses, or
        else to the one that C(incus) uses.
    type: path
  timeout:
    description:
      - The maximum duration of the task in seconds.
    type: int
    default: 1800
notes:
  - An image of a LXD or Incus server is mirrored if it has an alias. Its name is its first alias, its version the date
    of its upload.
  - Deltas between versions are not mirrored.
  - Names that cannot be part of a URL are in the index, but not on the web page or in O(header_map).
seealso:
  - module: imagestore.lxd.lxd_image_catalog
  - module: imagestore.lxd.lxd_image_copy
"""

EXAMPLES = r"""
- name: Mirror all of Alpine
  imagestore.lxd.lxd_image_mirror:
    root: /srv/lxd-images
    base_url: https://images.example.com
    source_remote: images
    select: [alpine/*]

- name: Mirror all of Alpine, and virtual machines with Debian for two architectures
  imagestore.lxd.lxd_image_mirror:
    root: /srv/lxd-images
    base_url: https://images.example.com
    source_remote: images
    select:
      - alpine/*
      - os: Debian
        architectures: [amd64, arm64]
        image_types: [virtual-machine]
    max_size: 40GiB

- name: Stop mirroring an image server
  imagestore.lxd.lxd_image_mirror:
    root: /srv/lxd-images
    base_url: https://images.example.com
    source_remote: images
    state: absent
"""

RETURN = r"""
actions:
  description:
    - What was done, or in check mode would be done, in order.
    - Possible values are V(publish), V(update) and V(withdraw) followed by an image, V(replace file) for a damaged or
      missing file, V(remove file) for a file after O(grace), V(abandon file) for a file left by a killed task, which is
      removed after O(grace), and V(write) for documents if nothing else changes.
  returned: always
  type: list
  elements: str
  sample: [publish alpine/3.23 (container, x86_64) 20261124_1300]
transferred:
  description: The number of bytes of images that were downloaded.
  returned: always
  type: int
  sample: 3145728
would_transfer:
  description: The number of bytes of images that would be downloaded.
  returned: in check mode
  type: int
  sample: 3145728
would_drop:
  description: The number of bytes of files that would leave the index, and be removed after O(grace).
  returned: in check mode
  type: int
  sample: 0
versions:
  description:
    - All images that are mirrored from this source after the task. In check mode, those that would be.
    - If a version has different images for LXD and Incus, both are listed.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The first alias.
      type: str
      sample: alpine/3.23
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
      sample: "20261124_1300"
    fingerprint:
      description: The fingerprint of the image.
      type: str
      sample: 3514a500ba85d17e5a1ad2a5a23c3e4a6fb4a3ae5e2f8c7d9b0a1c2d3e4f5061
    size:
      description: The size of its files in bytes.
      type: int
      sample: 1031037
"""

from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.mirror import (
    image_mirror,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task.mirror import run
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task.module import ImageModule


def main() -> None:
    """Run the module."""
    run(ImageModule(**image_mirror()))


if __name__ == "__main__":
    main()

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxd_image_server_check
short_description: Check an image server as its clients use it
version_added: 1.0.0
description:
  - Uses an image server with the files of M(imagestore.lxd.lxd_image_catalog) as LXD, Incus and people do, and reports
    everything that does not work.
  - The index is read as LXD and Incus do and compared with the record of the server (C(catalog.json)). Every file is
    requested, including ranges and caching, as well as every image at C(/images/NAME). Every image must be on the web
    page.
  - The module makes no changes. The task fails if there are findings.
  - The role P(imagestore.lxd.image_server#role) uses this module for its final check.
author:
  - imagestore.lxd contributors (@imagestore)
extends_documentation_fragment:
  - imagestore.lxd.attributes.info
requirements:
  - requests >= 2.25
notes:
  - The environment variables E(https_proxy) and E(no_proxy) are respected for O(url) and O(connect).
options:
  url:
    description:
      - The URL of the server for its clients, V(https://HOST) or V(https://HOST:PORT). The index and the image headers
        must use it as well.
    type: str
    required: true
  ca_path:
    description:
      - A PEM file with the certificate of the server, or of the certificate authority that signed it. Defaults to the
        certificate authorities of the system.
    type: path
  server_name:
    description:
      - The host name for which the certificate of the server must be valid. Defaults to the host of O(url).
    type: str
  username:
    description:
      - The user name for a private server. With it, or with O(client_cert), the server must refuse whoever shows no
        credentials or a wrong password, for everything that it serves, and plain http must lead to https.
    type: str
  password:
    description:
      - The password of O(username).
    type: str
  client_cert:
    description:
      - A PEM file with the client certificate for a private server.
    type: path
  client_key:
    description:
      - A PEM file with the private key of O(client_cert).
    type: path
  connect:
    description:
      - Addresses to connect to, as V(HOST:PORT), instead of the address of O(url). A server can be checked this way
        before its name resolves to it.
      - The index and the revision are requested from all of them, files and images from the first one.
    type: list
    elements: str
    default: []
  connect_http:
    description:
      - The address of the server for plain http, as V(HOST:PORT), which LXD and Incus try first for files. If omitted,
        plain http is not checked.
    type: str
  full:
    description:
      - Whether to download every file and verify its SHA-256 and the fingerprints of images. If V(false), every file
        is requested with C(HEAD), and only its size is checked.
    type: bool
    default: false
  without:
    description:
      - Features that are not checked, because the web server does not have them.
      - V(headers) are the responses for C(/images/NAME). V(caching) are the headers for caching. V(closed) means that
        nothing but the published files is served. V(page) is the web page. V(redirect) is the redirect from plain
        http to https.
    type: list
    elements: str
    choices: [headers, caching, closed, page, redirect]
    default: []
  expect_revision:
    description:
      - The expected response for C(/images/). The role configures nginx to respond with the digests of the
        configuration that it has loaded.
      - With any other response, nothing else is checked.
    type: str
  wait:
    description:
      - How many seconds to wait until all addresses respond with O(expect_revision).
    type: int
    default: 0
  timeout:
    description:
      - The maximum duration of the task in seconds.
    type: int
    default: 1800
seealso:
  - module: imagestore.lxd.lxd_image_catalog
"""

EXAMPLES = r"""
- name: Check an image server
  imagestore.lxd.lxd_image_server_check:
    url: https://images2.example.com
    ca_path: /etc/ssl/site-ca.pem

- name: Download and verify all files of an image server, with https and with plain http
  imagestore.lxd.lxd_image_server_check:
    url: https://images2.example.com
    ca_path: /etc/ssl/site-ca.pem
    connect_http: images2.example.com:80
    full: true
    without: [redirect]
"""

RETURN = r"""
findings:
  description: The problems found, at most 200. Empty if the task succeeds.
  returned: always
  type: list
  elements: dict
  contains:
    subject:
      description: The URL or image with the problem.
      type: str
    problem:
      description: The problem.
      type: str
    hint:
      description: A possible solution, or an empty string.
      type: str
  sample: []
notes:
  description:
    - What is right, but not the same for all clients, at most 200 sentences. A unified virtual machine image is in the
      index for Incus 7.0.1, 7.1 and later only. LXD does not see it there, and earlier versions of Incus list it as a
      container image.
  returned: always
  type: list
  elements: str
  sample: []
images:
  description: The number of image versions on the server.
  returned: always
  type: int
  sample: 5
files:
  description: The number of their files.
  returned: always
  type: int
  sample: 6
requests:
  description: The number of requests sent.
  returned: always
  type: int
  sample: 94
"""

from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.server_check import (
    image_server_check,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task.module import ImageModule
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task.server_check import run


def main() -> None:
    """Run the module."""
    run(ImageModule(**image_server_check()))


if __name__ == "__main__":
    main()

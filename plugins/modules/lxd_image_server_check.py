# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lxd_image_server_check
short_description: Check an image server as its clients use it
version_added: 0.1.0
description:
  - Uses an image server that has a tree of M(imagestore.lxd.lxd_image_catalog) as LXD, Incus and people use it, and
    reports everything that would not work.
  - It reads the index as both kinds of servers do and compares it with the server's own record (C(catalog.json)), asks
    for every file, checks ranges and caching, asks for every image at C(/images/NAME), and looks for every image on the
    page for people.
  - It changes nothing. Any finding fails the task.
  - The role P(imagestore.lxd.image_server#role) uses it at its end.
author:
  - imagestore.lxd contributors (@imagestore)
extends_documentation_fragment:
  - imagestore.lxd.attributes.info
requirements:
  - requests 2.25 or later
notes:
  - The variables C(https_proxy) and C(no_proxy) of the environment are used for O(url) and O(connect).
options:
  url:
    description:
      - The address of the server for its clients, V(https://HOST) or V(https://HOST:PORT). The index and the headers
        have to use it as well.
    type: str
    required: true
  ca_path:
    description:
      - A PEM file with the certificate of the server, or of the authority that signed it. Default is to trust the
        authorities that the system trusts.
    type: path
  server_name:
    description:
      - The name for which the certificate of the server has to be valid. Default is the host of O(url).
    type: str
  connect:
    description:
      - Addresses to connect to, each V(HOST:PORT), instead of the one to which the host of O(url) resolves. This checks
        a server before its name leads to it.
      - All of them are asked for the index and the revision. Files and images are asked for at the first.
    type: list
    elements: str
    default: []
  connect_http:
    description:
      - The address V(HOST:PORT) at which the server answers to plain http, which LXD and Incus try first for files.
        Default is not to check plain http.
    type: str
  full:
    description:
      - Whether to read every file and compare its SHA-256 and the fingerprints of images. Otherwise every file is
        requested with C(HEAD) and only its length is compared.
    type: bool
    default: false
  without:
    description:
      - What not to check, because the web server does not have it.
      - V(headers) are the answers at C(/images/NAME). V(caching) is what clients may cache. V(closed) is that nothing
        but the tree is served. V(page) is the page for people. V(redirect) is that plain http redirects to https.
    type: list
    elements: str
    choices: [headers, caching, closed, page, redirect]
    default: []
  expect_revision:
    description:
      - The text that the server has to answer with at C(/images/). The role has nginx answer there with the digests of
        the configuration that it has loaded.
      - If the server answers with something else, nothing else is checked.
    type: str
  wait:
    description:
      - How many seconds to wait until all addresses answer with O(expect_revision).
    type: int
    default: 0
  timeout:
    description:
      - Seconds for the whole task.
    type: int
    default: 1800
seealso:
  - module: imagestore.lxd.lxd_image_catalog
"""

EXAMPLES = r"""
- name: Check an image server
  imagestore.lxd.lxd_image_server_check:
    url: https://images2.example.com

- name: Read and verify every file of an image server, over https and over plain http
  imagestore.lxd.lxd_image_server_check:
    url: https://images2.example.com
    ca_path: /etc/ssl/site-ca.pem
    connect_http: images2.example.com:80
    full: true
    without: [redirect]
"""

RETURN = r"""
findings:
  description: What is wrong, up to 200 problems. Empty if the task succeeds.
  returned: always
  type: list
  elements: dict
  contains:
    subject:
      description: What it is about, a URL or an image.
      type: str
    problem:
      description: What is wrong with it.
      type: str
    hint:
      description: What to do about it, or an empty string.
      type: str
  sample: []
images:
  description: How many versions of images the server has.
  returned: always
  type: int
  sample: 5
files:
  description: How many files they consist of.
  returned: always
  type: int
  sample: 6
requests:
  description: How many requests were sent.
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

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which other server an image comes from; the twin of ``source()`` in ``_core/options.py``."""

from __future__ import annotations


class ModuleDocFragment:
    """A source, and how to get there."""

    DOCUMENTATION = r"""
options:
  source_remote:
    description:
      - The source as a remote, by the name that it has in the client configuration (see O(config_dir)), with the
        address, project and certificates that the configuration has for it, or else by the name of one that is built
        in. Those are V(images), V(ubuntu), V(ubuntu-daily), V(ubuntu-minimal), V(ubuntu-minimal-daily) and V(local).
    type: str
  source_server:
    description:
      - The source by its address, as V(https://host:8443) or V(unix:///path/of/unix.socket), or, with
        O(source_protocol=simplestreams), the address of an image server, as V(https://images.example.com).
    type: str
  source_registry:
    description:
      - The source as an image registry that the managed server knows by this name. Only a LXD with the API extension
        C(image_registries) has any.
    type: str
  source_protocol:
    description:
      - What the source speaks. V(lxd) and V(incus) are servers with an image store, V(simplestreams) is a mere image
        server.
      - Without it, what O(source_remote) is known to speak, and V(lxd) for O(source_server).
    type: str
    choices: [lxd, simplestreams, incus]
  source_project:
    description:
      - The project of the source that the image is in.
      - Without it, the project that O(source_remote) is set to, or else V(default).
      - Alone, without any other O(source_remote), O(source_server) or O(source_registry), another project of the
        managed server itself.
    type: str
  source_cert:
    description:
      - As O(server_cert), but for the source.
    type: path
  source_cert_fingerprint:
    description:
      - As O(server_cert_fingerprint), but for the source.
    type: str
  source_client_cert:
    description:
      - The TLS client certificate to show to the source, a PEM file. A source shows private images only to a client
        that it trusts.
      - Without it, the one of O(source_remote) or of O(config_dir), or else O(client_cert).
    type: path
  source_client_key:
    description:
      - The key of O(source_client_cert), a PEM file.
    type: path
"""

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options for the server that an image comes from. Declared in ``_core/options/connection.py``."""

from __future__ import annotations


class ModuleDocFragment:
    """The source, and the connection to it."""

    DOCUMENTATION = r"""
options:
  source_remote:
    description:
      - The source by its name in the client configuration (see O(config_dir)), with the address, project and
        certificates configured there.
      - If the client configuration has no such remote, one of the built-in remotes V(images), V(ubuntu),
        V(ubuntu-daily), V(ubuntu-minimal), V(ubuntu-minimal-daily) and V(local).
      - V(images) is U(https://images.lxd.canonical.com) for LXD, and U(https://images.linuxcontainers.org) for Incus.
        The target server decides. Modules that use no target server decide by O(config_dir), which is that of C(lxc)
        or C(incus).
    type: str
  source_server:
    description:
      - The source by its URL, as V(https://host:8443) or V(unix:///path/to/unix.socket). With
        O(source_protocol=simplestreams), the URL of an image server, as V(https://images.example.com). With
        O(source_protocol=oci), the URL of a registry, as V(https://docker.io) or V(https://registry.example.com:5000).
    type: str
  source_registry:
    description:
      - The source by the name of an image registry that is configured on the target server. Requires LXD with the API
        extension C(image_registries).
    type: str
  source_protocol:
    description:
      - The protocol of the source. V(lxd) and V(incus) are servers with an image store, V(simplestreams) is a
        read-only image server. V(oci) is a registry of images for application containers, which can only be copied to
        Incus 6.3 and later.
      - Defaults to the protocol configured for O(source_remote), and to V(lxd) for O(source_server).
    type: str
    choices: [lxd, simplestreams, incus, oci]
  source_project:
    description:
      - The project of the source that contains the image.
      - Defaults to the project configured for O(source_remote), or else to V(default).
      - Without O(source_remote), O(source_server) and O(source_registry), a project of the target server itself.
    type: str
  source_cert:
    description:
      - Like O(server_cert), for the source.
      - A registry (O(source_protocol=oci)) is verified by it when this task asks what a name stands for. The server
        that pulls the image always verifies the registry with the certificate authorities of its system.
    type: path
  source_cert_fingerprint:
    description:
      - Like O(server_cert_fingerprint), for the source.
    type: str
  source_client_cert:
    description:
      - A PEM file with the TLS client certificate for authentication with the source. A source shows private images
        only to clients that it trusts.
      - Defaults to the certificate of O(source_remote) or in O(config_dir), or else to O(client_cert). An image server
        is shown a certificate only if this option is set, since others than its owner run most of them.
    type: path
  source_client_key:
    description:
      - A PEM file with the private key of O(source_client_cert).
    type: path
  source_bearer_token:
    description:
      - Like O(bearer_token), for the source, instead of O(source_client_cert).
    type: str
  source_username:
    description:
      - The user name for a source that asks for a password. Requires O(source_password).
      - A LXD or Incus server never does. Use O(source_client_cert) or O(source_bearer_token) for those.
      - Incus records user name and password of a registry (O(source_protocol=oci)) in the image, as a part of the
        address of its origin, and shows them to its clients. The modules of this collection mask them.
      - Credentials and client certificates for an image server (simplestreams) are sent to its own host only, never to
        one that it redirects to. The target server does not have them, so the image is always relayed.
    type: str
  source_password:
    description:
      - The password of O(source_username).
    type: str
"""

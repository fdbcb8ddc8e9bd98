# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of every module that talks to a server. Declared in ``_core/options/connection.py``."""

from __future__ import annotations


class ModuleDocFragment:
    """The image store, and the connection to its server."""

    DOCUMENTATION = r"""
options:
  server:
    description:
      - The target server, whose images are managed, as V(https://host:8443) or V(unix:///path/to/unix.socket). The
        port defaults to 8443.
      - Defaults to the server of the host that the task runs on. The first socket that exists is used, of
        E(LXD_SOCKET), C($LXD_DIR/unix.socket), that of LXD's snap, that of its Debian package, and for Incus
        E(INCUS_SOCKET), C($INCUS_DIR/unix.socket), C(/run/incus/unix.socket) and C(/var/lib/incus/unix.socket).
    type: str
  remote:
    description:
      - The target server by its name in the client configuration (see O(config_dir)), with the address, project and
        certificates configured there. Mutually exclusive with O(server).
    type: str
  config_dir:
    description:
      - The directory with the client configuration of C(lxc) or C(incus), which consists of C(config.yml),
        C(client.crt), C(client.key) and C(servercerts/).
      - Defaults to the first directory that exists of E(LXD_CONF), C(~/snap/lxd/common/config), C(~/.config/lxc),
        E(INCUS_CONF) and C(~/.config/incus).
    type: path
  project:
    description:
      - The project whose images are managed.
      - Defaults to the project configured for O(remote), or else to V(default).
    type: str
  client_cert:
    description:
      - A PEM file with the TLS client certificate for authentication with the server. Options for certificates and
        tokens are ignored if the server is used through a Unix socket.
      - Defaults to C(client.crt), with C(client.key), in O(config_dir), if both exist.
    type: path
  client_key:
    description:
      - A PEM file with the private key of O(client_cert).
    type: path
  server_cert:
    description:
      - A PEM file with the certificate of the server, or of a certificate authority that signed it. The host name is
        checked only with an authority.
    type: path
  server_cert_fingerprint:
    description:
      - The SHA-256 fingerprint of the server's certificate in hexadecimal, as shown by C(lxc info). Neither the host
        name nor an authority is checked then.
    type: str
  validate_certs:
    description:
      - Whether to validate the server's certificate against the certificate authorities of the system, if neither
        O(server_cert) nor O(server_cert_fingerprint) is set. With V(false), somebody between client and server can
        read and change all data.
      - V(false) is an error together with either of them.
    type: bool
    default: true
  trust_token:
    description:
      - A token that makes the server trust the client certificate, if it does not yet. Issue one with
        C(lxc config trust add) or C(incus config trust add), or, for an identity with fine-grained permissions (LXD
        5.21, 6.1 and later), with C(lxc auth identity create tls/NAME).
      - The token contains the fingerprint of the server's certificate, which must match. Therefore, neither
        O(server_cert) nor O(server_cert_fingerprint) is needed, even after the token has been used or has expired. If
        one of them is set, both must match.
      - LXD before 6.1 also accepts its trust password. Since a password contains no fingerprint, it requires
        O(server_cert) or O(server_cert_fingerprint), unless O(validate_certs=true).
      - The token is not used in check mode or by modules that make no changes. They fail if the server does not trust
        the client certificate.
    type: str
  bearer_token:
    description:
      - A bearer token for authentication with the server, instead of a client certificate. Issue one with
        C(lxc auth identity token issue bearer/NAME). Requires LXD with the API extension C(auth_bearer), which is LXD
        6.7 and later.
      - The token contains the fingerprint of the server's certificate and is sent only to a server with that
        certificate. If O(server_cert) or O(server_cert_fingerprint) is set, or the client configuration has a
        certificate for O(remote), that certificate must match instead.
      - Mutually exclusive with O(client_cert) and O(trust_token), except for a Unix socket, which ignores all of them.
    type: str
  timeout:
    description:
      - The maximum duration of the task in seconds. It covers requests, transfers, operations of the server, name
        resolution, and reading and hashing of files on the managed host and on the controller.
      - When the time has expired, a running operation is canceled if the server allows that. Otherwise the operation
        continues on the server, and the next run finds its result.
    type: int
    default: 1800
notes:
  - The environment variables E(https_proxy) and E(no_proxy) are respected, in lower or upper case. A proxy is never
    used for Unix sockets, C(127.0.0.0/8), C(::1) and C(localhost). When a server downloads an image, the proxy
    configured on that server counts (C(core.proxy_https)).
requirements:
  - requests >= 2.25, unless the task uses Unix sockets only
  - PyYAML, to read a client configuration
"""

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of every module that talks to a server; the twin of ``connection()`` in ``_core/options.py``."""

from __future__ import annotations


class ModuleDocFragment:
    """Which store, and how to get there."""

    DOCUMENTATION = r"""
options:
  server:
    description:
      - The server whose images are managed, as V(https://host:8443) or V(unix:///path/of/unix.socket).
        The port is 8443 if none is given.
      - Without it, the server of the host that the task runs on. Its socket is the first that exists of
        E(LXD_SOCKET), C($LXD_DIR/unix.socket), the one of LXD's snap, that of its Debian package, and then, for
        Incus, E(INCUS_SOCKET), C($INCUS_DIR/unix.socket), C(/run/incus/unix.socket) and
        C(/var/lib/incus/unix.socket).
    type: str
  remote:
    description:
      - Instead of O(server), a remote by the name that it has in the client configuration (see O(config_dir)), with
        the address, project, and certificates that the configuration has for it.
    type: str
  config_dir:
    description:
      - The folder with the client configuration of C(lxc) or C(incus), in which C(config.yml), C(client.crt),
        C(client.key) and C(servercerts/) are.
      - Without it, the first that exists of E(LXD_CONF), C(~/snap/lxd/common/config), C(~/.config/lxc),
        E(INCUS_CONF) and C(~/.config/incus).
    type: path
  project:
    description:
      - The project whose images are managed.
      - Without it, the project that O(remote) is set to, or else V(default).
    type: str
  client_cert:
    description:
      - The TLS client certificate that this task shows to the server, a PEM file.
      - Without it, C(client.crt) and C(client.key) of O(config_dir) if both exist.
    type: path
  client_key:
    description:
      - The key of O(client_cert), a PEM file.
    type: path
  server_cert:
    description:
      - A PEM file with the server's own certificate, or with that of an authority which signed it. With the former
        the host name does not matter, with the latter it must be one that the certificate names.
    type: path
  server_cert_fingerprint:
    description:
      - The SHA-256 of the server's certificate in hex, as C(lxc info) prints it. Neither the host name nor any
        authority matters then.
    type: str
  validate_certs:
    description:
      - With neither O(server_cert) nor O(server_cert_fingerprint), whether the server's certificate must be signed
        by an authority that the system trusts. V(false) lets anybody stand in between.
      - With either of the two, or a Unix socket, nothing is checked this way, and V(false) is an error.
    type: bool
    default: true
  trust_token:
    description:
      - If the server does not trust the client certificate yet, make it do so with this token (from
        C(lxc config trust add) or C(incus config trust add)). A LXD before 6.1 also takes its trust password here.
      - Not used in check mode, nor by modules that change nothing. They fail if they would need it.
    type: str
  timeout:
    description:
      - How many seconds the task may take in all, transfers and the server's own work included.
      - What the server is doing when they are over is cancelled where the server allows it. Otherwise it goes on,
        and the next run finds its outcome.
    type: int
    default: 1800
requirements:
  - requests >= 2.25
  - PyYAML, if a client configuration is read
"""

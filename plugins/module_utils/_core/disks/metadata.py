# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The metadata of an image that is made of a bare disk or root file system: always the same bytes for the same facts.

The archive is not compressed: LXD and Incus accept that, and what zlib makes of it differs between versions of zlib.
"""

from __future__ import annotations

import json
import stat
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, Mapping

from ..archives.tar_headers import END, MemberStatus, header, padding
from ..images import CONTAINER

CREATION_DATE = 1
"""Seconds since 1970, the minimum that servers accept. With the current date, the same file would become another image
on each day. This one is obviously not a real date."""


@dataclass(frozen=True)
class RootfsFacts:
    """What the metadata contains besides the type. Texts are one printable line each; empty ones are left out.

    ``architecture`` is by LXD's name. ``cloud_init`` is whether templates give cloud-init its seed.
    """

    architecture: str
    os: str = ""
    release: str = ""
    variant: str = ""
    description: str = ""
    cloud_init: bool = False


def rootfs_key(algorithm: str, digest: str, facts: RootfsFacts) -> str:
    """What identifies an image made of a file: the digest of the file (as it is, perhaps compressed) and the facts.

    ``algorithm`` is ``sha256`` or ``sha512``, ``digest`` in lower-case hex. The key is 64 hex digits.
    """
    told = {**asdict(facts), "digest": f"{algorithm}:{digest}"}
    return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def metadata_archive(image_type: str, facts: RootfsFacts) -> bytes:
    """The metadata file of an image of this type: a tar archive with ``metadata.yaml`` and templates."""
    templates = _templates(facts) if image_type == CONTAINER else {}
    named = {name: getattr(facts, name) for name in ("os", "release", "variant", "description")}
    document: dict[str, Any] = {
        "architecture": facts.architecture,
        "creation_date": CREATION_DATE,
        "properties": {name: value for name, value in named.items() if value},
    }
    if templates:
        document["templates"] = {path: one.entry for path, one in templates.items()}
    members = {"metadata.yaml": _yaml(document)}
    members.update({f"templates/{one.name}": one.content for one in templates.values()})
    return b"".join(_member(name, members[name]) for name in sorted(members)) + END


@dataclass(frozen=True)
class _Template:
    """A template in the archive (``doc/reference/image_format.md``), and the default that it refers to, if any."""

    name: str
    text: str
    default: str = ""

    @property
    def content(self) -> bytes:
        return self.text.encode()

    @property
    def entry(self) -> Mapping[str, Any]:
        """Its entry in ``metadata.yaml``."""
        entry: dict[str, Any] = {"template": self.name, "when": ["create", "copy"]}
        return {**entry, "properties": {"default": self.default}} if self.default else entry


def _templates(facts: RootfsFacts) -> Mapping[str, _Template]:
    """The templates of a container, by the path of the file that they make."""
    templates = {"/etc/hostname": _Template("hostname.tpl", "{{ container.name }}\n")}
    if facts.cloud_init:
        templates.update({f"{_SEED}/{name}": one for name, one in _CLOUD_INIT.items()})
    return templates


_SEED = "/var/lib/cloud/seed/nocloud-net"

_CLOUD_INIT = {
    "meta-data": _Template(
        "cloud-init-meta.tpl",
        "#cloud-config\ninstance-id: {{ container.name }}\nlocal-hostname: {{ container.name }}\n"
        '{{ config_get("user.meta-data", "") }}\n',
    ),
    "network-config": _Template(
        "cloud-init-network.tpl",
        '{{ config_get("cloud-init.network-config", config_get("user.network-config", properties.default)) }}\n',
        "version: 1\nconfig:\n  - type: physical\n    name: eth0\n    subnets:\n"
        "      - type: dhcp\n        control: auto\n",
    ),
    "user-data": _Template(
        "cloud-init-user.tpl",
        '{{ config_get("cloud-init.user-data", config_get("user.user-data", properties.default)) }}\n',
        "#cloud-config\n{}\n",
    ),
    "vendor-data": _Template(
        "cloud-init-vendor.tpl",
        '{{ config_get("cloud-init.vendor-data", config_get("user.vendor-data", properties.default)) }}\n',
        "#cloud-config\n{}\n",
    ),
}


def _yaml(document: Mapping[str, Any]) -> bytes:
    """The document as JSON, which is YAML: PyYAML is not always there, and its output may change."""
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _member(name: str, content: bytes) -> bytes:
    status = MemberStatus(stat.S_IFREG | 0o644)
    return header(name.encode(), b"0", status, len(content)) + content + padding(len(content))

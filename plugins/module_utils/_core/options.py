# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Argument specifications. Each function is the twin of one documentation fragment, or of one module."""

from __future__ import annotations

from itertools import combinations
from typing import Any


def merged(*parts: dict[str, Any]) -> dict[str, Any]:
    """Several specifications as one: the options of all, and all their conditions."""
    whole: dict[str, Any] = {"argument_spec": {}}
    for part in parts:
        for name, value in part.items():
            if isinstance(value, dict):
                whole.setdefault(name, {}).update(value)
            elif isinstance(value, list):
                whole[name] = whole.get(name, []) + value
            else:
                whole[name] = value
    return whole


def connection() -> dict[str, Any]:
    """Which store a task manages, and how to get there."""
    return {
        "argument_spec": {
            "server": {"type": "str"},
            "remote": {"type": "str"},
            "config_dir": {"type": "path"},
            "project": {"type": "str"},
            "client_cert": {"type": "path"},
            "client_key": {"type": "path"},
            "server_cert": {"type": "path"},
            "server_cert_fingerprint": {"type": "str"},
            "validate_certs": {"type": "bool", "default": True},
            "trust_token": {"type": "str", "no_log": True},
            "timeout": {"type": "int", "default": 1800},
        },
        "mutually_exclusive": [("server", "remote"), ("server_cert", "server_cert_fingerprint")],
        "required_together": [("client_cert", "client_key")],
    }


def image() -> dict[str, Any]:
    """What a task wants of an image."""
    return {
        "argument_spec": {
            "aliases": {"type": "list", "elements": "str", "aliases": ["alias"]},
            "purge_aliases": {"type": "bool", "default": False},
            "alias_conflict": {"type": "str", "choices": ["move", "fail"], "default": "move"},
            "delete_replaced": {"type": "bool", "default": False},
            "properties": {"type": "dict"},
            "purge_properties": {"type": "bool", "default": False},
            "public": {"type": "bool"},
            "profiles": {"type": "list", "elements": "str"},
            "expires_at": {"type": "str"},
        },
    }


def source() -> dict[str, Any]:
    """Which other server an image comes from, and how to get there."""
    return {
        "argument_spec": {
            "source_remote": {"type": "str"},
            "source_server": {"type": "str"},
            "source_registry": {"type": "str"},
            "source_protocol": {"type": "str", "choices": ["lxd", "simplestreams", "incus"]},
            "source_project": {"type": "str"},
            "source_cert": {"type": "path"},
            "source_cert_fingerprint": {"type": "str"},
            "source_client_cert": {"type": "path"},
            "source_client_key": {"type": "path"},
        },
        "mutually_exclusive": [
            ("source_remote", "source_server", "source_registry"),
            ("source_cert", "source_cert_fingerprint"),
        ],
        "required_together": [("source_client_cert", "source_client_key")],
    }


def image_copy() -> dict[str, Any]:
    """Module ``lxd_image_copy``."""
    own = {
        "argument_spec": {
            "image": {"type": "str", "required": True},
            "image_type": {"type": "str", "choices": ["container", "virtual-machine"]},
            "architecture": {"type": "str"},
            "mode": {
                "type": "str",
                "choices": ["auto", "pull", "push", "relay"],
                "default": "auto",
            },
            "retries": {"type": "int", "default": 3},
            "copy_aliases": {"type": "bool", "default": False},
            "auto_update": {"type": "bool"},
            "state": {"type": "str", "choices": ["present", "latest"], "default": "present"},
        },
        "supports_check_mode": True,
    }
    return merged(connection(), source(), image(), own)


def image_import() -> dict[str, Any]:
    """Module ``lxd_image_import``."""
    own = {
        "argument_spec": {
            "src": {"type": "path"},
            "metadata": {"type": "path"},
            "rootfs": {"type": "path"},
            "url": {"type": "str"},
            "metadata_url": {"type": "str"},
            "rootfs_url": {"type": "str"},
            "remote_src": {"type": "bool", "default": False},
            "fingerprint": {"type": "str"},
            "compression": {
                "type": "str",
                "choices": ["gzip", "zstd", "xz", "none"],
                "default": "gzip",
            },
            "mode": {"type": "str", "choices": ["auto", "pull", "relay"], "default": "auto"},
            "retries": {"type": "int", "default": 3},
            "url_headers": {"type": "dict", "no_log": True},
            "url_username": {"type": "str"},
            "url_password": {"type": "str", "no_log": True},
            "url_ca_path": {"type": "path", "aliases": ["ca_path"]},
            "url_validate_certs": {"type": "bool", "default": True},
            # What the controller knows of a file that is there; see plugin_utils/controller_files.py.
            "_file": {"type": "dict"},
        },
        "mutually_exclusive": list(combinations(("src", "metadata", "url", "metadata_url"), 2)),
        "required_together": [
            ("metadata", "rootfs"),
            ("metadata_url", "rootfs_url"),
            ("url_username", "url_password"),
        ],
        "required_one_of": [("src", "metadata", "url", "metadata_url")],
        "required_by": {"metadata_url": "fingerprint"},
        "supports_check_mode": True,
    }
    return merged(connection(), image(), own)


def image_attributes() -> dict[str, Any]:
    """Module ``lxd_image``."""
    own = {
        "argument_spec": {
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "auto_update": {"type": "bool"},
        },
        "supports_check_mode": True,
    }
    return merged(connection(), image(), own)


def image_alias() -> dict[str, Any]:
    """Module ``lxd_image_alias``."""
    own = {
        "argument_spec": {
            "name": {"type": "str", "required": True},
            "target": {"type": "str"},
            "description": {"type": "str"},
            "new_name": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        "supports_check_mode": True,
    }
    return merged(connection(), own)


def image_export() -> dict[str, Any]:
    """Module ``lxd_image_export``."""
    own = {
        "argument_spec": {
            "name": {"type": "str", "required": True},
            "dest": {"type": "path", "required": True},
        },
        "add_file_common_args": True,
        "supports_check_mode": True,
    }
    return merged(connection(), own)


def image_info() -> dict[str, Any]:
    """Module ``lxd_image_info``."""
    own = {
        "argument_spec": {
            "name": {"type": "str"},
            "properties": {"type": "dict"},
            "image_type": {"type": "str", "choices": ["container", "virtual-machine"]},
            "architecture": {"type": "str"},
            "all_projects": {"type": "bool", "default": False},
        },
        "mutually_exclusive": [("project", "all_projects")],
        "supports_check_mode": True,
    }
    return merged(connection(), source(), own)


def image_catalog() -> dict[str, Any]:
    """Module ``lxd_image_catalog``."""
    one = {
        "name": {"type": "str", "required": True},
        "src": {"type": "path"},
        "metadata": {"type": "path"},
        "rootfs": {"type": "path"},
        "version": {"type": "str"},
        "architecture": {"type": "str"},
        "image_type": {"type": "str", "choices": ["container", "virtual-machine"]},
        "os": {"type": "str"},
        "release": {"type": "str"},
        "variant": {"type": "str"},
        "aliases": {"type": "list", "elements": "str"},
        "requirements": {"type": "dict"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    }
    return {
        "argument_spec": {
            "root": {"type": "path", "required": True},
            "base_url": {"type": "str", "required": True},
            "header_map": {"type": "path"},
            "images": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": one,
                "mutually_exclusive": [("src", "metadata"), ("src", "rootfs")],
                "required_together": [("metadata", "rootfs")],
            },
            "remote_src": {"type": "bool", "default": False},
            "keep": {"type": "int", "default": 2},
            "grace": {"type": "int", "default": 7200},
            "purge": {"type": "bool", "default": False},
            "verify": {"type": "bool", "default": False},
            # What the controller knows of files that are there; see action/lxd_image_catalog.py.
            "_controller": {"type": "dict"},
        },
        "supports_check_mode": True,
    }

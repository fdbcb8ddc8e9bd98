# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of ``lxd_image_catalog``."""

from __future__ import annotations

from typing import Any


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

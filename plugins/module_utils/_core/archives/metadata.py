# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``metadata.yaml``: what an image says of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping

from ..errors import FileError, MissingLibrary
from ..images import architecture_name


@dataclass(frozen=True)
class Metadata:
    """An image's ``metadata.yaml`` (``shared/api/image.go``). Dates are seconds since 1970, 0 is none."""

    architecture: str
    creation_date: int
    expiry_date: int = 0
    properties: Mapping[str, str] = field(default_factory=dict)


def parse_metadata(path: str, content: bytes) -> Metadata:
    """The ``metadata.yaml`` found in the file ``path``. Raises FileError where LXD would refuse it, MissingLibrary."""
    raw = _mapping(path, content)
    architecture = str(raw.get("architecture") or "")
    if not architecture:
        raise FileError(
            f"metadata.yaml in {path} names no architecture",
            "LXD needs one, as in architecture: x86_64.",
        )
    if not architecture_name(architecture):
        raise FileError(
            f"metadata.yaml in {path} names the architecture {architecture}, which LXD does not know",
            "Names are those of uname -m, as x86_64 or aarch64.",
        )
    created = _seconds(raw.get("creation_date"))
    if not created:
        raise FileError(
            f"metadata.yaml in {path} has no creation_date",
            "LXD needs one, in whole seconds since 1970.",
        )
    properties = raw.get("properties") or {}
    return Metadata(
        architecture,
        created,
        _seconds(raw.get("expiry_date")),
        {str(name): str(value) for name, value in properties.items()}
        if isinstance(properties, dict)
        else {},
    )


def _mapping(path: str, content: bytes) -> Mapping[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise MissingLibrary("PyYAML") from error
    try:
        raw = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError) as error:
        raise FileError(
            f"metadata.yaml in {path} is no YAML: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(raw, dict):
        raise FileError(
            f"metadata.yaml in {path} is no mapping", "It needs architecture and creation_date."
        )
    return raw


def _seconds(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``metadata.yaml``, the metadata of an image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping

from ..architectures import architecture_name
from ..errors import FileError
from ..yaml_reader import Node, Scalar, read_yaml

FIRST_SECOND = -62_167_219_200
LAST_SECOND = 253_402_300_799
"""The years 0 to 9999. Servers store dates as text with years of four digits: they accept an image with another date,
and can then not list their images any more."""


@dataclass(frozen=True)
class Metadata:
    """An image's ``metadata.yaml`` (``shared/api/image.go``).

    ``creation_date`` and ``expiry_date`` are seconds since 1970 from ``FIRST_SECOND`` to ``LAST_SECOND``, so perhaps
    negative or far in the future; 0 is no expiry. Properties are text as it is written, as servers keep them:
    ``release: 3.20`` is ``3.20``.
    """

    architecture: str
    creation_date: int
    expiry_date: int = 0
    properties: Mapping[str, str] = field(default_factory=dict)


def parse_metadata(path: str, content: bytes) -> Metadata:
    """The ``metadata.yaml`` found in ``path``. Raises FileError where servers would refuse it, MissingLibrary."""
    name = f"metadata.yaml in {path}"
    document = read_yaml(content, name)
    if not isinstance(document, dict):
        what = "is empty" if document == "" else "must be a mapping"
        raise FileError(f"{name} {what}", "It must contain architecture and creation_date.")
    # Unknown fields are ignored, as servers do.
    fields = {str(key): value for key, value in document.items()}
    architecture = _architecture(name, fields)
    created = _seconds(name, "creation_date", fields)
    if not created:
        raise FileError(f"{name} has no creation_date", _DATE_HINT)
    _mapping(name, "templates", fields)
    return Metadata(
        architecture,
        created,
        _seconds(name, "expiry_date", fields),
        {
            _text(name, "a name in properties", key): _text(name, f"the property {key}", value)
            for key, value in _mapping(name, "properties", fields).items()
        },
    )


_DATE_HINT = "LXD needs one, in seconds since 1970."


def _architecture(name: str, fields: Mapping[str, Node]) -> str:
    architecture = _text(name, "architecture", fields.get("architecture", _NOTHING))
    if not architecture:
        raise FileError(f"{name} has no architecture", "Add one, for example architecture: x86_64.")
    if not architecture_name(architecture):
        raise FileError(
            f"{name} has the architecture {architecture}, which is unknown to LXD",
            "Use a name such as x86_64 or aarch64.",
        )
    return architecture


def _seconds(name: str, field_name: str, fields: Mapping[str, Node]) -> int:
    """A date as servers read it: any unquoted number, truncated to whole seconds."""
    node = fields.get(field_name, _NOTHING)
    value = node.value if isinstance(node, Scalar) and node.valid else node
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        shown = f"{str(node)[:40]!r}" if isinstance(node, Scalar) else "not a scalar"
        hint = "Remove the quotes." if isinstance(node, Scalar) and node.isdigit() else _DATE_HINT
        raise FileError(f"{name} has the {field_name} {shown}, which is not a number", hint)
    if not FIRST_SECOND <= value < LAST_SECOND + 1:
        raise FileError(
            f"{name} has the {field_name} {node}, which is outside of the years 0 to 9999",
            _DATE_HINT,
        )
    return int(value)


def _text(name: str, what: str, node: Node) -> str:
    """A scalar as servers read it into a string; null is the empty string."""
    if not isinstance(node, Scalar):
        raise FileError(f"in {name}, {what} must be text", "Quote it, or write it on one line.")
    if not node.valid:
        raise FileError(f"in {name}, {what} is {str(node)[:40]!r}, which is not a !!{node.tag}")
    return "" if node.tag == "null" else str(node)


def _mapping(name: str, field_name: str, fields: Mapping[str, Node]) -> Mapping[Scalar, Node]:
    node = fields.get(field_name, _NOTHING)
    if isinstance(node, dict):
        return node
    if isinstance(node, Scalar) and node.tag == "null" and node.valid:
        return {}
    raise FileError(f"in {name}, {field_name} must be a mapping")


_NOTHING = Scalar("", "null")

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads untrusted YAML within limits of size, depth and number of values.

PyYAML only splits the text into events: its constructors expand aliases without a limit, recurse as deep as the
document, and raise all kinds of exceptions for invalid tags. Scalars keep the text that was written, because servers
read most of them as text (``release: 3.20`` is ``3.20``). Their values are those of the servers' reader
(``gopkg.in/yaml.v2``, ``resolve.go``).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Dict, List, Union

from .errors import FileError, MissingLibrary

MAX_BYTES = 1 << 20
"""Of a document, and of all its scalars together once aliases are followed."""

MAX_DEPTH = 100
MAX_VALUES = 10_000
"""Scalars, sequences and mappings of a document, once aliases are followed."""


class Scalar(str):
    """A scalar's text as it is written, without quotes. Compares and hashes as that text.

    ``tag`` is the type that it has in YAML 1.1: ``str``, ``int``, ``float``, ``bool``, ``null`` or ``timestamp``.
    Scalars with tags of other origin are ``str``. ``valid`` tells whether the text fits its explicit
    tag, unlike ``!!int x``: servers reject such a scalar only if they use it.
    """

    tag: str
    valid: bool

    def __new__(cls, text: str, tag: str = "str", valid: bool = True) -> Scalar:
        """Make one."""
        scalar = super().__new__(cls, text)
        scalar.tag, scalar.valid = tag, valid
        return scalar

    @property
    def value(self) -> str | int | float | bool | None:
        """The value. Strings, timestamps and invalid scalars are text."""
        if not self.valid:
            return str(self)
        if self.tag in ("null", "bool", "float") and str(self) in _WORDS:
            return _WORDS[str(self)][1]
        return _number(str(self)) if self.tag in ("int", "float") else str(self)


Node = Union[Scalar, List["Node"], Dict[Scalar, "Node"]]


def read_yaml(content: bytes, name: str) -> Node:
    """The first document of a YAML text; an empty one is a scalar of the tag ``null``.

    ``name`` is what messages call it. Raises FileError if it is not valid YAML or exceeds the limits, MissingLibrary
    without PyYAML.
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingLibrary("PyYAML") from error
    if len(content) > MAX_BYTES:
        raise _exceeded(name, f"{MAX_BYTES >> 20} MiB")
    builder = _Builder(name)
    try:
        for event in yaml.parse(content, Loader=_loader(yaml)):
            builder.add(event)
            if builder.document is not None:
                return builder.document
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise _invalid(name, f"{error.problem or error.context}{where}") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # Invalid characters or escapes.
        raise _invalid(name, str(error)) from error
    return Scalar("", "null")


def _loader(yaml: Any) -> Any:
    # libyaml is what the servers' reader was made of; it knows of tabs that PyYAML's own scanner refuses.
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def plain_values(node: Node) -> Any:
    """The node as dict, list, str, int, float, bool or None. Keys are text."""
    if isinstance(node, dict):
        return {str(key): plain_values(value) for key, value in node.items()}
    if isinstance(node, list):
        return [plain_values(item) for item in node]
    return node.value


@dataclass
class _Size:
    """The size of a node: values, characters of its scalars, and levels including its own."""

    values: int = 1
    characters: int = 0
    depth: int = 1


class _Collection:
    """An unfinished sequence or mapping. The parts of a mapping are keys and values alternately."""

    def __init__(self, is_mapping: bool, anchor: str | None) -> None:
        self.is_mapping = is_mapping
        self.anchor = anchor
        self.parts: list[Node] = []
        self.size = _Size()

    def add(self, part: Node, size: _Size) -> None:
        """Append a part."""
        self.parts.append(part)
        self.size.values += size.values
        self.size.characters += size.characters
        self.size.depth = max(self.size.depth, size.depth + 1)


class _Builder:
    """Builds a document from its events. An alias counts as much as the node that it refers to."""

    def __init__(self, name: str) -> None:
        self.document: Node | None = None
        self._name = name
        self._open: list[_Collection] = []
        self._anchors: dict[str, tuple[Node, _Size]] = {}
        self._values = self._characters = 0

    def add(self, event: Any) -> None:
        """Process the next event. Raises FileError."""
        kind = type(event).__name__
        if kind == "ScalarEvent":
            scalar = self._scalar(event.value, event.tag, event.implicit[0])
            size = _Size(characters=len(scalar))
            self._count(size)
            self._finish(scalar, size, event.anchor)
        elif kind == "AliasEvent":
            if event.anchor not in self._anchors:
                raise _invalid(self._name, f"the alias *{event.anchor} has no anchor before it")
            node, size = self._anchors[event.anchor]
            self._count(size)
            self._finish(node, size)
        elif kind in ("SequenceStartEvent", "MappingStartEvent"):
            self._open.append(_Collection(kind == "MappingStartEvent", event.anchor))
            self._count(_Size())
        elif kind in ("SequenceEndEvent", "MappingEndEvent"):
            ended = self._open.pop()
            node = self._mapping(ended.parts) if ended.is_mapping else ended.parts
            self._finish(node, ended.size, ended.anchor)

    def _finish(self, node: Node, size: _Size, anchor: str | None = None) -> None:
        if anchor:
            self._anchors[anchor] = node, size
        if self._open:
            self._open[-1].add(node, size)
        else:
            self.document = node

    def _count(self, size: _Size) -> None:
        self._values += size.values
        self._characters += size.characters
        if len(self._open) + size.depth > MAX_DEPTH + 1:
            raise _exceeded(self._name, f"{MAX_DEPTH} levels")
        if self._values > MAX_VALUES:
            raise _exceeded(self._name, f"{MAX_VALUES} values")
        if self._characters > MAX_BYTES:
            raise _exceeded(self._name, f"{MAX_BYTES >> 20} MiB")

    def _mapping(self, parts: list[Node]) -> Node:
        mapping: dict[Scalar, Node] = {}
        merged: list[Node] = []
        for key, value in zip(parts[::2], parts[1::2]):
            if not isinstance(key, Scalar):
                raise _invalid(self._name, "a mapping has a key that is no scalar")
            if key.tag == "merge":
                merged += value if isinstance(value, list) else [value]
            else:
                mapping[key] = value
        for other in merged:
            if not isinstance(other, dict):
                raise _invalid(self._name, "<< must name a mapping or a sequence of mappings")
            for key, value in other.items():
                mapping.setdefault(key, value)
        return mapping

    def _scalar(self, text: str, tag: str | None, plain: bool) -> Scalar:
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise _invalid(self._name, "it has half of a surrogate pair")
        if tag is None:
            return Scalar(text, _implicit_tag(text) if plain else "str")
        own = tag[len(_YAML_TAGS) :] if tag.startswith(_YAML_TAGS) else ""
        if own not in ("int", "float", "bool", "null", "timestamp"):
            return Scalar(text)
        found = "timestamp" if _is_timestamp(text) else _implicit_tag(text)
        return Scalar(text, own, own == found or (own, found) == ("float", "int"))


_YAML_TAGS = "tag:yaml.org,2002:"

_WORDS: dict[str, tuple[str, bool | float | None]] = {
    "<<": ("merge", None),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), ("null", None)),
    **{
        form: ("bool", value)
        for value, words in (
            (True, ("y", "yes", "true", "on")),
            (False, ("n", "no", "false", "off")),
        )
        for word in words
        for form in (word, word.capitalize(), word.upper())
    },
    **dict.fromkeys((".nan", ".NaN", ".NAN"), ("float", math.nan)),
    **{
        sign + form: ("float", -math.inf if sign == "-" else math.inf)
        for sign in ("", "+", "-")
        for form in (".inf", ".Inf", ".INF")
    },
}
"""Plain scalars that are not text: their tags and values."""

_LONGEST_NUMBER = 400
_INTEGER = re.compile(r"([-+]?)(?:0x([0-9a-fA-F]+)|0b([01]+)|0o?([0-7]+)|(0|[1-9][0-9]*))\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_TIMESTAMP = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})([Tt ]+(\d{1,2}):(\d{1,2}):(\d{1,2})(\.\d+)?(Z|[-+]\d{2}:\d{2})?)?\Z"
)


def _implicit_tag(text: str) -> str:
    """The tag of a plain scalar."""
    if text in _WORDS:
        return _WORDS[text][0]
    if _is_timestamp(text):
        return "timestamp"
    number = _number(text)
    if number is None:
        return "str"
    return "int" if isinstance(number, int) else "float"


def _number(text: str) -> int | float | None:
    """The number that a plain scalar is: integers of 64 bits, with a sign or without; others are floats."""
    if not text or text[0] not in "+-.0123456789" or len(text) > _LONGEST_NUMBER:
        return None
    plain = text.replace("_", "")
    match = _INTEGER.match(plain)
    if match:
        sign, *digits = match.groups()
        for base, part in zip((16, 2, 8, 10), digits):
            if part is not None:
                number = int(sign + part, base)
                if -(1 << 63) <= number < 1 << 64:
                    return number
    # The servers' reader takes a number that is too large for a float as text.
    if _FLOAT.match(plain) and math.isfinite(float(plain)):
        return float(plain)
    return None


def _is_timestamp(text: str) -> bool:
    match = _TIMESTAMP.match(text)
    if not match:
        return False
    from datetime import datetime

    try:
        datetime(*(int(part or 0) for part in match.group(1, 2, 3, 5, 6, 7)))  # type: ignore[arg-type]
    except ValueError:
        return False
    return True


def _invalid(name: str, reason: str) -> FileError:
    return FileError(f"{name} is not valid YAML: {' '.join(reason.split())[:300]}")


def _exceeded(name: str, limit: str) -> FileError:
    return FileError(f"{name} exceeds the limit of {limit} for YAML")

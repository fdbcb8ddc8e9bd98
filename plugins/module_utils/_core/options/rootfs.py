# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options that go into the metadata of an image that is made of a bare disk or root file system."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping

from ..errors import OptionError
from .specification import architecture_of

if TYPE_CHECKING:
    from ..disks.metadata import RootfsFacts

_TEXTS = ("os", "release", "variant", "description")


def rootfs_facts() -> dict[str, Any]:
    """The specification of the options that go into the metadata."""
    return {
        "argument_spec": {
            "architecture": {"type": "str"},
            **{name: {"type": "str"} for name in _TEXTS},
            "cloud_init": {"type": "bool", "default": False},
        },
    }


ROOTFS_OPTIONS = ("architecture", *_TEXTS, "cloud_init")
"""Options of which none can be used with an image that has its metadata already."""


def parse_rootfs_facts(params: Mapping[str, Any], native: str = "") -> RootfsFacts:
    """From the options of the task; ``native`` is the architecture if none is given. Raises OptionError."""
    from ..disks.metadata import RootfsFacts

    texts = {name: _line(name, params.get(name)) for name in _TEXTS}
    architecture = architecture_of(params.get("architecture")) or native
    return RootfsFacts(architecture, **texts, cloud_init=bool(params.get("cloud_init")))


def text_of(option: str, value: Any) -> str | None:
    """The text of an option that may be an unquoted whole number; None if it was left out. Raises OptionError."""
    if isinstance(value, float):
        raise OptionError(
            f"{option} is a number with a decimal point, which YAML may have shortened",
            'Quote it, for example "24.10".',
        )
    if value is not None and not isinstance(value, (str, int)):
        raise OptionError(f"{option} is a {type(value).__name__}, not text", "Correct it.")
    return None if value is None else str(value)


def _line(option: str, value: Any) -> str:
    text = (text_of(option, value) or "").strip()
    if not text.isprintable():
        raise OptionError(
            f"{option} is {text!r}, which is not one line of printable text", "Correct it."
        )
    return text

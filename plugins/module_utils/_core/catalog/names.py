# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The names, versions and texts that a catalog can have.

They become paths, addresses, JSON, HTML and configuration of nginx, so the same rules hold when they are published and
when a record is read that somebody may have edited. Each function raises ValueError, which says what is allowed.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any, Mapping, Sequence

MAX_NAME_CHARACTERS = 100
MAX_TEXT_CHARACTERS = 1000
MAX_ALIAS_CHARACTERS = 4000
"""Of the name and all aliases of a product together: clients read them as one text, in which commas separate them."""
MAX_REQUIREMENTS = 100

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+/-]*\Z")
_VERSION = re.compile(r"([0-9]{8})(?:_?([0-9]{4}))?\Z")
LEGACY_VERSION = re.compile(r"[0-9]{1,8}(_[0-9]{4})?\Z")
"""Earlier versions of this collection published ``7020615_0053`` for the year 702."""
_SURROGATES = re.compile("[\ud800-\udfff]")


def check_name(name: Any) -> str:
    """A name or an alias of a product."""
    if (
        isinstance(name, str)
        and len(name) <= MAX_NAME_CHARACTERS
        and _NAME.match(name)
        and not {"", ".", ".."} & set(name.split("/"))
    ):
        return name
    raise ValueError(
        f"{shortened(name)} is not a valid name: letters and digits of ASCII are allowed, and . _ + - / between them;"
        f" at most {MAX_NAME_CHARACTERS} characters"
    )


def check_aliases(name: str, aliases: Sequence[Any]) -> tuple[str, ...]:
    """The aliases of the product with this name, without repetitions."""
    checked = tuple(dict.fromkeys(map(check_name, aliases)))
    if len(",".join((name, *checked))) > MAX_ALIAS_CHARACTERS:
        raise ValueError(f"they have more than {MAX_ALIAS_CHARACTERS} characters")
    return checked


def parse_version(text: str) -> str:
    """A version as servers read it, from ``YYYYMMDD``, ``YYYYMMDD_HHMM`` or twelve digits.

    YAML takes ``20261124_0730`` for a number and drops the underscore.
    """
    match = _VERSION.match(text.strip())
    day, time = match.groups() if match else ("", None)
    try:
        datetime.strptime(day + (time or "0000"), "%Y%m%d%H%M")
    except ValueError:
        raise ValueError(
            f"{shortened(text)} is not a date: use YYYYMMDD or YYYYMMDD_HHMM, since servers ignore all others"
        ) from None
    return f"{day}_{time}" if time else day


def version_of(created: int, now: int) -> str:
    """The version of an image with this creation date; both are seconds since 1970.

    A date before 1970 or more than a day from now is wrong: such a version would be ignored by servers, or be the
    newest for ever.
    """
    if not 0 < created <= now + 86400:
        raise ValueError(
            f"the creation date {created} (seconds since 1970) is not in the past"
            if created > 0
            else f"the creation date {created} is before 1970"
        )
    return datetime.fromtimestamp(created, timezone.utc).strftime("%Y%m%d_%H%M")


def is_version(name: str) -> bool:
    """Whether servers read this as a version."""
    try:
        return parse_version(name) == name
    except ValueError:
        return False


def check_text(text: Any, max_characters: int = MAX_TEXT_CHARACTERS) -> str:
    """A text about an image. Lone surrogates, which no document can hold, are replaced."""
    if not isinstance(text, str):
        raise ValueError(f"{shortened(text)} is not text")
    if len(text) > max_characters:
        raise ValueError(f"it has {len(text)} characters, more than {max_characters}")
    return _SURROGATES.sub("\ufffd", text)


def check_requirements(requirements: Mapping[Any, Any]) -> dict[str, str]:
    """What instances of an image require."""
    if len(requirements) > MAX_REQUIREMENTS:
        raise ValueError(f"they are {len(requirements)}, more than {MAX_REQUIREMENTS}")
    return {check_text(name): check_text(value) for name, value in requirements.items()}


def shortened(value: Any) -> str:
    """A value for a message, which may be anything."""
    text = repr(value) if isinstance(value, (str, int, float, type(None))) else type(value).__name__
    return text if len(text) <= 80 else f"{text[:80]}…"

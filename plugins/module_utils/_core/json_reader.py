# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JSON documents that other programs have written, parsed within bounds of time and memory."""

from __future__ import annotations

import json
from typing import Any, NoReturn

MAX_BYTES_BEYOND_ASCII = 8 << 20
"""Bytes of a document that is not all ASCII: one rare character makes all of its text take four times the memory."""

MAX_DIGITS = 18
"""Digits of a whole number; longer ones become infinite. Parsing takes quadratic time on some versions of Python."""


def parse_json(content: bytes | bytearray, max_values: int) -> Any:
    """Parse a JSON document in UTF-8 that has at most ``max_values`` values.

    The caller bounds the bytes. A small document can still take a lot of memory: an object of one field is 8 bytes of
    text, and more than 200 in memory. Raises ValueError, which says what is wrong, as in "is not valid JSON: …".
    """
    if count_values(content) > max_values:
        raise ValueError(f"has more than {max_values} values")
    if len(content) > MAX_BYTES_BEYOND_ASCII and not content.isascii():
        raise ValueError(f"has more than {MAX_BYTES_BEYOND_ASCII >> 20} MiB, and is not all ASCII")
    try:
        return json.loads(
            content.decode("utf-8"), parse_int=_parse_int, parse_constant=_reject_constant
        )
    except RecursionError:
        raise ValueError("is not valid JSON: it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"is not valid JSON: {error}") from error


def count_values(content: bytes | bytearray) -> int:
    """An upper bound of the number of values in a JSON document."""
    # Each value follows one of these, which can also be in strings.
    return sum(map(content.count, (b",", b"{", b"[")))


def _parse_int(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_DIGITS else float("inf")


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"it contains {name}")

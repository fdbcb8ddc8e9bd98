# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.json_reader import parse_json

MIB = 1 << 20


def test_a_long_document_in_ascii_is_read():
    assert parse_json(b'"%s"' % (b"x" * (9 * MIB)), 10) == "x" * (9 * MIB)


def test_one_rare_character_makes_a_long_document_too_large():
    content = f'"{"x" * (9 * MIB)}\N{PILE OF POO}"'.encode()
    with pytest.raises(ValueError, match="has more than 8 MiB, and is not all ASCII"):
        parse_json(content, 10)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[1,2,3]", "has more than 2 values"),
        (b"[NaN]", "it contains NaN"),
        (b"[" * 100_000, "has more than 2 values"),
        (b"\xff", "is not valid JSON"),
    ],
)
def test_what_is_not_within_bounds_is_said(content, said):
    with pytest.raises(ValueError, match=said):
        parse_json(content, 2)

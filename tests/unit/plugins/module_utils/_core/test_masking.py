# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Masking of secrets."""

from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.masking import mask


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("web: refused", "********: refused"),
        ("https://user:web@host/", "https://user:********@host/"),
        ("(web)", "(********)"),
        ("website", "website"),
        ("3514web00ba8", "3514web00ba8"),
    ],
)
def test_secrets_are_masked_as_whole_words(text, masked):
    assert mask(text, ["web"]) == masked


def test_a_secret_of_symbols_is_masked_anywhere():
    assert mask("a-%%%-b", ["%%%"]) == "a-********-b"


def test_the_first_of_overlapping_secrets_is_masked_as_a_whole():
    assert mask("user:web", ["user:web", "web"]) == "********"

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Masks secrets in texts."""

from __future__ import annotations

import re
from typing import Sequence

MASK = "********"


def mask(text: str, secrets: Sequence[str]) -> str:
    """The text with the secrets masked, in their order: if one contains another, it must come first.

    They are masked as whole words, so never inside a fingerprint. None of them may be empty.
    """
    for secret in secrets:
        if secret in text:
            text = _as_word(secret).sub(MASK, text)
    return text


def _as_word(secret: str) -> re.Pattern[str]:
    """Matches a secret that is not part of a longer word."""
    before = r"(?<![0-9A-Za-z])" if secret[0].isalnum() else ""
    after = r"(?![0-9A-Za-z])" if secret[-1].isalnum() else ""
    return re.compile(before + re.escape(secret) + after)

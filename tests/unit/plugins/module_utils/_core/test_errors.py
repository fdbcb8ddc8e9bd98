# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import (
    ImageStoreError,
    MissingLibrary,
    clean_text,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("größe – 😀", "größe – 😀"),
        ("two\n  lines\t", "two lines"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\u202eback", "\\u202eback"),
        ("half \ud800", "half \\ud800"),
        ("x" * 301, "x" * 300 + "…"),
    ],
)
def test_quoted_text_is_one_line_that_is_safe_to_print(text, shown):
    assert clean_text(text) == shown


@given(st.text(), st.text())
def test_so_is_every_message(message, hint):
    text = str(ImageStoreError(message, hint))
    assert text.isprintable()
    text.encode()


def test_a_message_has_an_end():
    assert len(str(ImageStoreError("x" * 10_000, "y" * 10_000))) < 8_100


@pytest.mark.parametrize(
    ("library", "package"), [("requests", "python3-requests"), ("PyYAML", "python3-yaml")]
)
def test_a_missing_library_names_its_package(library, package):
    assert MissingLibrary(library).hint.endswith(f"apt install {package}")

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What servers accept and reject; ``tests/system/test_metadata.py`` checks that they do."""

from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.archives.metadata import (
    FIRST_SECOND,
    LAST_SECOND,
    parse_metadata,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import FileError
from hypothesis import given
from hypothesis import strategies as st

BASE = "architecture: x86_64\ncreation_date: 1700000000\n"


def parse(text):
    return parse_metadata("image.tar", text.encode())


def created(date):
    return parse(f"architecture: x86_64\ncreation_date: {date}\n").creation_date


class TestProperties:
    @pytest.mark.parametrize(
        "text",
        ["3.20", "22.10", "on", "012", "1_000", "0x1F", "2024-02-30", "2024-02-03", "=", "1e400"],
    )
    def test_are_the_text_as_it_is_written(self, text):
        assert parse(f"{BASE}properties: {{release: {text}}}").properties == {"release": text}

    @pytest.mark.parametrize("nothing", ["", "~", "null"])
    def test_without_a_value_are_empty(self, nothing):
        assert parse(f"{BASE}properties: {{release: {nothing}}}").properties == {"release": ""}

    def test_can_have_names_that_are_not_strings(self):
        assert parse(f"{BASE}properties: {{3: x, on: y}}").properties == {"3": "x", "on": "y"}

    @pytest.mark.parametrize("rest", ["", "properties:\n", "properties: {}\n"])
    def test_can_be_missing(self, rest):
        assert parse(BASE + rest).properties == {}

    @pytest.mark.parametrize(
        ("properties", "reason"),
        [
            ("x", "properties must be a mapping"),
            ("[a]", "properties must be a mapping"),
            ("{a: [1]}", "the property a must be text"),
            ("{a: {b: c}}", "the property a must be text"),
            ("{a: !!int ''}", "the property a is '', which is not a !!int"),
            ("{a: !!bool x}", "the property a is 'x', which is not a !!bool"),
        ],
    )
    def test_that_servers_reject_are_an_error(self, properties, reason):
        with pytest.raises(FileError, match=rf"in metadata\.yaml in image\.tar, {reason}"):
            parse(f"{BASE}properties: {properties}")


class TestCreationDate:
    @pytest.mark.parametrize(
        "date",
        [
            "1700000000",
            "1700000000.25",
            "1700000000.0",
            "1.7e+9",
            "17e8",
            "1_700_000_000",
            "0x6553F100",
            "!!int '1700000000'",
        ],
    )
    def test_can_be_any_number(self, date):
        assert created(date) == 1_700_000_000

    @pytest.mark.parametrize("date", [FIRST_SECOND, -5, 1, LAST_SECOND])
    def test_can_be_in_any_year_with_four_digits(self, date):
        assert created(date) == date

    @pytest.mark.parametrize(
        ("date", "reason"),
        [
            (
                "'1700000000'",
                "the creation_date '1700000000', which is not a number. Remove the quotes",
            ),
            (
                "2024-02-03",
                "the creation_date '2024-02-03', which is not a number. LXD needs one, in seconds",
            ),
            ("yes", "the creation_date 'yes', which is not a number"),
            ("!own 5", "the creation_date '5', which is not a number"),
            ("[1]", "the creation_date not a scalar, which is not a number"),
            ("", "has no creation_date. LXD needs one, in seconds since 1970"),
            ("0", "has no creation_date"),
            ("0.5", "has no creation_date"),
            (FIRST_SECOND - 1, "outside of the years 0 to 9999"),
            (LAST_SECOND + 1, "outside of the years 0 to 9999"),
            (".inf", "outside of the years 0 to 9999"),
            (".nan", "outside of the years 0 to 9999"),
            ("1e30", "outside of the years 0 to 9999"),
        ],
    )
    def test_that_servers_reject_is_an_error(self, date, reason):
        with pytest.raises(FileError, match=reason):
            created(date)


@pytest.mark.parametrize(
    "rest",
    [
        "---\n",
        "---\nfoo: bar\n",
        "--- {\n",
        "separator: =\n",
        "build: 2024-02-30\n",
        "foo: !own x\n",
        "foo: !!timestamp x\n",
        "foo: !!int ''\n",
        "foo:\t x\n",
        "expiry_date: 1900000000.5\n",
        "templates: {/etc/x: }\n",
        "? a\n: b\n",
        f"foo: {'[' * 50}{']' * 50}\n",
    ],
)
def test_metadata_that_servers_accept_is_accepted(rest):
    assert parse(BASE + rest).creation_date == 1_700_000_000


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("just words", "must be a mapping"),
        ("- a", "must be a mapping"),
        ("a: {", "is not valid YAML"),
        ("creation_date: 1", "has no architecture"),
        ("architecture: ~\ncreation_date: 1", "has no architecture"),
        ("architecture: [x]\ncreation_date: 1", "architecture must be text"),
        ("architecture: z80\ncreation_date: 1", "architecture z80, which is unknown to LXD"),
        ("architecture: x86_64", "has no creation_date"),
        (f"{BASE}expiry_date: x", "the expiry_date 'x', which is not a number"),
        (f"{BASE}templates: x", "templates must be a mapping"),
    ],
)
def test_metadata_that_servers_reject_is_an_error(text, reason):
    with pytest.raises(FileError, match=reason):
        parse(text)


SCALARS = st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.text(max_size=9)).map(
    repr
)
VALUES = st.recursive(
    SCALARS, lambda below: st.lists(below, max_size=3).map(lambda items: f"[{', '.join(items)}]")
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["architecture", "creation_date", "expiry_date", "properties", "templates"]
            ),
            VALUES,
        )
    )
)
def test_any_metadata_is_accepted_or_an_error(fields):
    text = "".join(f"{name}: {value}\n" for name, value in fields)
    try:
        metadata = parse_metadata("x", (BASE + text).encode(errors="replace"))
    except FileError:
        return
    assert FIRST_SECOND <= metadata.creation_date <= LAST_SECOND

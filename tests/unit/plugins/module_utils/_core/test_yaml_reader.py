# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
import yaml
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import FileError
from ansible_collections.imagestore.lxd.plugins.module_utils._core.yaml_reader import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_VALUES,
    plain_values,
    read_yaml,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def _either_scanner(request, monkeypatch):
    """With libyaml and without."""
    if request.param == "SafeLoader":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)


def read(text):
    return read_yaml(text.encode(), "x.yaml")


def value(text):
    return read(text).value


class TestScalars:
    @pytest.mark.parametrize(
        "text", ["3.20", "22.10", "on", "012", "1_000", "2024-02-30", "=", "~", "null", "0x1F"]
    )
    def test_keep_their_text(self, text):
        assert read(f"release: {text}") == {"release": text}

    def test_keep_their_text_without_quotes(self):
        assert read("""[a, "b", 'c''d', "e\\n"]""") == ["a", "b", "c'd", "e\n"]

    def test_that_are_missing_are_empty(self):
        assert read("release:") == {"release": ""}
        assert read("") == ""

    @pytest.mark.parametrize(
        ("text", "meant"),
        [
            ("1700000000", 1700000000),
            ("1_700", 1700),
            ("012", 10),
            ("0o17", 15),
            ("0x1f", 31),
            ("-0b11", -3),
            ("09", 9.0),
            ("1700000000.25", 1700000000.25),
            ("1.", 1.0),
            (".5", 0.5),
            ("17e8", 1.7e9),
            ("1.7e+9", 1.7e9),
            ("18446744073709551615", 2**64 - 1),
            ("18446744073709551616", 2.0**64),
            ("1e400", "1e400"),
            (".inf", float("inf")),
            ("-.INF", float("-inf")),
            ("yes", True),
            ("Off", False),
            ("oN", "oN"),
            ("~", None),
            ("", None),
            ("'7'", "7"),
            ("!!str 7", "7"),
            ("!!int '7'", 7),
            ("!!float 7", 7),
            ("!!bool yes", True),
            ("!!null ''", None),
            ("2024-02-30", "2024-02-30"),
            ("2024-02-03", "2024-02-03"),
            ("!!timestamp 2024-02-03", "2024-02-03"),
            ("!own 7", "7"),
            ("! 7", "7"),
            ("1:30", "1:30"),
        ],
    )
    def test_have_the_value_that_servers_read(self, text, meant):
        assert value(text) == meant
        assert isinstance(value(text), type(meant))

    @pytest.mark.parametrize(
        "text",
        [
            "!!timestamp x",
            "!!timestamp 2024-02-30",
            "!!bool x",
            "!!int ''",
            "!!int 1.5",
            "!!null x",
        ],
    )
    def test_can_differ_from_their_tag(self, text):
        scalar = read(text)
        assert not scalar.valid
        assert scalar.value == text.split(" ", 1)[1].strip("'")

    def test_have_values_of_python(self):
        assert plain_values(read("{a: [1, yes, ~, x], 3: {b: 2.5}}")) == {
            "a": [1, True, None, "x"],
            "3": {"b": 2.5},
        }


class TestDocuments:
    @pytest.mark.parametrize(
        "text", ["a: b\n---\n", "a: b\n---\nc: d\n", "---\na: b\n...\n", "%YAML 1.1\n---\na: b\n"]
    )
    def test_are_read_up_to_the_end_of_the_first(self, text):
        assert read(text) == {"a": "b"}

    def test_can_repeat_a_key_of_which_the_last_is_used(self):
        assert read("a: 1\na: 2\n") == {"a": "2"}

    def test_can_have_aliases(self):
        assert read("a: &x {b: c}\nd: *x\n") == {"a": {"b": "c"}, "d": {"b": "c"}}

    def test_can_merge_mappings(self):
        text = "a: &x {b: 1, c: 1}\nd: &y {c: 2, e: 2}\nf: {<<: [*x, *y], b: 3}\n"
        assert read(text)["f"] == {"b": "3", "c": "1", "e": "2"}

    def test_can_have_a_key_that_looks_like_a_merge(self):
        assert read("'<<': x") == {"<<": "x"}

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            (
                "a: {",
                r"(expected the|did not find expected) node content.* \(line [12], column [15]\)",
            ),
            ("a: *b", r"found undefined alias|the alias \*b has no anchor before it"),
            ("&a [*a]", r"the alias \*a has no anchor before it"),
            ("{[a]: b}", "a key that is no scalar"),
            ("{<<: x}", "<< must name a mapping"),
            ("a: \0", "special characters are not allowed|control characters are not allowed"),
            (r'a: "\ud800"', "surrogate|invalid Unicode"),
            (r'a: "\Uffffffff"', "not in range|too large|invalid Unicode"),
        ],
    )
    def test_that_are_invalid_are_an_error_with_the_reason(self, text, reason):
        with pytest.raises(FileError, match=rf"x\.yaml is not valid YAML: .*({reason})"):
            read(text)

    def test_can_be_any_bytes(self):
        with pytest.raises(FileError, match="is not valid YAML"):
            read_yaml(b"a: \xff", "x.yaml")


def nested_aliases():
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    return "\n".join(lines)


class TestBounds:
    @pytest.mark.parametrize(
        ("text", "limit"),
        [
            (nested_aliases(), f"{MAX_VALUES} values"),
            (f"a: &a {'x' * 1000}\nb: [{'*a,' * 2000}]", "1 MiB"),
            (f"[{'a,' * MAX_VALUES}]", f"{MAX_VALUES} values"),
            ("[" * 900, f"{MAX_DEPTH} levels"),
            ("- " * 2000, f"{MAX_DEPTH} levels"),
            ("? " * 2000, f"{MAX_DEPTH} levels"),
            (f"a: {'x' * MAX_BYTES}", "1 MiB"),
        ],
    )
    def test_are_enforced(self, text, limit):
        with pytest.raises(FileError, match=rf"x\.yaml exceeds the limit of {limit}"):
            read(text)

    def test_are_enforced_at_any_depth(self):
        with pytest.raises(FileError, match=rf"{MAX_DEPTH} levels|nesting depth"):
            read("[" * 500_000)

    def test_include_the_content_of_aliases(self):
        levels = "\n".join(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, MAX_DEPTH))
        with pytest.raises(FileError, match=f"limit of {MAX_DEPTH} levels"):
            read(f"a0: &a0 [x]\n{levels}")

    def test_allow_documents_within_them(self):
        depth = MAX_DEPTH - 1
        assert read("[" * depth + "x" + "]" * depth)
        assert len(read(f"[{'a,' * (MAX_VALUES - 1)}]")) == MAX_VALUES - 1


PIECES = st.sampled_from(
    [
        *(
            "a",
            "1",
            "~",
            "1e9",
            "2024-01-01",
            ": ",
            "- ",
            "? ",
            "[",
            "]",
            "{",
            "}",
            ", ",
            "\n",
            "\n  ",
        ),
        *("&a ", "*a ", "!!int ", "!!timestamp ", "!x ", "<<: ", "'", '"', "|\n", ">\n", "# "),
        *("---\n", "...\n", "%TAG ", "\\", "\t", "\u2028", "\ufeff"),
    ]
)


@given(st.lists(PIECES, max_size=30).map("".join) | st.text(max_size=60))
def test_any_text_is_read_or_an_error(text):
    try:
        node = read_yaml(text.encode(errors="surrogatepass"), "x.yaml")
    except FileError:
        return
    plain_values(node)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_an_error(content):
    try:
        plain_values(read_yaml(content, "x.yaml"))
    except FileError:
        return

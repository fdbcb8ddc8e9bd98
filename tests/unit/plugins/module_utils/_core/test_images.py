# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.architectures import (
    architecture_name,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import OptionError
from ansible_collections.imagestore.lxd.plugins.module_utils._core.images import (
    NEVER,
    Image,
    Origin,
    format_time,
    is_prefix,
    parse_fingerprint,
    parse_properties,
    parse_time,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.image_info import (
    ImageFilter,
)

A = "3514a500ba85" + "a" * 52


def image(**described):
    return Image.parse({"fingerprint": A, "architecture": "x86_64", **described})


class TestInstances:
    def test_of_an_image_are_those_that_its_property_lists(self):
        web = image(properties={"imagestore.instance": "site c1 A B, site c2/s1 A B"})
        assert web.instances == ("site c1 A B", "site c2/s1 A B")
        assert image().instances == ()


class TestTimes:
    @pytest.mark.parametrize(
        "text",
        [
            "2030-06-01",
            "2030-06-01T00:00",
            "2030-06-01T00:00:00Z",
            "2030-06-01 00:00:00.000000000Z",
            "2030-06-01T02:00:00+02:00",
            "2030-05-31T19:00:00-0500",
        ],
    )
    def test_one_instant_has_many_notations(self, text):
        assert parse_time(text) == datetime(2030, 6, 1, tzinfo=timezone.utc)

    @pytest.mark.parametrize("text", ["1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z"])
    def test_both_notations_of_lxd_for_never_are_never(self, text):
        assert parse_time(text) == NEVER

    def test_nothing_is_before_never(self):
        assert parse_time("1970-01-01T01:00:00+05:00") == NEVER

    @pytest.mark.parametrize(
        "text",
        [
            "tomorrow",
            "2030-13-01",
            "2030-06-01T25:00",
            "01.06.2030",
            "9999-12-31T23:59:59-05:00",
            "",
        ],
    )
    def test_invalid_times_are_an_error(self, text):
        with pytest.raises(ValueError):
            parse_time(text)

    def test_times_are_written_in_the_format_of_lxd(self):
        assert format_time(parse_time("2030-06-01T02:00:00+02:00")) == "2030-06-01T00:00:00Z"
        assert format_time(NEVER) == "1970-01-01T00:00:00Z"


class TestFingerprints:
    def test_upper_case_is_accepted(self):
        assert parse_fingerprint(A.upper(), "fingerprint") == A

    @pytest.mark.parametrize("text", ["", A[:63], A + "a", "g" * 64, "../../etc/passwd"])
    def test_anything_but_64_hex_digits_is_an_error_with_the_option(self, text):
        with pytest.raises(OptionError, match="fingerprint is "):
            parse_fingerprint(text, "fingerprint")

    def test_fewer_than_twelve_digits_are_not_an_abbreviation(self):
        assert is_prefix(A[:12])
        assert not is_prefix(A[:11])


class TestImage:
    def test_profiles_have_no_order(self):
        assert image(profiles=["b", "a"]).profiles == image(profiles=["a", "b"]).profiles

    def test_fields_that_old_servers_omit_have_defaults(self):
        parsed = Image.parse({"fingerprint": A})
        assert (parsed.type, parsed.properties, parsed.expires_at) == ("container", {}, NEVER)


class TestFilter:
    @pytest.mark.parametrize(
        ("chosen", "matches"),
        [
            ({}, True),
            ({"name": "web"}, True),
            ({"name": "we"}, False),
            ({"name": A[:12]}, True),
            ({"name": A[:11]}, False),
            ({"properties": {"os": "busybox"}}, True),
            ({"properties": {"os": "busybox", "release": "1"}}, False),
            ({"type": "virtual-machine"}, False),
            ({"architecture": "x86_64"}, True),
            ({"architecture": "aarch64"}, False),
        ],
    )
    def test_an_image_must_match_all_criteria(self, chosen, matches):
        held = image(aliases=[{"name": "web"}], properties={"os": "busybox"})
        assert ImageFilter(**chosen).matches(held) is matches


class TestProperties:
    def test_yaml_values_become_strings(self):
        given = {"a": True, "b": 7, "c": "x", "d": None}
        assert parse_properties(given) == {"a": "true", "b": "7", "c": "x", "d": ""}

    def test_a_number_with_a_decimal_point_is_an_error(self):
        with pytest.raises(OptionError, match=r"release is a number with a decimal point"):
            parse_properties({"release": 3.20})

    def test_a_list_is_an_error(self):
        with pytest.raises(OptionError, match="tags is a list"):
            parse_properties({"tags": ["a"]})


def test_architectures_have_the_names_of_lxd():
    assert architecture_name("amd64") == architecture_name("x86_64") == "x86_64"
    assert architecture_name("arm64") == "aarch64"
    assert architecture_name("x86_64 x86_64") == "x86_64"
    assert architecture_name("") is None
    assert architecture_name("z80") is None


class TestOrigin:
    @pytest.mark.parametrize(
        "spelling",
        ["https://a.example:8443", "https://A.Example:8443/", "https://a.example:8443//"],
    )
    def test_one_server_has_many_notations(self, spelling):
        assert Origin(spelling, "lxd", "web").is_at("https://a.example:8443", "incus")

    def test_a_default_port_can_be_omitted(self):
        assert Origin("https://a/x/", "simplestreams", "web").is_at(
            "https://a:443/x", "simplestreams"
        )

    @pytest.mark.parametrize(
        ("server", "protocol"),
        [
            ("https://b", "lxd"),
            ("https://a:8443", "lxd"),
            ("http://a", "lxd"),
            ("https://a/x", "lxd"),
            ("https://a", "simplestreams"),
        ],
    )
    def test_different_servers_are_different(self, server, protocol):
        assert not Origin("https://a", "lxd", "web").is_at(server, protocol)

    def test_a_fingerprint_never_names_another_image(self):
        assert Origin("https://a", "lxd", "web").can_change
        assert not Origin("https://a", "lxd", A[:12]).can_change

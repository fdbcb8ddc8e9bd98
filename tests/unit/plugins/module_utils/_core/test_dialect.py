# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import importlib

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.dialect import RULES, Dialect
from ansible_collections.imagestore.lxd.plugins.module_utils._core.simplestreams import Reader
from recorded import SERVERS, server_info

LXD_40, LXD_502, LXD_5210, LXD_5212, LXD_5214 = (
    ("lxd", version) for version in ("4.0.10", "5.0.2", "5.21.0", "5.21.2", "5.21.4")
)
LXD_60, LXD_61, LXD_64, LXD_65, LXD_68, LXD_69, LXD_610 = (
    ("lxd", version) for version in ("6.0", "6.1", "6.4", "6.5", "6.8", "6.9", "6.10")
)
INCUS_604, INCUS_606, INCUS_615, INCUS_616, INCUS_618, INCUS_619, INCUS_70, INCUS_71 = (
    ("incus", version)
    for version in ("6.0.4", "6.0.6", "6.15", "6.16", "6.18", "6.19", "7.0.2", "7.1")
)
ALL = {
    LXD_40, LXD_502, LXD_5210, LXD_5212, LXD_5214,
    LXD_60, LXD_61, LXD_64, LXD_65, LXD_68, LXD_69, LXD_610,
    INCUS_604, INCUS_606, INCUS_615, INCUS_616, INCUS_618, INCUS_619, INCUS_70, INCUS_71,
}  # fmt: skip
ALL_LXD = {server for server in ALL if server[0] == "lxd"}
ALL_INCUS = ALL - ALL_LXD

# The rules by version. API extensions are tested below.
DOERS = {
    "lists_all_projects": set(),
    "pulls_from_projects": set(),
    "pushes": set(),
    "pushes_into_projects": set(),
    "takes_aliases_with_an_upload": set(),
    "takes_trust_token": ALL_INCUS,
    "tells_entitlements": set(),
    "takes_bearer_tokens": set(),
    "publishes_formats": set(),
    "has_image_registries": set(),
    "imports_by_url": ALL - {LXD_69, LXD_610},
    "clears_cached_mark": {LXD_5212, LXD_5214, LXD_61, LXD_64, LXD_65, LXD_68, LXD_69, LXD_610},
    "public_in_default_only": {LXD_5214, LXD_64, LXD_65, LXD_68, LXD_69, LXD_610},
    "records_origin_of_lxd": ALL_LXD,
    "pulls_oci": set(),
    "fingerprints_oci_layers": {INCUS_619, INCUS_70, INCUS_71},
    "limits_alias_names": {INCUS_606, INCUS_616, INCUS_618, INCUS_619, INCUS_70, INCUS_71},
    "cleans_paths": ALL_LXD - {LXD_40, LXD_502},
    "limits_project_names": {LXD_68, LXD_69, LXD_610},
    "describes_briefly": {LXD_69, LXD_610},
    "reads_combined_type": {INCUS_70, INCUS_71},
    "takes_profiles_of_a_copy": set(),
    "wants_twelve_digits": {LXD_5214, LXD_65, LXD_68, LXD_69, LXD_610},
    "words_errors_anew": {LXD_69, LXD_610},
    "fails_in_the_wait": {*ALL_INCUS, LXD_610},
}


CORE = Dialect.__module__.rpartition(".")[0]


def told(server, version, *extensions):
    environment = {"server": server, "server_version": version}
    return Dialect.parse({"environment": environment, "api_extensions": list(extensions)})


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_applies_to_these_versions_only(rule):
    assert {server for server in ALL if told(*server).supports(rule)} == DOERS[rule]


@pytest.mark.parametrize("rule", [name for name in RULES if RULES[name].extension])
def test_an_api_extension_is_sufficient(rule):
    assert told("lxd", "5.0.2", RULES[rule].extension).supports(rule)


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_has_a_source(rule):
    assert ".go" in RULES[rule].source or ".md" in RULES[rule].source


@pytest.mark.parametrize("rule", [name for name in RULES if RULES[name].met_by])
def test_met_by_names_something_that_exists(rule):
    package, *names = RULES[rule].met_by.split(".")
    found = importlib.import_module(f"{CORE}.{package}")
    for name in names:
        found = getattr(found, name)
    assert callable(found)


EVERYWHERE = {"pulls_from_projects", "pushes", "pushes_into_projects"}
SINCE_521 = {
    "clears_cached_mark", "cleans_paths", "lists_all_projects", "public_in_default_only", "records_origin_of_lxd",
    "takes_profiles_of_a_copy", "takes_trust_token", "tells_entitlements", "wants_twelve_digits",
}  # fmt: skip
OF_INCUS = {
    "fails_in_the_wait", "imports_by_url", "lists_all_projects", "takes_aliases_with_an_upload",
    "takes_profiles_of_a_copy", "takes_trust_token",
}  # fmt: skip

READER_OF_INCUS = Reader("incus", "incus", fallback=Reader("lxd", "incus"))
RECORDED = {
    "lxd-5.0.2": (Reader("lxd", "classic"), {"imports_by_url", "records_origin_of_lxd"}),
    "lxd-5.21.7": (Reader("lxd", "classic"), {*SINCE_521, "imports_by_url"}),
    "lxd-6.9": (
        Reader("lxd", "short"),
        {
            *SINCE_521,
            "describes_briefly",
            "limits_project_names",
            "takes_bearer_tokens",
            "words_errors_anew",
        },
    ),
    "incus-6.0.4": (READER_OF_INCUS, OF_INCUS),
    "incus-7.0.2": (
        READER_OF_INCUS,
        {
            *OF_INCUS,
            "fingerprints_oci_layers",
            "limits_alias_names",
            "publishes_formats",
            "pulls_oci",
            "reads_combined_type",
        },
    ),
}


class TestAServerAsItWasRecorded:
    def test_is_one_of_these(self):
        assert set(RECORDED) == set(SERVERS)

    @pytest.mark.parametrize("name", RECORDED)
    def test_does_what_its_extensions_and_version_tell(self, name):
        dialect = Dialect.parse(server_info(name))
        assert {rule for rule in RULES if dialect.supports(rule)} == EVERYWHERE | RECORDED[name][1]

    @pytest.mark.parametrize("name", RECORDED)
    def test_is_what_it_is_called(self, name):
        family, version = name.split("-")
        dialect = Dialect.parse(server_info(name))
        assert dialect.family == family
        assert ".".join(map(str, dialect.version)) == version
        assert dialect.header("public") == f"X-{'LXD' if family == 'lxd' else 'Incus'}-public"
        assert dialect.reader == RECORDED[name][0]

    @pytest.mark.parametrize("name", RECORDED)
    def test_is_known_to_strangers_by_its_family(self, name):
        info = {**server_info(name), "auth": "untrusted"}
        del info["environment"]
        if name.startswith("incus-7"):
            info["api_extensions"] = []
        assert Dialect.parse(info).family == name.split("-")[0]

    @pytest.mark.parametrize("name", RECORDED)
    @pytest.mark.parametrize("alias", [".", ".."])
    def test_has_no_alias_that_it_could_not_delete(self, name, alias):
        takes_it = name in ("lxd-5.0.2", "incus-6.0.4")
        assert bool(Dialect.parse(server_info(name)).why_invalid_alias(alias)) is not takes_it

    @pytest.mark.parametrize("name", RECORDED)
    def test_has_projects_with_any_name_except_lxd_6(self, name):
        dialect = Dialect.parse(server_info(name))
        assert bool(dialect.why_invalid_project("größe")) is (name == "lxd-6.9")
        assert dialect.why_invalid_project("site") == ""

    @pytest.mark.parametrize(
        ("target", "source"), [(target, source) for target in RECORDED for source in RECORDED]
    )
    def test_takes_images_of_every_other_one(self, target, source):
        ours, theirs = (Dialect.parse(server_info(name)) for name in (target, source))
        assert ours.why_no_pull("site") == ""
        assert bool(ours.why_no_push(theirs, "site")) is (ours.family != theirs.family)


def test_the_fingerprint_of_an_oci_image_is_that_of_its_layers_from_incus_6_19_on():
    digest, layers = f"sha256:{'a' * 64}", ["sha256:1", "sha256:2"]
    assert told("incus", "6.18").oci_fingerprint(digest, layers) == "a" * 64
    joined = hashlib.sha256(b"sha256:1sha256:2").hexdigest()
    assert told("incus", "6.19").oci_fingerprint(digest, layers) == joined


@pytest.mark.parametrize("tool", ["skopeo", "umoci"])
def test_knows_which_program_a_server_lacks_for_oci_images(tool):
    err = f'OCI container handling requires "{tool}" be present on the system'
    assert Dialect.missing_oci_tool(err) == tool
    assert Dialect.missing_oci_tool("Image not found") == ""


def test_knows_that_the_disk_of_a_server_is_full():
    assert Dialect.is_disk_full("write /var/lib/lxd/images/x: No space left on device")
    assert not Dialect.is_disk_full("No space")


def test_headers_are_named_after_the_family():
    assert told("lxd", "5.0.2").header("fingerprint") == "X-LXD-fingerprint"
    assert told("incus", "6.0.4").header("fingerprint") == "X-Incus-fingerprint"


def test_identification_headers_are_named_after_the_family():
    architectures, environment = ["x86_64", "i686"], {"server_version": "6.0.4"}
    assert told("incus", "6.0.4").identification_headers(architectures, environment) == {
        "Incus-Server-Architectures": "x86_64, i686",
        "Incus-Server-Version": "6.0.4",
    }
    assert list(told("lxd", "5.0.2").identification_headers(architectures, environment)) == [
        "LXD-Server-Architectures",
        "LXD-Server-Version",
    ]


@pytest.mark.parametrize("server", [LXD_502, LXD_69, INCUS_616])
def test_a_unified_virtual_machine_image_is_no_container_to_new_versions_of_incus_only(server):
    dialect = told(*server)
    assert "for those of containers" in dialect.why_no_pull_from_index(dialect.reader, True)
    assert dialect.why_no_pull_from_index(dialect.reader, False) == ""
    newer = told(*INCUS_70)
    assert newer.why_no_pull_from_index(newer.reader, True) == ""


def test_incus_reads_images_for_lxd_and_does_not_fetch_them():
    dialect = told(*INCUS_70)
    assert dialect.reader.fallback
    fault = dialect.why_no_pull_from_index(dialect.reader.fallback, False)
    assert fault == "fetches images for Incus only, and the image server has this one for LXD only"


def test_versions_can_be_compared():
    assert told("lxd", "5.0.2").version == (5, 0, 2)
    assert told("lxd", "6.9").version < told("lxd", "6.10").version


class TestUntrustedClient:
    """Does not get the family and version of the server."""

    @pytest.mark.parametrize(
        ("extensions", "family"),
        [(["image_types"], "lxd"), (["image_types", "dev_incus_images"], "incus"), ([], "incus")],
    )
    def test_detects_the_family_by_api_extensions(self, extensions, family):
        dialect = Dialect.parse({"api_extensions": extensions, "auth": "untrusted"})
        assert dialect.family == family
        assert dialect.version == ()


def test_a_token_is_sent_as_a_password_to_older_servers():
    assert told("lxd", "5.0.2").token_field == "password"
    assert told("lxd", "6.1", "explicit_trust_token").token_field == "trust_token"
    assert told("incus", "6.0.4").token_field == "trust_token"


@pytest.mark.parametrize(
    ("target", "source", "protocol"),
    [
        ("lxd", "lxd", "lxd"),
        ("lxd", "incus", "lxd"),
        ("incus", "lxd", "lxd"),
        ("incus", "incus", "incus"),
    ],
)
def test_the_protocol_of_a_pull_is_supported_by_the_target(target, source, protocol):
    assert told(target, "6.0").protocol_for(told(source, "6.0")) == protocol


@pytest.mark.parametrize(
    ("server", "reader"),
    [
        (LXD_502, Reader("lxd", "classic")),
        (LXD_69, Reader("lxd", "short")),
        (INCUS_70, READER_OF_INCUS),
    ],
)
def test_each_family_has_its_own_reader(server, reader):
    assert told(*server).reader == reader


@pytest.mark.parametrize(
    ("target", "source", "by_alias"),
    [
        ("lxd", "lxd", True),
        ("lxd", "incus", True),
        ("incus", "lxd", False),
        ("incus", "incus", True),
    ],
)
def test_only_incus_records_no_origin_of_the_other_family(target, source, by_alias):
    assert told(target, "6.0").records_origin(told(source, "6.0")) == by_alias


PUSHING = ("images_push_relay", "images_target_project")


class TestPush:
    @pytest.mark.parametrize("target", ["lxd", "incus"])
    @pytest.mark.parametrize("source", ["lxd", "incus"])
    def test_is_possible_within_a_family_only(self, target, source):
        pair = [told(family, "6.0", *PUSHING) for family in (target, source)]
        assert bool(pair[0].why_no_push(pair[1], "site")) == (target != source)

    @pytest.mark.parametrize(
        ("target", "source", "project", "fault"),
        [
            ((*PUSHING, "image_registries"), PUSHING, "default", "only from its image registries"),
            ((), PUSHING, "default", "too old"),
            (PUSHING, (), "default", "too old"),
            (PUSHING, PUSHING[:1], "site", "into its project site"),
            (PUSHING, PUSHING[:1], "default", ""),
        ],
    )
    def test_requires_servers_that_support_it(self, target, source, project, fault):
        said = told("lxd", "6.9", *target).why_no_push(told("lxd", "6.9", *source), project)
        assert fault in said
        assert bool(said) == bool(fault)


class TestPull:
    @pytest.mark.parametrize(
        ("extensions", "project", "fault"),
        [
            ((), "default", ""),
            ((), "site", "knows no projects"),
            (("image_source_project",), "site", ""),
            (("image_source_project", "image_registries"), "default", "its image registries"),
        ],
    )
    def test_from_a_server_or_image_server_requires_a_target_without_registries(
        self, extensions, project, fault
    ):
        said = told("lxd", "6.9", *extensions).why_no_pull(project)
        assert fault in said
        assert bool(said) == bool(fault)

    def test_by_url_requires_an_older_lxd_or_incus(self):
        assert told(*LXD_68).fetches_urls
        assert told(*INCUS_70).fetches_urls
        assert not told(*LXD_69).fetches_urls
        assert not told(*LXD_68, "image_registries").fetches_urls


class TestAliasNames:
    @pytest.mark.parametrize("name", ["web", "a/b", "alpine/3.20", "größe", "x" * 64, "a.b-c_d"])
    def test_are_valid_everywhere(self, name):
        assert told(*INCUS_70).why_invalid_alias(name) == ""

    @pytest.mark.parametrize(
        ("name", "fault"),
        [
            ("a b", "white space"),
            ("x" * 65, "longer than 64"),
            ("a?b", "the character ?"),
            ("..", "begin and end"),
            ("a/", "begin and end"),
            ("größe'", "the character '"),
        ],
    )
    def test_are_invalid_for_newer_incus(self, name, fault):
        assert fault in told(*INCUS_70).why_invalid_alias(name)
        assert (
            told(*INCUS_604).why_invalid_alias(name) == told(*LXD_502).why_invalid_alias(name) == ""
        )


@pytest.mark.parametrize(
    "err",
    [
        "Image with same fingerprint already exists",
        "The image already exists: 3514a500ba85",
        "Alias already exists: web",
        "Failed: UNIQUE constraint failed: images.project_id, images.fingerprint",
    ],
)
def test_detects_that_an_image_already_exists(err):
    assert Dialect.is_already_exists(err)


def test_does_not_confuse_other_failures_with_it():
    assert not Dialect.is_already_exists("Failed syncing image between nodes")


def test_detects_an_ambiguous_fingerprint():
    assert Dialect.is_ambiguous_prefix("More than one image matches")
    assert not Dialect.is_ambiguous_prefix("Image not found")

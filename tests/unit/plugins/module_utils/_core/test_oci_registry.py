# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import OptionError
from ansible_collections.imagestore.lxd.plugins.module_utils._core.images import Origin
from ansible_collections.imagestore.lxd.plugins.module_utils._core.oci_registry.names import OciName
from ansible_collections.imagestore.lxd.plugins.module_utils._core.sources.oci import (
    server_with_credentials,
)

HUB, OTHER = "https://docker.io", "https://registry.example.com:5000"
DIGEST = f"sha256:{'a' * 64}"


class TestName:
    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ("team/web", OciName("team/web", tag="latest")),
            ("team/web:1.27-rc_1", OciName("team/web", tag="1.27-rc_1")),
            (f"team/web@{DIGEST}", OciName("team/web", digest=DIGEST)),
            (f"team/web:1@{DIGEST}", OciName("team/web", digest=DIGEST)),
            ("a.b__c--d/e", OciName("a.b__c--d/e", tag="latest")),
        ],
    )
    def test_has_a_repository_and_a_tag_or_digest(self, text, name):
        assert OciName.parse(text, OTHER) == name

    @pytest.mark.parametrize(
        "text",
        ["", "Web", "/web", "web/", "web:", "web:-1", "web@1", "web@sha256:ab", "../web", "web?x",
         "a//b", "web:1\n", "https://docker.io/web", "web\u0661"],
    )  # fmt: skip
    def test_that_no_registry_can_have_is_an_error(self, text):
        with pytest.raises(OptionError, match="not the name of an image in an OCI registry"):
            OciName.parse(text, OTHER)

    def test_without_a_slash_is_in_library_on_docker_hub_only(self):
        assert OciName.parse("nginx:1", HUB) == OciName.parse("library/nginx:1", HUB)
        assert OciName.parse("nginx:1", OTHER).repository == "nginx"


class TestOrigin:
    def test_is_at_a_registry_whatever_credentials_its_address_has(self):
        for server in (OTHER, OTHER.replace("//", "//me:secret@"), f"{OTHER}/"):
            assert Origin(server, "oci", "web:1").is_at(OTHER, "oci")
        assert not Origin(HUB, "oci", "web:1").is_at(OTHER, "oci")
        assert not Origin(OTHER, "simplestreams", "web:1").is_at(OTHER, "oci")

    def test_can_change_unless_it_is_a_digest(self):
        assert Origin(OTHER, "oci", "web:1").can_change
        assert not Origin(OTHER, "oci", f"web@{DIGEST}").can_change


def test_credentials_are_quoted_in_the_address():
    assert server_with_credentials(OTHER, None) == OTHER
    assert server_with_credentials(OTHER, ("m:e", "p@s/s")) == OTHER.replace(
        "//", "//m%3Ae:p%40s%2Fs@"
    )

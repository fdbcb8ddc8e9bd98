# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import OptionError
from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.connection import (
    ConnectionOptions,
    connection,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.source import (
    SourceOptions,
    source,
)
from parameters import parameters

PIN = "ab" * 32


def managed(**given):
    return ConnectionOptions.from_params(parameters(connection(), **given))


class TestManagedServer:
    def test_has_a_normalized_pin(self):
        shown = ":".join([PIN[:2].upper()] * 32)
        assert managed(server_cert_fingerprint=shown).tls.fingerprint == PIN

    def test_requires_a_complete_pin(self):
        with pytest.raises(OptionError, match="server_cert_fingerprint is not the SHA-256"):
            managed(server_cert_fingerprint="ab")

    def test_cannot_be_pinned_without_validation(self):
        with pytest.raises(
            OptionError, match="validate_certs=false cannot be used with server_cert"
        ):
            managed(server="https://a", server_cert="/x", validate_certs=False)

    @pytest.mark.parametrize("server", [None, "unix:///x"])
    def test_behind_a_unix_socket_ignores_options_for_the_network(self, server):
        tokens = {"trust_token": "t", "bearer_token": "b"}
        inherited = {"server_cert": "/x", "validate_certs": False, **tokens}
        assert managed(server=server, **inherited).server == server

    @pytest.mark.parametrize("option", ["server", "remote", "project"])
    def test_requires_a_name(self, option):
        with pytest.raises(OptionError, match=f"{option} is empty"):
            managed(**{option: " "})


def test_a_registry_rejects_connection_options():
    with pytest.raises(OptionError, match="source_cert cannot be used with source_registry"):
        SourceOptions.from_params(parameters(source(), source_registry="r", source_cert="/x"))


@pytest.mark.parametrize("name", ["source_server", "source_remote"])
def test_a_source_has_one_way_to_authenticate(name):
    both = {
        "source_bearer_token": "b",
        "source_client_cert": "/x",
        "source_client_key": "/x",
    }
    with pytest.raises(OptionError, match="source_client_cert cannot be used with source_bearer"):
        SourceOptions.from_params(parameters(source(), **{name: "https://a"}, **both))
    by_socket = parameters(source(), source_server="unix:///x", **both)
    assert SourceOptions.from_params(by_socket).is_given


class TestCredentialsOfASource:
    def test_are_a_user_name_and_a_password(self):
        given = {"source_server": "https://a", "source_username": "u", "source_password": "s3cret"}
        origin = SourceOptions.from_params(parameters(source(), **given))
        assert origin.credentials == ("u", "s3cret")
        assert "s3cret" not in repr(origin)

    @pytest.mark.parametrize("option", ["source_username", "source_password"])
    def test_belong_together(self, option):
        with pytest.raises(ValueError, match="source_username, source_password"):
            parameters(source(), **{option: "x"})

    def test_cannot_have_the_separator_in_the_name(self):
        given = {"source_server": "https://a", "source_username": "u:p", "source_password": "p"}
        with pytest.raises(OptionError, match="source_username contains a colon"):
            SourceOptions.from_params(parameters(source(), **given))

    def test_are_not_for_a_registry_of_the_target(self):
        given = {"source_registry": "r", "source_username": "u", "source_password": "p"}
        with pytest.raises(OptionError, match="source_username cannot be used with source_reg"):
            SourceOptions.from_params(parameters(source(), **given))

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Masking of secrets in results and logs. ``tests/system/test_import_web.py`` tests it with real servers."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils import basic
from ansible.module_utils.common.parameters import PASS_VARS
from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.image_copy import (
    image_copy,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.image_import import (
    image_import,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.image_store import (
    image_store,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task.module import ImageModule
from ansible_collections.imagestore.lxd.plugins.module_utils._core.urls import mask_credentials


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a/b", "https://a/b"),
        ("https://a/b@c", "https://a/b@c"),
        ("https://a:8443", "https://a:8443"),
        ("https://[::1]:8443/b@c", "https://[::1]:8443/b@c"),
        ("https://a?b=c@d", "https://a?***"),
        ("https://me:pw@a/b", "https://***@a/b"),
        ("https://token@a/b", "https://***@a/b"),
        ("https://me:p@w@a/b", "https://***@a/b"),
        ("https://me:p/w@a/b", "https://***@a/b"),
        ("https://me:p#w@a/b", "https://***@a/b"),
        ("https://me:7/8@a/b", "https://***@a/b"),
        ("https://me:1/w?x", "https://me:1/w?***"),
        ("https://a/b?sig=1#top", "https://a/b?***"),
        ("https://a/" + "x" * 1000, "https://a/" + "x" * 290 + "…"),
    ],
)
def test_a_url_is_shown_without_its_credentials(url, shown):
    assert mask_credentials(url) == shown


@pytest.fixture
def module(monkeypatch):
    """Makes a module with the given options, as Ansible would."""

    def make(specification, **given):
        if "inject_invocation" in PASS_VARS:  # before, the options were always returned
            given["_ansible_inject_invocation"] = True
        # Like ansible.module_utils.testing, which exists since ansible-core 2.17.
        arguments = json.dumps({"ANSIBLE_MODULE_ARGS": given}).encode()
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", arguments)
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        return ImageModule(**specification)

    return make


@pytest.fixture
def said(module, monkeypatch, capsys):
    """The result of a module that ends with a message, and what it has logged."""
    logged = []
    monkeypatch.setattr(
        basic.AnsibleModule, "log", lambda _self, msg, log_args=None: logged.append(msg)
    )

    def say(specification, text, **given):
        made = module(specification, **given)
        with pytest.raises(SystemExit):
            made.exit_json(msg=text)
        assert len(logged) == 1
        return json.loads(capsys.readouterr().out), logged[0]

    return say


def test_neither_result_nor_log_has_the_secrets(said):
    result, log = said(
        image_import(),
        "opensesame at token-of-mine, 1 time, signed s3cr3t-signature",
        url="https://token-of-mine@a/b?sig=s3cr3t-signature",
        url_headers={"X-Key": "opensesame", "DNT": "1"},
    )
    assert result["msg"] == "******** at ********, ******** time, signed ********"
    assert result["invocation"]["module_args"]["url"] == "https://***@a/b?***"
    for secret in ("token-of-mine", "opensesame", "s3cr3t"):
        assert secret not in str(result)
        assert secret not in log


def test_a_short_secret_is_masked_as_a_word_and_not_inside_a_fingerprint(said):
    fingerprint = "3514a500ba85" + "a5" * 26
    result, _log = said(
        image_import(), f"a5 of {fingerprint}, (a5)", url="https://a/b",
        url_headers={"X-Key": "a5"},
    )  # fmt: skip
    assert result["msg"] == f"******** of {fingerprint}, (********)"


@pytest.mark.parametrize("option", ["bearer_token", "source_bearer_token"])
def test_a_bearer_token_is_masked_in_parts_too(said, option):
    parts = ("eyJhbGciOiJIUzUxMiJ9", "eyJzdWIiOiJtZSIsImV4cCI6MX0", "c2lnbmF0dXJlLW9mLW1pbmU")
    token = ".".join(parts)
    result, log = said(
        image_copy(), f"token {token} is bad: {parts[1]}", image="web", **{option: f" {token}\n"}
    )
    assert result["msg"] == "token ******** is bad: ********"
    assert not any(part in f"{result}{log}" for part in parts)


@pytest.mark.parametrize("option", ["server", "source_server"])
def test_a_password_in_any_url_is_masked(said, option):
    result, log = said(
        image_copy(), "u:7/8 and 7/8", image="web",
        **{option: "https://u:7/8@h/x"},
    )  # fmt: skip
    assert result["msg"] == "******** and ********"
    assert result["invocation"]["module_args"][option] == "https://***@h/x"
    assert "7/8" not in log


@pytest.fixture
def failure(module, capsys):
    """The message of a module for invalid options."""

    def fail(specification, **given):
        with pytest.raises(SystemExit):
            module(specification, **given)
        return json.loads(capsys.readouterr().out)["msg"]

    return fail


def test_an_inherited_source_names_the_group_that_it_belongs_to(failure):
    msg = failure(image_import(), src="/x", source_server="https://a")
    assert "has no option source_server" in msg
    assert "group/imagestore.lxd.source" in msg
    assert "_file" not in msg


def test_copying_with_state_absent_names_the_module_that_deletes(failure):
    msg = failure(image_copy(), image="web", state="absent")
    assert "use imagestore.lxd.lxd_image with state: absent" in msg


@pytest.mark.parametrize("option", ["images", "defaults"])
def test_secrets_of_entries_and_of_their_defaults_are_masked(said, option):
    secrets = {
        "url": "https://token-of-mine@a/b",
        "url_username": "me",
        "url_password": "opensesame",
        "url_headers": {"X-Key": "s3cr3t-key", "DNT": "1"},
    }
    given = {"images": [secrets]} if option == "images" else {"images": [], "defaults": secrets}
    result, log = said(image_store(), "opensesame, s3cr3t-key, 1 time, token-of-mine", **given)
    assert result["msg"] == "********, ********, ******** time, ********"
    shown = result["invocation"]["module_args"][option]
    shown = shown[0] if option == "images" else shown
    assert shown["url_username"] == "me"
    assert set(shown["url_headers"]) == {"X-Key", "DNT"}
    for secret in ("token-of-mine", "opensesame", "s3cr3t"):
        assert secret not in str(result)
        assert secret not in log

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is masked in all that a module says; real modules show the rest (``tests/system/test_import_web.py``)."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils import basic
from ansible.module_utils.common.parameters import PASS_VARS
from ansible_collections.imagestore.lxd.plugins.module_utils._core import options
from ansible_collections.imagestore.lxd.plugins.module_utils._core.downloads import mask_credentials
from ansible_collections.imagestore.lxd.plugins.module_utils._core.task.module import MaskingModule


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a/b", "https://a/b"),
        ("https://a:8443/b@c", "https://a:8443/b@c"),
        ("https://a:8443", "https://a:8443"),
        ("https://[::1]:8443/b@c", "https://[::1]:8443/b@c"),
        ("https://a?b=c@d", "https://a?b=c@d"),
        ("https://me:pw@a/b", "https://***@a/b"),
        ("https://token@a/b", "https://***@a/b"),
        ("https://me:p@w@a/b", "https://***@a/b"),
        ("https://me:p/w@a/b", "https://***@a/b"),
        ("https://me:p#w@a/b", "https://***@a/b"),
        ("https://me:1/w?x", "https://me:1/w?x"),
        ("https://a/" + "x" * 1000, "https://a/" + "x" * 290 + "…"),
    ],
)
def test_a_url_is_shown_without_its_credentials(url, shown):
    assert mask_credentials(url) == shown


def test_neither_result_nor_log_has_the_secrets(monkeypatch, capsys):
    logged = []
    monkeypatch.setattr(
        basic.AnsibleModule, "log", lambda _self, msg, log_args=None: logged.append(msg)
    )
    url = "https://token-of-mine@a/b"
    given: dict[str, object] = {
        "url": url,
        "url_headers": {"X-Key": "opensesame", "DNT": "1"},
    }
    if "inject_invocation" in PASS_VARS:  # before, the options were always returned
        given["_ansible_inject_invocation"] = True
    # What ansible.module_utils.testing does, which ansible-core has since 2.17.
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": given}).encode())
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
    module = MaskingModule(**options.image_import())
    assert module.params["url"] == url, "it is still to be used"
    with pytest.raises(SystemExit):
        module.exit_json(msg="opensesame at token-of-mine, 1 time")
    said = json.loads(capsys.readouterr().out)
    assert said["msg"] == "******** at ********, 1 time"
    assert said["invocation"]["module_args"]["url"] == "https://***@a/b"
    assert len(logged) == 1
    for secret in ("token-of-mine", "opensesame"):
        assert secret not in str(said)
        assert secret not in str(logged)

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.imagestore.lxd.plugins.plugin_utils import progress
from ansible_collections.imagestore.lxd.plugins.plugin_utils.progress import TransferState

MIB = 1 << 20


def state(**values):
    unknown = dict.fromkeys(("number", "moved", "total", "percent", "rate"))
    return TransferState.parse(json.dumps({"image": "it", "seconds": 10, **unknown, **values}))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            {"moved": 30 * MIB, "total": 180 * MIB, "rate": 2 * MIB},
            "30.00 MB of 180.00 MB, 2.00 MB/s, 0:01:15 left",
        ),
        ({"moved": MIB, "rate": 2.5 * MIB}, "1.00 MB, 2.50 MB/s, 0:00:10 so far"),
        ({"percent": 80, "rate": MIB}, "80%, 1.00 MB/s, 0:00:02 left"),
        ({"percent": 100, "rate": MIB}, "100%, still working"),
        (
            {"moved": MIB, "total": MIB, "rate": MIB},
            "1.00 MB of 1.00 MB, still working",
        ),
        ({"total": MIB}, "1.00 MB in all, 0:00:10 so far"),
        (
            {"moved": 0, "total": MIB, "rate": 0},
            "0.00 Bytes of 1.00 MB, 0.00 Bytes/s, 0:00:10 so far",
        ),
        ({}, "0:00:10 so far"),
        (
            {"moved": 1, "total": MIB, "rate": 1e-300},
            "1.00 Bytes of 1.00 MB, 0.00 Bytes/s, 4 days, 3:00:00 left",
        ),
    ],
)
def test_says_bytes_of_bytes_rate_and_time_left_as_far_as_they_are_known(values, text):
    assert state(**values).text == text


@pytest.mark.parametrize("number", [-1, 1e300, float("inf"), float("nan"), "1", [1]])
def test_numbers_of_another_host_are_bounded(number):
    with pytest.raises((ValueError, TypeError)):
        state(moved=number)


def test_escape_sequences_of_another_host_do_not_reach_the_terminal():
    assert "\x1b" not in state(image="\x1b[2J").image


@pytest.mark.parametrize(
    ("setting", "terminal", "wanted"),
    [
        ("", True, True),
        ("", False, False),
        ("yes", False, True),
        ("1", False, True),
        ("false", True, False),
        (" off ", True, False),
    ],
)
def test_the_environment_decides_before_the_terminal(monkeypatch, setting, terminal, wanted):
    monkeypatch.setattr(progress, "OUTPUT_IS_TERMINAL", terminal)
    monkeypatch.setenv("IMAGESTORE_PROGRESS", setting)
    task = {"async_val": 0, "check_mode": False, "no_log": False}
    action = SimpleNamespace(_task=SimpleNamespace(**task))
    assert progress._is_wanted(action) is wanted
    for name in task:
        other = SimpleNamespace(_task=SimpleNamespace(**{**task, name: 1}))
        assert progress._is_wanted(other) is False


def test_a_setting_that_is_not_a_boolean_is_an_error(monkeypatch):
    monkeypatch.setenv("IMAGESTORE_PROGRESS", "sometimes")
    task = SimpleNamespace(async_val=0, check_mode=False, no_log=False)
    with pytest.raises(AnsibleActionFail, match="IMAGESTORE_PROGRESS is 'sometimes'"):
        progress._is_wanted(SimpleNamespace(_task=task))


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("~/.ansible/tmp", "~/.ansible/tmp"),
        ("${HOME}/my tmp", "${HOME}/my\\ tmp"),
        ("/tmp/a;b$(c)", "/tmp/a\\;b$\\(c\\)"),
    ],
)
def test_only_home_and_variables_mean_something_to_the_shell(path, word):
    assert progress._as_shell_word(path) == word

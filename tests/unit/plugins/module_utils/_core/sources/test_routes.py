# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import OptionError
from ansible_collections.imagestore.lxd.plugins.module_utils._core.sources.routes import (
    always_possible,
    choose_route,
)


def obstacles(**known):
    def obstacle(route):
        return lambda: known.get(route, "")

    return {route: obstacle(route) for route in ("pull", "push", "relay")}


def test_auto_pulls_if_possible():
    assert choose_route("auto", obstacles()) == "pull"


def test_auto_relays_otherwise():
    assert choose_route("auto", obstacles(pull="it is deaf")) == "relay"
    assert choose_route("auto", obstacles(), prefer_relay=True) == "relay"


def test_a_requested_route_is_used_even_if_another_is_better():
    assert choose_route("pull", obstacles(), prefer_relay=True) == "pull"
    assert choose_route("push", obstacles()) == "push"


def test_an_impossible_route_is_an_error_with_the_reason_and_an_alternative():
    with pytest.raises(
        OptionError, match=r"mode: push is not possible, because it is deaf\. Use mode: relay"
    ):
        choose_route("push", obstacles(push="it is deaf"))


def test_the_alternative_is_a_possible_route():
    barred = obstacles(push="it is deaf", relay="it is far away")
    for mode in ("push", "relay"):
        with pytest.raises(OptionError, match=r"Use mode: pull\."):
            choose_route(mode, barred)


def test_other_routes_are_not_checked():
    def never():
        raise AssertionError("this costs a request")

    assert choose_route("auto", {"pull": always_possible, "push": never, "relay": never}) == "pull"

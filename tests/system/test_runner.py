# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A module process is held to its limits, on which the tests of hostile input rely."""

from __future__ import annotations

import pytest

from runner import Modules


def test_the_resources_used_by_a_module_are_measured(modules: Modules) -> None:
    outcome = modules.limited().done("lxd_image_info")
    assert 10 << 20 < outcome.peak_memory < 150 << 20
    assert 0 < outcome.seconds < 20


@pytest.mark.parametrize("limits", [{"memory": 1 << 20}, {"seconds": 0.001}])
def test_a_module_that_exceeds_its_limits_fails_the_test(
    modules: Modules, limits: dict[str, float]
) -> None:
    with pytest.raises(AssertionError, match="not up to"):
        modules.limited(**limits).run("lxd_image_info")


def test_the_address_space_of_a_module_is_limited(modules: Modules) -> None:
    with pytest.raises(AssertionError, match=r"MemoryError|can't start new thread"):
        modules.limited(address_space=1 << 20).run("lxd_image_info")

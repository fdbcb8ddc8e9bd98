# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of hostile input rely on: a module process is held to its limits."""

from __future__ import annotations

import pytest

from runner import Modules


def test_a_module_says_what_it_took(modules: Modules) -> None:
    outcome = modules.limited(seconds=30).done("lxd_image_info")
    assert 10 << 20 < outcome.peak_memory < 150 << 20
    assert 0 < outcome.seconds < 30


@pytest.mark.parametrize("limits", [{"memory": 1 << 20}, {"seconds": 0.001}])
def test_a_module_that_takes_more_than_its_limits_fails_the_test(
    modules: Modules, limits: dict[str, float]
) -> None:
    with pytest.raises(AssertionError, match="not up to"):
        modules.limited(**limits).run("lxd_image_info")


def test_a_module_has_the_address_space_of_its_limits_and_no_more(modules: Modules) -> None:
    with pytest.raises(AssertionError, match="MemoryError"):
        modules.limited(address_space=1 << 20).run("lxd_image_info")

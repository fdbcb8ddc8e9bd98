# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import OptionError
from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.image_alias import (
    AliasOptions,
    image_alias,
)
from parameters import parameters


def options(**given):
    return AliasOptions.from_params(parameters(image_alias(), **given))


@pytest.mark.parametrize("option", ["target", "description", "new_name"])
def test_an_absent_alias_rejects_other_options(option):
    with pytest.raises(OptionError, match=f"{option} cannot be used with state: absent"):
        options(name="web", state="absent", **{option: "x"})


@pytest.mark.parametrize("given", [{"name": ""}, {"name": "web", "new_name": " "}])
def test_an_alias_requires_a_name(given):
    with pytest.raises(OptionError, match="name is empty"):
        options(**given)

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a role's tasks register is no variable of the role: it would take its place for the rest of the play."""

from __future__ import annotations

import re

import pytest
import yaml
from pages import ROOT

ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())


def variables_of(role):
    """The variables that a role defines."""
    files = [ROOT / "roles" / role / folder / "main.yml" for folder in ("defaults", "vars")]
    return {name for file in files if file.exists() for name in yaml.safe_load(file.read_text())}


def registered_by(role):
    """The variables that tasks of a role register."""
    texts = [path.read_text() for path in (ROOT / "roles" / role).glob("*/*.yml")]
    return {name for text in texts for name in re.findall(r"^ *register: (\w+)$", text, re.M)}


@pytest.mark.parametrize("role", ROLES)
def test_roles_register_no_variable_that_they_define(role):
    assert not registered_by(role) & variables_of(role)
    assert variables_of(role)

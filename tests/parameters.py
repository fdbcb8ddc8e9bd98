# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parameters of a task, as AnsibleModule makes them of what a user has written."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.common.arg_spec import ModuleArgumentSpecValidator


def parameters(specification: dict[str, Any], **given: Any) -> dict[str, Any]:
    """All options of a specification: the given ones with their types, the others with their defaults."""
    conditions = {
        name: value
        for name, value in specification.items()
        if name.startswith(("mutually", "required"))
    }
    result = ModuleArgumentSpecValidator(specification["argument_spec"], **conditions).validate(
        given
    )
    if result.error_messages:
        raise ValueError(result.error_messages)
    return dict(result.validated_parameters)

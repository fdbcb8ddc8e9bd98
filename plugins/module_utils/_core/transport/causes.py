# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is behind an error of urllib3 or requests, in words for people."""

from __future__ import annotations

from ..errors import clean_text


def root_cause(error: BaseException) -> BaseException:
    """The innermost of the errors that urllib3 and requests have wrapped into one another."""
    layers = (getattr(error, "reason", None), error.__cause__, *error.args, error.__context__)
    inner = next((layer for layer in layers if isinstance(layer, BaseException)), None)
    return error if inner is None else root_cause(inner)


def error_text(error: BaseException) -> str:
    """An error's own words, without its number and class. They may quote a server, so they are cut and cleaned."""
    return clean_text(getattr(error, "strerror", None) or str(error) or type(error).__name__)

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lies under the errors of urllib3 and requests, in words for people."""

from __future__ import annotations

MAX_SHOWN_CHARACTERS = 300


def root_cause(error: BaseException) -> BaseException:
    """What lies under the wrappings that urllib3 and requests put around an error."""
    layers = (getattr(error, "reason", None), error.__cause__, *error.args, error.__context__)
    inner = next((layer for layer in layers if isinstance(layer, BaseException)), None)
    return error if inner is None else root_cause(inner)


def error_text(error: BaseException) -> str:
    """An error's own words, without its number and class, and not without end: a server's may be in them."""
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return words if len(words) <= MAX_SHOWN_CHARACTERS else f"{words[:MAX_SHOWN_CHARACTERS]}…"

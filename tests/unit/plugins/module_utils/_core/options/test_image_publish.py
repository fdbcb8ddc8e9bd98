# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import OptionError
from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.image_publish import (
    PublishOptions,
    image_publish,
)
from parameters import parameters


def options(**given):
    return PublishOptions.from_params(parameters(image_publish(), **given))


def test_the_defaults_are_those_of_the_server():
    request = options(instance=" c1 ").request
    assert (request.instance, request.snapshot, request.force) == ("c1", None, False)
    assert (request.compression, request.format) == (None, None)


@pytest.mark.parametrize(
    ("given", "attempt"),
    [({"instance": "c1"}, "publish c1"), ({"instance": "c1", "snapshot": "s1"}, "publish c1/s1")],
)
def test_the_attempt_names_what_is_published(given, attempt):
    assert options(**given).attempt == attempt


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"instance": " "}, "instance is empty"),
        ({"instance": "c1", "snapshot": ""}, "snapshot is empty"),
        ({"instance": "c1/s1"}, "instance is 'c1/s1', which contains a slash"),
        ({"instance": "c1", "snapshot": "c1/s1"}, "snapshot is 'c1/s1', which contains a slash"),
        ({"instance": "c1", "snapshot": "s1", "force": True}, "force cannot be used with snapshot"),
        ({"instance": "c1", "delete_replaced": True}, "delete_replaced is set without aliases"),
        (
            {"instance": "c1", "properties": {"imagestore.instance": "x"}},
            "imagestore.instance is reserved",
        ),
    ],
)
def test_invalid_options_are_an_error(given, said):
    with pytest.raises(OptionError, match=said):
        options(**given)

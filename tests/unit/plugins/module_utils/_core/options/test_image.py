# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import OptionError
from ansible_collections.imagestore.lxd.plugins.module_utils._core.images import NEVER
from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.image import (
    desired_state,
    image,
)
from parameters import parameters


def desired(**given):
    return desired_state(parameters(image(), **given))


class TestAliases:
    def test_that_are_left_out_are_not_managed(self):
        assert desired().aliases is None

    def test_are_stripped_of_white_space(self):
        assert desired(aliases="web, web2").aliases == ("web", "web2")

    def test_are_an_empty_list_for_a_single_empty_string(self):
        assert desired(aliases="").aliases == ()

    def test_require_a_name(self):
        with pytest.raises(OptionError, match="aliases contains an empty name"):
            desired(aliases=["web", " "])


class TestProperties:
    def test_that_are_reserved_cannot_be_set(self):
        with pytest.raises(OptionError, match=r"imagestore\.archive is reserved"):
            desired(properties={"imagestore.archive": "1"})

    def test_that_yaml_reads_as_numbers_are_not_quoted_in_the_message(self):
        with pytest.raises(OptionError, match="release is a number with a decimal point") as caught:
            desired(properties={"release": 3.20})
        assert '"3.2"' not in str(caught.value)


class TestExpiryDate:
    def test_can_be_never(self):
        assert desired(expires_at="never").expires_at == NEVER

    def test_that_is_not_a_time_is_an_error(self):
        with pytest.raises(OptionError, match="expires_at: 'soon'"):
            desired(expires_at="soon")


@pytest.mark.parametrize("what", ["aliases", "properties"])
def test_purging_requires_the_list_of_what_is_kept(what):
    with pytest.raises(OptionError, match=f"purge_{what} is set without {what}"):
        desired(**{f"purge_{what}": True})

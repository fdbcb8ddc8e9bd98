# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import OptionError
from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.image_copy import (
    CopyOptions,
    image_copy,
)
from parameters import parameters


def options(**given):
    return CopyOptions.from_params(parameters(image_copy(), **given))


class TestShorthand:
    def test_names_remote_and_image(self):
        copied = options(image="images:alpine/3.23")
        assert (copied.source.remote, copied.request.name) == ("images", "alpine/3.23")

    def test_is_used_only_without_a_source_server(self):
        copied = options(image="images:alpine", source_remote="mine")
        assert (copied.source.remote, copied.request.name) == ("mine", "images:alpine")

    def test_can_be_combined_with_a_project_of_the_source(self):
        copied = options(image="build:web", source_project="site")
        assert (copied.source.remote, copied.source.project) == ("build", "site")

    @pytest.mark.parametrize("image", [":alpine", "images:"])
    def test_requires_both_parts(self, image):
        with pytest.raises(OptionError, match="which lacks the"):
            options(image=image)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"image": " "}, "image is empty"),
        ({"image": "web"}, "no source is given"),
        ({"image": "web", "source_project": "a", "project": "a"}, "no source is given"),
        ({"image": "web", "source_cert": "/x"}, "source_cert cannot be used with no source"),
        (
            {
                "image": "web",
                "source_project": "a",
                "source_client_cert": "/x",
                "source_client_key": "/y",
            },
            "source_client_cert cannot be used with source_project alone",
        ),
        (
            {"image": "web", "source_registry": "r", "architecture": "arm64"},
            "architecture cannot be used",
        ),
        ({"image": "web", "source_remote": "r", "retries": -1}, "retries is -1"),
        ({"image": "web", "source_remote": "r", "architecture": "z80"}, "architecture is 'z80'"),
        ({"image": "web", "source_remote": "r", "timeout": 0}, "timeout is 0"),
        ({"image": "web", "source_remote": " "}, "source_remote is empty"),
        (
            {"image": "ab" * 32, "source_remote": "r", "auto_update": True},
            "auto_update does not work with",
        ),
    ],
)
def test_invalid_options_are_an_error(given, said):
    with pytest.raises(OptionError, match=said):
        options(**given)

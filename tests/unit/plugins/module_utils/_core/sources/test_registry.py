# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No server with image registries is available, so that requests are compared with LXD's source code."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.contents import Contents
from ansible_collections.imagestore.lxd.plugins.module_utils._core.dialect import Dialect
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import (
    ImageNotFound,
    OptionError,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.images import Image
from ansible_collections.imagestore.lxd.plugins.module_utils._core.sources.copy_request import (
    CopyRequest,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.sources.registry import (
    RegistrySource,
)


def image(digit, architecture="x86_64", image_type="container", aliases=("web",)):
    named = [{"name": name} for name in aliases]
    facts = {"fingerprint": digit * 64, "architecture": architecture, "type": image_type}
    return Image.parse({**facts, "aliases": named})


OFFERED = [image("a", "aarch64"), image("b"), image("c", image_type="virtual-machine")]


class TargetServer:
    """A server with the registry ``shop``, and no project but ``default``."""

    architectures = ("x86_64", "i686")
    dialect = Dialect(extensions=frozenset({"image_registries"}))

    def call(self, method, path):
        assert (method, path) == ("GET", "/1.0/image-registries/shop/images")
        return SimpleNamespace(metadata=[image.raw for image in OFFERED])

    def get_names(self, path, what):
        assert path == "/1.0/projects"
        return ["default"]

    def validating_response(self, what):
        return nullcontext()


class Target:
    """A store that records the requested pulls."""

    def __init__(self):
        self.server = TargetServer()
        self.project = "default"
        self.asked = None
        self.writer = SimpleNamespace(pull=self._pull)

    def _pull(self, source):
        self.asked = source
        wanted = source.get("fingerprint") or "b" * 64
        return next(image for image in OFFERED if image.fingerprint == wanted), True


def found(contents=(), **asked):
    target = Target()
    request = CopyRequest(**{"name": "web", **asked})
    return target, RegistrySource("shop", target, request).find(Contents(tuple(contents)))


@pytest.mark.parametrize(
    ("asked", "source"),
    [
        ({}, {"alias": "web", "image_type": "container"}),
        ({"type": "virtual-machine"}, {"alias": "web", "image_type": "virtual-machine"}),
        ({"name": "a" * 12}, {"fingerprint": "a" * 64, "image_type": "container"}),
    ],
)
def test_a_pull_names_the_registry_and_no_server(asked, source):
    target, offer = found(**asked)
    offer.transfer(target)
    assert target.asked == {"image_registry": "shop", "secret": "", **source}


def test_the_architecture_of_the_target_is_preferred():
    assert found()[1].fingerprint == "b" * 64


def test_an_existing_image_is_not_pulled():
    held = OFFERED[1]
    assert found([held])[1] is held


def test_a_missing_image_is_an_error_with_the_registry():
    with pytest.raises(ImageNotFound, match="the image registry shop has no image wab"):
        found(name="wab")


@pytest.mark.parametrize("mode", ["push", "relay"])
def test_only_pull_is_supported(mode):
    with pytest.raises(OptionError, match=f"mode: {mode} is not possible"):
        found(mode=mode)

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses that a web server is allowed to refer to."""

from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.deadline import Deadline
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import FileError
from ansible_collections.imagestore.lxd.plugins.module_utils._core.sources.allowed_hosts import (
    AllowedHosts,
    is_public,
)


@pytest.mark.parametrize("address", ["9.9.9.9", "2620:fe::fe", "::ffff:9.9.9.9"])
def test_addresses_of_the_internet_are_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ],
)
def test_addresses_that_can_be_private_are_not_public(address):
    assert not is_public(address)


def hosts(*patterns):
    return AllowedHosts(["https://images.example.com:8443/it"], patterns, Deadline(60))


@pytest.mark.parametrize(
    ("page", "target", "patterns"),
    [
        ("https://images.example.com/it", "https://images.example.com/file", ()),
        ("https://images.example.com/it", "https://IMAGES.example.com.:444/file", ()),
        ("https://9.9.9.9/it", "https://images.example.com/file", ()),
        ("https://images.example.com/it", "https://9.9.9.9/file", ()),
        ("https://images.example.com/it", "https://cdn.example.net/file", ("*.example.net",)),
        ("https://images.example.com/it", "https://10.0.0.7/file", ("10.0.0.*",)),
        ("http://images.example.com/it", "http://images.example.com/file", ()),
    ],
)
def test_allowed(page, target, patterns):
    hosts(*patterns).require(page, target)


@pytest.mark.parametrize(
    ("page", "target", "patterns"),
    [
        ("https://images.example.com/it", "http://images.example.com/file", ("*",)),
        ("https://images.example.com/it", "https://10.0.0.7/file", ()),
        ("https://images.example.com/it", "https://10.0.0.7/file", ("10.0.1.*", "")),
        ("https://images.example.com/it", "https://localhost/file", ("images.example.com",)),
    ],
)
def test_rejected(page, target, patterns):
    with pytest.raises(FileError):
        hosts(*patterns).require(page, target)

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import OptionError
from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.image_import import (
    ImportOptions,
    image_import,
)
from parameters import parameters


def options(**given):
    return ImportOptions.from_params(parameters(image_import(), **given))


@pytest.mark.parametrize(
    ("given", "label"),
    [
        ({"url": "https://a/images/web?token=1"}, "web"),
        ({"rootfs": "/srv/disk.qcow2", "remote_src": True}, "disk.qcow2"),
        ({"src": "/srv/web.tar.xz", "remote_src": True, "aliases": ["site"]}, "site"),
    ],
)
def test_are_called_by_their_first_alias_or_their_file(given, label):
    assert options(**given).label == label


class TestWebServer:
    def test_gets_the_credentials_of_its_url_as_a_header(self):
        form = options(url="https://me:p%40ss@a/web").form
        assert form.addresses == ("https://a/web",)
        assert form.headers == {"Authorization": "Basic bWU6cEBzcw=="}
        assert form.secrets == ("Basic bWU6cEBzcw==",)

    def test_of_the_metadata_gets_no_headers_of_the_other_server(self):
        urls = {
            "metadata_url": "https://a/m",
            "rootfs_url": "https://b/r",
            "fingerprint": "ab" * 32,
        }
        with pytest.raises(OptionError, match="are on two servers"):
            options(**urls, url_headers={"X-Key": "k"})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"src": "", "remote_src": True}, "src is empty"),
        ({"src": "a", "_file": {"a": "b"}}, "_file is set by the action plugin only"),
        ({"src": "a", "_file": {"name": 7}}, "_file is set by the action plugin only"),
        ({"url": " "}, "url is empty"),
        ({"src": "/x"}, "the files are on the controller"),
        ({"src": "/x", "remote_src": True, "fingerprint": "12"}, "fingerprint is '12'"),
        ({"src": "/x", "remote_src": True, "mode": "relay"}, "cannot be used with files"),
        (
            {"src": "/x", "remote_src": True, "url_headers": {"a": "b"}},
            "url_headers cannot be used with files",
        ),
        (
            {"metadata": "/x", "rootfs": "/y", "remote_src": True, "compression": "xz"},
            "compression can be used",
        ),
        ({"url": "https://a/b", "remote_src": True}, "remote_src cannot be used with a web server"),
        ({"url": "http://a/b"}, "plain http can be intercepted"),
        ({"url": "a/b"}, "invalid url: 'a/b'"),
        (
            {"url": "https://me:pw@a/b", "url_username": "me", "url_password": "pw"},
            "contains credentials",
        ),
        (
            {"url": "https://a/b", "url_headers": {"Range": "x"}},
            "which the download sets by itself",
        ),
    ],
)
def test_invalid_options_are_an_error(given, said):
    with pytest.raises(OptionError, match=said):
        options(**given)

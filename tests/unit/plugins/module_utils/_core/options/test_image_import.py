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


DIGEST = "sha256:" + "ab" * 32


class TestBareRootfs:
    def test_takes_the_servers_architecture_by_default(self):
        assert options(rootfs="/d", remote_src=True).form.facts.architecture == ""

    def test_has_the_facts_of_the_options(self):
        given = {"architecture": "amd64", "os": " Debian ", "release": 12, "cloud_init": True}
        facts = options(rootfs="/d", remote_src=True, **given).form.facts
        assert (facts.architecture, facts.os, facts.release) == ("x86_64", "Debian", "12")
        assert facts.cloud_init

    def test_can_be_downloaded_over_http_since_it_is_verified(self):
        form = options(rootfs_url="http://a/d", checksum=DIGEST).form
        assert form.location.addresses == ("http://a/d",)
        assert str(form.checksum) == DIGEST

    def test_and_its_checksum_file_get_the_same_credentials_on_one_server(self):
        form = options(rootfs_url="https://me:pass@a/d", checksum="sha256:https://a/SUMS").form
        assert form.checksum_server.headers == form.location.headers != {}

    def test_of_a_file_has_options_for_the_web_only_with_a_checksum_file(self):
        file = {"rootfs": "/d", "remote_src": True, "url_ca_path": "/ca"}
        listed = options(**file, checksum="sha512:https://a/SUMS").form
        assert listed.checksum_server.ca_path == "/ca"
        with pytest.raises(OptionError, match="url_ca_path cannot be used with files"):
            options(**file)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rootfs_url": "https://a/d"}, "neither checksum nor fingerprint"),
        ({"rootfs_url": "https://a/d", "checksum": DIGEST, "mode": "pull"}, "mode=pull cannot be"),
        ({"rootfs": "/d", "remote_src": True, "os": "a\nb"}, "not one line of printable text"),
        ({"rootfs": "/d", "remote_src": True, "architecture": "z80"}, "which LXD does not know"),
        ({"rootfs": "/d"}, "the files are on the controller"),
        ({"rootfs": "/d", "remote_src": True, "release": 24.1}, "YAML may have shortened"),
        ({"rootfs": "/d", "remote_src": True, "release": ["12"]}, "release is a list, not text"),
        (
            {"src": "/d", "remote_src": True, "release": "12"},
            "release cannot be used with an image",
        ),
        ({"src": "/d", "remote_src": True, "cloud_init": True}, "cloud_init cannot be used"),
        ({"url": "https://a/d", "checksum": DIGEST}, "checksum cannot be used with an image"),
    ],
)
def test_of_bare_disks_that_do_not_fit_are_refused(given, said):
    with pytest.raises(OptionError, match=said):
        options(**given)

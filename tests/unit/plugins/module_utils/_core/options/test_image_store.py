# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import OptionError
from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.image_copy import (
    CopyOptions,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.image_import import (
    ImportOptions,
    LocalFiles,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.image_state import (
    ImageStateOptions,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.image_store import (
    StoreOptions,
    image_store,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.options.web_image import (
    WebImage,
)
from parameters import parameters

FILE = {"src": "/srv/web.tar.xz", "remote_src": True}
COPY = {"image": "images:alpine"}


def options(*images, **given):
    return StoreOptions.from_params(parameters(image_store(), images=list(images), **given))


def entry(image, **defaults):
    return options(image, defaults=defaults or None).entries[0].options


def refused(*images, **given):
    with pytest.raises(OptionError) as caught:
        options(*images, **given)
    return str(caught.value)


class TestForms:
    def test_are_told_by_the_options(self):
        made = options(COPY, FILE, {"url": "https://a/b"}, {"name": "old", "state": "absent"})
        kinds = [type(one.options) for one in made.entries]
        assert kinds == [CopyOptions, ImportOptions, ImportOptions, ImageStateOptions]
        assert isinstance(made.entries[1].options.form, LocalFiles)
        assert isinstance(made.entries[2].options.form, WebImage)
        assert made.entries[3].options.desired is None

    def test_cannot_be_mixed(self):
        msg = refused({"image": "a:b", "name": "c", "aliases": ["web"]})
        assert msg.startswith("web, images[0]: it has more than one form")
        assert "it has more than one form" in refused({**FILE, **COPY})

    def test_need_an_image(self):
        assert "web, images[1]: no image is named" in refused(FILE, {"aliases": ["web"]})
        assert "an entry, images[0]: no image is named" in refused({})
        assert "no image is named" in refused({"src": None, "public": True})

    @pytest.mark.parametrize(
        ("image", "said"),
        [
            ({**FILE, "state": "latest"}, "there is no option state"),
            ({**COPY, "remote_src": True}, "there is no option remote_src"),
            ({"name": "a", "src_": 1}, "there is no option src_"),
            ({**COPY, "": 1}, "there is no option "),
            ({**FILE, "server": "https://a"}, "there is no option server"),
            ({**FILE, "timeout": 5}, "there is no option timeout"),
            ({**FILE, "_file": {"name": "x"}}, "there is no option _file"),
            ({**COPY, "state": "absent"}, "value of state must be one of: present, latest"),
            ({**COPY, "retries": "many"}, "retries"),
            ({**COPY, "retries": -1}, "retries is -1"),
            ({**FILE, "fingerprint": "abc"}, "which is not a fingerprint"),
            ({**FILE, "aliases": ["a", ""]}, "aliases contains an empty name"),
            ({"metadata": "/srv/meta.tar.xz"}, "rootfs"),
            ({"metadata_url": "https://a/b", "rootfs_url": "https://a/c"}, "fingerprint"),
            ({"url": "ftp://a/b"}, "url"),
            ({"name": " "}, "name is empty"),
            ({"name": "a", "state": "absent", "public": True}, "state: absent"),
            ({"image": "alpine"}, "no source is given"),
        ],
    )
    def test_have_the_options_of_their_modules(self, image, said):
        msg = refused(FILE, image)
        assert ", images[1]: " in msg
        assert said in msg

    def test_say_which_options_there_are_but_no_internal_ones(self):
        msg = refused({**FILE, "propertys": {}})
        assert "properties" in msg
        assert "_file" not in msg
        assert "client_key" not in msg

    def test_that_import_an_image_say_how_one_is_deleted(self):
        msg = refused({**FILE, "state": "absent"})
        assert msg.endswith("To delete an image, use an entry with name and state: absent.")


class TestLabel:
    @pytest.mark.parametrize(
        ("image", "label"),
        [
            ({**COPY, "aliases": ["web", "www"]}, "web"),
            ({**COPY, "aliases": "web,www"}, "web"),
            ({**COPY, "alias": ["web"]}, "web"),
            ({**COPY, "aliases": []}, "images:alpine"),
            ({"name": "old"}, "old"),
            (FILE, "web.tar.xz"),
            ({"src": "/srv/image/", "remote_src": True}, "image"),
            ({"metadata": "/a/meta.tar", "rootfs": "/a/root", "remote_src": True}, "meta.tar"),
            ({"url": "https://me:pw@a/images/web?sig=1"}, "web"),
        ],
    )
    def test_is_the_first_alias_or_what_the_entry_names(self, image, label):
        made = options(FILE, image).entries[1]
        assert made.label == label
        assert made.title == f"{label}, images[1]"

    def test_of_an_address_without_a_path_is_the_option(self):
        assert "url, images[0]: " in refused({"url": "https://a", "x": 1})


class TestDefaults:
    def test_are_for_entries_that_do_not_set_the_option(self):
        assert entry(COPY, public=True).desired.public is True
        assert entry({**COPY, "public": False}, public=True).desired.public is False
        assert entry({"name": "a"}, public=True).desired.public is True

    def test_that_no_entry_has_are_refused(self):
        assert "defaults contains propertys, which is not an option" in refused(
            FILE, defaults={"propertys": {}}
        )

    def test_know_all_names_of_an_option(self):
        image = {"url": "https://a/b", "ca_path": "/mine"}
        assert entry(image, url_ca_path="/shared").form.ca_path == "/mine"

    def test_replace_a_dictionary_as_a_whole(self):
        image = {**COPY, "properties": {"a": "1"}}
        assert entry(image, properties={"b": "2"}).desired.properties == {"a": "1"}
        assert entry(COPY, properties={"b": "2"}).desired.properties == {"b": "2"}

    def test_are_only_for_entries_that_can_have_the_option(self):
        shared = {
            "state": "latest",
            "remote_src": True,
            "compression": "zstd",
            "mode": "relay",
            "retries": 7,
            "url_ca_path": "/ca",
            "delete_replaced": True,
            "purge_aliases": True,
        }
        made = options(
            COPY,
            {"src": "/srv/a"},
            {"metadata": "/m", "rootfs": "/r"},
            {"url": "https://a/b"},
            {"metadata_url": "https://a/b", "rootfs_url": "https://a/c", "fingerprint": "a" * 64},
            {"name": "old", "aliases": ["new"]},
            {"name": "gone", "state": "absent"},
            defaults=shared,
        )
        copy, file, split, web, split_web, present, absent = (one.options for one in made.entries)
        assert copy.request.latest
        assert (copy.request.mode, copy.request.retries) == ("relay", 7)
        assert file.form.remote_src
        assert (file.form.compression, split.form.compression) == ("zstd", "gzip")
        assert (web.form.ca_path, web.form.mode, split_web.form.mode) == ("/ca", "relay", "auto")
        assert present.desired.delete_replaced
        assert present.desired.purge_aliases
        assert not file.desired.delete_replaced
        assert absent.desired is None

    def test_for_metadata_are_only_for_entries_that_have_none(self):
        shared = {
            "architecture": "arm64",
            "os": "Debian",
            "checksum_keyring": "/keys",
            "url_ca_path": "/ca",
            "remote_src": True,
        }
        listed = {"checksum": "sha256:https://a/SHA256SUMS"}
        made = options(
            FILE,
            {"metadata": "/m", "rootfs": "/r"},
            {"rootfs": "/r"},
            {"rootfs": "/r", **listed},
            {"rootfs_url": "https://a/r", **listed},
            {"rootfs_url": "https://a/r", "checksum": f"sha256:{'a' * 64}"},
            defaults=shared,
        )
        forms = [one.options.form for one in made.entries]
        assert [isinstance(form, LocalFiles) for form in forms[:3]] == [True, True, False]
        assert {form.facts.architecture for form in forms[2:]} == {"aarch64"}
        keyrings = [getattr(form.checksum, "keyring", None) for form in forms[2:]]
        assert keyrings == [None, "/keys", "/keys", None]
        assert forms[3].checksum_server.ca_path == "/ca"

    @pytest.mark.parametrize(
        "name",
        ["image", "name", "src", "metadata", "rootfs", "url", "metadata_url", "rootfs_url", "checksum",
         "aliases", "alias", "server", "timeout", "unknown", "_file", ""],
    )  # fmt: skip
    def test_cannot_be_what_images_do_not_share(self, name):
        assert f"defaults contains {name}, which" in refused(FILE, defaults={name: "x"})

    @pytest.mark.parametrize("state", ["present", "absent", None])
    def test_have_no_state_but_latest(self, state):
        assert "defaults contains state: " in refused(FILE, defaults={"state": state})

    def test_with_a_wrong_value_name_the_entry(self):
        assert "alpine, images[0]: " in refused(COPY, defaults={"retries": "many"})


class TestUnlisted:
    def test_images_are_kept_by_default(self):
        made = options(FILE)
        assert not made.delete_unlisted
        assert (made.protect, made.retain, made.parallel) == ((), 0, 4)
        assert options().entries == ()

    def test_images_can_be_deleted_but_for_some(self):
        made = options(FILE, unlisted="delete", protect=["site-*", " a"], retain=2)
        assert made.delete_unlisted
        assert (made.protect, made.retain) == (("site-*", "a"), 2)

    def test_images_are_not_deleted_if_there_is_no_entry(self):
        assert "unlisted is delete, and images is empty" in refused(unlisted="delete")

    @pytest.mark.parametrize("given", [{"protect": ["a"]}, {"retain": 1}, {"retain": -1}])
    def test_options_need_it_to_be_delete(self, given):
        assert "cannot be used without unlisted: delete" in refused(FILE, **given)

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"unlisted": "delete", "retain": -1}, "retain is -1"),
            ({"unlisted": "delete", "protect": ["a", ""]}, "protect contains an empty name"),
            ({"parallel": 0}, "parallel is 0"),
        ],
    )
    def test_options_are_checked(self, given, said):
        assert said in refused(FILE, **given)

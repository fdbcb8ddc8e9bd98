# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import shlex

import pytest
import yaml
from ansible_collections.imagestore.lxd.plugins.module_utils._core.catalog.client_commands import (
    ANSIBLE,
    INCUS,
    LXD,
    ClientCommands,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.catalog.record import (
    Part,
    Product,
    Version,
)

SITE = "https://images.example.com"
CONTAINER, VM = "container", "virtual-machine"
FILE = "a" * 64
UNIFIED = (Part(FILE, 1000, "tar.xz"),)
SPLIT = (Part("b" * 64, 10, "tar.xz"), Part("c" * 64, 1000, "squashfs"))


def product(kind=CONTAINER, parts=UNIFIED, architecture="x86_64", name="web"):
    return Product(
        name, kind, architecture, versions=(Version("20261124", "f" * 64, 1795500000, parts),)
    )


def commands(*products, others=(), site=SITE, access="public"):
    return ClientCommands(site, access).get_image(products, [*products, *others])


def texts(*products, tool=LXD, **more):
    return [command.text for command in commands(*products, **more) if command.tool == tool]


def options(*products, **more):
    """Module (without the collection) and options of the tasks."""
    (tasks,) = (yaml.safe_load(text) for text in texts(*products, tool=ANSIBLE, **more))
    ((module, given),) = ((key, value) for key, value in tasks[0].items() if key != "name")
    return module, given


LOGIN = {"username": "USER", "password": "{{ image_password }}"}
LAUNCH = "lxc launch images.example.com:web"
COPY = "lxc image copy images.example.com:web local: --alias web"
IMPORT = f"lxc image import {SITE}/images/web --alias web"
COPY_TASK = {
    "image": "web",
    "source_server": SITE,
    "source_protocol": "simplestreams",
    "aliases": ["web"],
}


class TestKinds:
    def test_a_split_container_image_has_commands_with_the_remote_only(self):
        assert texts(product(parts=SPLIT)) == [LAUNCH, COPY]
        assert options(product(parts=SPLIT)) == ("imagestore.lxd.lxd_image_copy", COPY_TASK)

    def test_a_unified_container_image_has_both_kinds_of_commands(self):
        assert texts(product()) == [LAUNCH, COPY, IMPORT]
        assert options(product()) == ("imagestore.lxd.lxd_image_copy", COPY_TASK)

    def test_a_split_virtual_machine_image_has_commands_with_the_remote_only(self):
        vm = product(VM, SPLIT)
        assert texts(vm) == [f"{LAUNCH} --vm", f"{COPY} --vm"]
        assert options(vm)[1] == {**COPY_TASK, "image_type": VM}

    def test_a_unified_virtual_machine_image_is_in_the_remote_for_new_versions_of_incus_only(self):
        vm = product(VM)
        assert texts(vm) == [IMPORT]
        assert options(vm) == (
            "imagestore.lxd.lxd_image_import",
            {"url": f"{SITE}/images/web", "aliases": ["web"]},
        )
        launch, copy, by_url = (command for command in commands(vm) if command.tool == INCUS)
        assert launch.text == f"{LAUNCH} --vm".replace("lxc", "incus")
        assert copy.text == f"{COPY} --vm".replace("lxc", "incus")
        for command in (launch, copy):
            assert "with Incus 7.0.1, 7.1 or later (earlier versions take it" in command.caption
        assert by_url.text == IMPORT.replace("lxc", "incus")

    def test_a_unified_virtual_machine_image_is_imported_as_a_file_if_a_container_has_its_url(self):
        vm = product(VM)
        file = f"{FILE}.tar.xz"
        assert texts(vm, others=[product()]) == [
            f"curl -fO {SITE}/files/{file}\nlxc image import {file} --alias web"
        ]
        assert len(texts(vm, others=[product()], tool=INCUS)) == 1
        assert options(vm, others=[product()]) == (
            "imagestore.lxd.lxd_image_import",
            {"url": f"{SITE}/files/{file}", "fingerprint": "f" * 64, "aliases": ["web"]},
        )

    @pytest.mark.parametrize(
        "other", [product(parts=SPLIT), product(architecture="aarch64")], ids=["split", "elsewhere"]
    )
    def test_other_container_images_do_not_take_its_url(self, other):
        assert texts(product(VM), others=[other]) == [IMPORT]

    @pytest.mark.parametrize(("architecture", "number"), [("x86_64", 1), ("aarch64", 3)])
    def test_a_container_image_of_its_architecture_keeps_it_out_of_the_remote(
        self, architecture, number
    ):
        container = product(parts=SPLIT, architecture=architecture)
        assert len(texts(product(VM), others=[container], tool=INCUS)) == number

    def test_incus_has_the_same_commands_as_lxd(self):
        many = [product(), product(parts=SPLIT, architecture="aarch64")]
        assert texts(*many, tool=INCUS) == [
            text.replace("lxc ", "incus ") for text in texts(*many, tool=LXD)
        ]

    def test_the_newest_version_determines_the_commands(self):
        versions = (
            Version("20261124", "f" * 64, 0, SPLIT),
            Version("20261123", "e" * 64, 0, UNIFIED),
        )
        assert texts(Product("web", CONTAINER, "x86_64", versions=versions)) == [LAUNCH, COPY]


class TestPrivateServers:
    """A password is a part of the remote's address; LXD and Incus cannot show a certificate."""

    def test_a_remote_has_the_password_in_its_address(self):
        (lxd, incus) = ClientCommands(f"{SITE}/lxd", "password").add_remote()
        assert lxd.text == (
            "lxc remote add images.example.com"
            " https://USER:PASSWORD@images.example.com/lxd --protocol=simplestreams"
        )
        assert incus.text == lxd.text.replace("lxc ", "incus ")

    def test_with_a_password_images_come_from_the_remote_and_not_by_url(self):
        assert texts(product(), access="password") == [LAUNCH, COPY]
        source = {f"source_{name}": value for name, value in LOGIN.items()}
        task = ("imagestore.lxd.lxd_image_copy", {**COPY_TASK, **source})
        assert options(product(), access="password") == task

    def test_with_a_password_tasks_import_unified_virtual_machine_images(self):
        vm = product(VM)
        assert texts(vm, access="password") == []
        assert len(texts(vm, access="password", tool=INCUS)) == 2
        url = {f"url_{name}": value for name, value in LOGIN.items()}
        task = {"url": f"{SITE}/images/web", **url, "aliases": ["web"]}
        assert options(vm, access="password") == ("imagestore.lxd.lxd_image_import", task)

    def test_with_a_password_a_file_is_downloaded_by_a_user(self):
        hidden = {"others": [product()], "access": "password"}
        (text,) = texts(product(VM), **hidden)
        assert text.startswith(f"curl -fO --user USER {SITE}/files/{FILE}.tar.xz\n")
        assert options(product(VM), **hidden)[1]["url_username"] == "USER"

    def test_with_a_certificate_there_are_tasks_only(self):
        assert ClientCommands(SITE, "certificate").add_remote() == []
        assert {one.tool for one in commands(product(), access="certificate")} == {ANSIBLE}
        keys = {
            "source_client_cert": "/path/to/client.crt",
            "source_client_key": "/path/to/client.key",
        }
        assert options(product(), access="certificate")[1] == {**COPY_TASK, **keys}

    def test_with_a_certificate_unified_virtual_machine_images_are_files(self):
        found = commands(product(VM), access="certificate")
        assert {one.caption for one in found} == {"As a file"}
        download = (
            "curl -fO --cert /path/to/client.crt --key /path/to/client.key"
            f" {SITE}/files/{FILE}.tar.xz"
        )
        assert [one.text.splitlines()[0] for one in found] == [download] * 2


class TestArchitectures:
    def test_one_command_applies_to_all(self):
        both = [product(), product(architecture="aarch64")]
        assert [(one.caption, one.text) for one in commands(*both) if one.tool == LXD] == [
            ("Launch an instance", LAUNCH),
            ("From the remote", COPY),
            ("By URL", IMPORT),
        ]

    def test_a_command_for_some_architectures_names_them(self):
        both = [product(VM), product(VM, SPLIT, "aarch64")]
        assert [(one.caption, one.text) for one in commands(*both) if one.tool == LXD] == [
            ("Launch an instance, aarch64 only", f"{LAUNCH} --vm"),
            ("From the remote, aarch64 only", f"{COPY} --vm"),
            ("By URL, x86_64 only", IMPORT),
        ]

    def test_files_are_specific_to_an_architecture(self):
        both = [product(VM), product(VM, architecture="aarch64")]
        containers = [product(), product(architecture="aarch64")]
        captions = [one.caption for one in commands(*both, others=containers) if one.tool == LXD]
        assert captions == ["As a file, x86_64 only", "As a file, aarch64 only"]


class TestQuoting:
    @pytest.mark.parametrize("name", ["3.20", "true", "No", "1e3", "-", "_x", "+1", "debian/12"])
    def test_yaml_reads_names_as_strings(self, name):
        given = options(product(name=name))[1]
        assert (given["image"], given["aliases"]) == (name, [name])

    def test_names_that_need_no_quotes_have_none(self):
        assert "image: debian/12\n" in texts(product(name="debian/12"), tool=ANSIBLE)[0]
        assert (
            f"source_server: {SITE}:8443/a\n"
            in texts(product(), tool=ANSIBLE, site=f"{SITE}:8443/a")[0]
        )

    @pytest.mark.parametrize("site", ["https://h/a b", "https://h/'$(id)'", 'https://h/"#: ü'])
    def test_a_url_with_special_characters_is_one_word(self, site):
        assert options(product(), site=site)[1]["source_server"] == site
        (_launch, _copy, by_address) = texts(product(), site=site)
        assert shlex.split(by_address) == [
            *("lxc", "image", "import"),
            *(f"{site}/images/web", "--alias", "web"),
        ]
        assert shlex.split(ClientCommands(site).add_remote()[0].text)[4] == site


class TestRemote:
    def test_is_added_once(self):
        assert [(one.tool, one.text) for one in ClientCommands(f"{SITE}/lxd").add_remote()] == [
            (tool, f"{program} remote add images.example.com {SITE}/lxd --protocol=simplestreams")
            for tool, program in ((LXD, "lxc"), (INCUS, "incus"))
        ]

    @pytest.mark.parametrize(
        ("site", "name"),
        [
            ("https://Images.example.com:8443/a", "images.example.com"),
            ("https://192.0.2.7", "192.0.2.7"),
            ("https://[2001:db8::7]:8443", "2001-db8-7"),
            ("https://images", "images-server"),
            ("https://local", "local-server"),
            ("https://ubuntu", "ubuntu-server"),
            ("https://user:secret@h", "h"),
            ("https://[", "image-server"),
            ("", "image-server"),
        ],
    )
    def test_has_a_name_that_clients_accept(self, site, name):
        assert ClientCommands(site).remote == name

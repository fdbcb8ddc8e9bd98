# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of copies: names, auto_update, copy_aliases, trust, and values that are not valid."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from copies import Copies, add_to_source

from lab import Image, KeyPair, Server, client_config
from runner import Modules

Build = Callable[..., Image]


class TestAutoUpdate:
    def test_is_set_on_an_image_that_was_pulled_by_alias(
        self, lxd: Server, other: Server, by_name: Copies, image: Image
    ) -> None:
        fingerprint = add_to_source(other, image, "web")
        assert by_name("web", auto_update=True).actions == ["pull", "set auto_update"]
        stored = lxd.images()[fingerprint]
        assert stored["auto_update"]
        assert stored["update_source"]["alias"] == "web"
        assert by_name("web", auto_update=False).actions == ["set auto_update"]

    @pytest.mark.parametrize(
        ("public", "params"),
        [
            (True, {"image": "fingerprint"}),
            (True, {"mode": "relay"}),
            (True, {"mode": "push"}),
            (True, {"source_project": "site"}),
            (False, {}),
        ],
    )
    def test_is_rejected_for_unsupported_sources(
        self,
        lxd: Server,
        other: Server,
        trusted: Copies,
        image: Image,
        public: bool,
        params: dict[str, Any],
    ) -> None:
        other.run("project", "create", "site")
        project = params.get("source_project", "default")
        if public and project != "default" and other.is_lxd_since(5, 21):
            pytest.skip("this LXD has public images in the project default only")
        fingerprint = add_to_source(other, image, "web", public=public, project=project)
        name = fingerprint if "image" in params else "web"
        others = {key: value for key, value in params.items() if key != "image"}
        msg = trusted.fails(name, auto_update=True, **others)
        assert "auto_update does not work" in msg
        assert "Use state: latest" in msg
        assert lxd.images() == {}

    def test_is_rejected_for_a_fingerprint_even_if_the_image_exists(
        self, other: Server, by_name: Copies, image: Image
    ) -> None:
        other.run("project", "create", "site")
        fingerprint = add_to_source(other, image, "web")
        cases = [(fingerprint, "default")]
        if not other.is_lxd_since(5, 21):  # it has public images only in the project default
            add_to_source(other, image, "web", project="site")
            cases.append(("web", "site"))
        by_name("web")
        for name, project in cases:
            msg = by_name.fails(name, source_project=project, auto_update=True)
            assert "auto_update does not work with" in msg

    def test_is_rejected_for_an_image_of_another_route(
        self, other: Server, by_name: Copies, image: Image
    ) -> None:
        add_to_source(other, image, "web")
        by_name.modules.import_image(image)
        assert "the server has not recorded its origin" in by_name.fails("web", auto_update=True)


class TestCopyAliases:
    def test_are_copied_and_updated_on_every_run(
        self, lxd: Server, other: Server, by_name: Copies, image: Image
    ) -> None:
        fingerprint = add_to_source(other, image, "web", "web/stable")
        first = by_name("web", copy_aliases=True, aliases=["mine"])
        assert first.actions == [
            "pull",
            "add alias mine",
            "add alias web",
            "add alias web/stable",
        ]
        assert not by_name("web", copy_aliases=True, aliases=["mine"])["changed"]
        other.api("POST", "/1.0/images/aliases", {"name": "new", "target": fingerprint})
        assert by_name("web", copy_aliases=True).actions == ["add alias new"]
        assert set(lxd.aliases()) == {"mine", "web", "web/stable", "new"}

    def test_keep_their_descriptions(
        self, lxd: Server, other: Server, by_name: Copies, build: Build
    ) -> None:
        old, new = build(), build()
        add_to_source(other, new, "web", "web/stable")
        for name in ("web", "web/stable"):
            expected_attributes = {"target": new.fingerprint, "description": f"what {name} is for"}
            other.api("PUT", f"/1.0/images/aliases/{name.replace('/', '%2F')}", expected_attributes)
        by_name.modules.import_image(old, aliases=["web"])
        assert by_name("web", copy_aliases=True, aliases=["mine"]).actions == [
            "pull",
            "add alias mine",
            "move alias web",
            "add alias web/stable",
        ]
        aliases = lxd.images()[new.fingerprint]["aliases"]
        assert {alias["name"]: alias["description"] for alias in aliases} == {
            "mine": "",
            "web": "what web is for",
            "web/stable": "what web/stable is for",
        }


def twins(folder: Path) -> Iterator[Path]:
    """Two images whose fingerprints have the same first twelve digits: ae6a076396d7.

    The bytes at the end are ignored by archive readers. They were found by trying some fifty million.
    """
    for end in (b"099af4b796f7", b"0f5d182bfc81"):
        path = folder / f"{end.decode()}.tar"
        with tarfile.TarFile(path, "w", format=tarfile.USTAR_FORMAT) as archive:
            text = b"architecture: x86_64\ncreation_date: 1700000000\n"
            metadata = tarfile.TarInfo("metadata.yaml")
            metadata.size = len(text)
            archive.addfile(metadata, io.BytesIO(text))
            rootfs = tarfile.TarInfo("rootfs")
            rootfs.type = tarfile.DIRTYPE
            archive.addfile(rootfs)
            archive.addfile(tarfile.TarInfo("rootfs/init"))
        with path.open("ab") as file:
            file.write(end)
        yield path


class TestNames:
    def test_can_be_abbreviated_fingerprints(
        self, lxd: Server, other: Server, by_name: Copies, image: Image
    ) -> None:
        fingerprint = add_to_source(other, image)
        assert by_name(fingerprint[:12]).actions == ["pull"]
        assert not by_name(fingerprint[:20])["changed"]
        assert set(lxd.images()) == {fingerprint}

    def test_that_do_not_exist_are_an_error(self, by_name: Copies, trusted: Copies) -> None:
        assert "has no image webb" in trusted.fails("webb")
        assert "has no image 123456789012" in trusted.fails("123456789012")

    def test_that_match_several_images_are_an_error_before_any_transfer(
        self, lxd: Server, other: Server, trusted: Copies, tmp_path: Path
    ) -> None:
        for path in twins(tmp_path):
            other.run("image", "import", str(path))
        first, second = sorted(other.images())
        assert first[:12] == second[:12]
        mark = lxd.mark()
        msg = trusted.fails(first[:12])
        assert f"has several images whose fingerprints begin with {first[:12]}" in msg
        assert "Give more digits" in msg
        assert lxd.writes(mark) == []
        assert trusted(first[:16])["fingerprint"] == first
        assert trusted(second[:16])["fingerprint"] == second
        msg = trusted.modules.fails("lxd_image", name=first[:12])
        assert f"Give more digits: {first[:13]}" in msg

    def test_of_private_images_are_hidden_from_untrusted_clients(
        self, other: Server, by_name: Copies, image: Image
    ) -> None:
        add_to_source(other, image, "web", public=False)
        msg = by_name.fails("web")
        assert "has no public image web" in msg
        assert "does not trust this client" in msg
        assert "client_cert" in msg

    def test_of_private_images_are_shown_to_a_stranger_once_the_named_command_was_run(
        self, other: Server, by_name: Copies, image: Image, pair: KeyPair
    ) -> None:
        add_to_source(other, image, "web", public=False)
        keys = {"source_client_cert": str(pair.certificate), "source_client_key": str(pair.key)}
        msg = by_name.fails("web", **keys)
        assert "config trust add" in msg
        assert str(pair.certificate) in msg
        other.trust(pair.certificate)
        assert by_name("web", **keys).actions == ["pull"]

    def test_of_another_type_are_an_error(
        self, lxd: Server, other: Server, by_name: Copies, image: Image
    ) -> None:
        add_to_source(other, image, "web")
        msg = by_name.fails("web", image_type="virtual-machine")
        assert "is a container image, not a virtual-machine" in msg
        assert lxd.images() == {}

    def test_of_a_virtual_machine_do_not_move_to_a_container(
        self, lxd: Server, other: Server, by_name: Copies, build: Build
    ) -> None:
        machine = build("vm")
        by_name.modules.import_image(machine, aliases=["web"])
        add_to_source(other, build(), "web")
        mark = lxd.mark()
        assert "belongs to the virtual-machine image" in by_name.fails("web", aliases=["web"])
        assert lxd.writes(mark) == []


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"project": "absent"}, "has no project absent"),
        ({"source_project": "absent"}, "has no image web"),
        ({"profiles": ["absent"]}, "has no profile absent. It has: default"),
        ({"expires_at": "soon"}, "'soon' is not a time in ISO 8601"),
        ({"properties": {"release": 3.2}}, "release is a number with a decimal point"),
        ({"delete_replaced": True}, "delete_replaced is set without aliases"),
        ({"aliases": ["taken"], "alias_conflict": "fail"}, "the alias taken points to another"),
        ({"timeout": 0}, "timeout is 0"),
    ],
)
def test_invalid_values_are_rejected_before_any_transfer(
    lxd: Server,
    other: Server,
    trusted: Copies,
    build: Build,
    params: dict[str, Any],
    said: str,
) -> None:
    trusted.modules.import_image(build(), aliases=["taken"])
    add_to_source(other, build(), "web", public=False)
    marks = lxd.mark(), other.mark()
    for mode, check in (("pull", True), ("pull", False), ("relay", False)):
        desired = {**trusted.source, "image": "web", "mode": mode, **params}
        assert said in trusted.modules.fails("lxd_image_copy", check, **desired)
    assert lxd.writes(marks[0]) == []
    assert other.writes(marks[1]) == []


class TestTrust:
    def test_a_wrong_pin_fails_before_any_pull(
        self, lxd: Server, other: Server, by_name: Copies, image: Image
    ) -> None:
        add_to_source(other, image, "web")
        mark = lxd.mark()
        copies = Copies(by_name.modules, source_server=other.url)
        msg = copies.fails("web", source_cert_fingerprint="0" * 64)
        assert "correct source_cert_fingerprint" in msg
        assert "Set source_cert" in copies.fails("web")
        assert lxd.writes(mark) == []

    def test_a_correct_pin_is_passed_to_the_target(
        self, lxd: Server, other: Server, by_name: Copies, image: Image
    ) -> None:
        fingerprint = add_to_source(other, image, "web")
        pin = other.certificate_fingerprint
        copies = Copies(by_name.modules, source_server=other.url, source_cert_fingerprint=pin)
        assert copies("web", mode="pull").actions == ["pull"]
        recorded = lxd.images()[fingerprint]["update_source"]["certificate"]
        assert recorded.strip() == other.certificate.read_text().strip()

    def test_a_private_image_names_the_options_for_a_certificate(
        self, other: Server, by_name: Copies, image: Image
    ) -> None:
        add_to_source(other, image, "web", public=False)
        assert "Set source_client_cert and source_client_key" in by_name.fails("web")

    def test_a_project_of_this_host_that_does_not_exist_is_all_that_is_wrong(
        self, modules: Modules
    ) -> None:
        msg = Copies(modules, source_project="absent").fails("web")
        assert "has no project absent, or this client may not see it" in msg
        assert msg.endswith("Create the project, or correct its name.")

    def test_a_client_configuration_is_sufficient(
        self, lxd: Server, other: Server, modules: Modules, image: Image, tmp_path: Path
    ) -> None:
        add_to_source(other, image, "web", public=False)
        config = client_config(tmp_path / "lxc", [lxd, other])
        copies = Copies(modules, source_remote="two", config_dir=str(config.folder))
        assert copies("web").actions == ["pull"]

    def test_of_the_source_defaults_to_that_of_the_target(
        self, lxd: Server, other: Server, by_name: Copies, pair: KeyPair, image: Image
    ) -> None:
        add_to_source(other, image, "web", public=False)
        for server in (lxd, other):
            server.trust(pair.certificate)
        target = Modules(
            server=lxd.url,
            server_cert=str(lxd.certificate),
            client_cert=str(pair.certificate),
            client_key=str(pair.key),
        )
        assert Copies(target, **by_name.source)("web").actions == ["pull"]


class TestConflictingOptions:
    @pytest.mark.parametrize(
        ("params", "said"),
        [
            ({}, "no source is given"),
            ({"source_project": "default"}, "source_project is the managed project itself"),
            ({"source_project": "site", "source_cert_fingerprint": "0" * 64}, "cannot be used"),
            ({"source_registry": "r"}, "has no image registries"),
            ({"source_registry": "r", "architecture": "amd64"}, "architecture cannot be used"),
            (
                {"source_server": "unix:///x", "architecture": "amd64"},
                "architecture cannot be used",
            ),
            ({"source_server": "unix:///x", "architecture": "z80"}, "which LXD does not know"),
            ({"source_server": "unix:///x", "retries": -1}, "retries is -1"),
            ({"source_server": "unix:///x", "image": " "}, "image is empty"),
            ({"source_server": "http://x"}, "source_server is 'http://x'"),
            (
                {"source_remote": "images", "source_project": "x"},
                "source_project cannot be used with an image server",
            ),
            (
                {
                    "source_server": "unix:///x",
                    "source_username": "u",
                    "source_password": "p",
                },
                "source_username cannot be used with a source of the protocol lxd",
            ),
        ],
    )
    def test_are_errors(self, modules: Modules, params: dict[str, Any], said: str) -> None:
        assert said in Copies(modules).fails(**{"image": "web", **params})

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from hashlib import sha256

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.archives.metadata import (
    parse_metadata,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.disks.metadata import (
    RootfsFacts,
    metadata_archive,
    rootfs_key,
)

FACTS = RootfsFacts("x86_64", "Debian", "12", "cloud", 'Debian "bookworm" – für alle')
SEED = "/var/lib/cloud/seed/nocloud-net"
SOME = "ab" * 32

# The digests of two metadata files. They are part of the fingerprints of images in use: with others, an unchanged file
# would become another image.
CONTAINER = "80cbc4cb2159219774ddb6e07b488fff624a1e7ceead63a1c069b29000cc76ed"
MACHINE = "170e5fd16dc0eb6cbbb531df1230bc51703860ddf5f5e387c99ed4eec83935e5"


def members(image_type, facts=FACTS):
    with tarfile.open(fileobj=io.BytesIO(metadata_archive(image_type, facts))) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def test_the_same_facts_are_the_same_bytes_on_every_machine_and_python():
    archive = metadata_archive("container", replace(FACTS, cloud_init=True))
    assert (
        sha256(archive).hexdigest()
        == "80cbc4cb2159219774ddb6e07b488fff624a1e7ceead63a1c069b29000cc76ed"
    )
    assert (
        sha256(metadata_archive("virtual-machine", FACTS)).hexdigest()
        == "170e5fd16dc0eb6cbbb531df1230bc51703860ddf5f5e387c99ed4eec83935e5"
    )


def test_the_metadata_says_what_the_options_say():
    metadata = parse_metadata("web", members("virtual-machine")["metadata.yaml"])
    assert metadata.architecture == "x86_64"
    assert metadata.properties == {
        "os": "Debian",
        "release": "12",
        "variant": "cloud",
        "description": 'Debian "bookworm" – für alle',
    }


def test_what_is_not_known_is_not_a_property():
    metadata = parse_metadata("web", members("container", RootfsFacts("x86_64"))["metadata.yaml"])
    assert metadata.properties == {}


def test_a_container_gets_its_host_name():
    assert members("container")["templates/hostname.tpl"] == b"{{ container.name }}\n"
    assert b'"/etc/hostname"' in members("container")["metadata.yaml"]


def test_a_virtual_machine_has_no_templates():
    assert list(members("virtual-machine")) == ["metadata.yaml"]


def test_cloud_init_gets_its_seed():
    found = members("container", replace(FACTS, cloud_init=True))
    for name in ("meta-data", "network-config", "user-data", "vendor-data"):
        assert f'"{SEED}/{name}"'.encode() in found["metadata.yaml"]
    assert len(found) == 6


def test_all_templates_are_in_the_archive():
    import json

    found = members("container", replace(FACTS, cloud_init=True))
    for template in json.loads(found["metadata.yaml"])["templates"].values():
        assert found[f"templates/{template['template']}"]


@pytest.mark.parametrize(
    "other",
    [
        ("sha256", "cd" * 32, FACTS),
        ("sha512", SOME, FACTS),
        ("sha256", SOME, replace(FACTS, release="13")),
        ("sha256", SOME, replace(FACTS, cloud_init=True)),
    ],
)
def test_another_file_or_another_option_is_another_image(other):
    assert rootfs_key(*other) != rootfs_key("sha256", SOME, FACTS)

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import email

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.archives.files import ImageFiles
from ansible_collections.imagestore.lxd.plugins.module_utils._core.deadline import Deadline
from ansible_collections.imagestore.lxd.plugins.module_utils._core.sources.files import upload_body


@pytest.fixture
def paths(tmp_path):
    contents = {"meta.tar.gz": b"metadata", 'disk "1"\r\n.qcow2': b"rootfs"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return [str(tmp_path / name) for name in contents]


def test_a_unified_image_is_sent_unchanged(paths):
    with ImageFiles(paths[0], deadline=Deadline(60)) as files:
        body = upload_body(files, "container")
        assert body.content_type == "application/octet-stream"
        assert b"".join(body) == b"metadata"


@pytest.mark.parametrize(
    ("image_type", "part"), [("container", "rootfs"), ("virtual-machine", "rootfs.img")]
)
def test_a_split_image_is_a_form_whose_second_part_names_the_type(paths, image_type, part):
    with ImageFiles(*paths, deadline=Deadline(60)) as files:
        body = upload_body(files, image_type)
        sent = b"".join(body)
    assert len(sent) == body.len
    form = email.message_from_bytes(
        b"Content-Type: " + body.content_type.encode() + b"\r\n\r\n" + sent
    )
    parts = form.get_payload()
    names = [one.get_param("name", header="content-disposition") for one in parts]
    assert names == ["metadata", part]
    assert [one.get_payload() for one in parts] == ["metadata", "rootfs"]


def test_a_file_name_cannot_break_the_form(paths):
    with ImageFiles(*paths, deadline=Deadline(60)) as files:
        assert b'filename="disk _1___.qcow2"\r\n' in b"".join(upload_body(files, "container"))

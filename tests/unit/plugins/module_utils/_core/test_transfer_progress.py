# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core import transfer_progress
from ansible_collections.imagestore.lxd.plugins.module_utils._core.transfer_progress import (
    MAX_BYTES,
    PREFIX,
    Transfer,
    TransferRecorder,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.transport.body import Body


@pytest.mark.parametrize(
    ("metadata", "moved", "percent", "rate"),
    [
        # LXD 5.0 and Incus 6.0, recorded during pulls and a publication.
        ({"download_progress": "42% (2.51MB/s)"}, 420, None, 2_510_000),
        ({"download_progress": "rootfs: 42% (512B/s)"}, 420, None, 512),
        ({"download_progress": "2.32kB (1.20kB/s)"}, 1000, None, 1200),
        ({"download_progress": "0.5kB (1.20kB/s)"}, 500, None, 1200),
        ({"download_progress": "metadata: 100% (1.20kB/s)"}, None, None, None),
        ({"download_progress": "1.2.3MB (1MB/s)"}, 0, None, 1_000_000),
        ({"download_progress": "soon"}, None, None, None),
        ({"download_progress": 5, "size": "42% (2.51MB/s)"}, None, None, None),
    ],
)
def test_reads_what_a_server_tells(metadata, moved, percent, rate):
    transfer = Transfer("it", 1000)
    transfer.read_operation(metadata)
    state = transfer.state()
    assert (state["moved"], state["percent"]) == (moved, percent)
    assert state["rate"] == (None if rate is None else pytest.approx(rate))


def test_of_an_image_of_unknown_size_only_the_percentage_is_known():
    transfer = Transfer("c1", None)
    transfer.read_operation(
        {
            "create_image_from_container_pack_progress": "Image pack: 81% (42.12MB/s)",
            "progress": {"percent": "81", "speed": "42124699"},
        }
    )
    state = transfer.state()
    assert (state["moved"], state["total"], state["percent"]) == (None, None, 81)


def test_follows_a_body_as_it_is_sent():
    body = Body([b"12", b"345"], "text/plain")
    transfer = Transfer("it", None)
    transfer.follow(body)
    blocks = iter(body)
    next(blocks)
    next(blocks)
    assert (transfer.state()["moved"], transfer.state()["total"]) == (2, 5)


def files_in(folder):
    return [path for path in folder.iterdir() if path.name.startswith(PREFIX)]


def test_the_file_exists_as_long_as_there_are_transfers(tmp_path, monkeypatch):
    monkeypatch.setattr(transfer_progress, "RECORD_SECONDS", 0.01)
    recorder = TransferRecorder(str(tmp_path), 7)
    path = tmp_path / f"{PREFIX}7"
    for _time in range(2):
        with recorder.record("one", 10), recorder.record("t" * 500, None):
            content = b""
            while content.count(b"\n") < 2:
                content = path.read_bytes() if path.exists() else b""
        assert files_in(tmp_path) == []
    assert len(content) == MAX_BYTES
    assert [json.loads(line)["image"] for line in content.splitlines()[:2]] == ["one", "t" * 100]
    assert path.parent.stat().st_mode & 0o077 == tmp_path.stat().st_mode & 0o077


def test_a_short_transfer_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(transfer_progress, "RECORD_SECONDS", 3600)
    with TransferRecorder(str(tmp_path / "new"), 1).record("it", 1):
        pass
    assert not (tmp_path / "new").exists()


def test_a_transfer_does_not_fail_for_a_directory_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(transfer_progress, "RECORD_SECONDS", 0.01)
    (tmp_path / "file").touch()
    recorder = TransferRecorder(str(tmp_path / "file"), 1)
    with recorder.record("it", 1):
        recorder._thread.join()


def test_only_abandoned_files_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(transfer_progress, "RECORD_SECONDS", 0.01)
    (tmp_path / f"{PREFIX}1").write_text("{}")
    (tmp_path / "another").touch()
    with TransferRecorder(str(tmp_path), 2).record("it", 1):
        # It is locked before it is written.
        while not any(path.stat().st_size for path in files_in(tmp_path)):
            pass
        TransferRecorder(str(tmp_path), 3)
        assert {path.name for path in tmp_path.iterdir()} == {f"{PREFIX}2", "another"}

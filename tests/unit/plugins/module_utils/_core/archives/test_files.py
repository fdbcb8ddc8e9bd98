# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import itertools
import os
from pathlib import Path

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.archives.files import (
    BLOCK,
    Digest,
    ImageFiles,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.deadline import Deadline
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import (
    FileError,
    TimedOut,
)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(os.urandom(BLOCK + 7))
    return path


def test_the_fingerprint_is_the_sha256_of_the_file(path):
    with ImageFiles(str(path), deadline=Deadline(60)) as files:
        assert files.digest() == hashlib.sha256(path.read_bytes()).hexdigest()
        assert files.size == BLOCK + 7


def test_the_fingerprint_of_two_files_is_that_of_one_after_the_other(path, tmp_path):
    (tmp_path / "rootfs").write_bytes(b"rootfs")
    with ImageFiles(str(path), str(tmp_path / "rootfs"), deadline=Deadline(60)) as files:
        assert files.digest() == hashlib.sha256(path.read_bytes() + b"rootfs").hexdigest()
        assert files.size == BLOCK + 13


def test_reading_it_keeps_the_position_of_the_file(path):
    with ImageFiles(str(path), deadline=Deadline(60)) as files:
        files.files[0].seek(5)
        Digest(files).result()
        assert files.files[0].tell() == 5


def test_a_file_that_becomes_shorter_is_an_error(path):
    with ImageFiles(str(path), deadline=Deadline(60)) as files:
        os.truncate(path, 3)
        with pytest.raises(FileError, match="became shorter"):
            files.digest()


def test_a_closed_file_ends_reading_without_a_traceback(path):
    with ImageFiles(str(path), deadline=Deadline(60)) as files:
        pass
    with pytest.raises(FileError, match="closed while it was being read"):
        files.digest()


def test_replacing_the_path_of_an_open_file_has_no_effect(path):
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    with ImageFiles(str(path), deadline=Deadline(60)) as files:
        path.unlink()
        path.write_bytes(b"another")
        assert files.digest() == before


def link_to_itself(path):
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (id, "No such file or directory"),
        (os.mkdir, "is a directory"),
        (Path.touch, "is empty"),
        (os.mkfifo, "is not a regular file"),
        (link_to_itself, "Too many levels of symbolic links"),
    ],
)
def test_a_path_that_is_not_a_file_with_content_is_an_error(tmp_path, make, reason):
    make(tmp_path / "x")
    with pytest.raises(FileError, match=f"{tmp_path}/x.*{reason}"):
        ImageFiles(str(tmp_path / "x"), deadline=Deadline(60))


def test_a_file_that_becomes_longer_is_an_error(path):
    with ImageFiles(str(path), deadline=Deadline(60)) as files:
        with path.open("ab") as file:
            file.write(b"more")
        with pytest.raises(FileError, match="became longer"):
            files.digest()


def test_a_file_is_read_for_no_longer_than_there_is_time(path):
    os.truncate(path, 1 << 42)
    seconds = itertools.count()  # one more whenever the clock is read
    deadline = Deadline(60, clock=lambda: next(seconds))
    with ImageFiles(str(path), deadline=deadline) as files, pytest.raises(TimedOut):
        files.digest()


def test_a_path_with_a_nul_is_an_error(tmp_path):
    with pytest.raises(FileError, match="it is not a valid file name"):
        ImageFiles(f"{tmp_path}/\0", deadline=Deadline(60))

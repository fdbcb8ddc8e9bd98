# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.archives.decompression import (
    CannotUnpack,
    run_program,
    unpacked,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.deadline import Deadline


@pytest.fixture
def zstd(tmp_path, monkeypatch):
    """Have a script in place of zstd; the result reads all of what it unpacks."""

    def instead(script):
        program = tmp_path / "zstd"
        program.write_text(script)
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        with program.open("rb") as file, unpacked(file, "zstd", Deadline(60)) as stream:
            return b"".join(iter(lambda: stream.read(1000), b""))

    return instead


class TestZstd:
    def test_is_read_to_its_end(self, zstd):
        assert zstd("#!/bin/sh\necho complete\n") == b"complete\n"

    def test_that_is_killed_has_not_unpacked_all(self, zstd):
        with pytest.raises(CannotUnpack, match="zstd was killed by signal 9"):
            zstd("#!/bin/sh\necho half\nkill -9 $$\n")

    def test_that_fails_without_a_word_has_not_unpacked_all(self, zstd):
        with pytest.raises(CannotUnpack, match="zstd ended with 3"):
            zstd("#!/bin/sh\necho half\nexit 3\n")

    def test_that_cannot_run_is_named(self, zstd):
        with pytest.raises(CannotUnpack, match=r"cannot run the program .*zstd: No such file"):
            zstd("#!/nowhere\n")


def test_a_program_that_cannot_run_is_named(tmp_path):
    (tmp_path / "it").write_text("#!/nowhere\n")
    (tmp_path / "it").chmod(0o755)
    with pytest.raises(CannotUnpack, match=r"cannot run the program .*it: No such file"):
        run_program([str(tmp_path / "it")], [], Deadline(60), 60, 0)

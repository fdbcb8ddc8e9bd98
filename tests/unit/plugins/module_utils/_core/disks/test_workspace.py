# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The directory for temporary files."""

from __future__ import annotations

import os
import threading
import time

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.disks.workspace import (
    Workspace,
    discard_after,
)


@pytest.fixture
def temporary(tmp_path):
    """A temporary file with content."""
    with Workspace(str(tmp_path)).file() as file:
        file.write(b"content")
        yield file


def wait_until_empty(number):
    end = time.monotonic() + 120
    while os.fstat(number).st_size:
        assert time.monotonic() < end, "it is not emptied"
        time.sleep(0.01)


class TestADiscardedFile:
    def test_is_emptied_although_it_is_still_open(self, temporary):
        discard_after(None, temporary)
        wait_until_empty(temporary.fileno())

    def test_keeps_its_content_while_it_is_read(self, temporary):
        wanted = threading.Event()
        reader = threading.Thread(target=wanted.wait)
        reader.start()
        discard_after(reader, temporary)
        assert os.pread(temporary.fileno(), 7, 0) == b"content"
        wanted.set()
        wait_until_empty(temporary.fileno())

    def test_may_be_closed_meanwhile(self, temporary):
        wanted = threading.Event()
        reader = threading.Thread(target=wanted.wait)
        reader.start()
        number = os.dup(temporary.fileno())
        discard_after(reader, temporary)
        temporary.close()
        wanted.set()
        wait_until_empty(number)
        os.close(number)

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

# In a process of its own: one with several threads, such as that of the tests, had better not be forked.
SCRIPT = """
import os, signal, sys
from pathlib import Path
from ansible_collections.imagestore.lxd.plugins.module_utils._core.watchdog import watchdog

mark, end = Path(sys.argv[1]), sys.argv[2]
with watchdog(mark.touch):
    if end == "error":
        raise ValueError("its own")
    if end != "none":
        if end != "9":
            signal.signal(int(end), signal.SIG_DFL)  # whoever started the tests may ignore it
        os.kill(os.getpid(), int(end))
"""


def run(mark, end):
    """What a process wrote that ended in this way while the context lasted, or after it. It has ended by then."""
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(mark), end],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    ).stderr


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "cleaned-up"


# SIGHUP is the end of an SSH connection.
@pytest.mark.parametrize("number", [1, 9, 15])
def test_a_killed_process_is_cleaned_up_after(mark, number):
    run(mark, str(number))
    end = time.monotonic() + 60
    while not mark.exists() and time.monotonic() < end:
        time.sleep(0.01)
    assert mark.exists()


@pytest.mark.parametrize(("end", "said"), [("none", ""), ("error", "ValueError: its own")])
def test_nothing_is_called_at_the_end_of_the_context(mark, end, said):
    assert said in run(mark, end)
    assert not mark.exists()

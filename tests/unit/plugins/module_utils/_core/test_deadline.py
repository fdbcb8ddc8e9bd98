# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.deadline import Deadline
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import (
    FileError,
    TimedOut,
)


@pytest.fixture
def stuck():
    """What never comes while the test runs."""
    event = threading.Event()
    yield event
    event.set()


def test_counts_down_and_then_raises():
    now = [100.0]
    deadline = Deadline(5, clock=lambda: now[0])
    now[0] = 103
    assert deadline.left() == 2
    now[0] = 105
    with pytest.raises(TimedOut, match="5 seconds"):
        deadline.left()


class TestACall:
    def test_returns_what_the_function_does(self):
        assert Deadline(60).call(lambda: 7) == 7

    def test_raises_what_the_function_does(self):
        def fail():
            raise FileError("broken")

        with pytest.raises(FileError, match="broken"):
            Deadline(60).call(fail)

    def test_ends_in_time_although_the_function_does_not(self, stuck):
        with pytest.raises(TimedOut):
            Deadline(0.05).call(stuck.wait)

    def test_tells_the_time_it_was_given_even_if_it_waits_a_little_longer(self, stuck):
        with pytest.raises(TimedOut, match=r"timed out after 0\.05 seconds"):
            Deadline(0.05).call(stuck.wait, patience=0.05)

    @pytest.mark.parametrize("seconds", [10**12, float("inf")])
    def test_may_have_any_time(self, seconds):
        assert Deadline(seconds).call(lambda: 7) == 7


class TestAnIteration:
    def test_has_all_items_in_order(self):
        assert list(Deadline(60).iterate(iter(range(50)))) == list(range(50))

    def test_raises_what_the_items_do_after_those_that_came(self):
        def items():
            yield 1
            raise FileError("broken")

        found = Deadline(60).iterate(items())
        assert next(found) == 1
        with pytest.raises(FileError, match="broken"):
            next(found)

    def test_ends_in_time_although_the_items_do_not(self, stuck):
        def items():
            yield 1
            stuck.wait()

        now = [0.0]
        found = Deadline(60, clock=lambda: now[0]).iterate(items())
        assert next(found) == 1
        now[0] = 59.95  # the first item had time, for the second there is hardly any left
        with pytest.raises(TimedOut):
            next(found)

    def test_takes_no_more_items_than_are_wanted(self):
        taken = []

        def items():
            for number in itertools.count():
                taken.append(number)
                yield number

        before = set(threading.enumerate())
        found: Any = Deadline(60).iterate(items())
        next(found)
        (thread,) = set(threading.enumerate()) - before
        found.close()
        thread.join(60)
        assert not thread.is_alive()
        assert len(taken) <= 4

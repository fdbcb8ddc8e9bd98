# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import OptionError
from ansible_collections.imagestore.lxd.plugins.module_utils._core.mirror.selection import (
    Candidate,
    SelectEntry,
    Selector,
    newest,
)

ALPINE = Candidate(
    ("alpine/3.23", "alpine/3.23/default"),
    "container",
    "x86_64",
    "amd64",
    "Alpine",
    "3.23",
    "default",
)


@pytest.mark.parametrize(
    "entry",
    [
        SelectEntry(alias="alpine/3.23"),
        SelectEntry(alias="alpine/3.23/amd64"),
        SelectEntry(alias="alpine/3.23/x86_64"),
        SelectEntry(alias="*"),
        SelectEntry(alias="alpine/*/default"),
        SelectEntry(os="A*", release="3.2?", variant="[d]efault"),
        SelectEntry(architectures=("aarch64", "x86_64")),
        SelectEntry(image_types=("container",)),
    ],
    ids=str,
)
def test_an_entry_fits_if_all_of_its_conditions_do(entry):
    assert entry.fits(ALPINE)


@pytest.mark.parametrize(
    "entry",
    [
        SelectEntry(alias="Alpine/3.23"),
        SelectEntry(alias="alpine"),
        SelectEntry(alias="alpine/3.23/arm64"),
        SelectEntry(alias="*", os="Debian"),
        SelectEntry(alias="*", architectures=("aarch64",)),
        SelectEntry(alias="*", image_types=("virtual-machine",)),
    ],
    ids=str,
)
def test_an_entry_does_not_fit_if_one_of_its_conditions_does_not(entry):
    assert not entry.fits(ALPINE)


def test_an_entry_that_has_never_fitted_is_an_error():
    selector = Selector((SelectEntry(alias="alpine/*"), SelectEntry(os="Debian")), ())
    assert selector.chooses(ALPINE)
    with pytest.raises(OptionError, match=r"^x has no images for os=Debian"):
        selector.conclude("x")


def test_an_entry_that_has_fitted_earlier_is_a_warning():
    entries = SelectEntry(alias="alpine/*"), SelectEntry(os="Debian")
    selector = Selector(entries, ("os=Debian",))
    assert selector.chooses(ALPINE)
    assert selector.conclude("x") == ["x has no more images for os=Debian (select)"]
    assert selector.fitted == ("alias=alpine/*", "os=Debian")


@pytest.mark.parametrize(
    ("keep", "since", "expected"),
    [
        (1, None, {"20260103"}),
        (2, None, {"20260103", "20260102_13:00"}),
        (9, None, {"20260103", "20260102_13:00", "20260101"}),
        (1, "20260102", {"20260103", "20260102_13:00"}),
        (1, "20270101", {"20260103"}),
    ],
)
def test_the_newest_versions_and_those_since_a_day_are_kept(keep, since, expected):
    assert newest(["20260101", "20260103", "20260102_13:00"], keep, since) == expected

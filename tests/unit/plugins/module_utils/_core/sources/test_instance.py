# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.images import NEVER
from ansible_collections.imagestore.lxd.plugins.module_utils._core.instances import Instance
from ansible_collections.imagestore.lxd.plugins.module_utils._core.sources.instance import (
    InstanceSource,
    PublishRequest,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.store import Store

RAW = {
    "name": "c1",
    "type": "container",
    "status_code": 102,
    "created_at": "2026-11-26T08:15:07.993442687Z",
    "last_used_at": "2026-11-26T08:15:10.058822676Z",
    "ephemeral": False,
}


def identity(raw=None, snapshot=None, project="site"):
    source = InstanceSource(Store(None, project), PublishRequest("c1", snapshot))
    instance = Instance.parse(raw or RAW)
    return source.identity(instance, instance.started_at)


class TestInstance:
    def test_that_was_never_started_has_no_start(self):
        for never in ("1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", None):
            assert Instance.parse({**RAW, "last_used_at": never}).started_at == NEVER

    @pytest.mark.parametrize(
        ("status", "stopped"), [(102, True), (103, False), (110, False), (112, False)]
    )
    def test_is_stopped_only_if_the_server_calls_it_so(self, status, stopped):
        assert Instance.parse({**RAW, "status_code": status}).is_stopped is stopped

    @pytest.mark.parametrize("missing", ["name", "status_code", "created_at"])
    def test_is_not_read_from_just_anything(self, missing):
        with pytest.raises(LookupError):
            Instance.parse({name: value for name, value in RAW.items() if name != missing})


class TestIdentity:
    def test_has_project_name_creation_and_last_start(self):
        times = "2026-11-26T08:15:07.993442Z 2026-11-26T08:15:10.058822Z"
        assert identity() == f"site c1 {times}"
        assert identity(snapshot="s1") == f"site c1/s1 {times}"

    @pytest.mark.parametrize("changed", ["created_at", "last_used_at"])
    def test_of_a_new_instance_and_after_a_start_is_another(self, changed):
        assert identity({**RAW, changed: "2026-11-27T00:00:00Z"}) != identity()

    def test_does_not_depend_on_how_a_server_writes_times(self):
        assert identity({**RAW, "created_at": "2026-11-26T09:15:07.993442687+01:00"}) == identity()

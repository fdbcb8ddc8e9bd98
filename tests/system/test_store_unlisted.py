# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images of a store that no entry is about."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from copies import add_to_source
from stores import STORE

from lab import (
    Image,
    Proxy,
    Server,
)
from runner import Modules, files, until

Build = Callable[..., Image]


class TestUnlistedImages:
    def test_are_kept_unless_they_are_to_be_deleted(
        self, lxd: Server, modules: Modules, build: Build
    ) -> None:
        listed, unlisted = build(), build()
        modules.import_image(unlisted, aliases=["other"])
        modules.done(STORE, images=[{**files(listed), "aliases": ["web"]}])
        assert set(lxd.images()) == {listed.fingerprint, unlisted.fingerprint}

    def test_are_deleted_but_for_protected_ones(
        self, lxd: Server, modules: Modules, build: Build
    ) -> None:
        listed, unlisted, bare, protected = (build() for _ in range(4))
        modules.import_image(unlisted, aliases=["other"])
        modules.import_image(bare)
        modules.import_image(protected, aliases=["x", "site-db"])
        params: dict[str, Any] = {
            "images": [{**files(listed), "aliases": ["web"]}],
            "unlisted": "delete",
            "protect": ["site-*"],
        }
        mark = lxd.mark()
        predicted = modules.done(STORE, check=True, **params)
        assert lxd.writes(mark) == []
        done = modules.done(STORE, **params)
        for outcome in (predicted, done):
            assert {one["fingerprint"]: one["aliases"] for one in outcome["deleted"]} == {
                unlisted.fingerprint: ["other"],
                bare.fingerprint: [],
            }
        assert predicted.actions == done.actions
        assert f"delete image {bare.fingerprint[:12]}" in done.actions
        assert set(done["diff"]["before"]["images"]) == {
            unlisted.fingerprint[:12],
            bare.fingerprint[:12],
        }
        assert set(lxd.images()) == {listed.fingerprint, protected.fingerprint}
        mark = lxd.mark()
        assert not modules.done(STORE, **params)["changed"]
        assert [request.path.partition("?")[0] for request in lxd.requests(mark)] == ["/1.0/images"]

    def test_that_an_entry_has_replaced_are_retained_the_newest_first(
        self, lxd: Server, modules: Modules, build: Build
    ) -> None:
        versions = [build() for _ in range(4)]
        deleted = []
        for image in versions:
            done = modules.done(
                STORE,
                images=[{**files(image), "aliases": ["web"]}],
                unlisted="delete",
                retain=2,
            )
            deleted.append([one["fingerprint"] for one in done["deleted"]])
            time.sleep(1)  # dates of uploads have seconds
        assert deleted == [[], [], [], [versions[0].fingerprint]]
        assert lxd.aliases() == {"web": versions[3].fingerprint}
        assert set(lxd.images()) == {image.fingerprint for image in versions[1:]}

    def test_that_were_placed_in_a_run_with_a_failed_entry_are_retained_later(
        self, lxd: Server, modules: Modules, build: Build
    ) -> None:
        old, new = build(), build()
        broken: list[dict[str, Any]] = [
            {**files(old), "aliases": ["web"]},
            {"name": "missing", "public": True},
        ]
        assert modules.run(STORE, images=broken, unlisted="delete", retain=1).failed
        images = [{**files(new), "aliases": ["web"]}]
        done = modules.done(STORE, images=images, unlisted="delete", retain=1)
        assert done["deleted"] == []
        assert set(lxd.images()) == {old.fingerprint, new.fingerprint}

    def test_that_are_only_cached_are_never_deleted(
        self, lxd: Server, other: Server, modules: Modules, build: Build
    ) -> None:
        listed, cached = build(), build()
        add_to_source(other, cached, "base")
        source = {
            "type": "image",
            "alias": "base",
            "server": other.url,
            "protocol": other.family.protocol,
            "certificate": other.certificate.read_text(),
        }
        lxd.operation("POST", "/1.0/instances", {"name": "c1", "source": source})
        assert lxd.images()[cached.fingerprint]["cached"]
        done = modules.done(
            STORE, images=[{**files(listed), "aliases": ["web"]}], unlisted="delete"
        )
        assert done["deleted"] == []
        assert cached.fingerprint in lxd.images()

    def test_survive_if_somebody_gives_them_an_alias_meanwhile(
        self, lxd: Server, modules: Modules, build: Build
    ) -> None:
        listed, unlisted = build(), build()
        modules.import_image(listed, aliases=["web"])
        modules.import_image(unlisted, aliases=["other"])
        images = [{**files(listed), "aliases": ["web"]}]
        with Proxy(lxd.socket) as proxy:
            read_again = proxy.hold(lambda request: unlisted.fingerprint in request.path)
            run = modules.start(
                STORE, images=images, unlisted="delete", server=f"unix://{proxy.socket}"
            )
            # It has listed the images, and is about to delete one.
            until(lambda: read_again.reached)
            alias = {"name": "mine", "target": unlisted.fingerprint}
            lxd.api("POST", "/1.0/images/aliases", alias)
            proxy.heal()
            outcome = run.wait()
        assert not outcome.failed, outcome["msg"]
        assert outcome["deleted"] == []
        assert unlisted.fingerprint in lxd.images()

    def test_stay_in_a_run_with_a_failed_entry(
        self, lxd: Server, modules: Modules, build: Build
    ) -> None:
        old, new, unlisted, absent = (build() for _ in range(4))
        modules.import_image(old, aliases=["web"])
        modules.import_image(unlisted, aliases=["other"])
        modules.import_image(absent, aliases=["absent"])
        images: list[dict[str, Any]] = [
            {**files(new), "aliases": ["web"], "delete_replaced": True},
            {"name": "absent", "state": "absent"},
            {"name": "missing", "public": True},
        ]
        outcome = modules.run(STORE, images=images, unlisted="delete")
        assert outcome.failed
        assert "1 of 3 images failed" in outcome["msg"]
        assert "missing, images[2]: cannot manage the image missing: " in outcome["msg"]
        assert ".;" not in outcome["msg"]
        assert ".." not in outcome["msg"]
        assert outcome.actions == ["web: upload", "web: move alias web"]
        assert outcome["deleted"] == []
        assert len(lxd.images()) == 4
        images.pop()
        modules.done(STORE, images=images, unlisted="delete")
        assert set(lxd.images()) == {new.fingerprint}

    def test_stay_if_no_image_is_listed(self, lxd: Server, modules: Modules, image: Image) -> None:
        modules.import_image(image)
        msg = modules.fails(STORE, images=[], unlisted="delete")
        assert "unlisted is delete, and images is empty" in msg
        assert not modules.done(STORE, images=[])["changed"]
        assert set(lxd.images()) == {image.fingerprint}

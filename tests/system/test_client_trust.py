# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clients that the server does not trust yet, and those that it restricts to some projects."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from copies import Copies, add_to_source

from lab import (
    Image,
    Server,
)
from runner import Modules, files


class TestUntrustedClient:
    def test_gets_an_error_with_a_solution(self, lxd: Server, tls: Modules, image: Image) -> None:
        lxd.run("config", "trust", "remove", lxd.trusted()[0])
        msg = tls.import_fails(image)
        assert "does not trust the client certificate" in msg
        assert "trust_token" in msg
        assert lxd.images() == {}

    @pytest.mark.parametrize("module", ["lxd_image_import", "lxd_image_copy"])
    def test_gets_that_error_if_the_task_needs_the_servers_architecture(
        self, lxd: Server, tls: Modules, module: str
    ) -> None:
        lxd.run("config", "trust", "remove", lxd.trusted()[0])
        source = {
            "lxd_image_import": {"url": "https://images.invalid/web"},
            "lxd_image_copy": {
                "image": "web",
                "source_server": "https://images.invalid",
                "source_protocol": "simplestreams",
            },
        }[module]
        msg = tls.fails(module, **source)
        assert f"{lxd.url} does not trust the client certificate" in msg
        assert "trust_token" in msg

    def test_without_a_certificate_is_told_to_set_one(
        self, lxd: Server, tls: Modules, image: Image
    ) -> None:
        msg = tls.without("client_cert", "client_key").import_fails(image)
        assert "trusts only clients with a certificate, and this task uses none" in msg

    def test_becomes_trusted_by_a_token_once(self, lxd: Server, tls: Modules, image: Image) -> None:
        lxd.run("config", "trust", "remove", lxd.trusted()[0])
        token = lxd.token("me")
        given = tls.with_options(trust_token=token)
        assert "does not trust this client yet" in given.import_fails(image, check=True)
        assert "does not trust this client yet" in given.fails("lxd_image_info")
        assert lxd.trusted() == []
        first = given.import_image(image)
        assert first.actions == ["trust this client", "upload"]
        assert token not in str(first)
        assert not given.import_image(image)["changed"]
        lxd.run("config", "trust", "remove", lxd.trusted()[0])
        msg = given.import_fails(image)
        assert "did not accept trust_token" in msg
        assert "A token can be used once and for a limited time" in msg

    @pytest.mark.parametrize("validate", [True, False])
    def test_needs_no_pin_beside_a_token_even_once_it_is_used_up(
        self, lxd: Server, tls: Modules, image: Image, validate: bool
    ) -> None:
        lxd.run("config", "trust", "remove", lxd.trusted()[0])
        token = lxd.token("me")
        given = tls.without("server_cert").with_options(validate_certs=validate, trust_token=token)
        assert given.import_image(image).actions == ["trust this client", "upload"]
        assert not given.import_image(image)["changed"]

    @pytest.mark.parametrize("pin", ["server_cert", "server_cert_fingerprint", "validate_certs"])
    def test_sends_its_token_to_no_server_but_the_one_that_issued_it(
        self, lxd: Server, other: Server, tls: Modules, image: Image, pin: str
    ) -> None:
        lxd.run("config", "trust", "remove", lxd.trusted()[0])
        pins = {
            "server_cert": str(lxd.certificate),
            "server_cert_fingerprint": lxd.certificate_fingerprint,
            "validate_certs": False,
        }
        token = other.token("me")
        given = tls.without("server_cert").with_options(**{pin: pins[pin]}, trust_token=token)
        mark = lxd.mark()
        msg = given.import_fails(image)
        assert f"{lxd.url} shows the certificate {lxd.certificate_fingerprint}" in msg
        assert f"the server with the certificate {other.certificate_fingerprint}" in msg
        assert token not in msg
        assert lxd.requests(mark) == []

    def test_needs_a_pin_beside_a_trust_password(
        self, lxd: Server, tls: Modules, image: Image
    ) -> None:
        mark = lxd.mark()
        given = tls.without("server_cert").with_options(validate_certs=False, trust_token="secret")
        assert "trust_token contains no fingerprint" in given.import_fails(image)
        assert lxd.requests(mark) == []

    def test_gets_an_error_if_its_token_has_expired(
        self, lxd: Server, tls: Modules, image: Image
    ) -> None:
        lxd.run("config", "trust", "remove", lxd.trusted()[0])
        lxd.run("config", "set", "core.remote_token_expiry", "1S")
        try:
            token = lxd.token("late")
        finally:
            lxd.run("config", "unset", "core.remote_token_expiry")
        time.sleep(1)
        msg = tls.with_options(trust_token=token).import_fails(image)
        assert "did not accept trust_token" in msg
        assert "A token can be used once and for a limited time, this one until 20" in msg
        assert lxd.trusted() == []

    @pytest.mark.parametrize("spoil", ["cut", "nonsense"])
    def test_gets_an_error_if_its_token_is_invalid(
        self, lxd: Server, tls: Modules, image: Image, spoil: str
    ) -> None:
        lxd.run("config", "trust", "remove", lxd.trusted()[0])
        token = {"cut": lxd.token("me")[:-20], "nonsense": "Open, sesame!"}[spoil]
        msg = tls.with_options(trust_token=token).import_fails(image)
        assert "did not accept trust_token" in msg
        assert "It does not look like a token" in msg
        assert token not in msg
        assert (lxd.trusted(), lxd.images()) == ([], {})

    @pytest.mark.families("lxd")
    def test_becomes_trusted_by_the_trust_password_of_an_older_lxd(
        self, lxd: Server, tls: Modules, image: Image
    ) -> None:
        if lxd.is_lxd_since(5, 21):
            pytest.skip("this LXD has no core.trust_password any more")
        lxd.run("config", "trust", "remove", lxd.trusted()[0])
        lxd.run("config", "set", "core.trust_password", "secret")
        try:
            given = tls.with_options(trust_token="secret")
            assert given.import_image(image).actions == ["trust this client", "upload"]
        finally:
            lxd.run("config", "unset", "core.trust_password")


class TestRestrictedClient:
    @pytest.fixture
    def restricted(self, lxd: Server, tls: Modules) -> Modules:
        """The modules of a client restricted to the project ``site``; ``default`` has an image ``web``."""
        lxd.run("project", "create", "site")
        lxd.run("config", "trust", "remove", lxd.trusted()[0])
        lxd.trust(Path(tls.defaults["client_cert"]), projects="site")
        return tls

    # Incus also shows it the images of other projects.
    @pytest.mark.families("lxd")
    @pytest.mark.parametrize("shares", [False, True])
    def test_lists_of_all_projects_what_it_may_see(
        self,
        lxd: Server,
        modules: Modules,
        restricted: Modules,
        build: Callable[..., Image],
        shares: bool,
    ) -> None:
        inside, outside = build(), build()
        modules.import_image(inside, project="site")
        modules.import_image(outside)
        seen = {(inside.fingerprint, "site")}
        if shares:
            # This project has the images of default.
            lxd.run("project", "create", "sharing", "-c", "features.images=false")
            client = f"/1.0/certificates/{lxd.trusted()[0]}"
            known = lxd.api("GET", client)
            lxd.api("PUT", client, {**known, "projects": ["site", "sharing"]})
            seen.add((outside.fingerprint, "default"))
        listed = restricted.done("lxd_image_info", all_projects=True)["images"]
        assert {(image["fingerprint"], image["project"]) for image in listed} == seen

    def test_can_manage_its_project(
        self, lxd: Server, other: Server, restricted: Modules, image: Image, tmp_path: Path
    ) -> None:
        at_site = Modules(**restricted.defaults, project="site")
        name = {"name": "web"}
        (tmp_path / "out").mkdir()
        done = at_site.done
        assert at_site.import_image(image, aliases=["web"]).actions == ["upload", "add alias web"]
        assert not at_site.import_image(image, aliases=["web"])["changed"]
        assert done("lxd_image", **name, properties={"a": "b"}).actions == ["set properties"]
        assert done("lxd_image_alias", name="www", target="web").actions == ["add alias www"]
        assert done("lxd_image_export", **name, dest=str(tmp_path / "out"))["changed"]
        assert len(done("lxd_image_info")["images"]) == 1
        assert done("lxd_image", **name, state="absent")["changed"]
        fingerprint = add_to_source(other, image, "web")
        source = {"source_server": other.url, "source_cert": str(other.certificate)}
        for mode in ("pull", "relay"):
            copy = {"image": "web", "mode": mode, **source}
            assert done("lxd_image_copy", **copy).actions == [mode]
            assert done("lxd_image", name=fingerprint, state="absent")["changed"]
        assert lxd.images("site") == {}

    def test_gets_an_error_for_another_project(
        self, lxd: Server, other: Server, restricted: Modules, image: Image
    ) -> None:
        add_to_source(other, image, "web")
        source = {"source_server": other.url, "source_cert": str(other.certificate)}
        mark = lxd.mark()
        for module, params in (
            ("lxd_image_import", files(image)),
            ("lxd_image_copy", {"image": "web", "mode": "pull", **source}),
            ("lxd_image_copy", {"image": "web", "mode": "relay", **source}),
        ):
            for check in (True, False):
                msg = restricted.fails(module, check, **params)
                assert "default" in msg
                assert "may be restricted to other projects" in msg
        assert lxd.writes(mark) == []
        assert lxd.images() == {}

    def test_gets_a_warning_about_images_it_cannot_see(
        self, lxd: Server, modules: Modules, restricted: Modules, image: Image
    ) -> None:
        modules.import_image(image, aliases=["web"])
        mark = lxd.mark()
        for module, params in (
            ("lxd_image", {"name": "web", "public": True}),
            ("lxd_image", {"name": "web", "state": "absent"}),
            ("lxd_image_alias", {"name": "www", "target": "web"}),
            ("lxd_image_alias", {"name": "web", "state": "absent"}),
            ("lxd_image_export", {"name": "web", "dest": "/tmp"}),
        ):
            assert "may be restricted to other projects" in restricted.fails(module, **params)
        assert lxd.writes(mark) == []

    def test_copies_from_its_project_only(
        self, lxd: Server, modules: Modules, restricted: Modules, build: Callable[..., Image]
    ) -> None:
        inside, outside = build(), build()
        modules.import_image(inside, aliases=["in"], project="site")
        modules.import_image(outside, aliases=["out"])
        source = {
            "source_server": lxd.url,
            "source_cert": restricted.defaults["server_cert"],
            "source_client_cert": restricted.defaults["client_cert"],
            "source_client_key": restricted.defaults["client_key"],
        }
        with Server("target") as target:
            copies = Copies(Modules().at(target), **source)
            assert copies("in", source_project="site").actions == ["pull"]
            msg = copies.fails("out")
            assert "has no image out" in msg
            assert "may be restricted to other projects" in msg
            assert set(target.images()) == {inside.fingerprint}

    def test_becomes_trusted_by_one_token_in_several_tasks_at_once(
        self, lxd: Server, tls: Modules, image: Image
    ) -> None:
        lxd.run("config", "trust", "remove", lxd.trusted()[0])
        given = tls.with_options(trust_token=lxd.token("me"))
        runs = [given.start("lxd_image_import", **files(image)) for _ in range(4)]
        outcomes = [run.wait() for run in runs]
        assert [outcome.get("msg") for outcome in outcomes if outcome.failed] == []
        assert sum("trust this client" in outcome.actions for outcome in outcomes) == 1
        assert len(lxd.trusted()) == 1

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies of images of OCI registries, with a real registry behind TLS."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from copies import Copies

from lab import Authority, Registry, Server
from lab.registry import OciImage
from runner import Modules

INCUS_WITH_OCI = pytest.mark.families("incus7")

USER, PASSWORD = "me", "s3cr!t@/x"


@pytest.fixture(scope="module")
def registry(authority: Authority) -> Iterator[Registry]:
    with Registry(authority) as registry:
        yield registry


@pytest.fixture(scope="module")
def private_registry(authority: Authority) -> Iterator[Registry]:
    with Registry(authority, USER, PASSWORD) as registry:
        yield registry


@pytest.fixture
def repository() -> str:
    """The name of a repository of this test's own."""
    return f"library/{uuid.uuid4().hex}"


@pytest.fixture
def web(registry: Registry, repository: str) -> str:
    """The name of an image in the registry."""
    registry.push(f"{repository}:1", OciImage(repository))
    return f"{repository}:1"


@pytest.fixture
def copies(by_system: Modules, registry: Registry) -> Copies:
    return Copies(by_system, source_server=registry.url, source_protocol="oci")


@pytest.fixture
def private_copies(by_system: Modules, private_registry: Registry) -> Copies:
    credentials = {"source_username": USER, "source_password": PASSWORD}
    return Copies(
        by_system, source_server=private_registry.url, source_protocol="oci", **credentials
    )


@INCUS_WITH_OCI
class TestAnImageOfARegistry:
    @pytest.mark.parametrize("by", ["tag", "digest"])
    def test_is_pulled_once(
        self, trusting: Server, registry: Registry, copies: Copies, web: str, by: str
    ) -> None:
        image = OciImage(web.partition(":")[0])
        name = web if by == "tag" else f"{web}@{image.digest}"
        predicted = copies(name, check=True, aliases=["web"], public=True)
        done = copies(name, aliases=["web"], public=True)
        assert done.actions == predicted.actions == ["pull", "set public", "add alias web"]
        assert done["transferred"] == predicted["would_transfer"] == len(image.blobs[image.layer])
        assert done["fingerprint"] == predicted["fingerprint"] == image.fingerprint
        assert trusting.aliases() == {"web": image.fingerprint}
        origin = {"server": registry.url, "protocol": "oci", "alias": name}
        assert done["image"]["update_source"].items() >= origin.items()
        asked = len(registry.requests)
        assert copies(name, aliases=["web"], public=True).actions == []
        assert len(registry.requests) == asked

    def test_is_recognized_by_another_name_without_a_request_to_pull_it(
        self, trusting: Server, registry: Registry, copies: Copies, web: str, repository: str
    ) -> None:
        image = registry.push(f"{repository}:latest", OciImage(repository))
        copies(web, aliases=["web"], profiles=[], public=True)
        mark = trusting.mark()
        for name in (repository, f"{repository}@{image.digest}"):
            for check in (True, False):
                assert copies(name, check=check, aliases=["web"]).actions == []
        assert trusting.writes(mark) == []
        assert trusting.images()[image.fingerprint]["public"]

    def test_is_there_by_its_fingerprint(self, copies: Copies, web: str) -> None:
        fingerprint = copies(web)["fingerprint"]
        assert copies(fingerprint).actions == []
        message = copies.fails("a" * 64)
        assert "does not have the image aaaaaaaaaaaa" in message
        assert "by a tag or digest" in message

    def test_is_the_one_for_the_architecture_of_the_server(
        self, trusting: Server, registry: Registry, copies: Copies, repository: str
    ) -> None:
        image = OciImage("ours")
        others = [OciImage(name, architecture=name) for name in ("s390x", "arm64")]
        registry.push(f"{repository}:1", *others, image)
        assert copies(f"{repository}:1")["fingerprint"] == image.fingerprint
        registry.push(f"{repository}:2", *others)
        message = copies.fails(f"{repository}:2")
        assert "no image" in message
        assert "for amd64. It has images for arm64, s390x" in message

    def test_is_kept_up_to_date_by_the_server_if_it_has_a_tag(
        self, trusting: Server, copies: Copies, web: str, repository: str
    ) -> None:
        done = copies(web, auto_update=True)
        assert done["image"]["auto_update"]
        assert copies(web, auto_update=True).actions == []
        digest = OciImage(repository).digest
        message = copies.fails(f"{repository}@{digest}", auto_update=True)
        assert "auto_update does not work with a digest" in message

    def test_does_not_get_the_attributes_that_it_has_in_another_project(
        self, trusting: Server, copies: Copies, web: str
    ) -> None:
        trusting.run("project", "create", "site", "-c", "features.images=true")
        copies(web, project="site", properties={"os": "edited"}, expires_at="2031-02-03")
        done = copies(web)
        assert done.actions == ["pull"]
        assert done["transferred"] == 0
        assert done["image"]["properties"]["id"] == web
        assert "os" not in done["image"]["properties"]
        assert not done["image"]["expires_at"].startswith("2031")

    @pytest.mark.parametrize("asks", ["this host", "the server"])
    def test_replaces_the_image_that_the_server_caches_for_an_instance(
        self, trusting: Server, registry: Registry, copies: Copies, web: str, asks: str
    ) -> None:
        source = {
            "type": "image",
            "mode": "pull",
            "server": registry.url,
            "protocol": "oci",
            "alias": web,
        }
        trusting.operation("POST", "/1.0/instances", {"name": "c1", "source": source})
        (image,) = trusting.images().values()
        assert image["cached"]
        modules = copies.modules if asks == "this host" else Modules().at(trusting)
        with pytest.MonkeyPatch.context() as patch:
            if asks == "the server":
                patch.delenv("SSL_CERT_FILE")
            done = Copies(modules, **copies.source)(web, aliases=["web"])
        assert done.actions == ["replace cached image", "pull", "add alias web"]
        assert not done["image"]["cached"]

    def test_can_be_named_by_a_remote_of_the_client_configuration(
        self, private_registry: Registry, by_system: Modules, tmp_path: Path
    ) -> None:
        private_registry.push("team/app:1", OciImage("app"))
        address = private_registry.url.replace("//", "//me:s3cr%21t%40%2Fx@")
        (tmp_path / "config.yml").write_text(
            f"remotes: {{hub: {{addr: '{address}', protocol: oci, public: true}}}}"
        )
        copies = Copies(by_system, config_dir=str(tmp_path))
        done = copies("hub:team/app:1")
        assert done.actions == ["pull"]
        assert "s3cr" not in str(done)
        assert copies("team/app:1", source_remote="hub").actions == []


@INCUS_WITH_OCI
class TestLatest:
    def test_changes_nothing_while_the_tag_stays(
        self, trusting: Server, copies: Copies, web: str
    ) -> None:
        copies(web, aliases=["web"], state="latest")
        mark = trusting.mark()
        assert copies(web, aliases=["web"], state="latest").actions == []
        assert trusting.writes(mark) == []

    @pytest.mark.parametrize("conflict", ["move", "fail"])
    def test_replaces_the_image_when_the_tag_has_moved(
        self, trusting: Server, registry: Registry, copies: Copies, web: str, conflict: str
    ) -> None:
        wanted = {"aliases": ["web"], "properties": {"team": "web"}, "alias_conflict": conflict}
        old = copies(web, **wanted)["fingerprint"]
        trusting.run("image", "alias", "create", "others", old)
        new = registry.push(web, OciImage(f"{web} new")).fingerprint
        assert copies(web, **wanted).actions == []
        predicted = copies(web, check=True, state="latest", **wanted)
        done = copies(web, state="latest", **wanted)
        assert (
            done.actions
            == predicted.actions
            == [
                "pull",
                "set properties",
                "move alias web",
                "move alias others",
                f"delete image {old[:12]}",
            ]
        )
        assert done["diff"] == predicted["diff"]
        assert done["diff"]["before"]["images"] == {
            old[:12]: {"aliases": ["others", "web"], "size": "0.00 Bytes"}
        }
        assert trusting.aliases() == {"web": new, "others": new}
        assert set(trusting.images()) == {new}
        assert done["image"]["properties"]["team"] == "web"
        assert not done["image"]["auto_update"]
        assert copies(web, state="latest", **wanted).actions == []

    def test_replaces_an_image_without_aliases_and_with_others_than_wanted(
        self, trusting: Server, registry: Registry, copies: Copies, web: str
    ) -> None:
        copies(web)
        registry.push(web, OciImage(f"{web} 2"))
        old = copies(web, state="latest")["fingerprint"]
        assert set(trusting.images()) == {old}
        trusting.run("image", "alias", "create", "others", old)
        new = registry.push(web, OciImage(f"{web} 3")).fingerprint
        done = copies(web, state="latest", aliases=["web"], purge_aliases=True)
        assert done.actions == ["pull", "add alias web", f"delete image {old[:12]}"]
        assert trusting.aliases() == {"web": new}

    def test_leaves_what_the_task_does_not_name_as_it_was(
        self, trusting: Server, registry: Registry, copies: Copies, web: str
    ) -> None:
        copies(web, aliases=["web"], public=True, profiles=[], auto_update=True)
        registry.push(web, OciImage(f"{web} new"))
        done = copies(web, state="latest", aliases=["web"], properties={"team": "web"})
        assert done.actions[:3] == ["pull", "set properties", "move alias web"]
        names = ("public", "profiles", "auto_update")
        assert [done["image"][name] for name in names] == [True, [], True]

    def test_completes_what_an_earlier_run_left(
        self, trusting: Server, registry: Registry, copies: Copies, web: str, repository: str
    ) -> None:
        """As after a run that was killed between the pull and the rest."""
        old = copies(web, aliases=["web"])["fingerprint"]
        new = registry.push(web, OciImage(f"{web} new"))
        copies(f"{repository}@{new.digest}")
        done = copies(web, state="latest", aliases=["web"])
        assert done.actions == ["move alias web", f"delete image {old[:12]}"]
        assert trusting.aliases() == {"web": new.fingerprint}
        assert set(trusting.images()) == {new.fingerprint}

    def test_leaves_images_of_other_names(
        self, trusting: Server, registry: Registry, copies: Copies, web: str, repository: str
    ) -> None:
        registry.push(f"{repository}:2", OciImage(f"{repository} 2"))
        kept = copies(f"{repository}:2")["fingerprint"]
        copies(web, aliases=["web"])
        new = registry.push(web, OciImage(f"{web} new")).fingerprint
        copies(web, state="latest", aliases=["web"])
        assert set(trusting.images()) == {kept, new}

    def test_replaces_the_images_of_entries_of_a_store_when_all_are_in_place(
        self, trusting: Server, registry: Registry, copies: Copies, web: str, repository: str
    ) -> None:
        entries = [{"image": f"{repository}:{tag}", "aliases": [f"web{tag}"]} for tag in ("1", "2")]
        registry.push(f"{repository}:2", OciImage(f"{repository} 2"))

        def run(check: bool = False, *more: dict[str, Any]) -> Any:
            shared = {**copies.source, "state": "latest"}
            given = {"images": [*entries, *more], "defaults": shared}
            return copies.modules.run("lxd_image_store", check, **given)

        old = {one["fingerprint"] for one in run()["images"]}
        new = {
            registry.push(f"{repository}:{tag}", OciImage(f"new {repository} {tag}")).fingerprint
            for tag in ("1", "2")
        }
        failing = {"image": f"{repository}:nope", "aliases": ["nope"]}
        assert run(False, failing)["failed"]
        assert set(trusting.images()) == old | new
        predicted = run(True)
        done = run()
        assert done.actions == predicted.actions
        assert len(done.actions) == 2
        assert set(trusting.images()) == new
        assert run().actions == []


@INCUS_WITH_OCI
class TestCredentials:
    @pytest.fixture
    def app(self, private_registry: Registry, repository: str) -> str:
        private_registry.push(f"{repository}:1", OciImage(repository))
        return f"{repository}:1"

    def test_are_sent_and_masked_and_no_part_of_the_origin(
        self, trusting: Server, private_copies: Copies, app: str
    ) -> None:
        done = private_copies(app, aliases=["app"])
        assert done.actions == ["pull", "add alias app"]
        (raw,) = trusting.images().values()
        recorded = raw["update_source"]["server"]
        assert recorded == private_copies.source["source_server"].replace(
            "//", "//me:s3cr%21t%40%2Fx@"
        )
        assert private_copies(app, aliases=["app"], source_password="other").actions == []
        at = private_copies.modules
        listed = at.done("lxd_image_info")
        named = at.done("lxd_image", name="app", public=True)
        stored = at.done("lxd_image_store", images=[{"name": "app", "public": True}])
        for outcome in (done, listed, named, stored):
            assert "s3cr" not in str(outcome)
        shown = listed["images"][0]["update_source"]["server"]
        assert shown == private_copies.source["source_server"].replace("//", "//***@")

    @pytest.mark.parametrize("given", ["none", "wrong"])
    def test_are_needed(self, private_copies: Copies, app: str, given: str) -> None:
        more: dict[str, str | None] = {"source_password": "wr0ng"} if given == "wrong" else {}
        if given == "none":
            more = dict.fromkeys(("source_username", "source_password"))
        for check in (True, False):
            outcome = private_copies.modules.run(
                "lxd_image_copy", check, image=app, **{**private_copies.source, **more}
            )
            assert outcome.failed
            assert "source_username and source_password" in outcome["msg"]
            assert "wr0ng" not in str(outcome)

    def test_may_have_changed_since_the_image_was_pulled(
        self, trusting: Server, private_registry: Registry, private_copies: Copies, app: str
    ) -> None:
        """The server would refresh the image with the old ones."""
        private_copies(app, aliases=["app"])
        new = private_registry.push(app, OciImage(f"{app} new")).fingerprint
        private_registry.set_password("n3w-secret")
        try:
            done = private_copies(
                app, aliases=["app"], state="latest", source_password="n3w-secret"
            )
        finally:
            private_registry.set_password(PASSWORD)
        assert trusting.aliases() == {"app": new}
        assert "n3w-secret" not in str(done)


@INCUS_WITH_OCI
class TestARegistryThatOnlyTheServerReaches:
    """This host does not trust the certificate of the registry, so only the server can ask it."""

    @pytest.fixture
    def copies(self, trusting: Server, registry: Registry) -> Copies:
        modules = Modules().at(trusting)
        return Copies(modules, source_server=registry.url, source_protocol="oci")

    def test_serves_images_which_are_recognized_by_every_name(
        self, trusting: Server, registry: Registry, copies: Copies, web: str, repository: str
    ) -> None:
        registry.push(f"{repository}:latest", OciImage(repository))
        wanted = {"aliases": ["web"], "public": True, "profiles": []}
        done = copies(web, **wanted)
        assert done.actions == ["pull", "set public", "set profiles", "add alias web"]
        assert copies(web, **wanted).actions == []
        # Incus says that the alias exists when it is asked for the image again, and has reset its attributes.
        assert copies(repository, aliases=["web"]).actions == []
        (image,) = trusting.images().values()
        assert (image["public"], image["profiles"]) == (True, [])

    def test_serves_the_latest_image(
        self, trusting: Server, registry: Registry, copies: Copies, web: str
    ) -> None:
        old = copies(web, aliases=["web"])["fingerprint"]
        assert copies(web, aliases=["web"], state="latest").actions == []
        new = registry.push(web, OciImage(f"{web} new")).fingerprint
        done = copies(web, aliases=["web"], state="latest")
        assert done.actions == ["pull", "move alias web", f"delete image {old[:12]}"]
        assert trusting.aliases() == {"web": new}

    def test_is_asked_by_this_host_if_its_certificate_is_named(
        self, copies: Copies, authority: Authority, web: str
    ) -> None:
        cert = str(authority.certificate)
        assert copies(web, check=True)["fingerprint"] is None
        assert copies(web, check=True, source_cert=cert)["fingerprint"]
        assert "a" * 64 in copies.fails(web, source_cert_fingerprint="a" * 64)


@INCUS_WITH_OCI
class TestAClearError:
    def test_names_tags_that_are_similar(
        self, registry: Registry, copies: Copies, repository: str
    ) -> None:
        for tag in ("1.27.0", "1.27.1"):
            registry.push(f"{repository}:{tag}", OciImage(repository))
        message = copies.fails(f"{repository}:1.27.2")
        assert f"{registry.url} has no image {repository}:1.27.2. Did you mean 1.27.1 or" in message
        assert "no such repository" in copies.fails("library/nope:1")

    def test_says_that_the_server_lacks_skopeo(
        self, trusting: Server, authority: Authority, copies: Copies, web: str, tmp_path: Path
    ) -> None:
        for folder in os.environ["PATH"].split(":"):
            for program in Path(folder).iterdir() if Path(folder).is_dir() else ():
                link = tmp_path / program.name
                if program.name != "skopeo" and not link.is_symlink():
                    link.symlink_to(program)
        environment = {"PATH": str(tmp_path)}
        with Server("bare", ca_file=authority.certificate, environment=environment) as bare:
            message = copies.fails(web, server=f"unix://{bare.socket}")
            assert 'requires "skopeo"' in message
            assert "Install the package skopeo on the server" in message
            assert bare.images() == {}

    def test_says_that_the_server_does_not_trust_the_registry(
        self, lxd: Server, copies: Copies, registry: Registry, web: str
    ) -> None:
        message = copies.fails(web, server=f"unix://{lxd.socket}")
        assert "unknown authority" in message
        assert "its system must trust the registry's certificate" in message

    def test_says_that_its_files_cannot_be_verified(
        self, trusting: Server, copies: Copies, web: str, tmp_path: Path
    ) -> None:
        copies(web, aliases=["web"])
        modules = copies.modules
        trusting.run("project", "create", "site", "-c", "features.images=true")
        said = "came from an OCI registry, and its files cannot be verified by its fingerprint"
        assert said in modules.fails("lxd_image_export", name="web", dest=str(tmp_path))
        other = {"source_project": "default", "project": "site"}
        assert said in modules.fails("lxd_image_copy", image="web", mode="relay", **other)
        assert modules.done("lxd_image_copy", image="web", **other).actions == ["pull"]

    def test_says_what_lists_of_images_are_not_for(self, copies: Copies) -> None:
        message = copies.modules.fails("lxd_image_info", **copies.source)
        assert "is an OCI registry, whose images can only be copied to Incus" in message


@pytest.mark.families("lxd", "incus6")
def test_servers_without_oci_images_say_so(lxd: Server, modules: Modules) -> None:
    copies = Copies(modules, source_server="https://registry.invalid", source_protocol="oci")
    reason = "is LXD, which has no images" if lxd.family.name == "lxd" else "come with Incus 6.3"
    for check in (True, False):
        outcome = modules.run("lxd_image_copy", check, image="library/nginx:1.27", **copies.source)
        assert outcome.failed
        assert reason in outcome["msg"]


@pytest.mark.families("lxd")
@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"mode": "relay"}, "mode: relay cannot be used with an OCI registry"),
        ({"mode": "push"}, "mode: push cannot be used with an OCI registry"),
        ({"image_type": "virtual-machine"}, "image_type: virtual-machine cannot be used"),
        ({"architecture": "arm64"}, "architecture cannot be used with an OCI registry"),
        ({"copy_aliases": True}, "copy_aliases cannot be used with an OCI registry"),
        ({"source_project": "x"}, "source_project cannot be used with an OCI registry"),
        ({"source_bearer_token": "x"}, "source_bearer_token cannot be used with an OCI registry"),
        ({"source_server": "http://a"}, "'http://a', which is not the URL of an OCI registry"),
        ({"source_server": "https://u:s3cret@a"}, "not the URL of an OCI registry"),
        ({"image": "Web"}, "image is 'Web', which is not the name of an image"),
    ],
)
def test_options_that_do_not_fit_a_registry_are_errors(
    modules: Modules, params: dict[str, Any], said: str
) -> None:
    copies = Copies(modules, source_server="https://registry.invalid", source_protocol="oci")
    message = copies.fails(**{"image": "web", **params})
    assert said in message
    assert "s3cret" not in message

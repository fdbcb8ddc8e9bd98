# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Identities of LXD 5.21 and later: their tokens, and the entitlements that a task needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from copies import Copies, add_to_source
from pages import ROOT
from replay import Replay
from replay_instances import add_instance

from lab import Image, KeyPair, Server, build_directory, build_disk, client_certificate
from lab.packing import tool
from runner import Modules, Outcome, files

Build = Callable[..., Image]

# Incus has no such identities.
pytestmark = pytest.mark.families("lxd")
EVERY_FAMILY = pytest.mark.families("lxd", "incus6", "incus7")


@pytest.fixture
def own(tmp_path: Path) -> KeyPair:
    """The certificate of a server."""
    return client_certificate(tmp_path / "server")


@pytest.fixture(params=["5.21.7", "6.9"])
def lxd5_6(request: pytest.FixtureRequest, own: KeyPair, pair: KeyPair) -> Iterator[Replay]:
    """A LXD of either version with identities that have certificates."""
    with Replay(request.param, own, [pair]) as server:
        yield server


@pytest.fixture
def lxd6(own: KeyPair, pair: KeyPair) -> Iterator[Replay]:
    """A LXD with bearer tokens as well."""
    with Replay("6.9", own, [pair]) as server:
        yield server


def as_client(server: Replay, pair: KeyPair, **options: Any) -> Modules:
    identity = {"client_cert": str(pair.certificate), "client_key": str(pair.key)}
    return Modules(server=server.url, **identity, **options)


class TestATrustToken:
    @pytest.mark.parametrize("for_identity", [True, False])
    def test_is_all_that_a_first_contact_needs(
        self, lxd5_6: Replay, pair: KeyPair, image: Image, for_identity: bool
    ) -> None:
        token = lxd5_6.trust_token(for_identity)
        given = as_client(lxd5_6, pair, trust_token=token)
        first = given.import_image(image)
        assert first.actions == ["trust this client", "upload"]
        assert token not in str(first)
        assert lxd5_6.writes == [
            "POST /1.0/auth/identities/tls" if for_identity else "POST /1.0/certificates",
            "POST /1.0/images",
        ]
        assert not given.import_image(image)["changed"]

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({}, "A token can be used once and for a limited time"),
            ({"expires_at": "2026-01-02T03:04:05.678Z"}, "this one until 2026-01-02T03:04:05"),
            ({"expires_at": "never"}, "A token can be used once and for a limited time"),
        ],
    )
    def test_of_an_identity_that_is_refused_says_why(
        self, lxd5_6: Replay, pair: KeyPair, image: Image, fields: dict[str, str], said: str
    ) -> None:
        token = lxd5_6.trust_token(**fields)
        lxd5_6._secrets.clear()
        msg = as_client(lxd5_6, pair, trust_token=token).import_fails(image)
        assert "did not accept trust_token: Forbidden" in msg
        assert said in msg
        assert token not in msg


class TestABearerToken:
    def test_takes_the_place_of_a_client_certificate_and_pins_the_server(
        self, lxd6: Replay, image: Image
    ) -> None:
        token = lxd6.bearer_token()
        given = Modules(server=lxd6.url, bearer_token=f" {token}\n")
        first = given.import_image(image, aliases=["web"])
        assert first.actions == ["upload", "add alias web"]
        assert not given.import_image(image, aliases=["web"])["changed"]
        assert not any(part in str(first) for part in token.split("."))
        sent = {headers.get("Authorization") for _method, _path, headers in lxd6.requests}
        assert sent == {f"Bearer {token}"}

    @pytest.mark.parametrize("validate", [True, False])
    def test_is_sent_to_no_server_but_that_of_its_claim(self, lxd6: Replay, validate: bool) -> None:
        token = lxd6.bearer_token(server_cert_fingerprint="ab" * 32)
        msg = Modules(server=lxd6.url, bearer_token=token, validate_certs=validate).fails(
            "lxd_image_info"
        )
        assert f"bearer_token was issued by the server with the certificate {'ab' * 32}" in msg
        assert lxd6.requests == []

    @pytest.mark.parametrize("pin", ["server_cert", "server_cert_fingerprint"])
    def test_is_sent_to_the_server_of_another_pin(
        self, lxd6: Replay, own: KeyPair, pin: str
    ) -> None:
        pins = {
            "server_cert": str(own.certificate),
            "server_cert_fingerprint": own.fingerprint,
        }
        token = lxd6.bearer_token(server_cert_fingerprint="ab" * 32)
        given = Modules(server=lxd6.url, bearer_token=token, **{pin: pins[pin]})
        assert given.done("lxd_image_info")["images"] == []

    def test_is_not_sent_where_nothing_tells_who_the_server_is(self, lxd6: Replay) -> None:
        for token in (lxd6.bearer_token(server_cert_fingerprint=None), "opaque"):
            given = Modules(server=lxd6.url, bearer_token=token)
            assert "does not trust: " in given.fails("lxd_image_info")
            msg = given.fails("lxd_image_info", validate_certs=False)
            assert "bearer_token does not say which server it is for" in msg
        assert lxd6.requests == []

    def test_that_has_expired_is_said_with_its_date_and_not_sent(self, lxd6: Replay) -> None:
        token = lxd6.bearer_token(exp=1_767_225_600)
        msg = Modules(server=lxd6.url, bearer_token=token).fails("lxd_image_info")
        assert "bearer_token expired at 2026-01-01T00:00:00Z" in msg
        assert "lxc auth identity token issue bearer/NAME" in msg
        assert lxd6.requests == []

    def test_that_was_revoked_is_said_to_be(self, lxd6: Replay, image: Image) -> None:
        token = lxd6.bearer_token(valid=False)
        given = Modules(server=lxd6.url, bearer_token=token)
        for msg in (given.fails("lxd_image_info"), given.import_fails(image)):
            assert "did not accept bearer_token: Failed verifying bearer token" in msg
            assert "may have been revoked" in msg
            assert token not in msg

    def test_for_another_server_is_tried_and_the_refusal_explained(
        self, lxd6: Replay, image: Image
    ) -> None:
        token = lxd6.bearer_token(valid=False, aud=["lxd:another"], iss="lxd:another")
        msg = Modules(server=lxd6.url, bearer_token=token).import_fails(image)
        assert "The token is for the server lxd:another; is that this one?" in msg
        assert lxd6.writes == []

    @pytest.mark.parametrize(
        "claims",
        [
            {"exp": 10**30},
            {"exp": 1e300},
            {"exp": -5},
            {"exp": "tomorrow"},
            {"exp": True},
            {"aud": {"a": 1}},
            {"aud": ["\x1b]0;x\x07" * 100, 5, None]},
            {"more": [[[]]] * 100},
        ],
    )
    def test_may_claim_anything(self, lxd6: Replay, claims: dict[str, Any]) -> None:
        token = lxd6.bearer_token(**claims)
        Modules(server=lxd6.url, bearer_token=token).limited().done("lxd_image_info")

    @pytest.mark.parametrize("token", ["open sesame", "a\r\nX-Header: b", "größe", "x" * 100_000])
    def test_that_no_header_can_hold_is_refused(self, lxd6: Replay, token: str) -> None:
        msg = Modules(server=lxd6.url, bearer_token=token).fails("lxd_image_info")
        assert "bearer_token is not a bearer token" in msg
        assert token not in msg

    @pytest.mark.parametrize("version", ["5.21.7"])
    def test_is_unknown_to_older_servers(
        self, own: KeyPair, image: Image, lxd6: Replay, version: str
    ) -> None:
        token = lxd6.bearer_token()
        with Replay(version, own) as older:
            msg = Modules(server=older.url, bearer_token=token).import_fails(image)
        assert "takes no bearer tokens" in msg
        assert "auth_bearer" in msg

    @EVERY_FAMILY
    def test_is_unknown_to_this_server(self, lxd: Server, image: Image) -> None:
        pin = {"server_cert": str(lxd.certificate)}
        given = Modules(server=lxd.url, bearer_token="opaque", **pin)
        # A server that knows bearer tokens rejects this one.
        said = "bearer" if lxd.has("auth_bearer") else "takes no bearer tokens"
        assert said in given.import_fails(image)

    @pytest.mark.parametrize("other", ["client_cert", "trust_token"])
    def test_goes_with_no_other_way_to_authenticate(
        self, lxd6: Replay, pair: KeyPair, other: str
    ) -> None:
        given = {
            "client_cert": {"client_cert": str(pair.certificate), "client_key": str(pair.key)},
            "trust_token": {"trust_token": "t"},
        }[other]
        token = lxd6.bearer_token()
        msg = Modules(server=lxd6.url, bearer_token=token, **given).fails("lxd_image_info")
        assert f"{other} cannot be used with bearer_token" in msg

    @EVERY_FAMILY
    def test_is_ignored_by_a_unix_socket(self, modules: Modules) -> None:
        modules.done("lxd_image_info", bearer_token="not\na token", trust_token="t")

    @EVERY_FAMILY
    def test_of_a_source_reads_its_private_images(
        self, lxd: Server, lxd6: Replay, modules: Modules, image: Image
    ) -> None:
        lxd6.entitlements = {"can_view", "can_view_images", "can_view_image_aliases"}
        fingerprint = lxd6.add(image, "web")
        token = lxd6.bearer_token()
        copies = Copies(modules, source_server=lxd6.url, source_bearer_token=token)
        done = copies("web")
        assert done.actions == ["relay"]
        assert token not in str(done)
        assert set(lxd.images()) == {fingerprint}

    def test_of_a_source_is_of_no_use_to_an_image_server(self, modules: Modules) -> None:
        copies = Copies(
            modules,
            source_server="https://images.invalid",
            source_protocol="simplestreams",
            source_bearer_token="t",
        )
        assert "source_bearer_token cannot be used with an image server" in copies.fails("web")


def test_a_restricted_client_lists_of_all_projects_what_it_may_see(
    lxd5_6: Replay, pair: KeyPair, image: Image
) -> None:
    fingerprint = lxd5_6.add(image, "web")
    lxd5_6.trusted, lxd5_6.is_restricted = {pair.fingerprint}, True
    given = as_client(lxd5_6, pair, validate_certs=False)
    (listed,) = given.done("lxd_image_info", all_projects=True)["images"]
    assert (listed["fingerprint"], listed["project"]) == (fingerprint, "default")


class TestASecretThatASourceRefuses:
    """Where the identity may read an image and not hand it on."""

    @pytest.fixture
    def copies(self, modules: Modules, lxd6: Replay, image: Image) -> Copies:
        lxd6.entitlements = {"can_view", "can_view_images", "can_view_image_aliases"}
        lxd6.add(image, "web")
        return Copies(modules, source_server=lxd6.url, source_bearer_token=lxd6.bearer_token())

    @pytest.mark.parametrize("tells", [True, False])
    def test_makes_auto_a_relay(
        self, lxd: Server, lxd6: Replay, copies: Copies, image: Image, tells: bool
    ) -> None:
        if not tells:
            lxd6.info["api_extensions"].remove("entities_with_entitlements")
        assert copies("web", aliases=["mine"]).actions == ["relay", "add alias mine"]
        assert lxd.aliases() == {"mine": image.fingerprint}

    def test_is_foreseen_in_check_mode(self, lxd6: Replay, copies: Copies) -> None:
        assert copies("web", check=True).actions == ["relay"]
        assert lxd6.writes == []

    @pytest.mark.parametrize("tells", [True, False])
    def test_is_an_error_with_pull(
        self, lxd: Server, lxd6: Replay, copies: Copies, tells: bool
    ) -> None:
        if not tells:
            lxd6.info["api_extensions"].remove("entities_with_entitlements")
        msg = copies.fails("web", mode="pull")
        assert "can_edit_images" in msg
        assert "mode: relay" in msg
        assert lxd.images() == {}


GUIDE = ROOT / "docs/docsite/rst/guide_access.rst"

#: What a task of the guide's table is, as options of its module.
TASKS: dict[tuple[str, str], dict[str, Any]] = {
    ("lxd_image_info", "list images"): {},
    ("lxd_image_export", "export an image"): {"name": "web"},
    ("lxd_image_import", "import an image"): {},
    ("lxd_image_import", "import an image with a new alias"): {"aliases": ["new"]},
    ("lxd_image_import", "import an image and move an alias to it"): {"aliases": ["web"]},
    ("lxd_image_import", "the same, with delete_replaced"): {
        "aliases": ["web"],
        "delete_replaced": True,
    },
    ("lxd_image_import", "import an image and set attributes"): {"properties": {"a": "b"}},
    ("lxd_image_import", "import a directory"): {"directory": True},
    ("lxd_image_copy", "copy an image to the server"): {"image": "theirs"},
    ("lxd_image_copy", "copy a private image from the server, with mode: relay"): {
        "image": "web",
        "mode": "relay",
    },
    ("lxd_image_copy", "copy a private image from the server, with mode: pull"): {
        "image": "web",
        "mode": "pull",
    },
    ("lxd_image_publish", "publish a stopped instance, or a snapshot"): {
        "instance": "c1",
        "snapshot": "snap0",
    },
    ("lxd_image_publish", "publish a running instance, with force"): {
        "instance": "c1",
        "force": True,
    },
    ("lxd_image", "set attributes"): {"name": "web", "properties": {"a": "b"}},
    ("lxd_image", "set profiles"): {"name": "web", "profiles": ["web"]},
    ("lxd_image", "add an alias"): {"name": "web", "aliases": ["www"]},
    ("lxd_image", "remove aliases with purge_aliases"): {
        "name": "web",
        "aliases": [],
        "purge_aliases": True,
    },
    ("lxd_image", "delete an image"): {"name": "web", "state": "absent"},
    ("lxd_image_alias", "create an alias"): {"name": "www", "target": "web"},
    ("lxd_image_alias", "move an alias, or change its description"): {
        "name": "web",
        "description": "d",
    },
    ("lxd_image_alias", "rename an alias"): {"name": "web", "new_name": "www"},
    ("lxd_image_alias", "delete an alias"): {"name": "web", "state": "absent"},
}


def rows_of_the_guide() -> dict[tuple[str, str], set[str]]:
    """The table of the guide: by module and task, the entitlements besides can_view."""
    text = " ".join(GUIDE.read_text().split())
    found = re.findall(r"\* - ``(lxd_\w+)`` - (.*?) - ((?:``can_\w+``(?:, )?)+)", text)
    return {
        (module, task.replace("`", "")): set(re.findall(r"can_\w+", entitlements))
        for module, task, entitlements in found
    }


ROWS = rows_of_the_guide()


def test_all_rows_of_the_guide_are_tried() -> None:
    assert set(ROWS) == set(TASKS)


class TestEntitlements:
    @pytest.fixture
    def run(
        self, lxd: Server, lxd6: Replay, build: Build, tmp_path: Path, pair: KeyPair
    ) -> Callable[[tuple[str, str], set[str]], Outcome]:
        """Runs a task of ``TASKS`` with these entitlements. The store has the image web."""
        old, new, theirs = build(), build(), build()
        directory = build_directory(tmp_path / "tree")
        (tmp_path / "out").mkdir()

        def run(row: tuple[str, str], entitlements: set[str]) -> Outcome:
            (module, task), params = row, dict(TASKS[row])
            lxd6.images.clear()
            lxd6.add(old, "web")
            add_instance(lxd6, "c1", running=True)
            given = as_client(lxd6, pair, validate_certs=False)
            if params.pop("directory", False):
                params |= files(directory)
            elif module == "lxd_image_import":
                params |= files(new)
            elif module == "lxd_image_export":
                params["dest"] = str(tmp_path / "out")
            elif module == "lxd_image_copy" and "from the server" in task:
                for fingerprint in lxd.images():
                    lxd.operation("DELETE", f"/1.0/images/{fingerprint}")
                source = {f"source_{name}": value for name, value in given.defaults.items()}
                del source["source_validate_certs"]
                params |= {**source, "source_cert": str(lxd6.certificate)}
                given = Modules().at(lxd)
            elif module == "lxd_image_copy":
                add_to_source(lxd, theirs, "theirs")
                params |= {"source_server": f"unix://{lxd.socket}"}
            lxd6.trusted = {pair.fingerprint}
            lxd6.entitlements = {"can_view", *entitlements}
            lxd6.requests.clear()
            return given.run(module, **params)

        return run

    @pytest.mark.parametrize("row", ROWS, ids="/".join)
    def test_of_the_guide_are_enough_and_none_is_too_much(
        self,
        lxd6: Replay,
        run: Callable[[tuple[str, str], set[str]], Outcome],
        row: tuple[str, str],
    ) -> None:
        needed = ROWS[row]
        if "mode: pull" in row[1]:
            # The target would have to trust this server, which is no real one.
            assert "image from https:" in run(row, needed)["msg"]
            assert any(path.endswith("/secret") for path in lxd6.writes)
        else:
            done = run(row, needed)
            assert not done.failed, done["msg"]
            only_reads = row[0] in ("lxd_image_info", "lxd_image_export") or "relay" in row[1]
            assert bool(lxd6.writes) is not only_reads
        for missing in sorted(needed) if row[0] != "lxd_image_info" else ():
            refused = run(row, needed - {missing})
            assert refused.failed, missing
            # What cannot be seen is not missed.
            assert missing in refused["msg"] or "lacks can_view_image" in refused["msg"]
            assert lxd6.writes == []

    def test_that_are_missing_are_named_with_the_command_that_grants_them(
        self, run: Callable[[tuple[str, str], set[str]], Outcome]
    ) -> None:
        visible = {"can_view_images", "can_view_image_aliases"}
        msg = run(("lxd_image", "set attributes"), visible)["msg"]
        assert (
            "this identity lacks can_edit_images on project default; an administrator grants it with:"
            " lxc auth group permission add GROUP project default can_edit_images"
        ) in msg
        msg = run(("lxd_image_import", "import an image with a new alias"), visible)["msg"]
        assert "lacks can_create_images and can_create_image_aliases on project default" in msg

    def test_on_the_project_itself_come_first(
        self, lxd6: Replay, pair: KeyPair, image: Image
    ) -> None:
        lxd6.trusted, lxd6.entitlements = {pair.fingerprint}, {"can_create_images"}
        msg = as_client(lxd6, pair, validate_certs=False).import_fails(image)
        assert "lxc auth group permission add GROUP project default can_view" in msg

    def test_can_be_those_on_the_image_alone(
        self, lxd6: Replay, pair: KeyPair, image: Image
    ) -> None:
        fingerprint = lxd6.add(image, "web")
        lxd6.trusted = {pair.fingerprint}
        lxd6.entitlements = {"can_view", "can_view_images", "can_view_image_aliases"}
        lxd6.entity_entitlements = {
            f"/1.0/images/{fingerprint}": {"can_edit"},
            "/1.0/images/aliases/web": {"can_delete"},
        }
        given = as_client(lxd6, pair, validate_certs=False)
        done = given.done(
            "lxd_image", name="web", properties={"a": "b"}, aliases=[], purge_aliases=True
        )
        assert done.actions == ["set properties", "remove alias web"]
        msg = given.fails("lxd_image", name=fingerprint, state="absent")
        assert "lacks can_delete_images" in msg

    def test_can_be_those_on_the_instance_alone(self, lxd6: Replay, pair: KeyPair) -> None:
        add_instance(lxd6, "c1", running=True)
        add_instance(lxd6, "c2", running=True, ephemeral=True)
        lxd6.trusted = {pair.fingerprint}
        lxd6.entitlements = {"can_view", "can_create_images", "can_edit_images"}
        own = {"can_view", "can_update_state"}
        lxd6.entity_entitlements = {f"/1.0/instances/{name}": own for name in ("c1", "c2")}
        given = as_client(lxd6, pair, validate_certs=False)
        assert given.done("lxd_image_publish", instance="c1", force=True).actions == ["publish"]
        assert lxd6.instances["c1"]["status"] == "Running"
        lxd6.requests.clear()
        msg = given.fails("lxd_image_publish", instance="c2", force=True)
        assert "lacks can_edit_instances on project default" in msg
        msg = given.fails("lxd_image_publish", instance="c3")
        assert "lacks can_view_instances on project default" in msg
        assert lxd6.writes == []

    @pytest.mark.parametrize("form", ["qcow2", "raw", "directory"])
    def test_that_are_missing_after_the_upload_are_an_error_that_names_the_stored_image(
        self, lxd6: Replay, pair: KeyPair, tmp_path: Path, form: str
    ) -> None:
        if form == "directory":
            options = {"src": str(build_directory(tmp_path / "tree")), "remote_src": True}
        else:
            path = tmp_path / f"web.{form}"
            tool(["qemu-img", "convert", "-O", form, str(build_disk(tmp_path)), str(path)])
            options = {"rootfs": str(path), "remote_src": True}
        lxd6.info["api_extensions"].remove("entities_with_entitlements")
        lxd6.trusted = {pair.fingerprint}
        lxd6.entitlements = {"can_view", "can_view_images", "can_create_images"}
        given = as_client(lxd6, pair, validate_certs=False)
        msg = given.fails("lxd_image_import", **options)
        (fingerprint,) = lxd6.images
        said = f"The image {fingerprint} is in the store; the next run completes what is missing."
        assert said in msg
        lxd6.entitlements.add("can_edit_images")
        done = given.done("lxd_image_import", **options)
        assert done["fingerprint"] == fingerprint
        assert any(
            name.startswith("imagestore.") for name in lxd6.images[fingerprint]["properties"]
        )

    def test_cost_an_unchanged_task_no_request(
        self, lxd6: Replay, pair: KeyPair, image: Image
    ) -> None:
        lxd6.add(image, "web")
        lxd6.trusted = {pair.fingerprint}
        lxd6.entitlements = {"can_view", "can_view_images", "can_view_image_aliases"}
        given = as_client(lxd6, pair, validate_certs=False)
        assert not given.import_image(image, aliases=["web"])["changed"]
        asked = [path.split("?")[0] for _method, path, _headers in lxd6.requests]
        assert all(path.startswith("/1.0/images/") for path in asked)

    @pytest.mark.parametrize("state", ["present", "absent"])
    def test_to_view_images_are_named_where_an_image_is_not_found(
        self, lxd6: Replay, pair: KeyPair, image: Image, state: str
    ) -> None:
        lxd6.add(image, "web")
        lxd6.trusted, lxd6.entitlements = {pair.fingerprint}, {"can_view", "can_create_images"}
        given = as_client(lxd6, pair, validate_certs=False)
        assert "lacks can_view_images" in given.fails("lxd_image", name="web", state=state)
        assert "lacks can_view_images" in str(given.done("lxd_image_info")["warnings"])

    def test_to_delete_unlisted_images_are_checked_before_any_is_deleted(
        self, lxd6: Replay, pair: KeyPair, build: Build
    ) -> None:
        for alias in ("web", "old", "older"):
            lxd6.add(build(), alias)
        lxd6.trusted = {pair.fingerprint}
        lxd6.entitlements = {"can_view", "can_edit_images", "can_view_image_aliases"}
        given = as_client(lxd6, pair, validate_certs=False)
        wanted = {"images": [{"name": "web", "aliases": ["web"]}], "unlisted": "delete"}
        assert "lacks can_delete_images on project default" in given.fails(
            "lxd_image_store", **wanted
        )
        assert not [path for path in lxd6.writes if path.startswith("DELETE")]

    def test_are_not_asked_of_a_client_that_may_do_everything(
        self, lxd6: Replay, pair: KeyPair, image: Image
    ) -> None:
        lxd6.trusted = {pair.fingerprint}
        given = as_client(lxd6, pair, validate_certs=False)
        assert given.import_image(image, aliases=["web"]).actions == ["upload", "add alias web"]

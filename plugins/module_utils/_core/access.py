# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a server lets this client do: how the client becomes trusted, and which entitlements its identity has.

LXD grants entitlements to groups of identities (``lxd/auth/drivers/openfga_model.openfga``). A server with the API
extension ``entities_with_entitlements`` tells a client which of them it has.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Collection, Mapping

from .errors import ApiError, AuthenticationError, clean_text
from .transport import url_path

if TYPE_CHECKING:
    from .server import Server
    from .tokens import TrustToken

TRUST_ATTEMPTS = 20
"""How often a server is asked whether it has come to trust this client, ``TRUST_PAUSE`` seconds after each other."""

TRUST_PAUSE = 0.1

ASK = "with-access-entitlements"
"""The query by which a server is asked which of the listed entitlements this client has on what it describes."""


def why_not_trusted(server: Server) -> AuthenticationError:
    """The error for a client that the server does not trust, saying what would help."""
    token = server.transport.bearer_token
    if token:
        if server.dialect.supports("takes_bearer_tokens"):
            return AuthenticationError(
                f"{server.address} ignores {token.option}", token.hint_if_refused
            )
        return AuthenticationError(
            f"{server.address} takes no bearer tokens, as in {token.option}",
            "They come with the API extension auth_bearer (LXD 6.7 and later). Use a client certificate.",
        )
    identity = server.transport.identity
    if not identity:
        return AuthenticationError(
            f"{server.address} trusts only clients with a certificate, and this task uses none",
            f"Set {server.transport.trust.client_options}, or a config_dir that contains client.crt and client.key.",
        )
    from .transport.certificate_dates import why_not_valid_now
    from .transport.verification import certificates

    # A server gives no reason, and treats an expired certificate like an unknown one.
    outdated = next(filter(None, map(why_not_valid_now, certificates(identity.cert))), "")
    if outdated:
        return AuthenticationError(
            f"{server.address} does not trust the client certificate {identity.cert}, which {outdated}",
            f"Create a new one and trust it: {server.dialect.trust_advice(identity.cert)}"
            if "expired" in outdated
            else "Check the clock of this host.",
        )
    return AuthenticationError(
        f"{server.address} does not trust the client certificate {identity.cert}",
        f"Trust it: {server.dialect.trust_advice(identity.cert)}",
    )


def use_trust_token(server: Server, token: TrustToken) -> bool:
    """Have the server trust this client's certificate; False if another task was quicker.

    Raises AuthenticationError if the server refuses the token.
    """
    if not server.transport.identity:
        server.require_trust()
    refused: ApiError | None = None
    path, body = token.request(server.dialect)
    try:
        server.call("POST", path, json=body)
    except ApiError as error:
        refused = error
    if not _becomes_trusted(server) and refused:
        raise AuthenticationError(
            f"{server.address} did not accept trust_token: {clean_text(refused.reason)}",
            token.hint_if_refused,
        ) from refused
    return refused is None


def _becomes_trusted(server: Server) -> bool:
    """Whether the server trusts this client within some moments.

    A token is used up before the certificate is known everywhere (``lxd/certificates.go``, certificatesPost), so
    who comes second is refused in between.
    """
    for _attempt in range(TRUST_ATTEMPTS):
        if server.recheck_trust():
            return True
        server.transport.deadline.left()
        time.sleep(TRUST_PAUSE)
    return False


@dataclass(frozen=True)
class Entitlement:
    """A permission on a project, by its name, as ``can_edit_images``.

    ``entity`` is the path of the one image, alias or instance that it is needed for, or empty: an identity can also
    have been granted ``can_edit`` on that alone. Those of ``implied_by`` are enough, too.
    """

    name: str
    entity: str = ""
    implied_by: tuple[str, ...] = ()

    @property
    def on_entity(self) -> str:
        """What it is called where it is granted on a single image, alias or instance, as ``can_edit``."""
        if self.name == "can_operate_instances":
            return "can_update_state"
        return "_".join(self.name.split("_")[:2])


VIEW_IMAGES = Entitlement("can_view_images", implied_by=("can_edit_images", "can_delete_images"))
VIEW_ALIASES = Entitlement(
    "can_view_image_aliases", implied_by=("can_edit_image_aliases", "can_delete_image_aliases")
)
VIEW_PROFILES = Entitlement("can_view_profiles", implied_by=("can_edit_profiles",))
CREATE_IMAGES = Entitlement("can_create_images")
CREATE_ALIASES = Entitlement("can_create_image_aliases")


def edit_image(fingerprint: str = "") -> Entitlement:
    """What setting attributes takes: of this image, or of one that is not in the store yet."""
    return Entitlement("can_edit_images", _image(fingerprint))


def delete_image(fingerprint: str) -> Entitlement:
    """What deleting this image takes."""
    return Entitlement("can_delete_images", _image(fingerprint))


def edit_alias(name: str) -> Entitlement:
    """What moving or describing this alias takes."""
    return Entitlement("can_edit_image_aliases", url_path("/1.0/images/aliases/{}", name))


def delete_alias(name: str) -> Entitlement:
    """What removing this alias takes."""
    return Entitlement("can_delete_image_aliases", url_path("/1.0/images/aliases/{}", name))


def view_instance(name: str) -> Entitlement:
    """What it takes to read this instance and its snapshots."""
    implied_by = ("can_edit_instances", "can_delete_instances")
    return Entitlement("can_view_instances", _instance(name), implied_by)


def update_state(name: str) -> Entitlement:
    """What stopping and starting this instance takes."""
    return Entitlement("can_operate_instances", _instance(name))


def edit_instance(name: str) -> Entitlement:
    """What changing the configuration of this instance takes."""
    return Entitlement("can_edit_instances", _instance(name))


def entitlement_query(server: Server, needed: Collection[Entitlement]) -> dict[str, str]:
    """What to add to the request for a project, so that ``require_entitlements`` can be asked; empty if no need be."""
    if not needed or server.transport.is_local or not server.dialect.supports("tells_entitlements"):
        return {}
    names = {name for one in needed for name in (one.name, *one.implied_by)}
    return {ASK: ",".join(sorted(names))}


def require_entitlements(
    server: Server, name: str, project: Mapping[str, Any], needed: Collection[Entitlement]
) -> None:
    """Raises AuthenticationError naming the entitlements that this client lacks on the project ``name``.

    ``project`` is how the server describes it, asked with ``entitlement_query``. Of clients that are not fine-grained
    the server tells no entitlements; they may do everything in the projects that they see.
    """
    held = set(_held(project))
    missing = [one for one in needed if held.isdisjoint((one.name, *one.implied_by))]
    config = project.get("config")
    has_images = isinstance(config, dict) and config.get("features.images") == "true"
    if name != "default" and not has_images:
        # Its images are those of the project default, and so are the entitlements on them.
        missing = [one for one in missing if one.entity or one.name.startswith("can_create")]
    if not missing or not _is_fine_grained(server):
        return
    names: list[str] = []
    for one in missing:
        if one.name not in names and not _has_on_entity(server, name, one):
            names.append(one.name)
    if names:
        grants = "; ".join(
            f"lxc auth group permission add GROUP project {name} {one}" for one in names
        )
        them = "them" if len(names) > 1 else "it"
        raise AuthenticationError(
            f"this identity lacks {' and '.join(names)} on project {name};"
            f" an administrator grants {them} with: {grants}"
        )


def _is_fine_grained(server: Server) -> bool:
    try:
        identity = server.call("GET", "/1.0/auth/identities/current").metadata
    except ApiError:
        return False
    return isinstance(identity, dict) and identity.get("fine_grained") is True


def _has_on_entity(server: Server, project: str, needed: Entitlement) -> bool:
    if not needed.entity:
        return False
    query = {"project": project, ASK: needed.on_entity}
    try:
        return needed.on_entity in _held(server.get_object(needed.entity, "the entity", query))
    except ApiError:
        return False


def _held(described: Mapping[str, Any]) -> list[str]:
    held = described.get("access_entitlements")
    return [one for one in held if isinstance(one, str)] if isinstance(held, list) else []


def _instance(name: str) -> str:
    return url_path("/1.0/instances/{}", name)


def _image(fingerprint: str) -> str:
    return url_path("/1.0/images/{}", fingerprint) if fingerprint else ""

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether this client may do with a store what a task needs, and what would help if not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Collection, Iterable

from .access import (
    VIEW_ALIASES,
    VIEW_IMAGES,
    VIEW_PROFILES,
    Entitlement,
    entitlement_query,
    require_entitlements,
)
from .errors import ApiError, AuthenticationError, ImageNotFound, OptionError
from .transport import url_path

if TYPE_CHECKING:
    from .store import Store


def visibility_warning(store: Store, with_aliases: bool = False) -> str:
    """Why this client may not see all images, and aliases if so, and what would help; empty if it sees them all."""
    try:
        store.server.require_trust()
    except AuthenticationError as error:
        return (
            f"{store.server.address} does not trust this client, which sees public images only."
            f" {error.hint}"
        ).strip()
    try:
        require_project(store, (VIEW_IMAGES, VIEW_ALIASES) if with_aliases else (VIEW_IMAGES,))
    except OptionError as error:
        return (
            str(error)
            if store.server.transport.is_local
            else f"{error} It sees public images only."
        )
    except AuthenticationError as error:
        return str(error)
    return ""


def with_visibility_hint(store: Store, error: ImageNotFound) -> ImageNotFound:
    """The error, with a hint added if the image may be hidden from this client."""
    narrow = visibility_warning(store, with_aliases=True)
    return ImageNotFound(error.message, f"{narrow} {error.hint}".strip()) if narrow else error


def require_write_access(store: Store, needed: Collection[Entitlement] = ()) -> None:
    """Raises AuthenticationError or OptionError unless this client may write to the store and do what is needed."""
    store.server.require_trust()
    require_project(store, needed)


def require_valid_aliases(store: Store, aliases: Iterable[str]) -> None:
    """Raises OptionError unless the server accepts these names for new aliases."""
    for name in aliases:
        fault = store.server.dialect.why_invalid_alias(name)
        if fault:
            raise OptionError(f"{store.server.address} does not accept the alias {name!r}: {fault}")


def require_profiles_and_visibility(store: Store, profiles: tuple[str, ...], public: bool) -> None:
    """Raises OptionError unless the project has these profiles, and allows public images if ``public``."""
    if profiles:
        listed = store.server.get_list("/1.0/profiles", "its profiles", store.query)
        with store.server.validating_response("its profiles"):
            known = sorted(str(profile["name"]) for profile in listed)
        for missing in sorted(set(profiles) - set(known)):
            require_project(store, (VIEW_PROFILES,))
            raise OptionError(
                f"project {store.project} on {store.server.address} has no profile {missing}",
                f"It has: {', '.join(known)}.",
            )
    if (
        public
        and store.project != "default"
        and store.server.dialect.supports("public_in_default_only")
    ):
        raise OptionError(
            f"{store.server.address} allows public images in project default only",
            f"Remove public, or use another project than {store.project}.",
        )


def require_project(store: Store, needed: Collection[Entitlement] = ()) -> None:
    """Check that this client may see the project, and has these entitlements on it. Raises as its callers do."""
    path = url_path("/1.0/projects/{}", store.project)
    query = entitlement_query(store.server, needed)
    try:
        project = store.server.get_object(path, "a project", query)
    except ApiError as error:
        if error.status == 404:
            raise no_project(store) from error
        if error.status != 403:
            raise
        raise OptionError(
            f"{store.server.address} does not let this client use the project {store.project}",
            "Its certificate may be restricted to other projects.",
        ) from error
    if query:
        require_entitlements(store.server, store.project, project, needed)


def no_project(store: Store) -> OptionError:
    """What to raise if the server has no such project, or does not show it."""
    fault = store.server.dialect.why_invalid_project(store.project)
    if fault:
        return OptionError(
            f"{store.server.address} has no project {store.project}: {fault}",
            "Correct the name of the project.",
        )
    hint = "Create the project, or correct its name."
    if store.server.dialect.supports("tells_entitlements"):
        hint += (
            " An identity needs can_view to see it, which an administrator grants with:"
            f" lxc auth group permission add GROUP project {store.project} can_view"
        )
    return OptionError(
        f"{store.server.address} has no project {store.project}, or this client may not see it",
        hint,
    )

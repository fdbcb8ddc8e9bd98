# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The changes of a store, one by one: values that can report themselves and be applied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..access import (
    CREATE_ALIASES,
    VIEW_ALIASES,
    Entitlement,
    delete_alias,
    delete_image,
    edit_alias,
    edit_image,
)
from ..images import short_fingerprint
from .desired_state import DesiredState

if TYPE_CHECKING:
    from ..store import Store


class Step(Protocol):
    """One change of the store."""

    @property
    def actions(self) -> tuple[str, ...]:
        """What it does, as the task reports it."""

    @property
    def new_alias(self) -> str:
        """The name of the alias that it creates, or an empty text."""

    def entitlements(self, fingerprint: str) -> tuple[Entitlement, ...]:
        """What the client has to be allowed to do for it; ``fingerprint`` is empty if the image is not there yet."""

    def apply(self, store: Store, fingerprint: str) -> None:
        """Apply it to the image with this fingerprint. Raises ConflictError if the store has changed meanwhile."""


class _AddsNoAlias:
    new_alias = ""


@dataclass(frozen=True)
class SetAttributes(_AddsNoAlias):
    """Write the attributes of ``names``."""

    names: tuple[str, ...]
    desired: DesiredState

    @property
    def actions(self) -> tuple[str, ...]:
        return tuple(f"set {name}" for name in self.names)

    def entitlements(self, fingerprint: str) -> tuple[Entitlement, ...]:
        return (edit_image(fingerprint),)

    def apply(self, store: Store, fingerprint: str) -> None:
        store.writer.update_image(fingerprint, self.desired.changes_for)


@dataclass(frozen=True)
class AddAlias:
    """Create an alias."""

    name: str
    description: str = ""

    @property
    def actions(self) -> tuple[str, ...]:
        return (f"add alias {self.name}",)

    @property
    def new_alias(self) -> str:
        return self.name

    def entitlements(self, fingerprint: str) -> tuple[Entitlement, ...]:
        return (VIEW_ALIASES, CREATE_ALIASES)

    def apply(self, store: Store, fingerprint: str) -> None:
        store.writer.add_alias(self.name, fingerprint, self.description)


@dataclass(frozen=True)
class MoveAlias(_AddsNoAlias):
    """Point an alias of the image ``current`` to this one. Its description stays if none is given."""

    name: str
    current: str
    description: str | None = None

    @property
    def actions(self) -> tuple[str, ...]:
        return (f"move alias {self.name}",)

    def entitlements(self, fingerprint: str) -> tuple[Entitlement, ...]:
        return (edit_alias(self.name),)

    def apply(self, store: Store, fingerprint: str) -> None:
        store.writer.move_alias(self.name, fingerprint, self.current, self.description)


@dataclass(frozen=True)
class RemoveAlias(_AddsNoAlias):
    """Remove an alias of the image."""

    name: str

    @property
    def actions(self) -> tuple[str, ...]:
        return (f"remove alias {self.name}",)

    def entitlements(self, fingerprint: str) -> tuple[Entitlement, ...]:
        return (delete_alias(self.name),)

    def apply(self, store: Store, fingerprint: str) -> None:
        store.writer.remove_alias(self.name, fingerprint)


@dataclass(frozen=True)
class DeleteReplaced(_AddsNoAlias):
    """Delete an image whose last alias this task has moved, and with it the ``aliases`` that it may still have."""

    replaced: str
    aliases: frozenset[str] = frozenset()

    @property
    def actions(self) -> tuple[str, ...]:
        return (f"delete image {short_fingerprint(self.replaced)}",)

    def entitlements(self, fingerprint: str) -> tuple[Entitlement, ...]:
        return (delete_image(self.replaced),)

    def apply(self, store: Store, fingerprint: str) -> None:
        store.writer.delete_if_unaliased(self.replaced, self.aliases)


@dataclass(frozen=True)
class DeleteImage(_AddsNoAlias):
    """Delete the image itself, and its aliases with it."""

    fingerprint: str

    @property
    def actions(self) -> tuple[str, ...]:
        return (f"delete image {short_fingerprint(self.fingerprint)}",)

    def entitlements(self, fingerprint: str) -> tuple[Entitlement, ...]:
        return (delete_image(self.fingerprint),)

    def apply(self, store: Store, fingerprint: str) -> None:
        store.writer.delete_image(self.fingerprint)


@dataclass(frozen=True)
class DescribeAlias(_AddsNoAlias):
    """Set the description of an alias of the image."""

    name: str
    description: str

    @property
    def actions(self) -> tuple[str, ...]:
        return (f"set description of alias {self.name}",)

    def entitlements(self, fingerprint: str) -> tuple[Entitlement, ...]:
        return (edit_alias(self.name),)

    def apply(self, store: Store, fingerprint: str) -> None:
        store.writer.move_alias(self.name, fingerprint, fingerprint, self.description)


@dataclass(frozen=True)
class RenameAlias:
    """Rename an alias of the image ``current``."""

    name: str
    new_name: str
    current: str

    @property
    def actions(self) -> tuple[str, ...]:
        return (f"rename alias {self.name} to {self.new_name}",)

    @property
    def new_alias(self) -> str:
        return self.new_name

    def entitlements(self, fingerprint: str) -> tuple[Entitlement, ...]:
        return (CREATE_ALIASES, delete_alias(self.name))

    def apply(self, store: Store, fingerprint: str) -> None:
        store.writer.rename_alias(self.name, self.new_name, self.current)

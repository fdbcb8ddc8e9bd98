# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of ``lxd_image_store``: entries that are, each, the options of one of the single modules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Mapping, Sequence
from urllib.parse import urlsplit

from ansible.module_utils.common.arg_spec import ModuleArgumentSpecValidator

from ..errors import OptionError
from .connection import ConnectionOptions, connection
from .image_copy import CopyOptions, image_copy
from .image_import import ImportOptions, image_import, is_bare
from .image_state import ImageStateOptions, image_state
from .rootfs import ROOTFS_OPTIONS
from .specification import at_least, merged, names_of, transfer_progress

NOT_IN_DEFAULTS = frozenset(
    [
        "image",
        "name",
        "aliases",
        "alias",
        "src",
        "metadata",
        "rootfs",
        "url",
        "metadata_url",
        "rootfs_url",
        "checksum",
    ]
)
"""Options that choose a form, or that two images cannot share."""


def image_store() -> dict[str, Any]:
    """The specification of ``lxd_image_store``. Entries are checked against those of the single modules."""
    own = {
        "argument_spec": {
            "images": {"type": "list", "elements": "dict", "required": True},
            "defaults": {"type": "dict"},
            "unlisted": {"type": "str", "choices": ["keep", "delete"], "default": "keep"},
            "protect": {"type": "list", "elements": "str"},
            "retain": {"type": "int", "default": 0},
            "parallel": {"type": "int", "default": 4},
            # What the controller knows of files that are there; see action/lxd_image_store.py.
            "_files": {"type": "dict"},
        },
        "supports_check_mode": True,
    }
    return merged(connection(), transfer_progress(), own)


@dataclass(frozen=True)
class StoreEntry:
    """One entry: the options of the single module that it stands for.

    ``label`` is what people call it, ``position`` where it stands in the option, from 0 on.
    """

    label: str
    position: int
    options: CopyOptions | ImportOptions | ImageStateOptions

    @property
    def title(self) -> str:
        """What to call it in messages."""
        return title_of(self.label, self.position)


@dataclass(frozen=True)
class StoreOptions:
    """The images of a whole store. ``only_asks``: the controller only asks which of its files are needed."""

    connection: ConnectionOptions
    entries: tuple[StoreEntry, ...]
    delete_unlisted: bool
    protect: tuple[str, ...]
    retain: int
    parallel: int
    only_asks: bool

    attempt = "manage the images"

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> StoreOptions:
        """From the options of the task. Raises OptionError, which names the entry."""
        managed = ConnectionOptions.from_params(params)
        controller = params["_files"] or {}
        files: Sequence[Any] = controller.get("entries") or ()
        shared = {name: params[name] for name in connection()["argument_spec"]}
        defaults = _checked_defaults(params["defaults"] or {})
        entries = []
        for position, given in enumerate(params["images"]):
            told = files[position] if position < len(files) else None
            entries.append(_entry(position, given, defaults, shared, told))
        delete = params["unlisted"] == "delete"
        if delete and not entries:
            raise OptionError(
                "unlisted is delete, and images is empty",
                "That would delete every image of the store: list at least one.",
            )
        for option in ("protect", "retain"):
            if params[option] and not delete:
                raise OptionError(f"{option} cannot be used without unlisted: delete", "Remove it.")
        return cls(
            connection=managed,
            entries=tuple(entries),
            delete_unlisted=delete,
            protect=names_of("protect", params["protect"]) or (),
            retain=at_least("retain", params["retain"], 0),
            parallel=at_least("parallel", params["parallel"], 1),
            only_asks=bool(controller.get("only_asks")),
        )


@dataclass(frozen=True)
class _Form:
    """A kind of entry: the options that choose it, its specification, and what becomes of its parameters."""

    selectors: tuple[str, ...]
    specification: Callable[[], dict[str, Any]]
    parse: Callable[[Mapping[str, Any]], Any]

    @property
    def own_options(self) -> dict[str, Any]:
        """The options of an entry, by name."""
        spec = self.specification()["argument_spec"]
        return {
            name: one
            for name, one in spec.items()
            if name not in connection()["argument_spec"] and not name.startswith("_")
        }


_FORMS = (
    _Form(("image",), image_copy, CopyOptions.from_params),
    _Form(
        ("src", "metadata", "rootfs", "url", "metadata_url", "rootfs_url"),
        image_import,
        ImportOptions.from_params,
    ),
    _Form(("name",), image_state, ImageStateOptions.from_params),
)


def title_of(label: str, position: int) -> str:
    """What to call an entry in messages."""
    return f"{label}, images[{position}]"


def label_of(entry: Mapping[str, Any]) -> str:
    """The label of an entry: its first alias, else what it names, the last part of a path or address."""
    aliases = entry.get("aliases") or entry.get("alias")
    if isinstance(aliases, str):
        aliases = aliases.split(",")
    if isinstance(aliases, (list, tuple)) and aliases and str(aliases[0]).strip():
        return str(aliases[0]).strip()
    for option in ("image", "name"):
        if entry.get(option):
            return str(entry[option])
    for option in ("src", "metadata", "rootfs", "url", "metadata_url", "rootfs_url"):
        if entry.get(option):
            path = urlsplit(str(entry[option])).path if "url" in option else str(entry[option])
            return path.rstrip("/").rpartition("/")[2] or option
    return "an entry"


def _checked_defaults(defaults: Mapping[str, Any]) -> Mapping[str, Any]:
    """Raises OptionError if an option is not one that entries can have in common."""
    known = {name for form in _FORMS for name in form.own_options}
    for name, value in defaults.items():
        if name not in known and name not in NOT_IN_DEFAULTS:
            raise OptionError(
                f"defaults contains {name}, which is not an option of entries",
                "Correct or remove it.",
            )
        if name in NOT_IN_DEFAULTS:
            raise OptionError(
                f"defaults contains {name}, which entries cannot share",
                "It takes options of entries, but not those that choose an image or its aliases.",
            )
        if name == "state" and value != "latest":
            raise OptionError(
                f"defaults contains state: {value}", "Only state: latest can be shared, by copies."
            )
    return defaults


def _entry(
    position: int,
    given: Mapping[str, Any],
    defaults: Mapping[str, Any],
    shared: Mapping[str, Any],
    told: Mapping[str, Any] | None,
) -> StoreEntry:
    own = {name: value for name, value in given.items() if value is not None}
    label = label_of(own)
    title = title_of(label, position)
    chosen = [form for form in _FORMS if any(name in own for name in form.selectors)]
    if len(chosen) != 1:
        raise OptionError(
            f"{title}: {'no image is named' if not chosen else 'it has more than one form'}",
            "Set one of image (a copy), name (an image of the store), or src, metadata, rootfs, url,"
            " metadata_url, rootfs_url (an import).",
        )
    form = chosen[0]
    specification = form.specification()
    options = form.own_options
    excluded = _excluded_defaults(form, own)
    inherited = {
        name: value
        for name, value in defaults.items()
        if name in options and name not in excluded and not _names_itself(own, name, options)
    }
    spellings = {name for one in options.values() for name in one.get("aliases", ())}
    unknown = sorted(set(own) - set(options) - spellings)
    if unknown:
        raise OptionError(
            f"{title}: there is no option {', '.join(unknown)} for this form of an entry",
            "To delete an image, use an entry with name and state: absent."
            if unknown == ["state"]
            else f"There are: {', '.join(sorted(options))}.",
        )
    conditions = {
        name: value
        for name, value in specification.items()
        if name.startswith(("mutually", "required"))
    }
    asked = {**inherited, **own, **(told or {})}
    result = ModuleArgumentSpecValidator(specification["argument_spec"], **conditions).validate(
        asked
    )
    if result.error_messages:
        raise OptionError(f"{title}: {'; '.join(result.error_messages)}")
    try:
        parsed = form.parse({**result.validated_parameters, **shared})
    except OptionError as error:
        raise OptionError(f"{title}: {error.message}", error.hint) from error
    return StoreEntry(label, position, parsed)


def _excluded_defaults(form: _Form, own: Mapping[str, Any]) -> set[str]:
    """The defaults that an entry cannot have, although others of its form can."""
    excluded: set[str] = set()
    if form.selectors == ("name",):
        if own.get("state") == "absent":
            return set(form.own_options)
        excluded.add("state")
    elif form.selectors != ("image",):
        excluded |= _excluded_from_import(form, own)
    aliases = own.get("aliases", own.get("alias"))
    if aliases is None:
        excluded.add("purge_aliases")
    if not aliases:
        excluded.add("delete_replaced")
    return excluded


def _excluded_from_import(form: _Form, own: Mapping[str, Any]) -> set[str]:
    """The same for an entry that is an import."""
    excluded: set[str] = set()
    is_local = not any(name in own for name in ("url", "metadata_url", "rootfs_url"))
    has_checksum_file = "://" in str(own.get("checksum"))
    if not is_bare(own):
        excluded |= {*ROOTFS_OPTIONS, "checksum_keyring"}
    elif not has_checksum_file:
        excluded.add("checksum_keyring")
    if not is_local:
        excluded |= {"remote_src", "compression"} | ({"mode"} if "url" not in own else set())
        return excluded
    excluded.add("mode")
    if not has_checksum_file:
        excluded |= {name for name in form.own_options if name.startswith("url_")}
    if "src" not in own:
        excluded.add("compression")
    return excluded


def _names_itself(own: Mapping[str, Any], name: str, options: Mapping[str, Any]) -> bool:
    """Whether an entry sets an option itself, under whichever of its names."""
    return any(spelling in own for spelling in (name, *options[name].get("aliases", ())))

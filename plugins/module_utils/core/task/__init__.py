# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One Ansible task: its options become a store, a source and a wish; what comes of them becomes its result.

This room and ``options`` alone know Ansible. Others are imported only as a task needs them: on the managed host every
import is compiled anew.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Callable, Iterable, Mapping, Protocol

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ..errors import ImageStoreError, MissingLibrary, NeedsFile, NoSuchImage, WrongValue

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from ..converge import Done, Result
    from ..images import Contents, Image
    from ..planning import Plan
    from ..sources import Source
    from ..sources.announced import Announcement
    from ..store import Store
    from ..transport import Deadline
    from .reaching import Reach


def run(
    module: AnsibleModule,
    attempt: str,
    work: Callable[[Task], dict[str, Any]],
    only_reads: bool = False,
) -> None:
    """Do one task and end the module: with the values that ``work`` returns, or with what went wrong.

    ``attempt`` says what is tried, as in "import /srv/alpine.tar.xz"; the store is added to it. A module that
    ``only_reads`` changes nothing, in whatever mode it runs.
    """
    task = Task(module, only_reads or module.check_mode)
    conclude(module, attempt, task, lambda: work(task))


class Reporting(Protocol):
    """What of a task goes into the report of a failure."""

    @property
    def place(self) -> str:
        """What it is about."""

    @property
    def kept(self) -> str:
        """A sentence on what it has done before it failed, or an empty text."""

    @property
    def so_far(self) -> dict[str, Any]:
        """What it has changed before it failed, as values to return."""


def conclude(
    module: AnsibleModule, attempt: str, task: Reporting, work: Callable[[], dict[str, Any]]
) -> None:
    """End the module with the values that ``work`` returns, or with what went wrong; see ``run``."""
    try:
        values = work()
    except MissingLibrary as error:
        module.fail_json(msg=missing_required_lib(error.library), exception=error.trace)
    except ImageStoreError as error:
        module.fail_json(msg=f"Cannot {attempt} ({task.place}): {error}{task.kept}", **task.so_far)
    else:
        module.exit_json(**values)


class Task:
    """What the options of one task mean. Everything is made when it is first asked for."""

    def __init__(self, module: AnsibleModule, only_reads: bool) -> None:
        self._module = module
        self._only_reads = only_reads
        self.params: Mapping[str, Any] = module.params

    @property
    def place(self) -> str:
        """The store that it is about, as its user named it."""
        params = self.params
        if self._only_reads and not params.get("image"):
            for name in ("source_remote", "source_server", "source_registry", "source_project"):
                if params.get(name):
                    return str(params[name])
        server = params["server"] or "this host's server"
        if params["remote"]:
            server = f"the remote {params['remote']}"
        return f"project {params['project']} on {server}" if params["project"] else server

    @property
    def kept(self) -> str:
        """What to say of an image that was stored before something else failed."""
        if not self.done.stored:
            return ""
        return f" The image {self.done.stored} is in the store; the next run completes what is missing."

    @property
    def so_far(self) -> dict[str, Any]:
        """What the task has changed before it failed."""
        done = self.done
        return {
            "changed": bool(done.actions or done.stored),
            "actions": done.actions,
            "transferred": done.transferred,
        }

    @cached_property
    def done(self) -> Done:
        """What the task has done up to now."""
        from ..converge import Done

        return Done()

    @cached_property
    def deadline(self) -> Deadline:
        """The end of the task's time."""
        from ..transport import Deadline

        if self.params["timeout"] <= 0:
            raise WrongValue(
                f"timeout is {self.params['timeout']}", "It takes a number of seconds above 0."
            )
        return Deadline(self.params["timeout"])

    @cached_property
    def store(self) -> Store:
        """The store that the task manages. Its server comes to trust this client here, if that takes the token."""
        from ..server import Server
        from ..store import Store
        from .reaching import TARGET

        remote = self.reach.target
        server = Server(self.reach.transport(remote, TARGET))
        token = self.params["trust_token"]
        if token and not server.trusts_us_by_now():
            if self._only_reads:
                raise WrongValue(
                    f"{server.address} does not trust this client yet",
                    "Neither check mode nor a module that only reads uses trust_token: let another task use it first.",
                )
            if server.trust_us(token):
                self.done.actions.append("trust this client")
        return Store(server, self.params["project"] or remote.project or "default")

    @cached_property
    def reach(self) -> Reach:
        """The ways to the servers that the options name."""
        from .reaching import Reach

        return Reach(self.params, self.deadline)

    def mask(self, *secrets: str) -> None:
        """Have these texts masked in all that the module returns."""
        self._module.no_log_values.update(filter(None, secrets))

    def warn(self, text: str) -> None:
        """Say this besides the result, if it is not empty."""
        if text:
            self._module.warn(text)

    def look_ahead(self) -> None:
        """Let the server list the store while the rest of the library is imported here.

        Not where that is no mere look: a server that is to trust us first.
        """
        if not self.params["trust_token"]:
            self.store.look_ahead()

    def images(self) -> Iterable[Image]:
        """The images of the store, or of all projects, or those that a source offers."""
        from .reaching import SOURCE, require_no
        from .sources import names_source, offered_images

        if names_source(self):
            return offered_images(self)
        require_no(self.params, "the images of the managed server itself", *SOURCE.details)
        if self.params["all_projects"]:
            return self.store.contents_everywhere().images
        images = self.store.contents().images
        if not images:
            self.warn(self.store.narrow_view())
        return images

    def copy_source(self) -> Source:
        """Where the image to copy comes from."""
        from .sources import copy_source

        return copy_source(self)

    def import_source(self) -> AbstractContextManager[Source]:
        """Where the image to import comes from; files are open for as long as the context lasts."""
        from .sources import import_source

        return import_source(self)

    @cached_property
    def announced(self) -> Announcement | None:
        """What the controller says of a file that is there."""
        if not self.params.get("_file"):
            return None
        from ..sources.announced import Announcement

        return Announcement.parse(self.params["_file"])

    def bring(self, source: Source) -> dict[str, Any]:
        """Make the store hold the source's image, as wanted. The values to return."""
        from ..converge import bring
        from ..planning.wanted import Wanted

        wanted = Wanted.parse(self.params)
        asks = self.announced is not None and self.announced.asks
        try:
            result = bring(self.store, source, wanted, self.done, self.check_mode or asks)
        except NeedsFile:
            return {**self.so_far, "needs_file": True}
        if asks:
            return {**self.so_far, "needs_file": "upload" in result.actions}
        return self._values(result)

    def keep(self) -> dict[str, Any]:
        """Give an image of the store what is wanted of it, or have it gone. The values to return."""
        from ..converge import keep, remove
        from ..planning.wanted import Wanted

        name = self.params["name"]
        if self.params["state"] == "present":
            wanted = Wanted.parse(self.params)
            return self._values(keep(self.store, name, wanted, self.done, self.check_mode))
        for option in (*_OF_AN_IMAGE, "auto_update"):
            if self.params[option] not in (None, False):
                raise WrongValue(f"{option} is of no use with state: absent", "Leave it out.")
        return self._values(remove(self.store, name, self.done, self.check_mode))

    def keep_alias(self) -> dict[str, Any]:
        """Make an alias what is wanted. The values to return."""
        from ..converge import converge
        from ..planning.aliases import AliasWish, alias_settled

        wish = AliasWish.parse(self.params)

        def plan(contents: Contents) -> Plan:
            try:
                return alias_settled(contents, wish)
            except NoSuchImage as error:
                raise self.store.explained(error) from error

        result = converge(self.store, plan, self.done, self.check_mode)
        values = self._values(result)
        alias = (result.before if self.check_mode else result.after) or None
        return {**{name: values[name] for name in values if name in _OF_AN_ALIAS}, "alias": alias}

    def export(self) -> dict[str, Any]:
        """Have an image's files in a folder. The values to return."""
        from ..exporting import export, require_folder

        dest = self.params["dest"]
        require_folder(dest)
        self._require_file_options(dest)
        result = export(self.store, self.params["name"], dest, self.done, self.check_mode)
        values = {
            **self.so_far,
            "fingerprint": result.image.fingerprint,
            "image": dict(result.image.raw),
            "files": result.files,
        }
        diff = {"before": {"files": result.before}, "after": {"files": result.files}}
        module = self._module
        for path in result.files.values():
            if not self.check_mode or result.before:
                wish = module.load_file_common_arguments(self.params, path=path)
                values["changed"] = module.set_fs_attributes_if_different(
                    wish, values["changed"], diff if result.before else None
                )
        if module._diff:
            values["diff"] = diff
        return values

    def _require_file_options(self, path: str) -> None:
        """Have Ansible say now what it could not do with owner, group and mode, and not when all has been fetched."""
        module = self._module
        asked, module.check_mode = module.check_mode, True
        wish = module.load_file_common_arguments(self.params, path=path)
        module.set_fs_attributes_if_different(wish, False)
        module.check_mode = asked

    @property
    def check_mode(self) -> bool:
        """Whether nothing is to be written."""
        return bool(self._module.check_mode)

    def _values(self, result: Result) -> dict[str, Any]:
        values = {
            "changed": bool(result.actions),
            "fingerprint": result.fingerprint,
            "image": result.image,
            "actions": result.actions,
            "transferred": result.transferred,
        }
        if self._module._diff:
            values["diff"] = {"before": result.before, "after": result.after}
        return values


_OF_AN_IMAGE = (
    "aliases",
    "purge_aliases",
    "delete_replaced",
    "properties",
    "purge_properties",
    "public",
    "profiles",
    "expires_at",
)
_OF_AN_ALIAS = ("changed", "actions", "diff")

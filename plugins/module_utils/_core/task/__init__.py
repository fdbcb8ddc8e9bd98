# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One Ansible task: its options become a store, a source and a wish; what comes of them becomes its result.

Only this package and ``options`` know Ansible. Others are imported only as a task needs them: on the managed host every
import is compiled anew.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Callable, Iterable, Mapping, Protocol

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ..errors import ImageNotFound, ImageStoreError, MissingLibrary, NeedsFile, OptionError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from ..convergence import Progress, Result
    from ..deadline import Deadline
    from ..images import Contents, Image
    from ..planning import Plan
    from ..sources import Source
    from ..sources.controller_file import ControllerFile
    from ..store import Store
    from .connection import Connections


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
    def stored_note(self) -> str:
        """A sentence on what it has done before it failed, or an empty text."""

    @property
    def changes_made(self) -> dict[str, Any]:
        """What it has changed before it failed, as values to return."""


def conclude(
    module: AnsibleModule, attempt: str, task: Reporting, work: Callable[[], dict[str, Any]]
) -> None:
    """End the module with the values that ``work`` returns, or with what went wrong; see ``run``."""
    try:
        values = work()
    except MissingLibrary as error:
        module.fail_json(
            msg=f"{missing_required_lib(error.library)} {error.hint}", exception=error.trace
        )
    except ImageStoreError as error:
        module.fail_json(
            msg=f"Cannot {attempt} ({task.place}): {error}{task.stored_note}", **task.changes_made
        )
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
    def stored_note(self) -> str:
        """What to say of an image that was stored before something else failed."""
        if not self.progress.stored:
            return ""
        return f" The image {self.progress.stored} is in the store; the next run completes what is missing."

    @property
    def changes_made(self) -> dict[str, Any]:
        """What the task has changed before it failed."""
        progress = self.progress
        return {
            "changed": bool(progress.actions or progress.stored),
            "actions": progress.actions,
            "transferred": progress.transferred,
        }

    @cached_property
    def progress(self) -> Progress:
        """What the task has done up to now."""
        from ..convergence import Progress

        return Progress()

    @cached_property
    def deadline(self) -> Deadline:
        """The end of the task's time."""
        from ..deadline import Deadline

        if self.params["timeout"] <= 0:
            raise OptionError(
                f"timeout is {self.params['timeout']}", "It takes a number of seconds above 0."
            )
        return Deadline(self.params["timeout"])

    @cached_property
    def store(self) -> Store:
        """The store that the task manages. Its server comes to trust this client here, if that takes the token."""
        from ..server import Server
        from ..store import Store
        from .connection import TARGET

        remote = self.connections.target
        server = Server(self.connections.transport(remote, TARGET))
        token = self.params["trust_token"]
        if token and not server.recheck_trust():
            if self._only_reads:
                raise OptionError(
                    f"{server.address} does not trust this client yet",
                    "Neither check mode nor a module that only reads uses trust_token: let another task use it first.",
                )
            if server.add_client_certificate(token):
                self.progress.actions.append("trust this client")
        return Store(server, self.params["project"] or remote.project or "default")

    @cached_property
    def connections(self) -> Connections:
        """The ways to the servers that the options name."""
        from .connection import Connections

        return Connections(self.params, self.deadline)

    def mask(self, *secrets: str) -> None:
        """Have these texts masked in all that the module returns."""
        self._module.no_log_values.update(filter(None, secrets))

    def warn(self, text: str) -> None:
        """Say this besides the result, if it is not empty."""
        if text:
            self._module.warn(text)

    def prefetch(self) -> None:
        """Let the server list the store while the rest of the library is imported here.

        Not where that is no mere look: a server that is to trust us first.
        """
        if not self.params["trust_token"]:
            self.store.prefetch()

    def images(self) -> Iterable[Image]:
        """The images of the store, or of all projects, or those that a source offers."""
        from .connection import SOURCE, reject_options
        from .sources import names_source, offered_images

        if names_source(self):
            return offered_images(self)
        reject_options(self.params, "the images of the managed server itself", *SOURCE.details)
        if self.params["all_projects"]:
            return self.store.contents_of_all_projects().images
        images = self.store.contents().images
        if not images:
            self.warn(self.store.visibility_warning())
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
    def controller_file(self) -> ControllerFile | None:
        """What the controller says of a file that is there."""
        if not self.params.get("_file"):
            return None
        from ..sources.controller_file import ControllerFile

        return ControllerFile.parse(self.params["_file"])

    def ensure_image(self, source: Source) -> dict[str, Any]:
        """Make the store hold the source's image, as wanted. The values to return."""
        from ..convergence import ensure_image
        from ..planning.desired_state import DesiredState

        desired = DesiredState.parse(self.params)
        asks = self.controller_file is not None and self.controller_file.asks
        try:
            result = ensure_image(
                self.store, source, desired, self.progress, self.check_mode or asks
            )
        except NeedsFile:
            return {**self.changes_made, "needs_file": True}
        if asks:
            return {**self.changes_made, "needs_file": "upload" in result.actions}
        return self._values(result)

    def ensure_image_state(self) -> dict[str, Any]:
        """Give an image of the store what is wanted of it, or have it gone. The values to return."""
        from ..convergence import ensure_absent, ensure_attributes
        from ..planning.desired_state import DesiredState

        name = self.params["name"]
        if self.params["state"] == "present":
            desired = DesiredState.parse(self.params)
            return self._values(
                ensure_attributes(self.store, name, desired, self.progress, self.check_mode)
            )
        for option in (*_OF_AN_IMAGE, "auto_update"):
            if self.params[option] not in (None, False):
                raise OptionError(f"{option} is of no use with state: absent", "Leave it out.")
        return self._values(ensure_absent(self.store, name, self.progress, self.check_mode))

    def ensure_alias(self) -> dict[str, Any]:
        """Make an alias what is wanted. The values to return."""
        from ..convergence import converge
        from ..planning.aliases import DesiredAlias, plan_alias

        desired = DesiredAlias.parse(self.params)

        def plan(contents: Contents) -> Plan:
            try:
                return plan_alias(contents, desired)
            except ImageNotFound as error:
                raise self.store.with_visibility_hint(error) from error

        result = converge(self.store, plan, self.progress, self.check_mode)
        values = self._values(result)
        alias = (result.before if self.check_mode else result.after) or None
        return {**{name: values[name] for name in values if name in _OF_AN_ALIAS}, "alias": alias}

    def export(self) -> dict[str, Any]:
        """Have an image's files in a folder. The values to return."""
        from ..exporting import export, require_directory

        dest = self.params["dest"]
        require_directory(dest)
        self._require_file_options(dest)
        result = export(self.store, self.params["name"], dest, self.progress, self.check_mode)
        values = {
            **self.changes_made,
            "fingerprint": result.image.fingerprint,
            "image": dict(result.image.raw),
            "files": result.files,
        }
        diff = {"before": {"files": result.before}, "after": {"files": result.files}}
        module = self._module
        for path in result.files.values():
            if not self.check_mode or result.before:
                desired = module.load_file_common_arguments(self.params, path=path)
                values["changed"] = module.set_fs_attributes_if_different(
                    desired, values["changed"], diff if result.before else None
                )
        if module._diff:
            values["diff"] = diff
        return values

    def _require_file_options(self, path: str) -> None:
        """Have Ansible say now what it could not do with owner, group and mode, and not when all has been fetched."""
        module = self._module
        check_mode, module.check_mode = module.check_mode, True
        desired = module.load_file_common_arguments(self.params, path=path)
        module.set_fs_attributes_if_different(desired, False)
        module.check_mode = check_mode

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

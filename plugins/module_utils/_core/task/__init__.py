# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One Ansible task: its options become a dataclass, that becomes a store and a source, and what comes of it a result.

Only this package and ``options`` know Ansible. Others are imported only as a task needs them: on the managed host
every import is compiled anew.
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any, Callable, Mapping, Protocol, TypeVar

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ..connections import Connections
from ..deadline import Deadline
from ..errors import ImageStoreError, MissingLibrary, OptionError
from ..options.connection import ConnectionOptions
from .module import transfer_recorder

if TYPE_CHECKING:
    from ..convergence import Progress
    from ..store import Store


class Options(Protocol):
    """What all dataclasses of options have that manage a store."""

    @property
    def connection(self) -> ConnectionOptions:
        """The managed server."""

    @property
    def attempt(self) -> str:
        """What the task is to do, as in "import /srv/alpine.tar.xz", for messages."""


OptionsType = TypeVar("OptionsType", bound=Options)


def run(
    module: AnsibleModule,
    parse: Callable[[Mapping[str, Any]], OptionsType],
    work: Callable[[Task, OptionsType], dict[str, Any]],
    only_reads: bool = False,
) -> None:
    """Do one task and end the module: with the values that ``work`` returns, or with an error.

    ``parse`` makes the options from the module's parameters. A module that ``only_reads`` changes nothing, in whatever
    mode it runs.
    """
    options = parse_options(module, parse)
    task = Task(module, options.connection, only_reads or module.check_mode)
    conclude(module, options.attempt, task, lambda: work(task, options))


ParsedType = TypeVar("ParsedType")


def parse_options(
    module: AnsibleModule, parse: Callable[[Mapping[str, Any]], ParsedType]
) -> ParsedType:
    """The options of a task. Ends the module if they are wrong, before anything else is done."""
    try:
        return parse(module.params)
    except OptionError as error:
        module.fail_json(msg=f"Invalid options: {error}", changed=False, actions=[])
        raise  # fail_json does not return


class Reporting(Protocol):
    """What of a task goes into the report of a failure."""

    @property
    def place(self) -> str:
        """What it is about."""

    @property
    def stored_note(self) -> str:
        """A sentence on what it has stored before it failed, or an empty text."""

    @property
    def changes_made(self) -> dict[str, Any]:
        """What it has changed before it failed, as values to return."""


def conclude(
    module: AnsibleModule, attempt: str, task: Reporting, work: Callable[[], dict[str, Any]]
) -> None:
    """End the module with the values that ``work`` returns, or with an error; see ``run``."""
    try:
        values = work()
    except MissingLibrary as error:
        module.fail_json(
            msg=f"{missing_required_lib(error.library)} {error.hint}",
            exception=error.trace,
            **task.changes_made,
        )
    except ImageStoreError as error:
        module.fail_json(
            msg=f"Cannot {attempt} ({task.place}): {error}{task.stored_note}", **task.changes_made
        )
    else:
        module.exit_json(**values)


class Task:
    """One run of a module that manages a store. Its parts are made when they are first used."""

    def __init__(
        self, module: AnsibleModule, connection: ConnectionOptions, only_reads: bool
    ) -> None:
        self.module = module
        self.place = connection.place
        self.deadline = Deadline(connection.timeout)
        self.connections = Connections(connection, self.deadline)
        self.recorder = transfer_recorder(module)
        self._connection = connection
        self._only_reads = only_reads

    @property
    def check_mode(self) -> bool:
        """Whether nothing is to be written."""
        return bool(self.module.check_mode)

    @property
    def stored_note(self) -> str:
        """What to say of an image that was stored before something else failed."""
        if not self.progress.stored:
            return ""
        return (
            f" The image {self.progress.stored} is in the store; the next run completes what is"
            " missing."
        )

    @property
    def changes_made(self) -> dict[str, Any]:
        """What the task has changed so far, as values to return."""
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

        return Progress(recorder=self.recorder)

    @cached_property
    def store(self) -> Store:
        """The managed store. If the server does not trust this client yet, ``trust_token`` is used here."""
        from ..server import Server
        from ..store import Store

        server = Server(self.connections.to_target())
        token = self._connection.trust_token
        if token and not server.transport.is_local and not server.recheck_trust():
            if self._only_reads:
                raise OptionError(
                    f"{server.address} does not trust this client yet",
                    "Check mode and modules that only read do not use trust_token. Use it in another task"
                    " first.",
                )
            from ..access import use_trust_token

            if use_trust_token(server, token):
                self.progress.actions.append("trust this client")
        return Store(server, self.project)

    @property
    def project(self) -> str:
        """The managed project."""
        return self._connection.project or self.connections.target.project or "default"

    def prefetch(self, alias: str | None) -> None:
        """Let the server look for this alias while the rest of the library is imported here.

        Not where the server may have to be told to trust this client first.
        """
        if alias and not self._connection.trust_token:
            from ..store_view import Prefetch

            self.progress.prefetch = Prefetch(self.store, (alias,))

    def mask(self, *secrets: str) -> None:
        """Mask these texts in all that the module returns."""
        self.module.no_log_values.update(filter(None, secrets))

    def warn(self, text: str) -> None:
        """Add a warning to the result, unless it is empty."""
        if text:
            self.module.warn(text)


def temporary_directory(module: AnsibleModule) -> str:
    """Where large temporary files belong: Ansible's ``remote_tmp``."""
    # Not the module's own directory in it, of which an empty one would remain if the module is killed.
    remote_tmp = getattr(module, "_remote_tmp", None)
    shared = os.path.expanduser(os.path.expandvars(str(remote_tmp or "")))
    if os.path.isdir(shared) and os.access(shared, os.W_OK | os.X_OK):
        return shared
    return str(module.tmpdir)

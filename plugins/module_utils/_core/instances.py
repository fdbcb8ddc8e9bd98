# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The instances of one project: read, stopped and started again, and published as images."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Iterator, Mapping
from urllib.parse import urlsplit

from .access import view_instance
from .deadline import Deadline
from .errors import ApiError, AuthenticationError, ImageStoreError, OperationFailed, OptionError
from .images import CONTAINER, NEVER, parse_time
from .transport import url_path
from .watchdog import watchdog

if TYPE_CHECKING:
    from .store import Store
from .store_access import require_write_access

STATE_SECONDS = 60
"""How long a stop or a start may take. Their deadline is their own, so that no task leaves an instance stopped."""

PAUSE = 0.1
"""Seconds between two looks at what is going on."""

MAX_NAMES_SHOWN = 10

_STOPPED = 102
"""The code of the status Stopped (``shared/api/status_code.go``)."""


@dataclass(frozen=True)
class Instance:
    """One container or virtual machine.

    ``started_at`` is when it was last started, ``NEVER`` if it never was. (Servers call it ``last_used_at``, and set it
    at the start only: ``lxd/instance/drivers/driver_common.go``, recordLastState.)
    """

    name: str
    type: str
    created_at: datetime
    started_at: datetime
    is_stopped: bool
    ephemeral: bool

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Instance:
        """From the answer to ``GET /1.0/instances/NAME``. Raises ValueError, TypeError and the like."""
        return cls(
            name=str(raw["name"]),
            type=str(raw.get("type") or CONTAINER),
            created_at=parse_time(raw["created_at"]),
            started_at=parse_time(raw["last_used_at"]) if raw.get("last_used_at") else NEVER,
            is_stopped=raw["status_code"] == _STOPPED,
            ephemeral=bool(raw.get("ephemeral")),
        )


@dataclass(frozen=True)
class PublishResult:
    """An image that was made of an instance; ``is_new`` is False if the store has had just this image before."""

    fingerprint: str
    size: int
    is_new: bool


class Instances:
    """The instances of the project of ``store``, on its server."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._server = store.server
        self._query = {"project": store.project}

    def get(self, name: str) -> Instance:
        """An instance. Raises OptionError if there is none of this name, and AuthenticationError."""
        path = url_path("/1.0/instances/{}", name)
        raw = self._get(path, f"instance {name}", "/1.0/instances", name)
        with self._server.validating_response("an instance"):
            return Instance.parse(raw)

    def snapshot_time(self, instance: str, name: str) -> datetime:
        """When a snapshot was taken. Raises OptionError if the instance has none of this name."""
        path = url_path("/1.0/instances/{}/snapshots", instance)
        what = f"snapshot {name} of the instance {instance}"
        raw = self._get(f"{path}{url_path('/{}', name)}", what, path, instance)
        with self._server.validating_response("a snapshot"):
            return parse_time(raw["created_at"])

    def publish(
        self, name: str, is_snapshot: bool, compression: str | None, image_format: str | None
    ) -> PublishResult:
        """Have the server make an image of a stopped instance, or of a snapshot (``c1/snap0``).

        Attributes are not sent: the server would write them into the image, so that the same content would be another
        image each time (``lxd/images.go``, imgPostInstanceInfo). (With Incus it is, since the image has the time.)
        """
        source = {"type": "snapshot" if is_snapshot else "instance", "name": name}
        asked: dict[str, Any] = {"source": source}
        if compression:
            asked["compression_algorithm"] = compression
        if image_format:
            asked["format"] = image_format
        try:
            with self._permitted(f"publish {name}"):
                ended = self._server.operations.run(
                    "POST",
                    "/1.0/images",
                    self._query,
                    asked,
                    once_ended="an image without aliases may be in the store",
                )
        except OperationFailed as error:
            # Then, too, the operation has the fingerprint (lxd/images.go, imagesPost).
            if not self._server.dialect.is_already_exists(error.err):
                raise
            return self._published(error.metadata, is_new=False)
        return self._published(ended["metadata"], is_new=True)

    def _published(self, metadata: Mapping[str, Any], is_new: bool) -> PublishResult:
        fingerprint = self._server.operations.stored_fingerprint({"metadata": metadata})
        with self._server.validating_response("the image that it has stored"):
            return PublishResult(fingerprint, int(metadata["size"]), is_new)

    @contextmanager
    def stopped(self, instance: Instance) -> Iterator[None]:
        """Stop a running instance, and start it again at the end: after an error, and if this process is killed, too.

        It is stopped by force, as ``lxc publish --force`` does. One that is ephemeral is kept.
        """
        with watchdog(lambda: self._restart(instance)):
            try:
                self._stop(instance)
                self._server.transport.deadline.left()
                yield
            except BaseException as error:
                try:
                    self._restart(instance)
                except ImageStoreError as problem:
                    first = error.message if isinstance(error, ImageStoreError) else str(error)
                    raise _not_restarted(instance, problem, f"{first}; ") from error
                raise
            try:
                self._restart(instance)
            except ImageStoreError as problem:
                raise _not_restarted(instance, problem) from problem

    def _stop(self, instance: Instance) -> None:
        with self._permitted(f"stop the instance {instance.name}"):
            patient = self._with_own_deadline()
            if instance.ephemeral:
                # The server would delete it.
                patient._set_ephemeral(instance.name, False)
            patient._set_state(instance.name, {"action": "stop", "force": True, "timeout": -1})

    def _restart(self, instance: Instance) -> None:
        """Start the instance, unless it runs, and have it ephemeral again if it was.

        A stop may still be going on, if this process was not there to wait for its end.
        """
        patient = self._with_own_deadline()
        patient._wait_until_idle(instance.name)
        current = patient.get(instance.name)
        if instance.ephemeral and not current.ephemeral:
            patient._set_ephemeral(instance.name, True)
        if current.is_stopped:
            patient._set_state(instance.name, {"action": "start", "timeout": -1})

    def _with_own_deadline(self) -> Instances:
        """The same on a connection of its own, with time left whatever the task has."""
        from .store import Store

        return Instances(
            Store(self._server.with_deadline(Deadline(STATE_SECONDS)), self._store.project)
        )

    def _wait_until_idle(self, name: str) -> None:
        """Wait for the end of all operations on the instance: until then the server refuses to start it."""
        path = url_path("/1.0/instances/{}", name)
        query = {**self._query, "recursion": "1"}
        while True:
            listed = self._server.call("GET", "/1.0/operations", query).metadata or {}
            with self._server.validating_response("its operations"):
                running = [
                    urlsplit(instance).path
                    for operation in listed.get("running") or ()
                    for instance in (operation["resources"] or {}).get("instances") or ()
                ]
            if path not in running:
                return
            self._server.transport.deadline.left()
            time.sleep(PAUSE)

    def _set_state(self, name: str, state: Mapping[str, Any]) -> None:
        path = url_path("/1.0/instances/{}/state", name)
        ended = f"look at the state of the instance {name}"
        self._server.operations.run("PUT", path, self._query, state, once_ended=ended)

    def _set_ephemeral(self, name: str, value: bool) -> None:
        path = url_path("/1.0/instances/{}", name)
        self._server.call("PATCH", path, self._query, {"ephemeral": value})

    def _get(self, path: str, what: str, siblings: str, instance: str) -> Mapping[str, Any]:
        """GET the description of an instance, or of something that belongs to it.

        Raises OptionError, which says what else there is, if it is not there, and AuthenticationError.
        """
        try:
            return self._server.get_object(path, f"the {what}", self._query)
        except ApiError as error:
            if error.status not in (403, 404):
                raise
            # Whether this client may see it at all comes first.
            require_write_access(self._store, (view_instance(instance),))
            if error.status == 403:
                raise self._not_permitted(f"see the {what}") from error
            raise OptionError(f"{self._store} has no {what}", self._names(siblings)) from error

    def _names(self, path: str) -> str:
        """A sentence on what there is, for the error that something is not there."""
        try:
            names = sorted(self._server.get_names(path, "names", self._query))
        except ApiError:
            return ""
        more = ", …" if len(names) > MAX_NAMES_SHOWN else ""
        return f"It has {', '.join(names[:MAX_NAMES_SHOWN]) or 'none'}{more}."

    @contextmanager
    def _permitted(self, attempt: str) -> Iterator[None]:
        """Raises AuthenticationError where the server does not let this client do something."""
        try:
            yield
        except ApiError as error:
            if error.status != 403:
                raise
            raise self._not_permitted(attempt) from error

    def _not_permitted(self, attempt: str) -> AuthenticationError:
        return AuthenticationError(
            f"{self._server.address} does not let this client {attempt}",
            "An administrator of the server can grant that permission.",
        )


def _not_restarted(
    instance: Instance, problem: ImageStoreError, before: str = ""
) -> ImageStoreError:
    return ImageStoreError(
        f"{before}the instance {instance.name} was stopped, and could not be started again: {problem.message}",
        "Start it when the cause is removed.",
    )

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The source of a bare disk or root file system, by the options of a task."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Callable, Iterator

from ..disks.workspace import Workspace
from ..options.image_import import LocalFiles
from ..sources.disk import RootfsRequest
from ..urls import mask_credentials
from . import temporary_directory

if TYPE_CHECKING:
    from ..checksums import Checksum
    from ..deadline import Deadline
    from ..disks.metadata import RootfsFacts
    from ..options.bare_rootfs import BareRootfs
    from ..sources import Source
    from ..sources.disk_url import RootfsUrlSource
    from . import Task


@contextmanager
def rootfs_source(task: Task, form: BareRootfs, expected: str | None) -> Iterator[Source]:
    """The source; the file is open for as long as the context lasts."""
    location = form.location

    def facts() -> RootfsFacts:
        architecture = form.facts.architecture or task.store.server.architectures[0]
        return replace(form.facts, architecture=architecture)

    task.mask(*form.secrets)
    request = rootfs_request(form, facts, expected, temporary_directory(task.module), task.deadline)
    if not isinstance(location, LocalFiles):
        yield rootfs_url_source(form, request)
    elif location.controller_file and not location.remote_src:
        from ..sources.controller_file import ControllerRootfsSource

        yield ControllerRootfsSource(location.controller_file, request)
    else:
        from ..archives.files import ImageFiles
        from ..sources.disk import RootfsFileSource

        with ImageFiles(*location.paths, deadline=task.deadline) as file:
            yield RootfsFileSource(request, file)


def rootfs_request(
    form: BareRootfs,
    facts: Callable[[], RootfsFacts],
    expected: str | None,
    directory: str,
    deadline: Deadline,
) -> RootfsRequest:
    """What is asked for; temporary files are in ``directory``."""
    is_local = isinstance(form.location, LocalFiles)
    return RootfsRequest(
        # Without the query, as the name of a file.
        form.name if is_local else mask_credentials(form.name).partition("?")[0],
        facts,
        lambda: _checksum(form, deadline),
        expected,
        Workspace(directory),
        deadline,
    )


def rootfs_url_source(form: BareRootfs, request: RootfsRequest) -> RootfsUrlSource:
    """The source for a ``form`` that has an address."""
    from ..sources.allowed_hosts import AllowedHosts
    from ..sources.disk_url import RootfsUrlSource
    from .import_source import web_client

    location = form.location
    if isinstance(location, LocalFiles):
        raise TypeError(f"{location.name} is a file")
    (url,) = location.addresses
    hosts = AllowedHosts(location.addresses, location.allowed_hosts, request.deadline)
    web = web_client(request.deadline, location, hosts)
    return RootfsUrlSource(request, web, url, location.retries)


def _checksum(form: BareRootfs, deadline: Deadline) -> Checksum | None:
    """What the file has to be, by the checksum file if there is one."""
    checksum, server = form.checksum, form.checksum_server
    if checksum is None:
        return None
    from ..checksums import Checksum, fetch_checksum, path_of_url

    if isinstance(checksum, Checksum):
        return checksum
    if server is None:
        raise TypeError("the checksum file has no server")
    from ..downloads import Retries
    from ..sources.allowed_hosts import AllowedHosts
    from .import_source import web_client

    hosts = AllowedHosts(server.addresses, server.allowed_hosts, deadline)
    is_local = isinstance(form.location, LocalFiles)
    path = form.name if is_local else path_of_url(form.name)
    web = web_client(deadline, server, hosts)
    return fetch_checksum(checksum, path, web, Retries(server.retries, deadline))

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The source of a bare disk or root file system, by the options of a task."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Iterator

from ..checksums import Checksum, fetch_checksum, path_of_url
from ..disks.metadata import RootfsFacts
from ..disks.workspace import Workspace
from ..downloads import Retries
from ..options.image_import import LocalFiles
from ..sources.allowed_hosts import AllowedHosts
from ..sources.disk import RootfsRequest
from ..urls import mask_credentials
from .import_source import web_client

if TYPE_CHECKING:
    from ..options.bare_rootfs import BareRootfs
    from ..sources import Source
    from . import Task


@contextmanager
def rootfs_source(task: Task, form: BareRootfs, expected: str | None) -> Iterator[Source]:
    """The source; the file is open for as long as the context lasts."""
    location = form.location

    def facts() -> RootfsFacts:
        architecture = form.facts.architecture or task.store.server.architectures[0]
        return replace(form.facts, architecture=architecture)

    request = RootfsRequest(
        mask_credentials(form.name),
        facts,
        lambda: _checksum(task, form),
        expected,
        Workspace(task.temporary_directory),
        task.deadline,
    )
    if not isinstance(location, LocalFiles):
        from ..sources.disk_url import RootfsUrlSource

        task.mask(*location.secrets)
        (url,) = location.addresses
        hosts = AllowedHosts(location.addresses, location.allowed_hosts, task.deadline)
        web = web_client(task, location, hosts)
        yield RootfsUrlSource(request, web, url, location.retries)
    elif location.controller_file and not location.remote_src:
        from ..sources.controller_file import ControllerRootfsSource

        yield ControllerRootfsSource(location.controller_file, request)
    else:
        from ..archives.files import ImageFiles
        from ..sources.disk import RootfsFileSource

        with ImageFiles(*location.paths, deadline=task.deadline) as file:
            yield RootfsFileSource(request, file)


def _checksum(task: Task, form: BareRootfs) -> Checksum | None:
    """What the file has to be, by the checksum file if there is one."""
    checksum, server = form.checksum, form.checksum_server
    if server is None or isinstance(checksum, Checksum) or checksum is None:
        return checksum if isinstance(checksum, Checksum) else None
    task.mask(*server.secrets)
    hosts = AllowedHosts(server.addresses, server.allowed_hosts, task.deadline)
    is_local = isinstance(form.location, LocalFiles)
    path = form.name if is_local else path_of_url(form.name)
    return fetch_checksum(
        checksum, path, web_client(task, server, hosts), Retries(server.retries, task.deadline)
    )

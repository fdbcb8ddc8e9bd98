# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files that images are imported from, by the options of a task."""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, ContextManager, Iterator

if TYPE_CHECKING:
    from ..deadline import Deadline
    from ..downloads import WebClient
    from ..options.bare_rootfs import BareRootfs
    from ..options.image_import import ImportOptions, LocalFiles
    from ..options.web_image import WebImage
    from ..sources import Source
    from ..sources.allowed_hosts import AllowedHosts
    from . import Task


@contextmanager
def import_source(task: Task, options: ImportOptions) -> Iterator[Source]:
    """Where the image to import comes from; files are open for as long as the context lasts."""
    from ..options.image_import import LocalFiles

    form, expected = options.form, options.fingerprint
    if not isinstance(form, LocalFiles):
        with _other_source(task, form, expected) as source:
            yield source
    elif form.controller_file and not form.remote_src:
        from ..sources.controller_file import ControllerFileSource

        yield ControllerFileSource(form.controller_file, expected)
    elif len(form.paths) == 1 and os.path.isdir(form.paths[0]):
        from ..archives.image_directory import ImageDirectory
        from ..sources.directory import DirectorySource

        directory = ImageDirectory(form.paths[0], task.deadline)
        yield DirectorySource(directory, form.compression, expected)
        task.warn(directory.warning)
    else:
        with _file_source(form, expected, task.deadline) as source:
            yield source


def _other_source(
    task: Task, form: WebImage | BareRootfs, expected: str | None
) -> ContextManager[Source]:
    """A source that is not an image in local files."""
    from ..options.web_image import WebImage

    if isinstance(form, WebImage):
        return nullcontext(_web_source(task, form, expected))
    from .rootfs import rootfs_source

    return rootfs_source(task, form, expected)


@contextmanager
def _file_source(form: LocalFiles, expected: str | None, deadline: Deadline) -> Iterator[Source]:
    from ..archives.files import ImageFiles
    from ..sources.files import FileSource

    archive = form.controller_file.archive if form.controller_file else None
    with ImageFiles(*form.paths, deadline=deadline) as files:
        yield FileSource(files, expected, archive)


def web_client(deadline: Deadline, form: WebImage, hosts: AllowedHosts) -> WebClient:
    """Downloads from the web server of the last address, as the options say."""
    from ..downloads import WebClient
    from ..transport.verification import Verification

    verification = Verification(form.ca_path, None, form.validate, "url_ca_path", takes_pin=False)
    return WebClient(deadline, verification, form.addresses[-1], form.headers, hosts.require)


def _web_source(task: Task, form: WebImage, expected: str | None) -> Source:
    """A web server's unified image, or the two files of a split one."""
    from ..sources.allowed_hosts import AllowedHosts
    from ..sources.web import SplitUrlSource, UrlSource

    task.mask(*form.secrets)
    *others, url = form.addresses
    hosts = AllowedHosts(form.addresses, form.allowed_hosts, task.deadline)
    web = web_client(task.deadline, form, hosts)
    if others:
        return SplitUrlSource(web, (others[0], url), form.retries, expected or "")
    obstacle = ""
    if form.headers:
        obstacle = "the web server wants headers or credentials that only this task has"
    elif form.ca_path or not form.validate:
        obstacle = "the server checks web servers against its system's authorities only"
    return UrlSource(web, url, task.store, form.mode, form.retries, expected, obstacle, hosts)

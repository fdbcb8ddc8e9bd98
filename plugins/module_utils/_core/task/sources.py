# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where images come from, by the options of a task."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Iterable, Iterator

from ..errors import OptionError
from .connection import SOURCE, reject_options

if TYPE_CHECKING:
    from ..client_config import Remote
    from ..images import Image
    from ..sources import Source
    from ..sources.simplestreams import ImageServer
    from ..store import Store
    from . import Task


def names_source(task: Task) -> bool:
    """Whether the options name a source at all."""
    return any(task.params.get(name) for name in ("source_project", *SOURCE.servers))


def copy_source(task: Task) -> Source:
    """Where the image to copy comes from."""
    from ..images import is_prefix
    from ..sources import CopyRequest

    params = task.params
    if not params["image"].strip():
        raise OptionError("image is empty", "Give an alias or a fingerprint at the source.")
    request = CopyRequest(
        name=params["image"],
        type=params["image_type"],
        latest=params["state"] == "latest",
        copy_aliases=params["copy_aliases"],
        mode=params["mode"],
        retries=_retries(task),
        auto_update=bool(params["auto_update"]),
        alias=next(iter(params["aliases"] or ()), None),
    )
    architecture = _architecture(task)
    if request.auto_update and is_prefix(request.name.lower()):
        raise _not_updated("a fingerprint, which never means another image")
    if params["source_registry"]:
        from ..sources.registry import RegistrySource

        reject_options(params, "source_registry", "architecture", *SOURCE.details)
        return RegistrySource(params["source_registry"], task.store, request)
    remote = _source_remote(task)
    if remote and remote.protocol == "simplestreams":
        from ..sources.simplestreams import SimplestreamsSource

        return SimplestreamsSource(_image_server(task, remote), task.store, request, architecture)
    from ..sources.lxd import LxdSource

    reject_options(params, "a source of the protocol lxd", "architecture")
    source = _source_store(task, remote)
    if request.auto_update and source.project != "default":
        raise _not_updated(
            f"the project {source.project} of a source, since the server would look in default"
        )
    return LxdSource(source, task.store, request)


def _not_updated(what: str) -> OptionError:
    return OptionError(f"auto_update does not work with {what}", "Use state: latest in its place.")


def offered_images(task: Task) -> Iterable[Image]:
    """The images that the source offers."""
    params = task.params
    if params["all_projects"]:
        raise OptionError("all_projects is for the managed server only", "Name a source_project.")
    if params["source_registry"]:
        reject_options(params, "source_registry", *SOURCE.details)
        return task.store.images_of_registry(params["source_registry"])
    remote = _source_remote(task)
    if remote and remote.protocol == "simplestreams":
        import platform

        from ..images import architecture_name
        from ..sources.simplestreams import all_images

        native = architecture_name(platform.machine()) or "x86_64"
        return all_images(_image_server(task, remote), native)
    return _source_store(task, remote).contents().images


def _source_remote(task: Task) -> Remote | None:
    """The source server, by name or by address; None is the target itself."""
    from ..client_config import Remote, image_server_address, server_address

    params = task.params
    protocol, address = params["source_protocol"], params["source_server"]
    if params["source_remote"]:
        return task.connections.config.remote(params["source_remote"], protocol)
    if not address:
        return None
    read = image_server_address if protocol == "simplestreams" else server_address
    return Remote("", read(address, "source_server"), protocol or "lxd")


def _source_store(task: Task, remote: Remote | None) -> Store:
    """The store that the image is in: on another server, or in another project of the target's."""
    from ..server import Server
    from ..store import Store

    params = task.params
    if remote:
        project = params["source_project"] or remote.project or "default"
        return Store(Server(task.connections.transport(remote, SOURCE)), project)
    reject_options(params, "source_project alone", "source_protocol", *SOURCE.proofs)
    project = params["source_project"]
    if not project or project == task.store.project:
        raise OptionError(
            "no source is given",
            "Name one by source_remote, source_server or source_registry;"
            " or, for another project of the same server, by a source_project that differs from project.",
        )
    return Store(task.store.server, project)


def _image_server(task: Task, remote: Remote) -> ImageServer:
    from ..downloads import WebClient
    from ..sources.simplestreams import ImageServer

    reject_options(
        task.params, "an image server (simplestreams)", "source_project", "source_client_cert"
    )
    return ImageServer(
        remote.address, WebClient(task.deadline, task.connections.trust(remote, SOURCE))
    )


def _retries(task: Task) -> int:
    retries: int = task.params["retries"]
    if retries < 0:
        raise OptionError(f"retries is {retries}", "It takes a number from 0 on.")
    return retries


def _architecture(task: Task) -> str | None:
    from ..images import architecture_name

    given = task.params["architecture"]
    if given and not architecture_name(given):
        raise OptionError(
            f"architecture is {given!r}, which LXD does not know",
            "Write x86_64 or aarch64, for instance.",
        )
    return architecture_name(given) if given else None


@contextmanager
def import_source(task: Task) -> Iterator[Source]:
    """Where the image to import comes from; files are open for as long as the context lasts."""
    from ..images import parse_fingerprint

    params = task.params
    expected = params["fingerprint"]
    expected = parse_fingerprint(expected, "fingerprint") if expected else None
    _require_fitting_form(task)
    if params["url"] or params["metadata_url"]:
        yield _web_source(task, expected)
        return
    controller_file = task.controller_file
    if not params["remote_src"]:
        if not controller_file:
            raise OptionError(
                "the files are on the controller, and this module was not called by its action plugin",
                "Set remote_src: true for files of the managed host.",
            )
        from ..sources.controller_file import ControllerFileSource

        yield ControllerFileSource(controller_file, expected)
        return
    archive = controller_file.archive if controller_file else None
    if params["src"] and os.path.isdir(params["src"]):
        from ..archives.image_directory import ImageDirectory
        from ..sources.directory import DirectorySource

        tree = ImageDirectory(params["src"])
        yield DirectorySource(tree, params["compression"], expected)
        task.warn(tree.remark)
        return
    from ..archives.files import ImageFiles
    from ..sources.files import FileSource

    paths = [params["src"]] if params["src"] else [params["metadata"], params["rootfs"]]
    with ImageFiles(*paths) as files:
        yield FileSource(files, expected, archive)


def _require_fitting_form(task: Task) -> None:
    """Raises OptionError if an option was given that is not for this form of an import."""
    params = task.params
    if params["url"] or params["metadata_url"]:
        reject_options(params, "a web server", "remote_src")
        if params["metadata_url"] and params["mode"] == "pull":
            raise OptionError(
                "mode: pull does not work with split files from a web server", "Leave it out."
            )
    else:
        reject_options(params, "files", "url_headers", "url_username", "url_ca_path")
        if params["mode"] != "auto" or not params["url_validate_certs"]:
            raise OptionError(
                "mode and url_validate_certs are of no use with files", "Leave them out."
            )
    if params["compression"] != "gzip" and not params["src"]:
        raise OptionError("compression is for a directory only", "Leave it out.")


def _web_source(task: Task, expected: str | None) -> Source:
    """A web server's image, or its two halves."""
    from base64 import b64encode

    from ..downloads import WebClient
    from ..sources.web import SplitUrlSource, UrlSource, web_address, web_headers
    from ..transport import Verification

    params = task.params
    given = web_headers(params["url_headers"] or {})
    option = "url" if params["url"] else "rootfs_url"
    url, credentials = web_address(params[option], option, bool(expected))
    if params["url_username"]:
        if credentials:
            raise OptionError(f"{option} has credentials in it, and url_username is given, too")
        credentials = params["url_username"], params["url_password"]
    headers = dict(given)
    if credentials:
        if any(name.lower() == "authorization" for name in given):
            raise OptionError("url_headers has Authorization, and a user name is given, too")
        headers["Authorization"] = "Basic " + b64encode(":".join(credentials).encode()).decode()
        task.mask(headers["Authorization"])
    trust = Verification(
        params["url_ca_path"],
        None,
        params["url_validate_certs"],
        "url_ca_path",
        takes_pin=False,
    )
    web = WebClient(task.deadline, trust, url, headers)
    if params["metadata_url"]:
        first, own = web_address(params["metadata_url"], "metadata_url", True)
        if (own and own != credentials) or (headers and not web.is_same_origin(first)):
            raise OptionError(
                "metadata_url and rootfs_url want other credentials or headers, or are on two servers",
                "Those of one server are sent to no other.",
            )
        return SplitUrlSource(web, (first, url), _retries(task), expected or "")
    obstacle = ""
    if headers:
        obstacle = "the web server wants headers or credentials that only this task has"
    elif params["url_ca_path"] or not params["url_validate_certs"]:
        obstacle = "the server checks web servers against its system's authorities only"
    return UrlSource(web, url, task.store, params["mode"], _retries(task), expected, obstacle)

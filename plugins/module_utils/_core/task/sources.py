# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The servers that images are copied, listed or exported from, by the options of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterable

from ..connections import secrets_of
from ..errors import OptionError

if TYPE_CHECKING:
    from ..exporting import ExportSource
    from ..images import Image
    from ..oci_registry import OciRegistry
    from ..options.image_copy import CopyOptions
    from ..options.image_export import ExportOptions
    from ..options.image_info import InfoOptions
    from ..options.source import SourceOptions
    from ..remotes import Remote
    from ..sources import Source
    from ..sources.simplestreams import ImageServer
    from ..store import Store
    from . import Task


class SharedSources:
    """The servers that the copies of one task have in common: each is asked over one connection, an index once."""

    def __init__(self) -> None:
        self._stores: dict[tuple[Remote | None, SourceOptions], Store] = {}
        self._image_servers: dict[tuple[Remote, SourceOptions], ImageServer] = {}
        self._registries: dict[tuple[Remote, SourceOptions], OciRegistry] = {}

    def store(self, task: Task, remote: Remote | None, origin: SourceOptions) -> Store:
        """The store of a source that is a LXD or Incus."""
        key = remote, origin
        if key not in self._stores:
            self._stores[key] = _source_store(task, remote, origin)
        return self._stores[key]

    def image_server(self, task: Task, remote: Remote, origin: SourceOptions) -> ImageServer:
        """A source that is an image server."""
        key = remote, origin
        if key not in self._image_servers:
            self._image_servers[key] = _image_server(task, remote, origin)
        return self._image_servers[key]

    def registry(self, task: Task, remote: Remote, origin: SourceOptions) -> OciRegistry:
        """A source that is an OCI registry."""
        from ..downloads import authorization
        from ..oci_registry import OciRegistry

        key = remote, origin
        if key not in self._registries:
            verification = task.connections.verification(remote, origin.tls)
            headers = authorization(origin.credentials or remote.credentials)
            self._registries[key] = OciRegistry(
                remote.address, task.deadline, verification, headers
            )
        return self._registries[key]


def copy_source(task: Task, options: CopyOptions, shared: SharedSources | None = None) -> Source:
    """Where the image to copy comes from; of several copies of a task, with what they have in ``shared``."""
    shared = shared or SharedSources()
    origin, request = options.source, options.request
    if origin.registry:
        from ..sources.registry import RegistrySource

        return RegistrySource(origin.registry, task.store, request)
    remote = task.connections.source(origin)
    if remote and remote.protocol == "oci":
        return _oci_source(task, options, remote, shared)
    if remote and remote.protocol == "simplestreams":
        from ..connections import require_image_server_options
        from ..sources.simplestreams import SimplestreamsSource

        require_image_server_options(origin)
        if remote.is_built_in_images:
            remote = remote.as_in(task.store.server.dialect.client)
        server = shared.image_server(task, remote, origin)
        return SimplestreamsSource(server, task.store, request, options.architecture)
    from ..options.image_copy import no_auto_update
    from ..sources.lxd import LxdSource

    _require_no_architecture(options.architecture)
    source_project = origin.project or (remote.project if remote else None) or "default"
    if request.auto_update and source_project != "default":
        raise no_auto_update(
            f"the project {source_project} of a source, since the server would look in default"
        )
    return LxdSource(shared.store(task, remote, origin), task.store, request)


def offered_images(task: Task, options: InfoOptions) -> Iterable[Image]:
    """The images that the source of ``lxd_image_info`` offers."""
    origin = options.source
    if origin.registry:
        from ..sources.registry import images_of_registry

        return images_of_registry(task.store.server, origin.registry)
    remote = task.connections.source(origin)
    if remote and remote.protocol == "simplestreams":
        from ..sources.simplestreams import all_images

        remote = remote.as_in(task.connections.config.client)
        return all_images(_image_server(task, remote, origin), _own_architecture())
    return _source_store(task, remote, origin).contents().images


def export_source(task: Task, options: ExportOptions) -> ExportSource:
    """The image to export: of an image server, of another LXD or Incus, or of the managed store."""
    origin = options.source
    if not origin.is_given:
        from ..exporting.from_store import StoreExport

        return StoreExport(task.store, options.name, options.image_type)
    task.place = origin.place
    remote = task.connections.source(origin)
    if remote and remote.protocol == "simplestreams":
        from ..exporting.from_image_server import ImageServerExport

        server = _image_server(task, remote.as_in(task.connections.config.client), origin)
        architecture = options.architecture or _own_architecture()
        return ImageServerExport(server, architecture, options.name, options.image_type)
    from ..exporting.from_store import StoreExport

    _require_no_architecture(options.architecture)
    return StoreExport(_source_store(task, remote, origin), options.name, options.image_type)


def _own_architecture() -> str:
    """LXD's name of this host's architecture."""
    import platform

    from ..architectures import architecture_name

    return architecture_name(platform.machine()) or "x86_64"


def _require_no_architecture(architecture: str | None) -> None:
    """Raises OptionError if an architecture is asked of a source whose aliases stand for one image each."""
    if architecture:
        raise OptionError(
            "architecture cannot be used with a source of the protocol lxd", "Remove it."
        )


def _source_store(task: Task, remote: Remote | None, origin: SourceOptions) -> Store:
    """The store that the image is in: on another server, or in another project of the managed one."""
    from ..store import Store

    if remote:
        return task.connections.to_store(remote, origin)
    if origin.project in (None, task.project):
        raise OptionError(
            "source_project is the managed project itself",
            "Set another source_project, or name another server by source_remote or source_server.",
        )
    return Store(task.store.server, origin.project or "default")


def _oci_source(task: Task, options: CopyOptions, remote: Remote, shared: SharedSources) -> Source:
    """An image of an OCI registry. Raises OptionError if an option does not fit."""
    from ..options.image_copy import no_auto_update
    from ..sources.oci import OciSource, server_with_credentials

    origin, request = options.source, options.request
    for name, is_set in (
        ("source_project", origin.project),
        ("source_client_cert", origin.tls.client),
        ("source_bearer_token", origin.tls.bearer_token),
        ("architecture", options.architecture),
        ("copy_aliases", request.copy_aliases),
        (f"mode: {request.mode}", request.mode in ("push", "relay")),
        (f"image_type: {request.type}", request.type == "virtual-machine"),
    ):
        if is_set:
            raise OptionError(
                f"{name} cannot be used with an OCI registry: Incus pulls its images, for containers only",
                "Remove it.",
            )
    if request.auto_update and "@" in request.name:
        raise no_auto_update("a digest, which never means another image")
    credentials = origin.credentials or remote.credentials
    server = server_with_credentials(remote.address, credentials)
    if credentials:
        user_part = server.partition("//")[2].rpartition("@")[0]
        task.mask(user_part, user_part.partition(":")[2], *secrets_of(credentials))
    registry = shared.registry(task, remote, origin)
    is_pinned = origin.tls.is_pinned or remote.server_cert is not None
    return OciSource(registry, server, task.store, request, is_pinned)


def _image_server(task: Task, remote: Remote, origin: SourceOptions) -> ImageServer:
    task.mask(*secrets_of(origin.credentials or remote.credentials))
    return task.connections.to_image_server(remote, origin)

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The images of all projects of a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping

from .errors import ApiError
from .store import Store, sorted_contents

if TYPE_CHECKING:
    from .contents import Contents
    from .server import Server


def contents_of_all_projects(server: Server) -> Contents:
    """The images of all projects that this client may see; ``raw`` of each has the name of its ``project``.

    Raises AuthenticationError if the server does not trust this client: then it lists no projects.
    """
    server.require_trust()
    if not server.dialect.supports("lists_all_projects"):
        return _contents_of_each_project(server)
    try:
        images = server.get_list("/1.0/images", "its images", {"all-projects": "true"})
    except ApiError as error:
        if error.status != 403:
            raise
        # This client may see some of them only.
        return _contents_of_each_project(server)
    with server.validating_response("its images"):
        return sorted_contents(images)


def _contents_of_each_project(server: Server) -> Contents:
    """The images of the projects that the server lists for this client, asked for one by one."""
    projects = server.get_list("/1.0/projects", "its projects")
    with server.validating_response("its projects"):
        own: list[str] = []
        shared: list[str] = []
        for project in projects:
            has_images = project["config"].get("features.images") == "true"
            (own if has_images else shared).append(str(project["name"]))
    places = {name: name for name in own}
    if shared:
        # They share the images of the project default, which the client may not see itself.
        places.setdefault("default", shared[0])
    found: list[Mapping[str, Any]] = []
    for name, asked in places.items():
        images = Store(server, asked).contents().images
        found += [{**image.raw, "project": name} for image in images]
    return sorted_contents(found)


def is_in_another_project(store: Store, fingerprint: str) -> bool:
    """Whether another project of this server has the image, as far as this client can see.

    A pull of such an image downloads nothing, and the new image gets the attributes of the other project's
    (``lxd/daemon_images.go``, ImageDownload).
    """
    try:
        names = store.server.get_names("/1.0/projects", "its projects")
    except ApiError as error:
        if error.status not in (403, 404):
            raise
        return False
    others = (Store(store.server, name) for name in names if name != store.project)
    return any(other.has_image(fingerprint) for other in others)

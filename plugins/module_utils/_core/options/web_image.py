# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images of web servers, as the options of ``lxd_image_import`` name them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping

from ..errors import OptionError
from .specification import names_of, reject
from .web import WebAddress, headers_of


@dataclass(frozen=True)
class WebImage:
    """A unified image at one address, or a split image at two (metadata, then rootfs).

    ``headers`` are sent to the server of the last address only; they include the credentials. ``allowed_hosts`` are
    patterns of hosts to which the web servers may refer besides their own and public ones. ``secrets`` are texts to
    mask besides the options.
    """

    addresses: tuple[str, ...]
    mode: str
    retries: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_path: str | None = None
    validate: bool = True
    allowed_hosts: tuple[str, ...] = ()
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def controller_file(self) -> None:
        """It is none of the controller's."""
        return None

    @property
    def name(self) -> str:
        """What to call the image in messages."""
        return self.addresses[-1]


def web_image(params: Mapping[str, Any], retries: int, checked_otherwise: bool) -> WebImage:
    """From the options of the task. Over plain http, the image has to be ``checked_otherwise``. Raises OptionError."""
    reject(params, "a web server", "remote_src")
    names = [name for name in ("url", "metadata_url", "rootfs_url") if params[name]]
    if names != ["url"] and params["mode"] == "pull":
        raise OptionError("mode=pull cannot be used with rootfs_url", "Remove it.")
    addresses = [WebAddress.parse(params[name], name, checked_otherwise) for name in names]
    credentials = addresses[-1].credentials
    if params["url_username"]:
        if credentials:
            raise OptionError(
                f"{names[-1]} contains credentials, and url_username is set", "Remove one of them."
            )
        credentials = params["url_username"], params["url_password"]
    headers = headers_of(params["url_headers"] or {}, credentials)
    first = addresses[0]
    if len(names) > 1 and (
        (first.credentials and first.credentials != credentials)
        or (headers and first.origin != addresses[-1].origin)
    ):
        raise OptionError(
            "metadata_url and rootfs_url need different credentials or headers, or are on two servers",
            "The credentials and headers of one server are sent to no other.",
        )
    return WebImage(
        addresses=tuple(address.url for address in addresses),
        mode=params["mode"],
        retries=retries,
        headers=headers,
        ca_path=params["url_ca_path"],
        validate=params["url_validate_certs"],
        allowed_hosts=names_of("url_allowed_hosts", params["url_allowed_hosts"]) or (),
        secrets=tuple(value for name, value in headers.items() if name == "Authorization"),
    )

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disks and root file systems without metadata, as the options of ``lxd_image_import`` name them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Mapping

from ..errors import OptionError
from .checksum import parse_checksum
from .image_import import LocalFiles, local_files
from .rootfs import parse_rootfs_facts
from .specification import names_of
from .web import WebAddress
from .web_image import WebImage, web_image

if TYPE_CHECKING:
    from ..checksums import Checksum, ChecksumFile
    from ..disks.metadata import RootfsFacts
    from ..sources.controller_file import ControllerFile


@dataclass(frozen=True)
class BareRootfs:
    """A disk or root file system without metadata, in one file or at one address.

    ``facts`` go into the metadata; their architecture is empty if it is to be the server's.
    """

    location: LocalFiles | WebImage
    facts: RootfsFacts
    checksum: Checksum | ChecksumFile | None = None
    checksum_server: WebImage | None = None
    """How to download the checksum file, if there is one."""

    @property
    def controller_file(self) -> ControllerFile | None:
        """What the controller says of the file; None if it is not one of the controller."""
        return self.location.controller_file

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return self.location.name

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts to mask besides the options."""
        servers = (self.location, self.checksum_server)
        return tuple(text for one in servers if isinstance(one, WebImage) for text in one.secrets)


def bare_rootfs(params: Mapping[str, Any], retries: int, has_fingerprint: bool) -> BareRootfs:
    """From the options of the task. Raises OptionError."""
    facts = parse_rootfs_facts(params)
    if params["rootfs"]:
        checksum = parse_checksum(params)
        server = _checksum_server(params, checksum, retries)
        return BareRootfs(local_files(params, uses_web=bool(server)), facts, checksum, server)
    checksum = parse_checksum(params, WebAddress.parse(params["rootfs_url"], "rootfs_url", True))
    if not checksum and not has_fingerprint:
        raise OptionError(
            "rootfs_url is set, but neither checksum nor fingerprint",
            "Set checksum, so that what is downloaded can be verified.",
        )
    location = web_image(params, retries, True)
    return BareRootfs(location, facts, checksum, _checksum_server(params, checksum, retries))


def _checksum_server(
    params: Mapping[str, Any], checksum: Checksum | ChecksumFile | None, retries: int
) -> WebImage | None:
    """How to download the checksum file, if there is one."""
    if checksum is None:
        return None
    from ..checksums import ChecksumFile

    if not isinstance(checksum, ChecksumFile):
        return None
    return WebImage(
        addresses=(checksum.url,),
        mode="relay",
        retries=retries,
        headers=checksum.headers,
        ca_path=params["url_ca_path"],
        validate=params["url_validate_certs"],
        allowed_hosts=names_of("url_allowed_hosts", params["url_allowed_hosts"]) or (),
        secrets=checksum.secrets,
    )

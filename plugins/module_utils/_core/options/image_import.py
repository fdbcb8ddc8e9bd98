# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of ``lxd_image_import``."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Mapping
from urllib.parse import urlsplit

from ..errors import OptionError
from ..images import parse_fingerprint
from ..planning.desired_state import DesiredState
from .checksum import checksum
from .connection import ConnectionOptions, connection
from .image import desired_state, image
from .rootfs import ROOTFS_OPTIONS, rootfs_facts
from .specification import (
    at_least,
    merged,
    reject,
    require_not_blank,
    transfer_progress,
    web_server,
)

if TYPE_CHECKING:
    from ..sources.controller_file import ControllerFile
    from .bare_rootfs import BareRootfs
    from .web_image import WebImage


def image_import() -> dict[str, Any]:
    """The specification of ``lxd_image_import``."""
    own = {
        "argument_spec": {
            "src": {"type": "path"},
            "metadata": {"type": "path"},
            "rootfs": {"type": "path"},
            "url": {"type": "str"},
            "metadata_url": {"type": "str"},
            "rootfs_url": {"type": "str"},
            "remote_src": {"type": "bool", "default": False},
            # Not as text, which a number such as 24.10 would have been made without its last digit.
            "release": {"type": "raw"},
            "fingerprint": {"type": "str"},
            "compression": {
                "type": "str",
                "choices": ["gzip", "zstd", "xz", "none"],
                "default": "gzip",
            },
            "mode": {"type": "str", "choices": ["auto", "pull", "relay"], "default": "auto"},
            # What the controller knows of a file that is there; see plugin_utils/controller_files.py.
            "_file": {"type": "dict"},
        },
        "mutually_exclusive": list(combinations(_FORMS, 2)),
        "required_one_of": [_FORMS],
        "required_by": {"metadata": "rootfs", "metadata_url": ["rootfs_url", "fingerprint"]},
        "supports_check_mode": True,
    }
    return merged(
        connection(),
        image(),
        rootfs_facts(),
        checksum(),
        web_server(),
        transfer_progress(),
        own,
    )


_FORMS = ("src", "rootfs", "url", "rootfs_url")


@dataclass(frozen=True)
class LocalFiles:
    """A unified image in one file or directory, or a split image in two files (metadata, then rootfs).

    ``controller_file`` is what the controller says of files that are, or were, there.
    """

    paths: tuple[str, ...]
    remote_src: bool
    compression: str
    controller_file: ControllerFile | None = None

    @property
    def name(self) -> str:
        """What to call the image in messages."""
        return self.controller_file.name if self.controller_file else self.paths[-1]


@dataclass(frozen=True)
class ImportOptions:
    """What to import, what it must be (``fingerprint``, None: whatever it is), and what it should be like."""

    connection: ConnectionOptions
    form: LocalFiles | WebImage | BareRootfs
    fingerprint: str | None
    desired: DesiredState

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> ImportOptions:
        """From the options of the task. Raises OptionError."""
        paths = ("src", "metadata", "rootfs")
        require_not_blank(params, dict.fromkeys(paths, "Name a file."))
        require_not_blank(
            params, dict.fromkeys(("url", "metadata_url", "rootfs_url"), "Name a URL.")
        )
        given = params["fingerprint"]
        expected = parse_fingerprint(given, "fingerprint") if given else None
        retries = at_least("retries", params["retries"], 0)
        if params["compression"] != "gzip" and not params["src"]:
            raise OptionError("compression can be used with a directory only", "Remove it.")
        form: LocalFiles | WebImage | BareRootfs
        if is_bare(params):
            from .bare_rootfs import bare_rootfs

            form = bare_rootfs(params, retries, bool(expected))
        else:
            context = "an image that has its metadata"
            reject(params, context, *ROOTFS_OPTIONS, "checksum", "checksum_keyring")
            if params["url"] or params["metadata_url"]:
                from .web_image import web_image

                form = web_image(params, retries, bool(expected))
            else:
                form = local_files(params)
        return cls(ConnectionOptions.from_params(params), form, expected, desired_state(params))

    @property
    def controller_file(self) -> ControllerFile | None:
        """What the controller says of the file; None if it is not one of the controller."""
        return self.form.controller_file

    @property
    def attempt(self) -> str:
        """What the task is to do, for messages."""
        return f"import {self.form.name}"

    @property
    def label(self) -> str:
        """What to call the image in a few words: its first alias, else the name of its file."""
        name = self.form.name
        path = urlsplit(name).path if "://" in name else name
        return next(iter(self.desired.aliases or ()), path.rstrip("/").rpartition("/")[2])


def is_bare(params: Mapping[str, Any]) -> bool:
    """Whether the task names a disk or root file system alone."""
    return bool(
        (params.get("rootfs") and not params.get("metadata"))
        or (params.get("rootfs_url") and not params.get("metadata_url"))
    )


def local_files(params: Mapping[str, Any], uses_web: bool = False) -> LocalFiles:
    """The files that the options name; ``uses_web`` is whether options for web servers have a use besides."""
    if not uses_web:
        reject(params, "files", "url_headers", "url_username", "url_ca_path", "url_allowed_hosts")
        if not params["url_validate_certs"]:
            raise OptionError("url_validate_certs cannot be used with files", "Remove it.")
    if params["mode"] != "auto":
        raise OptionError("mode cannot be used with files", "Remove it.")
    told = params["_file"]
    if not told and not params["remote_src"]:
        raise OptionError(
            "the files are on the controller, and this module was not called by its action plugin",
            "Set remote_src: true for files of the managed host.",
        )
    names = [name for name in ("src", "metadata", "rootfs") if params[name]]
    return LocalFiles(
        paths=tuple(params[name] for name in names),
        remote_src=params["remote_src"],
        compression=params["compression"],
        controller_file=_controller_file(told) if told else None,
    )


def _controller_file(told: Mapping[str, Any]) -> ControllerFile:
    from ..sources.controller_file import ControllerFile

    return ControllerFile.parse(told)

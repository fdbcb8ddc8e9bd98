# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is inside the images: a system of BusyBox that boots, a disk, and ``metadata.yaml``."""

from __future__ import annotations

import functools
import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from .errors import LabError
from .families import IMAGE_TOOLS
from .packages import install
from .packing import Member

#: The properties of an image whose builder was not told any; ``Recipe`` adds the version.
STANDARD: Mapping[str, str] = MappingProxyType(
    {"os": "BusyBox", "release": "static", "variant": "lab"}
)

_BUSYBOX = Path("/bin/busybox")
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/hostname": "busybox\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/inittab": "::sysinit:/bin/true\n::ctrlaltdel:/bin/poweroff\n",
}
_FOLDERS = ("bin", "dev", "etc", "mnt", "proc", "root", "run", "sbin", "sys", "tmp", "usr", "var")


@dataclass(frozen=True)
class Recipe:
    """What makes an image what it is, besides its form.

    Another ``version`` gives other content, and so another fingerprint. ``properties`` of ``None``
    make a ``metadata.yaml`` without that key. Dates are seconds since 1970.
    """

    version: str = "1"
    name: str = "busybox"
    properties: Mapping[str, str] | None = None
    architecture: str = platform.machine()
    creation_date: int = 1_700_000_000
    expiry_date: int | None = None

    @property
    def members(self) -> list[Member]:
        """The members of an image that stand beside its root."""
        return [
            Member("metadata.yaml", metadata(self).encode()),
            Member("templates"),
            Member("templates/hostname.tpl", b"{{ container.name }}\n"),
        ]


def standard_properties(version: str, architecture: str) -> dict[str, str]:
    """The properties that real images have, for a version of the BusyBox image."""
    more = {"version": version, "architecture": architecture}
    return {**STANDARD, **more, "description": f"BusyBox, version {version}"}


def metadata(recipe: Recipe) -> str:
    """The text of ``metadata.yaml``. Scalars in JSON are scalars in YAML, whatever they hold."""
    lines = [
        f"architecture: {json.dumps(recipe.architecture)}",
        f"creation_date: {recipe.creation_date}",
    ]
    if recipe.expiry_date is not None:
        lines.append(f"expiry_date: {recipe.expiry_date}")
    if recipe.properties is not None:
        lines.append("properties:" if recipe.properties else "properties: {}")
        for key, value in recipe.properties.items():
            lines.append(f"  {_scalar(key)}: {_scalar(value)}")
    lines += [
        "templates:",
        "  /etc/hostname:",
        "    when: [create, copy]",
        "    template: hostname.tpl",
    ]
    return "\n".join(lines) + "\n"


def root(version: str) -> list[Member]:
    """A root file system that boots in a container. ``/etc/version`` holds the version."""
    members = [Member(folder) for folder in _FOLDERS]
    members.append(Member("bin/busybox", _busybox(), mode=0o755))
    members += [Member(f"bin/{applet}", link="busybox") for applet in _applets()]
    members.append(Member("sbin/init", link="../bin/busybox"))
    members += [Member(name, text.encode()) for name, text in _FILES.items()]
    members.append(Member("etc/version", f"{version}\n".encode()))
    return members


def disk(version: str) -> bytes:
    """A raw disk of 4 MiB, mostly empty. It does not boot: it has to be stored, not to run."""
    text = hashlib.sha512(version.encode()).digest() * 128
    return text.ljust(4 << 20, b"\0")


@functools.cache
def tools() -> None:
    """See to it that all that builds images is installed."""
    install(IMAGE_TOOLS)


@functools.cache
def _busybox() -> bytes:
    tools()
    return _BUSYBOX.read_bytes()


@functools.cache
def _applets() -> tuple[str, ...]:
    tools()
    try:
        answer = subprocess.run([_BUSYBOX, "--list"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise LabError(f"{_BUSYBOX} does not list its applets: {error}") from error
    return tuple(sorted(name for name in answer.stdout.split() if name != "busybox"))


def _scalar(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)

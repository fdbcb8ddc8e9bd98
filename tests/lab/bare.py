# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What distributions publish beside images: disks of virtual machines, and root file systems."""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
from pathlib import Path

from . import cache, content
from .errors import LabError
from .images import place
from .packages import install
from .packing import PACKERS, TIME, qcow2, tar, tool

_MIB = 1 << 20
_MIRROR = "http://deb.debian.org/debian"
_DEBIAN = ("systemd-sysv", "dbus", "ifupdown", "iproute2")
_SETTINGS = """\
label: gpt
label-id: 5a0c1c3e-0000-4000-8000-000000000001
start=2048, size=16384, type=linux, uuid=5a0c1c3e-0000-4000-8000-000000000002
"""


def build_disk(folder: Path, *, version: str = "1", name: str = "disk") -> Path:
    """Build a disk, ``NAME-VERSION.qcow2``: a partition table, and an ext4 with ``etc/version`` in its partition.

    It is the same on every run. It does not boot.
    """
    install(("fdisk",))
    content.tools()
    (packed,) = cache.fetch(("disk", version), 1, lambda: (qcow2(_disk(version)),))
    path = Path(folder).absolute() / f"{name}-{version}.qcow2"
    place(path, packed)
    return path


def build_rootfs(
    folder: Path, packing: str = "tar.xz", *, version: str = "1", name: str = "rootfs"
) -> Path:
    """Build the root file system of BusyBox alone, ``NAME-VERSION.PACKING``. It is the same on every run."""
    key = ("rootfs", packing, version)
    members = content.root(version)
    (packed,) = cache.fetch(key, 1, lambda: (PACKERS[packing](tar(members)),))
    path = Path(folder).absolute() / f"{name}-{version}.{packing}"
    place(path, packed)
    return path


def debian_rootfs() -> Path:
    """A root file system of Debian 12 by debootstrap, ``.tar.zst``, which is made once and then kept."""
    install(("debootstrap", "zstd"))
    kept = cache.folder() / "debian-12-rootfs.tar.zst"
    kept.parent.mkdir(parents=True, exist_ok=True)
    with kept.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            _debootstrap(kept)
    return kept


def _debootstrap(path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="lab-debian-", dir="/var/tmp") as folder:
        root, packed = Path(folder) / "root", Path(folder) / "rootfs.tar.zst"
        command = ["debootstrap", "--variant=minbase", f"--include={','.join(_DEBIAN)}"]
        done = subprocess.run(
            [*command, "bookworm", root, _MIRROR], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise LabError(f"debootstrap: {done.stdout[-300:]}{done.stderr[-300:]}")
        (root / "etc/hostname").write_text("debian\n")
        subprocess.run(
            ["rm", "-rf", root / "var/cache/apt", root / "var/lib/apt/lists"], check=True
        )
        words = ["tar", "--numeric-owner", "--xattrs", "-I", "zstd -q -T0"]
        subprocess.run([*words, "-C", str(root), "-cf", str(packed), "."], check=True)
        made = path.with_suffix(".new")
        subprocess.run(["cp", str(packed), str(made)], check=True)
        made.replace(path)


def _disk(version: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="lab-disk-") as name:
        folder = Path(name)
        (folder / "tree/etc").mkdir(parents=True)
        (folder / "tree/etc/version").write_text(f"{version}\n")
        for path in (folder / "tree", folder / "tree/etc", folder / "tree/etc/version"):
            os.utime(path, (TIME, TIME))
        uuid = "5a0c1c3e-0000-4000-8000-000000000003"
        settings = ["-q", "-F", "-U", uuid, "-E", f"hash_seed={uuid}", "-d", str(folder / "tree")]
        tool(
            ["env", f"E2FSPROGS_FAKE_TIME={TIME}", "mkfs.ext4", *settings, str(folder / "fs"), "8M"]
        )
        # It has the times at which the files were changed here.
        for inode in ("/etc", "/etc/version"):
            change = f"set_inode_field {inode} ctime @{TIME}"
            tool(
                [
                    "env",
                    f"E2FSPROGS_FAKE_TIME={TIME}",
                    "debugfs",
                    "-w",
                    "-R",
                    change,
                    str(folder / "fs"),
                ]
            )
        disk = folder / "disk"
        disk.touch()
        os.truncate(disk, 12 * _MIB)
        tool(["sfdisk", "--quiet", str(disk)], _SETTINGS.encode())
        with disk.open("r+b") as file:
            file.seek(_MIB)
            file.write((folder / "fs").read_bytes())
        return disk.read_bytes()

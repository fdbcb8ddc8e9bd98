# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What distributions publish for clouds, in small: disks and root file systems with checksum files as theirs."""

from __future__ import annotations

import shutil
from hashlib import sha256, sha512
from pathlib import Path

from lab import SigningKey, build_disk, build_rootfs

HOSTS = (
    "cloud.debian.org",
    "cloud-images.ubuntu.com",
    "download.rockylinux.org",
    "dl-cdn.alpinelinux.org",
)

DEBIAN = "images/cloud/trixie/latest/debian-13-generic-amd64.qcow2"
UBUNTU = "noble/current/noble-server-cloudimg-amd64"
ROCKY = "pub/rocky/9/images/x86_64/Rocky-9-GenericCloud.latest.x86_64.qcow2"
ALPINE = "alpine/v3.23/releases/cloud/nocloud_alpine-3.23.3-x86_64-uefi-cloudinit-r0.qcow2"


def publish(www: Path, build: Path, keyring: Path) -> None:
    """Publish all of it in the document root of a web server that has all of ``HOSTS``.

    What Ubuntu signs is signed by a key that is written to ``keyring``.
    """
    disks = {
        path: _put(build_disk(build, version=version), www / path)
        for path, version in (
            (DEBIAN, "debian"),
            (f"{UBUNTU}.img", "ubuntu"),
            (ROCKY, "rocky"),
            (ALPINE, "alpine"),
        )
    }
    rootfs = _put(build_rootfs(build, "squashfs"), www / f"{UBUNTU}.squashfs")
    debian, ubuntu, rocky, alpine = disks.values()
    digest = sha512(debian.read_bytes()).hexdigest()
    debian.with_name("SHA512SUMS").write_text(
        f"{'0' * 128}  debian-13-generic-arm64.qcow2\n{digest}  {debian.name}\n"
    )
    listing = ubuntu.with_name("SHA256SUMS")
    listing.write_text(
        "".join(f"{sha256(one.read_bytes()).hexdigest()} *{one.name}\n" for one in (ubuntu, rootfs))
    )
    with SigningKey(keyring) as key:
        key.sign(listing, ".gpg", armored=True)
    digest, size = sha256(rocky.read_bytes()).hexdigest(), rocky.stat().st_size
    rocky.with_name(f"{rocky.name}.CHECKSUM").write_text(
        f"# {rocky.name}: {size} bytes\nSHA256 ({rocky.name}) = {digest}\n"
    )
    alpine.with_name(f"{alpine.name}.sha512").write_text(sha512(alpine.read_bytes()).hexdigest())


def _put(file: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(file, target))

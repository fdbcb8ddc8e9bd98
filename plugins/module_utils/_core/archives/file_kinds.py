# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""File formats by their first bytes (``shared/archive.go``, DetectCompressionFile)."""

from __future__ import annotations

_MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZ", "bzip2"),
    (b"\x5d\x00\x00", "lzma"),
    (b"hsqs", "squashfs"),
    (b"QFI", "qcow2"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x7fELF", "program"),
    (b"$ANSIBLE_VAULT;", "vault"),
)
ARCHIVES = {"tar", "gzip", "xz", "zstd", "bzip2", "lzma", "squashfs"}
WORDS = {
    "tar": "a tar archive",
    "gzip": "a gzip file",
    "xz": "an xz file",
    "zstd": "a zstd file",
    "bzip2": "a bzip2 file",
    "lzma": "an lzma file",
    "squashfs": "a squashfs",
    "qcow2": "a qcow2 disk",
    "zip": "a zip file",
    "program": "a program",
    "vault": "encrypted with Ansible Vault",
    "html": "an HTML page",
    "text": "plain text",
    "unknown": "data in a format that LXD does not know",
}


def file_kind(head: bytes) -> str:
    """The format of a file by its first 512 bytes: one of the kinds in the tables above."""
    if head[257:262] == b"ustar":
        return "tar"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<?xml")):
        return "html"
    return "text" if all(byte in b"\t\n\r" or byte >= 32 for byte in head) else "unknown"

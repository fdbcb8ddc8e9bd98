# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of architectures: those of LXD, of distributions, and of image servers."""

from __future__ import annotations

_ARCHITECTURES = {
    "i686": "i386 i586 386 x86 generic_32",
    "x86_64": "amd64 amd64v3 generic_64",
    "armv6l": "armel arm",
    "armv7l": "armhf armhfp armv7a_hardfp armv7 armv7a_vfpv3_hardfp",
    "armv8l": "",
    "aarch64": "arm64 arm64_generic",
    "ppc": "powerpc",
    "ppc64": "powerpc64",
    "ppc64le": "ppc64el",
    "s390x": "",
    "mips": "mipsel mipsle",
    "mips64": "mips64el mips64le",
    "riscv32": "",
    "riscv64": "",
    "loongarch64": "loong64",
}
_ARCHITECTURE_NAMES = {
    alias: name for name, aliases in _ARCHITECTURES.items() for alias in (name, *aliases.split())
}


def architecture_name(text: str) -> str | None:
    """LXD's own name for an architecture by any of the names it knows (``shared/osarch/architectures.go``)."""
    words = text.split()
    return _ARCHITECTURE_NAMES.get(words[0]) if words else None


def common_architecture(name: str) -> str:
    """The name that distributions and image servers use for what LXD calls ``name``: ``amd64`` for ``x86_64``."""
    return (_ARCHITECTURES[name].split() or [name])[0]

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Built images, kept from run to run: packing them again takes longer than reading them."""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def fetch(key: object, parts: int, make: Callable[[], tuple[bytes, ...]]) -> tuple[bytes, ...]:
    """The files made before for this key (as its ``repr``), else those that ``make`` makes now.

    What is kept is named after the key, BusyBox and the code that builds, so it is never out of
    date. A cache that cannot be written is no error.
    """
    digest = hashlib.sha256(f"{_builder()} {key!r}".encode()).hexdigest()[:32]
    kept = folder()
    paths = [kept / f"{digest}.{number}" for number in range(parts)]
    try:
        return tuple(path.read_bytes() for path in paths)
    except OSError:
        made = make()
    try:
        kept.mkdir(parents=True, exist_ok=True)
        for path, data in zip(paths, made, strict=True):
            with tempfile.NamedTemporaryFile(dir=kept, delete=False) as file:
                file.write(data)
            Path(file.name).replace(path)
    except OSError:
        pass
    return made


def folder() -> Path:
    """The folder of all that is kept."""
    return _FOLDER


#: Found once: a test may have another home than the next one, and what is built is not always the same.
_FOLDER = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "imagestore-lxd-lab"


@functools.cache
def _builder() -> str:
    """A digest of all that has a say in the bytes of an image."""
    digest = hashlib.sha256()
    for name in ("bare.py", "content.py", "images.py", "packing.py"):
        digest.update((Path(__file__).parent / name).read_bytes())
    for program in ("/bin/busybox", "/usr/bin/sqfstar", "/usr/bin/qemu-img", "/usr/bin/zstd"):
        try:
            facts = Path(program).stat()
            digest.update(f"{program} {facts.st_size} {facts.st_mtime_ns}".encode())
        except OSError:
            digest.update(program.encode())
    return digest.hexdigest()

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The environment of scenarios: test servers, large images, modules, and the rows of results."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from lab import Image, Server, build_large

from .measure import Cost, Modules, client

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True)
class Row:
    """One value and its limit; None means no limit."""

    what: str
    figure: float
    target: float | None = None
    unit: str = ""
    remark: str = ""

    @property
    def over(self) -> bool:
        """Whether the value exceeds its limit."""
        return self.target is not None and self.figure > self.target


def ratio(what: str, ours: Cost, theirs: Cost, target: float) -> Row:
    """The time relative to that of the command-line client."""
    remark = f"{ours.seconds:.2f} s, lxc {theirs.seconds:.2f} s"
    return Row(what, ours.seconds / theirs.seconds, target, "of lxc", remark)


class Setting:
    """A directory, servers and images, created when they are first used.

    ``size`` is the bytes of a large image, ``rounds`` how often a comparison is made.
    """

    def __init__(self, folder: Path, size: int, rounds: int, stack: ExitStack) -> None:
        self.folder = folder
        self.size = size
        self.rounds = rounds
        self._stack = stack

    @cached_property
    def modules(self) -> Modules:
        """The modules of the collection."""
        return Modules(self.folder)

    @cached_property
    def server(self) -> Server:
        """A server without request logging."""
        return self.start("bench", debug=False)

    @cached_property
    def source(self) -> Server:
        """Another such server, with the large image as a public one."""
        server = self.start("source", debug=False)
        client(server, "image", "import", *map(str, self.large().paths), "--public")
        return server

    def start(self, name: str, *, debug: bool = True) -> Server:
        """Start another server, which runs until the end."""
        return self._stack.enter_context(Server(name, storage=False, debug=debug))

    @cache  # noqa: B019  # there is one setting, which lives as long as the program
    def large(self, split: bool = False) -> Image:
        """An image of incompressible bytes."""
        return build_large(self.folder, self.size, split=split)


@contextmanager
def setting(size: int, rounds: int) -> Iterator[Setting]:
    """A setting for the duration of a ``with`` statement."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as stack:
        yield Setting(Path(folder), size, rounds, stack)

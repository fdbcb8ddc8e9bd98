# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What scenarios work with: a scratch server, large images, and the modules; and the rows that they give."""

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
    """One figure, and what it may be at most; None is: as it comes."""

    what: str
    figure: float
    target: float | None = None
    unit: str = ""
    remark: str = ""

    @property
    def over(self) -> bool:
        """Whether it is more than it may be."""
        return self.target is not None and self.figure > self.target


def ratio(what: str, ours: Cost, theirs: Cost, target: float) -> Row:
    """What something takes of the time that the command-line client takes for it."""
    remark = f"{ours.seconds:.2f} s, lxc {theirs.seconds:.2f} s"
    return Row(what, ours.seconds / theirs.seconds, target, "of lxc", remark)


class Setting:
    """A folder, a server and images, each made when it is first asked for.

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
        """A server that spends no time on logging requests."""
        return self.start("bench", debug=False)

    @cached_property
    def source(self) -> Server:
        """Another such server, which has the large image for everybody."""
        server = self.start("source", debug=False)
        client(server, "image", "import", *map(str, self.large().paths), "--public")
        return server

    def start(self, name: str, *, debug: bool = True) -> Server:
        """Another server, which is there until the end."""
        return self._stack.enter_context(Server(name, storage=False, debug=debug))

    @cache  # noqa: B019  # there is one setting, which lives as long as the program
    def large(self, split: bool = False) -> Image:
        """An image of incompressible bytes."""
        return build_large(self.folder, self.size, split=split)


@contextmanager
def setting(size: int, rounds: int) -> Iterator[Setting]:
    """A setting for the time of a ``with`` statement."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as stack:
        yield Setting(Path(folder), size, rounds, stack)

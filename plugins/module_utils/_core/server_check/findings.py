# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Problems that were found on an image server."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Callable, Iterable, Iterator, TypeVar

from ..errors import ConnectionFailed, FileError, TimedOut
from ..urls import mask_credentials

MAX_FINDINGS = 200

SERVER_ERRORS = (ConnectionFailed, FileError, TimedOut)
"""Errors that are findings. What is missing on this host, as a Python library, is not one."""

MAX_SHOWN_CHARACTERS = 120
"""Characters shown of a text that comes from the server."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Finding:
    """One problem: what it is about (a URL or an image), what is wrong with it, and what to do, which may be empty."""

    subject: str
    problem: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.subject}: {self.problem}." + (f" {self.hint}" if self.hint else "")


class Findings:
    """The findings of all checks, each once, and at most ``MAX_FINDINGS``; ``omitted`` counts those beyond."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._found: dict[Finding, None] = {}
        self.omitted = 0

    def collect(self, subject: str, check: Iterable[Finding]) -> None:
        """Run one check to its end. An error that ends it is its last finding, about ``subject``."""
        self._keep(_errors_as_findings(subject, check))

    def collect_each(
        self, subject: str, check: Callable[[Item], Iterable[Finding]], items: Iterable[Item]
    ) -> None:
        """Run one check for each of many items, several at a time."""

        def run(item: Item) -> list[Finding]:
            return list(_errors_as_findings(subject, check(item)))

        for found in self._pool.map(run, items):
            self._keep(found)

    def _keep(self, found: Iterable[Finding]) -> None:
        for finding in found:
            if len(self._found) < MAX_FINDINGS or finding in self._found:
                self._found[finding] = None
            else:
                self.omitted += 1

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._found)


def _errors_as_findings(subject: str, findings: Iterable[Finding]) -> Iterator[Finding]:
    try:
        yield from findings
    except SERVER_ERRORS as error:
        yield Finding(subject, error.message, error.hint)


def shown(text: str) -> str:
    """A text of the server for people to read: quoted, without credentials, and cut short."""
    cut = text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}…"
    return repr(mask_credentials(cut))

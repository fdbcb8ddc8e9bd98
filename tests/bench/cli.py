# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command line, and the table of results."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterator, Sequence

from ansible.release import __version__ as ansible_version

from lab import LabError

from . import copy_images, import_directory, import_disks, import_files, mirror, publish, store
from .measure import DISTURBED, Unexpected
from .setting import GIB, MIB, Row, Setting, setting

SCENARIOS: dict[str, Callable[[Setting], Iterator[Row]]] = {
    "import-unified": import_files.unified,
    "import-split": import_files.split,
    "import-fingerprint": import_files.fingerprint,
    "import-memory": import_files.memory,
    "import-unchanged": import_files.unchanged,
    "import-directory": import_directory.directory,
    "import-qcow2": import_disks.qcow2,
    "import-raw": import_disks.raw,
    "copy-pull": copy_images.pull,
    "copy-relay": copy_images.relay,
    "copy-unchanged": copy_images.unchanged,
    "store-unchanged": store.unchanged,
    "store-imports": store.imports,
    "store-copies": store.copies,
    "store-large": store.large,
    "publish-unchanged": publish.unchanged,
    "publish-endpoint": publish.endpoint,
    "mirror": mirror.download,
    "mirror-unchanged": mirror.unchanged,
    "mirror-large": mirror.large,
}


def main(words: Sequence[str] | None = None) -> int:
    """Run scenarios. The exit status is 1 if a value exceeds its limit, and 2 after an error."""
    options = _parser().parse_args(words)
    chosen = options.scenario or list(SCENARIOS)
    if unknown := set(chosen) - set(SCENARIOS):
        print(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
        return 2
    over = 0
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))  # and remove what was made
    try:
        with setting(options.size * MIB, options.rounds) as made:
            print(_headline(made))
            for name in chosen:
                print(f"\n{name}: {(SCENARIOS[name].__doc__ or '').strip()}", flush=True)
                for row in SCENARIOS[name](made):
                    print(_line(row), flush=True)
                    over += row.over
    except (LabError, Unexpected) as error:
        print(f"bench: {error}")
        return 2
    if any(DISTURBED):
        print(
            f"\nsomething else kept the machine busy in {sum(DISTURBED)} of {len(DISTURBED)} turns"
        )
    print(f"\nfigures over their target: {over}" if over else "\nall within their targets")
    return 1 if over else 0


def _headline(made: Setting) -> str:
    version = made.server.api("GET", "/1.0")["environment"]["server_version"]
    size = f"{made.size / GIB:g} GiB" if made.size >= GIB else f"{made.size / MIB:g} MiB"
    return (
        f"LXD {version}, ansible-core {ansible_version}, Python {platform.python_version()},"
        f" {os.cpu_count()} processors\n"
        f"images of {size} that cannot be compressed; medians of {made.rounds} rounds, by turns"
    )


def _line(row: Row) -> str:
    figure = f"{row.figure:.2f}" if row.unit.startswith("of ") else f"{row.figure:.0f}"
    target = "" if row.target is None else f"at most {row.target:g}"
    verdict = "" if row.target is None else "OVER" if row.over else "ok"
    return f"  {row.what:<40} {figure:>6} {row.unit:<9} {target:<12} {verdict:<4}  {row.remark}".rstrip()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.splitlines()[0])
    parser.add_argument(
        "scenario", nargs="*", help=f"{', '.join(SCENARIOS)} (default: all of them)"
    )
    parser.add_argument(
        "--size", type=int, default=1024, help="of the large images, in MiB (default: %(default)s)"
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="of each comparison (default: %(default)s)"
    )
    return parser

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``python tests/bench/run.py``: runs the benchmarks; see ``--help``."""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:
    # Run by its path, Python searches this directory for modules; the package is in its parent directory.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.cli import main

if __name__ == "__main__":
    sys.exit(main())

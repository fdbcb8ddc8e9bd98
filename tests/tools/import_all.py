# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Import every file that runs on managed hosts, by the name that it has in the collection."""

from __future__ import annotations

import importlib
import sys
import warnings
from pathlib import Path

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"

warnings.simplefilter("error", SyntaxWarning)
count = 0
for folder in ("module_utils", "modules"):
    for file in sorted((PLUGINS / folder).rglob("*.py")):
        parts = file.relative_to(PLUGINS).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        importlib.import_module(f"ansible_collections.imagestore.lxd.plugins.{name}")
        count += 1
requests = importlib.import_module("requests")
print(f"Python {sys.version.split()[0]}, requests {requests.__version__}: {count} files imported")

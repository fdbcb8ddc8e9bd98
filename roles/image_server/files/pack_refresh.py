# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packs the program with which an image server renews its mirrors: the collection's library, and how it is started.

Runs on the controller with a directory as its argument, and prints the path of the program in there. The same library
always makes the same program.
"""

from __future__ import annotations

import os
import sys
import zipfile

LIBRARY = os.path.join(os.path.dirname(__file__), "../../../plugins/module_utils/_core")
START = "import sys\n\nfrom _core.refresh.program import main\n\nsys.exit(main(sys.argv[1:]))\n"


def pack(path: str) -> None:
    """Write the program."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("__main__.py"), START)
        # Python finds no package in an archive without it.
        archive.writestr(zipfile.ZipInfo("_core/__init__.py"), "")
        for folder, folders, names in os.walk(LIBRARY):
            folders.sort()
            for name in sorted(names):
                if not name.endswith(".py") or (folder == LIBRARY and name == "__init__.py"):
                    continue
                source = os.path.join(folder, name)
                within = os.path.join("_core", os.path.relpath(source, LIBRARY))
                with open(source, "rb") as file:
                    # Without times, which differ from one installation to the next.
                    archive.writestr(zipfile.ZipInfo(within), file.read())


def main() -> None:
    """Pack it."""
    path = os.path.join(sys.argv[1], f"image-server-refresh-{os.getpid()}.pyz")
    pack(path)
    sys.stdout.write(path)


if __name__ == "__main__":
    main()

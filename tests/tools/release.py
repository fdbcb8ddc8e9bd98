# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make a release: ``make release VERSION=1.2.3``.

The changelog is made from the fragments, galaxy.yml gets the version, and the result is committed, tagged and built as
a tarball. Nothing is pushed or published. A release that fails leaves the checkout as it was.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
GALAXY = ROOT / "galaxy.yml"
FRAGMENTS = ROOT / "changelogs/fragments"
CHANGELOG = ROOT / "changelogs/changelog.yaml"

#: As Galaxy wants it: three numbers, and for a pre-release its kind and number.
VERSION = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}(-(alpha|beta|rc)\.[1-9]\d*)?")


class ReleaseError(Exception):
    """Why there is no release."""


def run(*words: str) -> str:
    """Run a command in the checkout and return what it prints."""
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"{' '.join(words)} failed:\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


def tool(name: str) -> str:
    """The path of a program of this Python's environment."""
    return str(Path(sys.executable).with_name(name))


def check(version: str) -> None:
    """Refuse what cannot become a release."""
    if not VERSION.fullmatch(version):
        raise ReleaseError(
            f"{version!r} is not a version; expected for example VERSION=1.2.3 or VERSION=1.2.3-rc.1"
        )
    if changed := run("git", "status", "--porcelain"):
        raise ReleaseError(f"commit or remove these changes first:\n{changed.rstrip()}")
    if run("git", "tag", "--list", version).strip():
        raise ReleaseError(f"there is a tag {version} already; choose another version")
    if version in yaml.safe_load(CHANGELOG.read_text())["releases"]:
        raise ReleaseError(f"the changelog has a release {version} already; choose another version")
    if not list(FRAGMENTS.glob("*.yml")):
        raise ReleaseError("there is nothing to release: changelogs/fragments has no fragments")
    run(tool("antsibull-changelog"), "lint")


def release(version: str) -> Path:
    """Make the release; the path of its tarball."""
    tarball = ROOT / f"imagestore-lxd-{version}.tar.gz"
    try:
        text = re.sub(r"^version: .*$", f"version: {version}", GALAXY.read_text(), flags=re.M)
        GALAXY.write_text(text)
        doc = ("--ansible-doc-bin", tool("ansible-doc"))
        run(tool("antsibull-changelog"), "release", "-v", "--version", version, *doc)
        run(tool("ansible-galaxy"), "collection", "build", "--force")
        if not tarball.exists():
            raise ReleaseError(f"ansible-galaxy did not build {tarball.name}")
        run("git", "add", "--all")
        run("git", "commit", "--quiet", "--message", f"Release {version}")
    except BaseException:
        # The checkout was clean, so nothing but the above is lost.
        tarball.unlink(missing_ok=True)
        run("git", "reset", "--quiet", "--hard")
        run("git", "clean", "--quiet", "--force", "-d")
        raise
    run("git", "tag", "--annotate", version, "--message", f"imagestore.lxd {version}")
    return tarball


def main() -> int:
    """Do what the command line says."""
    version = sys.argv[1] if len(sys.argv) == 2 else ""
    try:
        check(version)
        tarball = release(version)
    except ReleaseError as error:
        print(f"no release: {error}", file=sys.stderr)
        return 1
    print(f"made the commit and the tag {version}, and {tarball.name}")
    print(f"Look at them (git show), then: git push origin HEAD {version}")
    print(f"and: ansible-galaxy collection publish {tarball.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

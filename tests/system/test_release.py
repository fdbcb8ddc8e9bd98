# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``make release``, in a clone of this checkout with one more change."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml
from pages import ROOT

pytestmark = pytest.mark.families("lxd")  # it is about no server

VERSION = "97.0.0"


class Clone:
    """A clone of the checkout, with what is not committed yet, and with a changelog fragment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        identity = {
            f"GIT_{who}_{what}": value
            for who in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", "Tests"), ("EMAIL", "tests@example.com"))
        }
        self._environment = {**os.environ, **identity}
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        self.git("rm", "--quiet", "-r", ".")
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
        for name in filter(None, names.stdout.split("\0")):
            if (ROOT / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)
        # Right after a release, the checkout has none.
        fragment = folder / "changelogs/fragments/test-release.yml"
        fragment.parent.mkdir(parents=True, exist_ok=True)
        fragment.write_text(
            "---\nminor_changes:\n  - lxd_image_copy - a change for the next release.\n"
        )
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "Work in progress")

    def git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", *words],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def release(self, version: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "tests/tools/release.py", version],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def state(self) -> tuple[str, str, str]:
        return self.git("rev-parse", "HEAD"), self.git("status", "--porcelain"), self.git("tag")


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path / "clone")


def test_a_release_is_a_commit_a_tag_and_a_tarball(clone: Clone) -> None:
    before, *_ = clone.state()
    fragments = list((clone.folder / "changelogs/fragments").glob("*.yml"))
    done = clone.release(VERSION)
    assert done.returncode == 0, done.stderr
    assert clone.git("rev-parse", f"{VERSION}^{{commit}}") == clone.git("rev-parse", "HEAD")
    assert clone.git("rev-parse", "HEAD^") == before
    assert clone.git("status", "--porcelain") == ""
    assert not [path for path in fragments if path.exists()]
    changelog = yaml.safe_load((clone.folder / "changelogs/changelog.yaml").read_text())
    assert changelog["releases"][VERSION]["changes"]["minor_changes"]
    assert {"CHANGELOG.md", "CHANGELOG.rst"} <= {path.name for path in clone.folder.iterdir()}
    with tarfile.open(clone.folder / f"imagestore-lxd-{VERSION}.tar.gz") as tarball:
        names = set(tarball.getnames())
        manifest = yaml.safe_load(tarball.extractfile("MANIFEST.json") or b"")
    assert manifest["collection_info"]["version"] == VERSION
    assert {"CHANGELOG.md", "README.md", "bindep.txt", "plugins/modules/lxd_image.py"} <= names
    assert not names & {".github", "Makefile", "changelogs/fragments", "docs/page", "tests"}

    again = clone.release(VERSION)
    assert again.returncode == 1
    assert f"there is a tag {VERSION} already" in again.stderr
    later = clone.release("97.0.1")
    assert later.returncode == 1
    assert "there is nothing to release" in later.stderr


def test_what_cannot_be_released_leaves_the_checkout_as_it_was(clone: Clone) -> None:
    for version in ("", "1.2", "v1.2.3", "01.2.3", "1.2.3-rc"):
        refused = clone.release(version)
        assert refused.returncode == 1
        assert "is not a version" in refused.stderr
    before = clone.state()
    (clone.folder / "new.txt").write_text("not committed\n")
    refused = clone.release(VERSION)
    assert refused.returncode == 1
    assert "commit or remove these changes first:\n?? new.txt" in refused.stderr
    (clone.folder / "new.txt").unlink()

    # It fails at the end, after the changelog and the tarball were made.
    hook = clone.folder / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\necho the hook refuses; exit 1\n")
    hook.chmod(0o755)
    failed = clone.release(VERSION)
    assert failed.returncode == 1
    assert "the hook refuses" in failed.stderr
    assert clone.state() == before
    assert not list(clone.folder.glob("*.tar.gz"))

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import io
import os
import random
import shutil
import stat
import subprocess
import tarfile

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils.core.archives.compressing import (
    compressed,
)
from ansible_collections.imagestore.lxd.plugins.module_utils.core.archives.packing import Tree
from ansible_collections.imagestore.lxd.plugins.module_utils.core.errors import WrongFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

METADATA = "architecture: x86_64\ncreation_date: 1700000000\n"
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=40)
NAMES = NAMES.filter(lambda name: name not in (".", "..") and len(name.encode()) < 200)
CONTENTS = st.binary(max_size=1500)


def directory(path, entries=()):
    """An image in a directory; entries are (name, content), None for a directory, or a link's target as text."""
    (path / "rootfs").mkdir(parents=True)
    (path / "metadata.yaml").write_text(METADATA)
    for name, content in entries:
        place = path / "rootfs" / name
        if content is None:
            place.mkdir()
        elif isinstance(content, str):
            place.symlink_to(content)
        else:
            place.write_bytes(content)
    return path


def archive(path):
    return b"".join(Tree(str(path)).archive())


def unpacked(packed, into):
    into.mkdir()
    command = [
        "tar",
        "-C",
        str(into),
        "--numeric-owner",
        "--xattrs",
        "--xattrs-include=*",
        "-xf",
        "-",
    ]
    subprocess.run(command, input=packed, check=True, stderr=subprocess.DEVNULL)
    return into


def described(path):
    """All that an archive keeps of a tree, by name."""
    found = {}
    for folder, folders, files in os.walk(path):
        for name in [*folders, *files]:
            place = os.path.join(folder, name)
            state = os.lstat(place)
            content = None
            if stat.S_ISREG(state.st_mode):
                with open(place, "rb") as file:
                    content = file.read()
            elif stat.S_ISLNK(state.st_mode):
                content = os.readlink(place)
            kept = state.st_mode, state.st_uid, state.st_gid, state.st_nlink > 1, content
            times = () if stat.S_ISLNK(state.st_mode) else (int(state.st_mtime),)
            found[os.path.relpath(place, path)] = kept + times
    return found


class TestAnArchive:
    @settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
    @given(tree=st.dictionaries(NAMES, st.one_of(CONTENTS, st.none(), NAMES), max_size=8))
    def test_of_any_tree_is_stable_and_unpacks_to_the_same_tree(self, tmp_path_factory, tree):
        base = tmp_path_factory.mktemp("tree")
        try:
            path = directory(base / "a", sorted(tree.items()))
        except OSError:
            return  # two names that this file system takes for one
        packed = archive(path)
        assert packed == archive(path)
        assert described(unpacked(packed, base / "b")) == described(path)

    def test_is_the_same_wherever_and_in_whatever_order_the_tree_was_made(self, tmp_path):
        entries = [(f"file{number}", bytes([number])) for number in range(50)]
        packed = []
        for place in ("one", "two/deeper"):
            random.shuffle(entries)
            path = directory(tmp_path / place, entries)
            for folder, _folders, files in os.walk(path, topdown=False):
                for name in [*files, "."]:
                    os.utime(os.path.join(folder, name), (0, 1_700_000_000))
            packed.append(archive(path))
        assert packed[0] == packed[1]

    def test_changes_with_every_change_of_the_tree(self, tmp_path):
        path = directory(tmp_path / "a", [("file", b"a"), ("link", "file")])
        seen = {archive(path)}
        changes = [
            lambda: (path / "rootfs/file").write_bytes(b"b"),
            lambda: (path / "rootfs/file").chmod(0o600),
            lambda: os.utime(path / "rootfs/file", (0, 5)),
            lambda: (path / "rootfs/file").rename(path / "rootfs/other"),
            lambda: (path / "metadata.yaml").write_text(METADATA + "#"),
            (path / "templates").mkdir,
        ]
        for change in changes:
            change()
            seen.add(archive(path))
        assert len(seen) == len(changes) + 1

    def test_does_not_change_when_the_tree_is_only_read(self, tmp_path):
        path = directory(tmp_path / "a", [("file", b"a")])
        before = archive(path)
        os.utime(path / "rootfs/file", (1, (path / "rootfs/file").stat().st_mtime))
        assert archive(path) == before

    def test_begins_with_the_metadata(self, tmp_path):
        with tarfile.open(fileobj=io.BytesIO(archive(directory(tmp_path / "a")))) as packed:
            assert packed.getnames() == ["metadata.yaml", "rootfs"]

    def test_keeps_hard_links_once(self, tmp_path):
        path = directory(tmp_path / "a", [("first", bytes(100_000))])
        os.link(path / "rootfs/first", path / "rootfs/second")
        packed = archive(path)
        assert len(packed) < 150_000
        there = unpacked(packed, tmp_path / "b")
        assert (there / "rootfs/first").stat().st_ino == (there / "rootfs/second").stat().st_ino

    def test_keeps_extended_attributes_with_any_bytes(self, tmp_path):
        path = directory(tmp_path / "a", [("file", b"a")])
        value = bytes(range(256))
        try:
            os.setxattr(path / "rootfs/file", "user.any", value)
        except OSError:
            pytest.skip("this file system has no extended attributes")
        there = unpacked(archive(path), tmp_path / "b")
        assert os.getxattr(there / "rootfs/file", "user.any") == value

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can make these")
    def test_keeps_devices_and_owners(self, tmp_path):
        path = directory(tmp_path / "a", [("file", b"a")])
        os.mknod(path / "rootfs/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        os.mkfifo(path / "rootfs/pipe")
        os.chown(path / "rootfs/file", 100_000, 4_000_000)
        there = unpacked(archive(path), tmp_path / "b")
        assert described(there) == described(path)
        assert os.lstat(there / "rootfs/null").st_rdev == os.makedev(1, 3)

    def test_names_no_one(self, tmp_path):
        with tarfile.open(fileobj=io.BytesIO(archive(directory(tmp_path / "a")))) as packed:
            assert {(member.uname, member.gname) for member in packed} == {("", "")}

    def test_leaves_out_what_does_not_belong_to_the_image(self, tmp_path):
        path = directory(tmp_path / "a")
        (path / "build.log").touch()
        with tarfile.open(fileobj=io.BytesIO(archive(path))) as packed:
            assert "build.log" not in packed.getnames()


class TestADirectory:
    def test_without_metadata_is_no_image(self, tmp_path):
        with pytest.raises(WrongFile, match=r"is a directory without metadata\.yaml"):
            Tree(str(tmp_path))

    def test_without_rootfs_is_no_image(self, tmp_path):
        (tmp_path / "metadata.yaml").write_text(METADATA)
        with pytest.raises(WrongFile, match="is a directory without rootfs/"):
            Tree(str(tmp_path))

    def test_with_wrong_metadata_is_no_image(self, tmp_path):
        directory(tmp_path / "a")
        (tmp_path / "a/metadata.yaml").write_text("creation_date: 1")
        with pytest.raises(WrongFile, match="names no architecture"):
            Tree(str(tmp_path / "a"))


class TestCompression:
    @pytest.mark.parametrize("kind", ["gzip", "zstd", "xz", "none"])
    def test_gives_back_what_went_in(self, kind):
        program = {"none": "cat"}.get(kind, kind)
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
        blocks = [os.urandom(1 << 20) for _number in range(9)]
        packed = b"".join(compressed(iter(blocks), kind))
        options = [] if kind == "none" else ["-dc"]
        unpacked = subprocess.run(
            [program, *options], input=packed, stdout=subprocess.PIPE, check=True
        )
        assert hashlib.sha256(unpacked.stdout).digest() == hashlib.sha256(b"".join(blocks)).digest()

    @pytest.mark.parametrize("kind", ["gzip", "none"])
    def test_is_the_same_every_time(self, kind):
        blocks = [bytes([number]) * 100_000 for number in range(20)]
        first, second = (list(compressed(iter(blocks), kind)) for _number in range(2))
        assert first == second

    @pytest.mark.parametrize("kind", ["gzip", "zstd"])
    def test_passes_on_what_goes_wrong_before_it(self, kind):
        def blocks():
            yield b"a"
            raise WrongFile("it is gone")

        with pytest.raises(WrongFile, match="it is gone"):
            list(compressed(blocks(), kind))

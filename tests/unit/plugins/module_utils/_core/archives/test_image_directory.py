# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import random
import shutil
import socket
import stat
import subprocess
import sys
import tarfile

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.archives.compression import (
    compressed,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.archives.image_directory import (
    ImageDirectory,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.deadline import Deadline
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import FileError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

METADATA = "architecture: x86_64\ncreation_date: 1700000000\n"
AS_ROOT = os.geteuid() == 0
ONLY_ROOT = pytest.mark.skipif(not AS_ROOT, reason="only root can make these")


def folders(nodes):
    return st.dictionaries(NAMES, st.tuples(nodes, MODES, TIMES, ATTRIBUTES), max_size=6)


NAMES = st.binary(min_size=1, max_size=120).map(lambda name: name.translate(None, b"/\0"))
NAMES = NAMES.filter(lambda name: name not in (b"", b".", b".."))
ATTRIBUTES = st.dictionaries(
    st.binary(min_size=1, max_size=20).map(lambda name: b"user." + name.replace(b"\0", b"%=")),
    st.binary(max_size=60),
    max_size=2,
)
TIMES = st.integers(-(3 * 10**18), 4 * 10**18)
MODES = st.integers(0, 0o7777).map(lambda mode: mode if AS_ROOT else mode | 0o700)
PIPES = st.just(("pipe", None))
LINKS = st.tuples(st.just("link"), NAMES)
FILES = st.tuples(st.just("file"), st.binary(max_size=1500))
SAME = st.tuples(st.just("same"), st.integers(0, 20))
NODES = st.recursive(
    st.one_of(FILES, LINKS, PIPES, SAME),
    lambda below: st.tuples(st.just("folder"), folders(below)),
    max_leaves=12,
)


def grow(place, nodes, made):
    """Make a folder's content, as it was drawn; what is no folder goes into ``made``, and may be linked to again."""
    for name, (node, mode, time, attributes) in nodes.items():
        path = os.path.join(place, name)
        sort, content = node
        if sort == "same":
            if made:
                os.link(made[content % len(made)], path, follow_symlinks=False)
            continue
        if sort == "folder":
            os.mkdir(path)
            grow(path, content, made)
        else:
            made.append(path)
            if sort == "link":
                os.symlink(content, path)
                continue
            if sort == "pipe":
                os.mkfifo(path)
            else:
                with open(path, "wb") as file:
                    file.write(content)
        if sort != "pipe":
            for key, value in attributes.items():
                attribute(path, key, value)
        os.chmod(path, mode)
        os.utime(path, ns=(0, time))


def attribute(path, name, value):
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        pytest.skip("this file system has no such extended attributes")


def directory(path, entries=()):
    """An image in a directory. Entries are (name, content): None for a directory, a string for the target of a link."""
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
    return b"".join(ImageDirectory(str(path), Deadline(60)).archive())


def unpacked(packed, into, locale="C"):
    """Unpack an archive as LXD does (``shared/archive.go``)."""
    into.mkdir()
    command = ["tar", "--restrict", "--force-local", "-C", str(into), "--numeric-owner", "-p"]
    subprocess.run(
        [*command, "--xattrs-include=*", "-xf", "-"],
        input=packed,
        check=True,
        env={**os.environ, "LC_ALL": locale},
    )
    return into


def described(path):
    """Everything that an archive keeps of a directory, by name."""
    found = {}
    first: dict[int, bytes] = {}
    top = os.fsencode(path)
    for folder, folders, files in os.walk(top):
        for name in sorted([*folders, *files]):
            place = os.path.join(folder, name)
            state = os.lstat(place)
            content = None
            if stat.S_ISREG(state.st_mode):
                with open(place, "rb") as file:
                    content = file.read()
            elif stat.S_ISLNK(state.st_mode):
                content = os.readlink(place)
            own = os.path.relpath(place, top)
            same = own if stat.S_ISDIR(state.st_mode) else first.setdefault(state.st_ino, own)
            names = os.listxattr(place, follow_symlinks=False)
            more = {key: os.getxattr(place, key, follow_symlinks=False) for key in names}
            kept = state.st_mode, state.st_uid, state.st_gid, state.st_rdev, same, content, more
            # GNU tar does not set the times of links.
            times = () if stat.S_ISLNK(state.st_mode) else (state.st_mtime_ns // 10**9,)
            found[own] = kept + times
    return found


def still(path):
    """Set the same times, owner and modes in a whole directory."""
    for folder, _folders, files in os.walk(path, topdown=False):
        for name in [*files, "."]:
            place = os.path.join(folder, name)
            if AS_ROOT:
                os.chown(place, 0, 0, follow_symlinks=False)
            if not os.path.islink(place):
                os.chmod(place, 0o755)
            os.utime(place, (0, 1_700_000_000), follow_symlinks=False)
    return path


class TestArchive:
    @settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
    @given(tree=folders(NODES), locale=st.sampled_from(["C", "C.UTF-8"]))
    def test_of_any_tree_is_stable_and_unpacks_to_the_same_tree(
        self, tmp_path_factory, tree, locale
    ):
        base = tmp_path_factory.mktemp("tree")
        path = directory(base / "a")
        grow(os.fsencode(path / "rootfs"), tree, [])
        packed = archive(path)
        assert packed == archive(path)
        assert described(unpacked(packed, base / "b", locale)) == described(path)
        assert archive(base / "b") == packed

    @ONLY_ROOT
    def test_is_the_same_on_every_machine_and_python(self, tmp_path):
        entries = [("file", b"a"), ("größe", b"b"), ("n" * 120, b""), ("link", "file")]
        path = directory(tmp_path / "a", entries)
        attribute(path / "rootfs/file", b"user.a", b"\xff=1")
        os.mknod(path / "rootfs/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        os.link(path / "rootfs/file", path / "rootfs/same")
        packed = archive(still(path))
        # If this changes, the images of all directories are transferred again.
        assert hashlib.sha256(packed).hexdigest() == (
            "1cb665c11bbc94d56321506432ccdbf4fdcbda9baa1449cd76c3b626fe797581"
        )

    @pytest.mark.parametrize("locale", ["C", "C.UTF-8", "POSIX"])
    def test_is_the_same_in_every_locale(self, tmp_path, locale):
        path = directory(tmp_path / "a", [("größe", b"b"), (os.fsdecode(b"\xff"), b"")])
        script = (
            f"import sys; sys.path[:0] = {sys.path!r};"
            f"from {ImageDirectory.__module__} import ImageDirectory;"
            f"from {Deadline.__module__} import Deadline;"
            f"print(ImageDirectory({str(path)!r}, Deadline(60)).digest())"
        )
        plain = {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, **plain},
            stdout=subprocess.PIPE,
            check=True,
        )
        assert done.stdout.decode().strip() == ImageDirectory(str(path), Deadline(60)).digest()

    def test_is_the_same_for_any_location_and_order_of_creation(self, tmp_path):
        entries = [(f"file{number}", bytes([number])) for number in range(50)]
        packed = []
        for place, mask in (("one", 0o022), ("two/deeper", 0o077)):
            random.shuffle(entries)
            before = os.umask(mask)
            try:
                packed.append(archive(still(directory(tmp_path / place, entries))))
            finally:
                os.umask(before)
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

    def test_is_not_changed_by_reading_the_directory(self, tmp_path):
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

    @pytest.mark.parametrize("name", [b"user.any", b"user.a=b%c%3D", b"user.\xff\xfe\n"])
    def test_keeps_extended_attributes_with_any_bytes(self, tmp_path, name):
        path = directory(tmp_path / "a", [("file", b"a")])
        value = bytes(range(256))
        attribute(path / "rootfs/file", name, value)
        there = unpacked(archive(path), tmp_path / "b")
        assert os.getxattr(there / "rootfs/file", name) == value

    @ONLY_ROOT
    def test_keeps_file_capabilities(self, tmp_path):
        path = directory(tmp_path / "a", [("ping", b"a")])
        net_raw = bytes.fromhex("0100000200200000000000000000000000000000")
        attribute(path / "rootfs/ping", b"security.capability", net_raw)
        os.chown(path / "rootfs", 1000, 1000)
        (path / "rootfs/ping").chmod(0o4755)
        there = unpacked(archive(path), tmp_path / "b")
        assert os.getxattr(there / "rootfs/ping", "security.capability") == net_raw
        assert described(there) == described(path)

    @ONLY_ROOT
    def test_does_not_contain_selinux_labels(self, tmp_path):
        path = directory(tmp_path / "a", [("file", b"a")])
        before = archive(path)
        try:
            os.setxattr(path / "rootfs/file", "security.selinux", b"u:object_r:home_t:s0\0")
        except OSError:
            pytest.skip("this system does not let labels be set")
        assert archive(path) == before

    @ONLY_ROOT
    def test_keeps_devices_and_owners(self, tmp_path):
        path = directory(tmp_path / "a", [("file", b"a")])
        os.mknod(path / "rootfs/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        os.mknod(path / "rootfs/disk", 0o660 | stat.S_IFBLK, os.makedev(4095, 1_048_575))
        os.mkfifo(path / "rootfs/pipe")
        os.chown(path / "rootfs/file", 100_000, 4_000_000)
        there = unpacked(archive(path), tmp_path / "b")
        assert described(there) == described(path)
        assert os.lstat(there / "rootfs/null").st_rdev == os.makedev(1, 3)

    def test_contains_no_user_names(self, tmp_path):
        with tarfile.open(fileobj=io.BytesIO(archive(directory(tmp_path / "a")))) as packed:
            assert {(member.uname, member.gname) for member in packed} == {("", "")}

    def test_leaves_out_other_files(self, tmp_path):
        path = directory(tmp_path / "a")
        (path / "build.log").touch()
        with tarfile.open(fileobj=io.BytesIO(archive(path))) as packed:
            assert "build.log" not in packed.getnames()

    def test_leaves_out_sockets_with_a_warning(self, tmp_path, monkeypatch):
        path = directory(tmp_path / "a")
        before = archive(still(path))
        monkeypatch.chdir(path / "rootfs")
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as left:
            left.bind("agent")
        os.utime(path / "rootfs", (0, 1_700_000_000))
        tree = ImageDirectory(str(path), Deadline(60))
        assert b"".join(tree.archive()) == before
        assert f"Sockets in {path} are left out" in tree.warning
        assert "rootfs/agent" in tree.warning

    def test_without_sockets_has_no_warning(self, tmp_path):
        tree = ImageDirectory(str(directory(tmp_path / "a")), Deadline(60))
        tree.digest()
        assert tree.warning == ""

    def test_can_be_deeper_than_the_recursion_limit(self, tmp_path):
        path = directory(tmp_path / "a")
        depth = sys.getrecursionlimit() + 200
        deep = str(path / "rootfs")
        try:
            for _level in range(depth):
                deep += "/d"
                os.mkdir(deep)
            assert archive(path).count(b"ustar") >= depth
        finally:
            # Python cannot remove a directory of this depth.
            subprocess.run(["rm", "-rf", str(path)], check=True)

    def test_streams_files_of_eight_gibibytes_and_more(self, tmp_path):
        path = directory(tmp_path / "a", [("huge", b"")])
        os.truncate(path / "rootfs/huge", 9 << 30)
        blocks = ImageDirectory(str(path), Deadline(60)).archive()
        begin = next(blocks)
        assert len(begin) < 4 << 20
        with tarfile.open(fileobj=io.BytesIO(begin), mode="r|") as packed:
            sizes = {packed.next().name: packed.offset for _member in range(2)}
            assert sizes.keys() == {"metadata.yaml", "rootfs"}
            assert packed.next().size == 9 << 30


def while_packing(path, change):
    """Pack a directory whose first file is large, and change the directory meanwhile."""
    blocks = ImageDirectory(str(path), Deadline(60)).archive()
    next(blocks)
    change()
    return b"".join(blocks)


class TestFileThatChangesWhileItIsPacked:
    @pytest.fixture
    def path(self, tmp_path):
        made = directory(tmp_path / "a", [("a", bytes(5 << 20)), ("b", b"b")])
        # File systems do not tell times apart that are a few milliseconds apart.
        os.utime(made / "rootfs/a", (0, 0))
        return made

    @pytest.mark.parametrize("change", ["grows", "shrinks", "is written to"])
    def test_is_an_error_if_it(self, path, change):
        def changed():
            with open(path / "rootfs/a", "ab" if change == "grows" else "r+b") as file:
                if change == "shrinks":
                    file.truncate(2 << 20)
                else:
                    file.write(b"more")

        with pytest.raises(FileError, match="rootfs/a changed while it was being packed"):
            while_packing(path, changed)

    def test_is_an_error_if_it_is_deleted(self, path):
        with pytest.raises(FileError, match=r"cannot pack .*rootfs/b: No such file"):
            while_packing(path, (path / "rootfs/b").unlink)

    @pytest.mark.parametrize("other", ["link", "pipe"])
    def test_is_not_followed_if_it_becomes_a_link(self, path, monkeypatch, other):
        place = path / "rootfs/b"

        def swap():
            place.unlink()
            place.symlink_to("/etc/passwd") if other == "link" else os.mkfifo(place)

        once_seen(monkeypatch, "b", swap)
        with pytest.raises(FileError, match=r"cannot pack .*rootfs/b|rootfs/b changed"):
            archive(path)


class TestDirectoryThatIsReplacedWhileItIsPacked:
    """Its owner may want to get files into the image that only root can read."""

    @pytest.fixture
    def secret(self, tmp_path):
        (tmp_path / "secret/below").mkdir(parents=True)
        (tmp_path / "secret/key").write_bytes(b"secret")
        return tmp_path / "secret"

    @pytest.mark.parametrize("by", ["link", "directory"])
    def test_is_not_followed(self, tmp_path, monkeypatch, secret, by):
        path = directory(tmp_path / "a", [("own", None)])
        place = path / "rootfs/own"

        def swap():
            place.rename(tmp_path / "moved")
            place.symlink_to(secret) if by == "link" else secret.rename(place)

        once_seen(monkeypatch, "own", swap)
        with pytest.raises(FileError, match=r"cannot pack .*rootfs/own|rootfs/own changed"):
            archive(path)

    def test_is_left_only_to_its_parent_directory(self, tmp_path, secret):
        path = directory(tmp_path / "a", [("own", None), ("own/large", bytes(5 << 20))])
        with pytest.raises(FileError, match="rootfs/own changed while it was being packed"):
            while_packing(path, lambda: (path / "rootfs/own").rename(secret / "below/own"))


def once_seen(monkeypatch, base, change):
    """Change something as soon as the name in the directory has been read."""
    stat_of = os.stat

    def changing(asked, **options):
        state = stat_of(asked, **options)
        if asked == os.fsencode(base):
            monkeypatch.setattr(os, "stat", stat_of)
            change()
        return state

    monkeypatch.setattr(os, "stat", changing)


class TestDirectory:
    def test_without_metadata_is_an_error(self, tmp_path):
        with pytest.raises(FileError, match=r"is a directory without metadata\.yaml"):
            ImageDirectory(str(tmp_path), Deadline(60))

    def test_without_rootfs_is_an_error(self, tmp_path):
        (tmp_path / "metadata.yaml").write_text(METADATA)
        with pytest.raises(FileError, match="is a directory without rootfs/"):
            ImageDirectory(str(tmp_path), Deadline(60))

    def test_with_invalid_metadata_is_an_error(self, tmp_path):
        directory(tmp_path / "a")
        (tmp_path / "a/metadata.yaml").write_text("creation_date: 1")
        with pytest.raises(FileError, match="has no architecture"):
            ImageDirectory(str(tmp_path / "a"), Deadline(60))

    @pytest.mark.parametrize("name", ["rootfs", "templates"])
    def test_with_a_link_instead_of_a_directory_is_an_error(self, tmp_path, name):
        path = directory(tmp_path / "a")
        if name == "rootfs":
            (path / name).rename(tmp_path / "elsewhere")
        (path / name).symlink_to(tmp_path)
        with pytest.raises(FileError, match=f"/{name} is not a directory"):
            ImageDirectory(str(path), Deadline(60))

    @pytest.mark.parametrize("sort", ["link", "pipe", "directory", "huge"])
    def test_with_metadata_that_is_not_a_small_file_is_an_error(self, tmp_path, sort):
        path = directory(tmp_path / "a")
        place = path / "metadata.yaml"
        place.rename(tmp_path / "elsewhere")
        make = {
            "link": lambda: place.symlink_to(tmp_path / "elsewhere"),
            "pipe": lambda: os.mkfifo(place),
            "directory": place.mkdir,
            "huge": lambda: place.open("wb").truncate(1 << 40),
        }
        make[sort]()
        with pytest.raises(FileError, match=r"not a regular file|more than 1048576"):
            ImageDirectory(str(path), Deadline(60))


class TestCompression:
    @pytest.mark.parametrize("kind", ["gzip", "zstd", "xz", "none"])
    def test_is_lossless(self, kind):
        program = {"none": "cat"}.get(kind, kind)
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
        # More than the buffers of the pipes to and from the program.
        blocks = [os.urandom(1 << 17) for _number in range(9)]
        packed = b"".join(compressed(iter(blocks), kind))
        options = [] if kind == "none" else ["-dc"]
        unpacked = subprocess.run(
            [program, *options], input=packed, stdout=subprocess.PIPE, check=True
        )
        assert hashlib.sha256(unpacked.stdout).digest() == hashlib.sha256(b"".join(blocks)).digest()

    @pytest.mark.parametrize("kind", ["gzip", "none"])
    def test_is_reproducible(self, kind):
        blocks = [bytes([number]) * 100_000 for number in range(20)]
        first, second = (list(compressed(iter(blocks), kind)) for _number in range(2))
        assert first == second

    @pytest.mark.parametrize("kind", ["gzip", "zstd"])
    def test_passes_on_errors_of_its_input(self, kind):
        def blocks():
            yield b"a"
            raise FileError("it is gone")

        with pytest.raises(FileError, match="it is gone"):
            list(compressed(blocks(), kind))

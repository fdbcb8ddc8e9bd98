# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import io
import os
import subprocess
import tarfile

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.archives import ArchiveError
from ansible_collections.imagestore.lxd.plugins.module_utils._core.archives.tar_reader import (
    MAX_EXTENSION_BYTES,
    SECTOR,
    TarReader,
)
from hypothesis import given
from hypothesis import strategies as st

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def packed(members, archive_format=tarfile.PAX_FORMAT):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=archive_format) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if content is None:
                member.type = tarfile.DIRTYPE
            else:
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content or b""))
    return buffer.getvalue()


def header(name="x", size=0, kind=tarfile.REGTYPE, **fields):
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    for field, value in fields.items():
        setattr(member, field, value)
    return member.tobuf(tarfile.GNU_FORMAT)


def read(archive, limit=1 << 20):
    """(name, kind, content) of each member."""
    reader = TarReader(io.BytesIO(archive))
    return [(member.name, member.kind, reader.content(limit)) for member in reader]


@pytest.mark.parametrize("archive_format", FORMATS)
def test_members_are_read_in_order_with_their_content(archive_format):
    members = [
        ("metadata.yaml", b"a: b"),
        ("rootfs", None),
        ("rootfs/x", bytes(2000)),
        ("empty", b""),
    ]
    found = read(packed(members, FORMATS[archive_format]))
    assert found == [
        ("metadata.yaml", "", b"a: b"),
        (found[1][0], "a directory", b""),
        ("rootfs/x", "", bytes(2000)),
        ("empty", "", b""),
    ]
    assert found[1][0].rstrip("/") == "rootfs"


@pytest.mark.parametrize("archive_format", ["gnu", "pax"])
@pytest.mark.parametrize("name", ["n" * 300, "größe/" * 40, f"{'d' * 90}/{'n' * 90}"])
def test_long_names_are_complete(archive_format, name):
    assert read(packed([(name, b"x")], FORMATS[archive_format])) == [(name, "", b"x")]


def test_names_of_ustar_have_two_parts():
    name = f"{'d' * 90}/{'n' * 90}"
    assert read(packed([(name, b"x")], tarfile.USTAR_FORMAT)) == [(name, "", b"x")]


@pytest.mark.parametrize("archive_format", ["gnu", "pax"])
def test_names_can_be_any_bytes(archive_format):
    name = os.fsdecode(b"\xff\xfe")
    assert read(packed([(name, b"x")], FORMATS[archive_format]))[0][0] == name


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.FIFOTYPE, "a named pipe"),
        (b"V", "a special file"),
    ],
)
def test_other_members_have_their_type(kind, words):
    assert read(header(kind=kind, linkname="y") + bytes(1024)) == [("x", words, b"")]


@pytest.mark.parametrize(
    "option", ["--format=gnu", "--format=posix", "--sparse-version=0.0", "--sparse-version=0.1"]
)
def test_sparse_files_of_gnu_tar_have_their_names(tmp_path, option):
    with open(tmp_path / "rootfs.img", "wb") as file:
        for number in range(40):
            file.seek(number << 20)
            file.write(b"x" * 4096)
    options = [option] if option.startswith("--format") else ["--format=posix", option]
    command = ["tar", "--sparse", *options, "-C", str(tmp_path), "-cf", "-", "rootfs.img"]
    archive = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    members = list(TarReader(io.BytesIO(archive)))
    assert [(member.name, member.kind) for member in members] == [("rootfs.img", "a sparse file")]


def pax(*records):
    lines = b""
    for key, value in records:
        rest = b" %b=%b\n" % (key, value)
        length = len(rest) + 1
        while len(b"%d" % length) + len(rest) != length:
            length += 1
        lines += b"%d%b" % (length, rest)
    return header("pax", len(lines), tarfile.XHDTYPE) + lines + bytes(-len(lines) % SECTOR)


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        (b"", "it is empty"),
        (b"x" * 600, "not a tar archive"),
        (header()[:300], "ends within a header"),
        (header(size=5), "ends within a member"),
        (header(size=1 << 62), "ends within a member"),
        (header() + b"x" * 512, "a header has a wrong checksum"),
        (header(size=MAX_EXTENSION_BYTES + 1, kind=tarfile.XHDTYPE), "is longer than 1048576"),
        (header(size=1 << 30, kind=tarfile.GNUTYPE_LONGNAME), "is longer than 1048576"),
        (header(size=1 << 30, kind=tarfile.GNUTYPE_LONGLINK), "is longer than 1048576"),
        (header(size=1 << 30, kind=tarfile.XGLTYPE), "ends within a member"),
        (
            header(size=5, kind=tarfile.XHDTYPE) + b"5 a=b" + bytes(507),
            "an extended header is malformed",
        ),
        (
            header(size=3, kind=tarfile.XHDTYPE) + b"a=b" + bytes(509),
            "an extended header is malformed",
        ),
        (
            header(size=4, kind=tarfile.XHDTYPE) + b"0 =\n" + bytes(508),
            "an extended header is malformed",
        ),
        (pax((b"size", b"99999999999999")) + header(), "ends within a member"),
    ],
)
def test_damaged_archives_are_an_error(archive, reason):
    with pytest.raises(ArchiveError, match=reason):
        read(archive)


@pytest.mark.parametrize("value", [b"-1", b"x", b"9" * 5000, b""])
def test_an_invalid_size_of_a_pax_header_is_ignored(value):
    assert read(pax((b"size", value)) + header(size=0)) == [("x", "", b"")]


@pytest.mark.parametrize("letters", [b"a,b,c", b"1,2,x", b""])
def test_a_sparse_map_of_letters_does_not_matter(letters):
    sparse = pax(
        (b"GNU.sparse.major", b"0"), (b"GNU.sparse.map", letters), (b"GNU.sparse.name", b"y")
    )
    assert read(sparse + header()) == [("y", "a sparse file", b"")]


def test_a_negative_size_is_an_error():
    broken = bytearray(header())
    broken[124:136] = b"\xff" * 12
    total = sum(broken[:148]) + sum(broken[156:]) + 8 * 32
    broken[148:156] = b"%06o\0 " % total
    with pytest.raises(ArchiveError, match="negative or impossible"):
        read(bytes(broken))


ARCHIVE = packed([("n" * 300, b"x"), ("metadata.yaml", b"a: b" * 200), ("rootfs", None)])


@given(
    st.lists(
        st.tuples(st.integers(0, len(ARCHIVE) - 1), st.binary(min_size=1, max_size=12)), max_size=6
    )
)
def test_any_archive_is_read_or_an_error(changes):
    archive = bytearray(ARCHIVE)
    for place, content in changes:
        archive[place : place + len(content)] = content
    for start in range(0, len(archive) - 511, 512):
        # Mostly with valid checksums, or only the checksums would be tested.
        sector = archive[start : start + 512]
        if sector[257:262] == b"ustar":
            total = sum(sector[:148]) + sum(sector[156:]) + 8 * 32
            archive[start + 148 : start + 156] = b"%06o\0 " % total
    try:
        read(bytes(archive))
    except ArchiveError:
        return

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Inputs for the readers, made from those of the corpus: bytes that are damaged, and JSON with other values in it."""

from __future__ import annotations

import io
import json
import lzma
import re
import tarfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

Draw = st.DrawFn

NUMBERS = [
    "0",
    "-1",
    "1" * 17,
    "9" * 25,
    "1e400",
    "-0.5",
    "NaN",
    "4611686018427387904",
    "253402300800",
]
TOKENS = [
    *(number.encode() for number in NUMBERS),
    *(
        b"\0",
        b"\x7fELF",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"\x1b[31m",
        b"\r\n\r\n",
        b"../",
        b"/",
        b"%2e%2e",
    ),
    *(
        b"&a [*a, *a]",
        b"!!timestamp x",
        b"!!int ''",
        b"<<: *a",
        b"--- ",
        b"? ",
        b"|2\n",
        b"[" * 300,
        b"{a: " * 300,
    ),
    *(
        b"hsqs",
        b"\xfd7zXZ\0",
        b"\x1f\x8b\x08",
        b"ustar",
        b"L",
        b"x",
        b"30 path=a\n",
        b"http://[::1",
        b"@",
    ),
]

TEXTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(NUMBERS),
    st.sampled_from(
        [
            "",
            "..",
            "a/../b",
            "\ud800",
            "\x1b[2J",
            "\0",
            "x" * 5000,
            "unix://",
            "https://a:99999",
            "0" * 64,
        ]
    ),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    TEXTS,
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=8,
)


def damaged(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Bytes in which some are changed, removed, repeated, or come from another seed."""

    @st.composite
    def strategy(draw: Draw) -> bytes:
        data = draw(st.sampled_from(seeds))
        for _number in range(draw(st.integers(1, 5))):
            data = _damage(draw, data, seeds)
        return data

    return strategy()


def _damage(draw: Draw, data: bytes, seeds: Sequence[bytes]) -> bytes:
    start = draw(st.integers(0, len(data)))
    end = min(len(data), start + draw(st.sampled_from([0, 1, 2, 4, 16, 100, 512, 5000])))
    match draw(st.sampled_from(["bytes", "token", "cut", "repeat", "other", "number"])):
        case "bytes":
            return data[:start] + draw(st.binary(max_size=12)) + data[end:]
        case "token":
            return data[:start] + draw(st.sampled_from(TOKENS)) + data[end:]
        case "cut":
            return data[:start] + data[end:]
        case "repeat":
            return data[:end] + data[start:end] * draw(st.sampled_from([1, 3, 200])) + data[end:]
        case "other":
            return data[:start] + draw(st.sampled_from(seeds))[start:]
        case _:
            places = [found.span() for found in re.finditer(rb"\d+", data[:100_000])]
            if not places:
                return data
            start, end = draw(st.sampled_from(places))
            return data[:start] + draw(st.sampled_from(NUMBERS)).encode() + data[end:]


def other_json(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """JSON documents in which some values are other ones, are missing, or have another name."""
    documents = [json.loads(seed) for seed in seeds]

    @st.composite
    def strategy(draw: Draw) -> bytes:
        document = draw(st.sampled_from(documents))
        for _number in range(draw(st.integers(1, 4))):
            document = _replaced(draw, document)
        return json.dumps(document).encode("utf-8")

    return strategy()


def _replaced(draw: Draw, value: Any) -> Any:
    """The value with another one somewhere in it."""
    if not value or not isinstance(value, (dict, list)) or draw(st.integers(0, 5)) == 0:
        return draw(VALUES)
    place = draw(st.sampled_from(list(value) if isinstance(value, dict) else range(len(value))))
    change = draw(st.sampled_from(["deeper"] * 6 + ["drop", "double"]))
    if isinstance(value, list):
        inner = {
            "deeper": [_replaced(draw, value[place])],
            "drop": [],
            "double": [value[place]] * 2,
        }
        return [*value[:place], *inner[change], *value[place + 1 :]]
    changed = dict(value)
    if change == "deeper":
        changed[place] = _replaced(draw, value[place])
    else:
        taken = changed.pop(place)
        if change == "double":
            changed[draw(TEXTS)] = taken
    return changed


def packed(archives: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Archives, some of them compressed, and some of those damaged."""
    forms: list[Callable[[bytes], bytes]] = [
        bytes,
        _gzip,
        lambda data: lzma.compress(data, preset=0),
    ]

    @st.composite
    def strategy(draw: Draw) -> bytes:
        data = draw(st.sampled_from(forms))(draw(archives))
        return _damage(draw, data, [data]) if draw(st.integers(0, 5)) == 0 else data

    return strategy()


def _gzip(data: bytes) -> bytes:
    compressor = zlib.compressobj(level=1, wbits=31)
    return compressor.compress(data) + compressor.flush()


def retarred(documents: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Unified images with such a metadata.yaml."""

    def archive(document: bytes) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            member = tarfile.TarInfo("metadata.yaml")
            member.size = len(document)
            tar.addfile(member, io.BytesIO(document))
            tar.addfile(tarfile.TarInfo("rootfs/etc"))
        return buffer.getvalue()

    return documents.map(archive)

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The readers of whatever files, web servers and LXD servers send, each as a function of bytes.

A reader may do two things with its input: take it, or raise ``ImageStoreError``.
"""

from __future__ import annotations

import json
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from ansible_collections.imagestore.lxd.plugins.module_utils._core.all_projects import (
    contents_of_all_projects,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.archives.archive_scan import (
    scan_image,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.archives.files import ImageFiles
from ansible_collections.imagestore.lxd.plugins.module_utils._core.archives.image_info import (
    read_image_info,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.archives.metadata import (
    parse_metadata,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.catalog.documents import (
    documents,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.catalog.record import (
    Catalog,
    Mirror,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.catalog.record_reader import (
    parse_record,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.catalog.source_cache import (
    cache_text,
    parse_cache,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.catalog.web_root import WebRoot
from ansible_collections.imagestore.lxd.plugins.module_utils._core.checksums.listing import (
    find_digest,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.checksums.signatures import (
    CleartextMessage,
    Keyring,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.client_config import ClientConfig
from ansible_collections.imagestore.lxd.plugins.module_utils._core.deadline import Deadline
from ansible_collections.imagestore.lxd.plugins.module_utils._core.disks.recognition import (
    recognize,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.errors import ImageStoreError
from ansible_collections.imagestore.lxd.plugins.module_utils._core.instances import Instances
from ansible_collections.imagestore.lxd.plugins.module_utils._core.mirror import MirrorPolicy
from ansible_collections.imagestore.lxd.plugins.module_utils._core.mirror.listed import ListedSource
from ansible_collections.imagestore.lxd.plugins.module_utils._core.mirror.selection import (
    SelectEntry,
    Selector,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.mirror.staging import Staging
from ansible_collections.imagestore.lxd.plugins.module_utils._core.oci_registry.manifests import (
    Manifest,
    parse_tags,
    parse_token,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.server import Server
from ansible_collections.imagestore.lxd.plugins.module_utils._core.simplestreams import Reader
from ansible_collections.imagestore.lxd.plugins.module_utils._core.simplestreams.listing import (
    Listing,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.simplestreams.reading import (
    ProductReader,
    parse_index,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.sources.export_form import (
    ExportForm,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.sources.image_headers import (
    parse_image_headers,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.store import Store
from ansible_collections.imagestore.lxd.plugins.module_utils._core.store_access import (
    require_profiles_and_visibility,
    visibility_warning,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.tokens import (
    BearerToken,
    TrustToken,
)
from ansible_collections.imagestore.lxd.plugins.module_utils._core.transport import Transport
from ansible_collections.imagestore.lxd.plugins.module_utils._core.transport.certificate_dates import (
    why_not_valid_now,
)
from hypothesis import strategies as st

from .answers import AnsweringServer
from .mutations import damaged, other_json, packed, retarred

Inputs = st.SearchStrategy[bytes]

ADDRESS = "https://images.example.com"

INDEX_OF_ONE = b'{"index": {"x": {"datatype": "image-downloads", "path": "x", "products": [1]}}}'


@dataclass(frozen=True)
class Target:
    """A reader, and how its inputs are made from those of the corpus."""

    read: Callable[[bytes], object]
    inputs: Callable[[list[bytes]], Inputs]


@cache
def folder() -> Path:
    """A folder for the files that readers want."""
    return Path(tempfile.mkdtemp(prefix="imagestore-fuzz-"))


def _index(data: bytes) -> None:
    parse_index(data, ADDRESS)


def _products(data: bytes) -> None:
    for family in ("lxd", "incus"):
        reader = ProductReader(Reader(family), ADDRESS)
        reader.read(data, ADDRESS)
        Listing(ADDRESS, reader.images, "x86_64").images()


class _Published:
    """An image server whose product list is given."""

    address = ADDRESS

    def __init__(self, data: bytes) -> None:
        self._data = data

    def url(self, path: str) -> str:
        return f"{ADDRESS}/{path}"

    def document(self, path: str, _condition: object) -> tuple[Any, bytes]:
        return None, INDEX_OF_ONE if path.endswith("index.json") else self._data


def _mirrored(data: bytes) -> None:
    """What is mirrored of a product list can be read again, and be published."""
    tree = WebRoot(str(folder() / "tree"), Deadline(5))
    server: Any = _Published(data)
    policy = MirrorPolicy(keep=1)
    source = ListedSource(server, tree, Staging(tree, Deadline(5)), policy, 0)
    selector = Selector((SelectEntry(alias="*"), SelectEntry(os="*")), ())
    mirror = source.plan(selector, Mirror(ADDRESS, "simplestreams"), check_mode=True)
    catalog = Catalog(mirrors=(mirror,))
    texts = documents(catalog, ADDRESS, "/srv/images.map")
    assert parse_record(texts["catalog.json"].encode(), "…") == catalog


def _headers(data: bytes) -> None:
    """Lines of ``Name: value``."""
    pairs = [line.partition(b":") for line in data.split(b"\n")]
    given = [(name.decode("latin-1"), value.decode("latin-1")) for name, _colon, value in pairs]

    def values(name: str) -> list[str]:
        return [value for other, value in given if other.lower() == name.lower()]

    for family in ("LXD", "Incus"):
        with suppress(ImageStoreError):
            parse_image_headers(ADDRESS, 200, values, family)


def _registry(data: bytes) -> None:
    """A manifest, an index of manifests, a list of tags, or a token."""
    for parse in (Manifest.parse, parse_tags, parse_token):
        with suppress(ValueError):  # which the client of registries reports as an error of its own
            parse(data)


def _metadata(data: bytes) -> None:
    parse_metadata("web.tar.xz", data)


def _archive(data: bytes) -> None:
    file = folder() / "image"
    file.write_bytes(data)
    with suppress(ImageStoreError):
        read_image_info(str(file), deadline=Deadline(5))
    with ImageFiles(str(file), deadline=Deadline(5)) as files:
        scan_image(files, 1 << 20)


def _disk(data: bytes) -> None:
    """A bare disk or root file system, of which the corpus has the beginnings; of a vhdx it has the tables."""
    path = folder() / "disk"
    zeros = bytes(1 << 18)
    for content in (data, data + zeros, b"vhdxfile".ljust(192 << 10, b"\0") + data + zeros):
        path.write_bytes(content)
        with path.open("rb") as file:
            for is_head in (True, False):
                with suppress(ImageStoreError):
                    recognize("disk", file, Deadline(5), is_head)


def _client_config(data: bytes) -> None:
    (folder() / "config.yml").write_bytes(data)
    for name in ("one", "images", "two"):
        with suppress(ImageStoreError):
            ClientConfig(str(folder())).remote(name)


def _record(data: bytes) -> None:
    catalog = parse_record(data, "/srv/images/catalog.json")
    texts = documents(catalog, ADDRESS, "/srv/images.map")
    assert parse_record(texts["catalog.json"].encode(), "…") == catalog


def _cache(data: bytes) -> None:
    digest = sha256(data).hexdigest()
    signed = json.dumps({"sha256": digest, "images": data.decode("latin-1")}).encode()
    for content in (data, signed):
        known = parse_cache(content)
        assert parse_cache(cache_text(known).encode()) == known


def _checksum_file(data: bytes) -> None:
    """A checksum file, with or without a signature inside it, and a keyring."""
    message = CleartextMessage.find(data)
    text = (message.unverified_text if message else data).decode(errors="replace")
    for algorithm in ("sha256", "sha512"):
        with suppress(ImageStoreError):
            find_digest(text, algorithm, "/amd64/disk.qcow2", ADDRESS)
    (folder() / "keyring").write_bytes(data)
    Keyring(str(folder() / "keyring"), Deadline(5))


def _form(data: bytes) -> None:
    form = ExportForm('multipart/form-data; boundary="b0b"', iter([data[:7], data[7:]]))
    while True:
        form.next_part()
        for _block in form.content():
            pass


def _certificate(data: bytes) -> None:
    why_not_valid_now(data)


def _token(data: bytes) -> None:
    """What is in a token, and the token itself."""
    encoded = b64encode(data).decode().rstrip("=")
    for text in (encoded, data.decode("latin-1")):
        repr(TrustToken.parse(text).hint_if_refused)
        with suppress(ImageStoreError):
            token = BearerToken.parse(f"e30.{text}.c2ln", "bearer_token")
            repr(token.hint_if_refused)
            token.require_current()


@cache
def _answering() -> tuple[AnsweringServer, Transport]:
    socket = folder() / "socket"
    server = AnsweringServer(socket)
    return server, Transport(f"unix://{socket}", Deadline(86_400))


def _answers(data: bytes) -> None:
    """The answers of a LXD server, by path."""
    answering, transport = _answering()
    answering.answers = data
    server = Server(transport)
    store = Store(server, "default")
    instances = Instances(store)
    calls: tuple[Callable[[], Any], ...] = (
        lambda: server.dialect,
        lambda: server.identification_headers,
        lambda: (server.addresses, server.certificate),
        store.contents,
        lambda: contents_of_all_projects(server),
        lambda: visibility_warning(store),
        lambda: store.get_alias("web"),
        lambda: store.get_image("1" * 12),
        lambda: require_profiles_and_visibility(store, ("web",), public=True),
        lambda: instances.get("c1"),
        lambda: instances.snapshot_time("c1", "s1"),
        lambda: server.operations.run("POST", "/1.0/images", json={}),
    )
    for call in calls:
        with suppress(ImageStoreError):
            call()


def _either(*makers: Callable[[list[bytes]], Inputs]) -> Callable[[list[bytes]], Inputs]:
    return lambda seeds: st.one_of(*(maker(seeds) for maker in makers))


def _archives(seeds: list[bytes]) -> Inputs:
    documents = damaged([seed for seed in seeds if b"architecture" in seed[:2000]])
    return st.one_of(packed(damaged(seeds)), retarred(documents))


TARGETS = {
    "answers": Target(_answers, _either(other_json, damaged)),
    "archive": Target(_archive, _archives),
    "catalog-cache": Target(_cache, _either(other_json, damaged)),
    "catalog-record": Target(_record, _either(other_json, damaged)),
    "certificate": Target(_certificate, damaged),
    "checksum-file": Target(_checksum_file, damaged),
    "client-config": Target(_client_config, _either(other_json, damaged)),
    "disk": Target(_disk, lambda seeds: packed(damaged(seeds))),
    "export-form": Target(_form, damaged),
    "image-headers": Target(_headers, damaged),
    "metadata": Target(_metadata, _either(other_json, damaged)),
    "oci-registry": Target(_registry, _either(other_json, damaged)),
    "simplestreams-index": Target(_index, _either(other_json, damaged)),
    "mirrored-products": Target(_mirrored, _either(other_json, damaged)),
    "simplestreams-products": Target(_products, _either(other_json, damaged)),
    "token": Target(_token, _either(other_json, damaged)),
}


@contextmanager
def only_errors_of_the_library() -> Iterator[None]:
    """An error of the library's family is an answer, and one that is safe to print."""
    try:
        yield
    except ImageStoreError as error:
        text = str(error)
        assert text.isprintable(), f"the message is not safe to print: {text!r}"
        assert len(text) < 10_000, f"the message has {len(text)} characters"

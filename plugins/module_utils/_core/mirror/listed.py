# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An image server as the source of a mirror: what it lists now, and what of that is mirrored."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import gmtime, strftime
from typing import TYPE_CHECKING, Any, Collection, Iterator, Mapping, Sequence, Tuple

from ..catalog.mirrored import READERS, part_of_file, product_entry
from ..catalog.names import check_text
from ..catalog.record import Mirror, MirroredProduct, Part, parts_of
from ..catalog.web_root import WebRoot
from ..deadline import Deadline
from ..errors import FileError, clean_text
from ..images import CONTAINER, VIRTUAL_MACHINE, normalized_address
from ..simplestreams import INDEX, ROOTS, File
from ..simplestreams.reading import (
    MAX_TEXT_CHARACTERS,
    Product,
    ProductReader,
    PublishedImage,
    file_of_item,
    is_path,
    parse_index,
    parse_products,
)
from ..sources.simplestreams import ImageServer
from . import MirrorPolicy, Obtained
from .downloading import Downloader, RemoteFile, SplitImage
from .selection import Candidate, Selector, newest
from .staging import Staging

if TYPE_CHECKING:
    from ..transfer_progress import TransferRecorder

VersionKey = Tuple[str, str]
"""The name of a product in its list, and that of a version."""

_OF_IMAGES = frozenset(ROOTS) | {
    ftype for reader in READERS for ftype in (reader.metadata, reader.combined)
}


@dataclass
class Listed:
    """What is to be mirrored of an image server.

    ``files`` are those of ``products`` by their paths in the tree, ``images`` the images of two files, each with a
    version that it belongs to. ``faults`` are versions that cannot be mirrored, and why. ``sizes`` are the sizes of
    files by their paths in the tree, at first of those that were mirrored before.
    """

    sizes: dict[str, int] = field(default_factory=dict)
    products: dict[str, MirroredProduct] = field(default_factory=dict)
    files: dict[str, RemoteFile] = field(default_factory=dict)
    images: dict[SplitImage, VersionKey] = field(default_factory=dict)
    faults: dict[VersionKey, str] = field(default_factory=dict)

    def add(self, name: str, raw: Any, images: Sequence[PublishedImage]) -> None:
        """Add these images of a product, whose entry in the product list is ``raw``."""
        placed: dict[tuple[str, File], Part] = {}
        for image in images:
            key = name, image.serial
            for file in image.files:
                fault = _why_not_mirrored(file) or self._other_size(file)
                if fault:
                    self.faults.setdefault(key, fault)
        sound = [image for image in images if (name, image.serial) not in self.faults]
        for image in sound:
            title = _shown(image.product.names, name, image.product.arch)
            remotes = [RemoteFile(file, part_of_file(file), title) for file in image.files]
            for remote in remotes:
                placed[image.serial, remote.file] = remote.part
                self.files.setdefault(remote.part.path, remote)
            if len(remotes) == 2:
                self.images.setdefault(
                    SplitImage(image.fingerprint, *remotes), (name, image.serial)
                )

        def place(serial: str, item: Mapping[str, Any]) -> Mapping[str, Any] | None:
            file = file_of_item(item) if item.get("ftype") in _OF_IMAGES else None
            part = placed.get((serial, file)) if file else None
            return {"path": part.path} if part else None

        if sound:
            try:
                entry = product_entry(raw, place)
                if not entry["versions"]:
                    raise ValueError("its versions have no names")
            except ValueError as error:
                self.faults.update({(name, image.serial): str(error) for image in sound})
                return
            # As clients read them, which for some servers leave out a part.
            entry["aliases"] = ",".join(sound[0].product.names)
            self.products[name] = MirroredProduct(name, entry)

    def _other_size(self, file: File) -> str:
        """Why a file cannot be one of the same content that has another size; an empty text if it can."""
        known = self.sizes.setdefault(part_of_file(file).path, file.size)
        if known == file.size:
            return ""
        return (
            f"{file.path} has {file.size} bytes in the index, and a file with its SHA-256 {known}"
        )

    def versions_by_path(self) -> dict[str, list[VersionKey]]:
        """The versions that each file belongs to."""
        found: dict[str, list[VersionKey]] = {}
        for product in self.products.values():
            for serial, version in product.versions.items():
                for part in parts_of(version):
                    found.setdefault(part.path, []).append((product.name, serial))
        return found


class ListedSource:
    """The image server ``server``, whose documents are kept in the staging directory of the tree."""

    protocol = "simplestreams"

    def __init__(
        self,
        server: ImageServer,
        tree: WebRoot,
        staging: Staging,
        policy: MirrorPolicy,
        now: int,
        recorder: TransferRecorder | None = None,
    ) -> None:
        self.address = normalized_address(server.address)
        self._server = server
        self._tree = tree
        self._staging = staging
        self._policy = policy
        self._recorder = recorder
        since = None if policy.keep_days is None else now - policy.keep_days * 86_400
        self._since_day = None if since is None else strftime("%Y%m%d", gmtime(since))
        self._listed = Listed()

    def plan(self, selector: Selector, previous: Mirror, check_mode: bool) -> Mirror:
        """What is to be mirrored; see ``MirrorSource``."""
        sizes = {path: part.size for path, part in previous.parts.items()}
        listed = self._listed = Listed(sizes)
        keep = self._policy.keep
        paths = parse_index(self._document(INDEX, check_mode), self._server.url(INDEX))
        readers = [ProductReader(reader, self._server.address) for reader in READERS]
        is_empty = True
        for path in paths:
            url = self._server.url(path)
            products = parse_products(self._document(path, check_mode), url)
            for given, raw in products.items():
                if len(given) > MAX_TEXT_CHARACTERS:
                    continue
                name = check_text(given, MAX_TEXT_CHARACTERS)
                offered = _OfferedProduct(name, raw, readers, url)
                is_empty = is_empty and not offered.is_valid
                types = [
                    kind for kind in offered.types if selector.chooses(offered.candidate(kind))
                ]
                if types and name not in listed.products:
                    offered.choose(types, keep, self._since_day, listed)
        if is_empty and previous.listed:
            # A server that is set up anew, or whose publisher has failed, must not empty its mirrors.
            raise FileError(
                f"{self._server.url(INDEX)} lists no products any more",
                "Nothing was changed. To withdraw all images of this source, set state: absent.",
            )
        if not check_mode:
            self._staging.forget_documents(self.address, (INDEX, *paths))
        return Mirror(self.address, self.protocol, selector.fitted, _sorted(listed.products))

    def obtain(
        self, target: Mirror, previous: Mirror, present: Collection[str], deadline: Deadline
    ) -> Obtained:
        """Download what is missing; see ``MirrorSource``."""
        listed, policy = self._listed, self._policy
        missing = [remote for path, remote in listed.files.items() if path not in present]
        downloader = Downloader(
            self._server.open,
            self._tree,
            self._staging,
            deadline,
            policy.retries,
            policy.parallel,
            self._recorder,
        )
        downloader.run(missing, self._unverified(previous, present), present)
        broken = dict(listed.faults)
        by_path = listed.versions_by_path() if downloader.errors else {}
        by_fingerprint = {image.fingerprint: key for image, key in listed.images.items()}
        for name, error in downloader.errors.items():
            keys = by_path.get(name) or [by_fingerprint[name]]
            for key in keys:
                broken.setdefault(key, str(error))
        products = without_broken(listed.products, previous.listed, broken, present)
        names = {product.name: product for product in (*previous.listed, *listed.products.values())}
        faults = {
            f"{_title(names[name]) if name in names else name} {serial}": fault
            for (name, serial), fault in broken.items()
        }
        mirror = Mirror(self.address, self.protocol, target.selected, _sorted(products))
        return Obtained(mirror, downloader.staged, faults, downloader.received)

    def _unverified(self, previous: Mirror, present: Collection[str]) -> list[SplitImage]:
        """The images of two files whose fingerprint has not been computed before."""
        earlier = {product.name: product.versions for product in previous.listed}
        products = self._listed.products

        def is_verified(image: SplitImage, key: VersionKey) -> bool:
            name, serial = key
            return (
                image.metadata.part.path in present
                and image.root.part.path in present
                and earlier.get(name, {}).get(serial) == products[name].versions[serial]
            )

        return [image for image, key in self._listed.images.items() if not is_verified(image, key)]

    def _document(self, path: str, check_mode: bool) -> bytes | bytearray:
        """A document, which is transferred only if it has changed since it came last."""
        address = self.address
        kept = self._staging.document(address, path)
        opened, content = self._server.document(path, kept.condition if kept else {})
        if kept and opened.response.status_code == 304:
            return kept.content
        if not check_mode:
            self._staging.keep_document(address, path, content, opened.validators)
        return content


class _OfferedProduct:
    """A product of a product list, which may be anything."""

    def __init__(self, name: str, raw: Any, readers: Sequence[ProductReader], url: str) -> None:
        self.name = name
        self._raw = raw
        # Many are the same for both families.
        self._images = [image for reader in readers for image in reader.images_of(raw, url)]
        # An entry can be valid for one of the families only.
        valid = (reader.product_of(raw) for reader in readers)
        self._product = next(filter(None, valid), None)
        self._unusable = dict(_unusable_files(raw)) if self._product else {}

    @property
    def is_valid(self) -> bool:
        """Whether it is a product for any client, with or without images."""
        return self._product is not None

    @property
    def types(self) -> Sequence[str]:
        """The types of its images, and of those that it would have if its files were usable."""
        types = {image.type for image in self._images}
        return (CONTAINER, VIRTUAL_MACHINE) if self._unusable and not types else sorted(types)

    def candidate(self, kind: str) -> Candidate:
        """Its images of one type, for a selection."""
        product = self._product or Product((), "", "")
        return Candidate(
            product.names,
            kind,
            product.architecture,
            product.arch,
            product.os,
            product.release,
            product.variant,
        )

    def choose(
        self, types: Sequence[str], keep: int, since_day: str | None, listed: Listed
    ) -> None:
        """Add the versions of these types that are to be mirrored."""
        chosen: list[PublishedImage] = []
        for kind in types:
            images = [image for image in self._images if image.type == kind]
            serials = newest(
                {*(image.serial for image in images), *self._unusable}, keep, since_day
            )
            chosen += [image for image in images if image.serial in serials]
            for serial in serials & set(self._unusable):
                listed.faults[self.name, serial] = self._unusable[serial]
        listed.add(self.name, self._raw, chosen)


def _unusable_files(raw: Any) -> Iterator[tuple[str, str]]:
    """The versions with a file that cannot be fetched from below the server's address, and what is wrong with it."""
    versions = raw.get("versions") if isinstance(raw, dict) else None
    for serial, version in versions.items() if isinstance(versions, dict) else ():
        items = version.get("items") if isinstance(version, dict) else None
        for item in items.values() if isinstance(items, dict) else ():
            path = item.get("path") if isinstance(item, dict) else None
            if path is None or item.get("ftype") not in _OF_IMAGES:
                continue
            if not is_path(path) or path.startswith("/"):
                yield serial, f"the path {clean_text(str(path), 80)!r} of a file is not allowed"
            elif file_of_item(item) is None:
                size = clean_text(str(item.get("size")), 80)
                yield serial, f"the size {size!r} of {path} is not a number of bytes"


def _why_not_mirrored(file: File) -> str:
    """Why a file could not be verified; an empty text if it can."""
    if not file.sha256:
        return f"the index has no SHA-256 of {file.path}"
    return "" if file.size else f"the index has no size of {file.path}"


def without_broken(
    target: Mapping[str, MirroredProduct],
    previous: Sequence[MirroredProduct],
    broken: Collection[VersionKey],
    present: Collection[str],
) -> dict[str, MirroredProduct]:
    """The products without their broken versions. Pure.

    A product that has one keeps all versions that it had whose files are ``present``.
    """
    products = dict(target)
    earlier = {product.name: product for product in previous}
    for name in {name for name, _serial in broken}:
        new, old = target.get(name), earlier.get(name)
        versions = {
            serial: version
            for serial, version in (old.versions if old else {}).items()
            if all(part.path in present for part in parts_of(version))
        }
        for serial, version in (new.versions if new else {}).items():
            if (name, serial) not in broken:
                versions[serial] = version
        base = new or old
        products.pop(name, None)
        if base and versions:
            products[name] = base.with_versions(versions)
    return products


def _sorted(products: Mapping[str, MirroredProduct]) -> tuple[MirroredProduct, ...]:
    return tuple(products[name] for name in sorted(products))


def _title(product: MirroredProduct) -> str:
    """What people call a product."""
    return _shown(product.names, product.name, product.document.get("arch", ""))


def _shown(names: Sequence[str], name: str, architecture: str) -> str:
    return f"{names[0] if names else name} ({architecture})"

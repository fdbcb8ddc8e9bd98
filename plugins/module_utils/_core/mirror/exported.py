# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A LXD or Incus as the source of a mirror: its images are exported, and listed like the catalog's own."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from hashlib import sha256
from typing import IO, TYPE_CHECKING, Collection

from ..architectures import architecture_name
from ..archives.image_info import PROPERTIES, part_ending
from ..catalog import names
from ..catalog.record import Mirror, Part, Product, Version, sorted_products
from ..deadline import Deadline
from ..downloads import Retries
from ..errors import ConnectionFailed, FileError, ImageStoreError, TimedOut
from ..exporting.from_store import StoreExport
from ..images import Image, is_fingerprint, parse_time
from ..store import Store
from . import MirrorPolicy, Obtained, StagedFile
from .selection import Candidate, Selector
from .staging import Staging, disk_error

if TYPE_CHECKING:
    from ..transfer_progress import Transfer, TransferRecorder

_REQUIREMENT = "requirements."
_UNKNOWN_ENDING = "tar"


class ExportedSource:
    """The images of ``store`` that this client sees and that have an alias. ``address`` is normalized."""

    def __init__(
        self,
        store: Store,
        address: str,
        protocol: str,
        staging: Staging,
        policy: MirrorPolicy,
        recorder: TransferRecorder | None = None,
    ) -> None:
        self.address = address
        self.protocol = protocol
        self._store = store
        self._staging = staging
        self._policy = policy
        self._recorder = recorder
        self._images: dict[str, Image] = {}

    def plan(self, selector: Selector, previous: Mirror, check_mode: bool) -> Mirror:
        """What is to be mirrored. The files of images that were not mirrored before are not known yet."""
        known = {
            version.fingerprint: version
            for product in previous.exported
            for version in product.versions
        }
        products: list[Product] = []
        for image in self._store.contents().images:
            product = _product(image)
            if product and selector.chooses(_candidate(product)):
                version = known.get(image.fingerprint)
                if version:
                    version = replace(version, name=product.newest.name)
                    product = replace(product, versions=(version,))
                products.append(product)
                self._images[image.fingerprint] = image
        return Mirror(
            self.address, self.protocol, selector.fitted, exported=sorted_products(products)
        )

    def obtain(
        self, target: Mirror, previous: Mirror, present: Collection[str], deadline: Deadline
    ) -> Obtained:
        """Export what is missing."""
        obtained = Obtained(target)
        missing = [
            product
            for product in target.exported
            if any(part.path not in present for part in product.newest.parts)
        ]
        exports = [
            _Export(self._store, self._images[product.newest.fingerprint], self._staging, deadline)
            for product in missing
        ]

        def attempt(product: Product, export: _Export) -> ImageStoreError | None:
            recorder, size = self._recorder, self._images[product.newest.fingerprint].size
            with recorder.record(product.name, size) if recorder else nullcontext() as recorded:
                return export.attempt(self._policy.retries, recorded)

        with ThreadPoolExecutor(self._policy.parallel) as pool:
            errors = list(pool.map(attempt, missing, exports))
        products = {product.key: product for product in target.exported}
        earlier = {product.key: product for product in previous.exported}
        for product, export, error in zip(missing, exports, errors):
            obtained.received += export.received
            if error is None:
                obtained.staged.update(export.staged)
                version = replace(product.newest, parts=tuple(export.parts))
                products[product.key] = replace(product, versions=(version,))
                continue
            if isinstance(error, TimedOut) or export.is_disk_error:
                raise error
            obtained.faults[f"{product} {product.newest.name}"] = str(error)
            del products[product.key]
            old = earlier.get(product.key)
            if old and all(part.path in present for part in old.newest.parts):
                products[product.key] = old
        obtained.mirror = replace(target, exported=sorted_products(products.values()))
        return obtained


class _Export:
    """The export of one image into the staging directory."""

    def __init__(self, store: Store, image: Image, staging: Staging, deadline: Deadline) -> None:
        self._store = store
        self._image = image
        self._staging = staging
        self._deadline = deadline
        self.received = 0
        self.parts: list[Part] = []
        self.staged: dict[str, StagedFile] = {}
        self.is_disk_error = False

    def attempt(self, retries: int, recorded: Transfer | None) -> ImageStoreError | None:
        """Export the image; what went wrong, or None."""
        left = Retries(retries, self._deadline)
        while True:
            try:
                self._export(left, recorded)
            except ConnectionFailed as error:
                try:
                    left.use(error)
                except ImageStoreError as last:
                    return last
            except ImageStoreError as error:
                return error
            except OSError as error:
                self.is_disk_error = True
                return disk_error(self._staging.path(self._image.fingerprint), error)
            else:
                return None

    def _export(self, retries: Retries, recorded: Transfer | None) -> None:
        source = StoreExport(self._store, self._image.fingerprint)
        whole, moved = sha256(), 0
        self.parts.clear()
        with ExitStack() as stack:
            written: list[tuple[str, StagedFile]] = []
            for part in source.parts(retries):
                path = self._staging.path(f"{self._image.fingerprint}-{part.key}")
                file = stack.enter_context(self._staging.locked(path))
                stack.callback(self._staging.remove, path)
                own = sha256()
                file.truncate(0)
                for block in part.open(0).blocks:
                    own.update(block)
                    whole.update(block)
                    file.write(block)
                    self.received += len(block)
                    moved += len(block)
                    if recorded:
                        recorded.moved = moved
                os.fsync(file.fileno())
                found = _part_of(file, own.hexdigest(), path)
                written.append((path, self._staging.complete(found, file)))
            if whole.hexdigest() != self._image.fingerprint:
                raise FileError(f"the server sent {whole.hexdigest()} instead of this image")
            for path, one in written:
                os.rename(path, self._staging.path_of(one.part))
                self.parts.append(one.part)
                self.staged[one.part.path] = one


def _part_of(file: IO[bytes], digest: str, path: str) -> Part:
    ending = part_ending(path, os.pread(file.fileno(), 512, 0))
    return Part(digest, os.fstat(file.fileno()).st_size, ending)


def _product(image: Image) -> Product | None:
    """An image as a product with one version; None if it has no alias that can be a name.

    Nor can one be mirrored whose fingerprint is none: it becomes a part of paths.
    """
    if not is_fingerprint(image.fingerprint):
        return None
    valid: list[str] = []
    for alias in image.aliases:
        try:
            valid.append(names.check_name(alias.name))
        except ValueError:
            # It cannot be in an address.
            continue
    architecture = architecture_name(image.architecture)
    if not valid or not architecture or image.cached:
        return None
    return Product(
        name=valid[0],
        type=image.type,
        architecture=architecture,
        **{
            name: names.check_text(image.properties.get(name, "")[: names.MAX_TEXT_CHARACTERS])
            for name in PROPERTIES
        },
        aliases=names.check_aliases(valid[0], valid[1:]),
        requirements={
            name[len(_REQUIREMENT) :]: value
            for name, value in image.properties.items()
            if name.startswith(_REQUIREMENT)
        },
        versions=(
            Version(
                name=image.uploaded_at.strftime("%Y%m%d_%H%M"),
                fingerprint=image.fingerprint,
                created=_created(image),
                # Stands for its files until they are known.
                parts=(Part(image.fingerprint, image.size, _UNKNOWN_ENDING),),
            ),
        ),
    )


def _created(image: Image) -> int:
    try:
        return int(parse_time(str(image.raw.get("created_at"))).timestamp())
    except ValueError:
        return 0


def _candidate(product: Product) -> Candidate:
    return Candidate(
        product.names,
        product.type,
        product.architecture,
        product.architecture,
        product.os,
        product.release,
        product.variant,
    )

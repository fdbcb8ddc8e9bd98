# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images of simplestreams servers. Names are resolved here, without asking a LXD server."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Iterator, Mapping, Sequence

from ..architectures import architecture_name
from ..downloads import Download, OpenResponse, Retries, WebClient
from ..errors import (
    ApiError,
    ConnectionFailed,
    FileError,
    ImageNotFound,
    ImageStoreError,
    OptionError,
)
from ..images import CONTAINER, Alias, Image, Origin, is_fingerprint, is_prefix, short_fingerprint
from ..simplestreams import EVERY_FAMILY, INDEX, File, Reader
from ..simplestreams.listing import Listing
from ..simplestreams.reading import (
    MAX_DOCUMENT_BYTES,
    ProductReader,
    PublishedImage,
    parse_index,
)
from ..store import Store
from ..store_view import StoreView
from ..transport.body import Stream
from . import Offer
from .copy_request import CopyRequest, with_fingerprint_hint
from .pull import Pull
from .relay import Relay
from .routes import PULL, PUSH, RELAY, always_possible, choose_route
from .upload_form import UploadForm

INDEX_CACHE_SECONDS = 3600
"""How long a LXD server caches the index of an image server (``lxd/daemon_images.go``, CacheExpiry)."""


_REFUSALS = (400, 401, 403)
"""HTTP statuses for missing or wrong credentials; 400 is nginx's for a client certificate that it does not accept."""


class ImageServer:
    """A simplestreams server, as it is at one moment."""

    def __init__(self, address: str, web: WebClient) -> None:
        self.address = address.rstrip("/")
        self._web = web
        self.age: float | None = None
        """Seconds since the newest of its documents changed, by the server's own clock; None if unknown."""
        self._listings: dict[tuple[Reader, str], Listing] = {}

    def listing(self, reader: Reader, native: str) -> Listing:
        """All its images that the reader can use; asked for once. Raises FileError, ImageNotFound, ConnectionFailed."""
        if (reader, native) not in self._listings:
            self._listings[reader, native] = self._read_listing(reader, native)
        return self._listings[reader, native]

    def _read_listing(self, reader: Reader, native: str) -> Listing:
        products = ProductReader(reader, self.address)
        for path in parse_index(self._document(INDEX), self.url(INDEX)):
            products.read(self._document(path), self.url(path))
        if not products.images and products.families:
            raise self._no_images(reader.families, products.families)
        return Listing(self.address, products.images, native)

    def _no_images(self, families: Sequence[str], offered: set[str]) -> ImageNotFound:
        """Why there is no image for these families, although the server has entries for the families ``offered``."""
        listed = [family for family in families if family in offered]
        if listed:
            return ImageNotFound(
                f"{self.address} lists images for {' and '.join(listed)}, but none that can be used:"
                " in each a file or the fingerprint is missing or invalid",
                "Fix this on the image server.",
            )
        return ImageNotFound(
            f"{self.address} has images for {' and '.join(sorted(offered))} only, none for {families[0]}",
            "An image server for LXD is https://images.lxd.canonical.com (the built-in remote images).",
        )

    def url(self, path: str) -> str:
        """The URL of one of its files."""
        return f"{self.address}/{path.lstrip('/')}"

    @property
    def certificate(self) -> str:
        """The PEM certificate by which the target can verify this server; empty if an authority vouches for it."""
        return self._web.certificate_of(self.address) or ""

    @property
    def is_private(self) -> bool:
        """Whether it is shown credentials or a certificate that only this task has."""
        return self._web.authenticates

    def open(self, file: File, headers: Mapping[str, str]) -> OpenResponse:
        """Ask for a file of an image. Raises ApiError, ConnectionFailed."""
        return self._open(self.url(file.path), headers)

    def _open(self, url: str, headers: Mapping[str, str]) -> OpenResponse:
        try:
            return self._web.open(url, headers)
        except ApiError as error:
            if error.status not in _REFUSALS or not self._web.is_same_origin(url):
                raise
            hint = (
                "Correct source_username and source_password, or source_client_cert and source_client_key."
                if self.is_private
                else "A private image server needs source_username and source_password, or source_client_cert and"
                " source_client_key."
            )
            raise ApiError(error.message, error.status, hint=hint) from error

    def _document(self, path: str) -> bytearray:
        return self.document(path, {})[1]

    def document(self, path: str, condition: Mapping[str, str]) -> tuple[OpenResponse, bytearray]:
        """Ask for a document; the response, and the content, which may be anything.

        Without content, it has not changed by the headers of the ``condition``. Raises ApiError, ConnectionFailed,
        FileError if it is too large.
        """
        url = self.url(path)
        opened = self._open(url, condition)
        content = bytearray()
        for block in opened.transport.blocks(opened.response):
            content += block
            if len(content) > MAX_DOCUMENT_BYTES:
                raise FileError(
                    f"{url} is larger than {MAX_DOCUMENT_BYTES >> 20} MiB, too large for a list of images",
                    "Check that this is the URL of an image server.",
                )
        self._note_age(opened)
        return opened, content

    def _note_age(self, opened: OpenResponse) -> None:
        headers = opened.response.headers
        try:
            now, changed = (
                parsedate_to_datetime(headers.get(name, "")) for name in ("Date", "Last-Modified")
            )
            age = (now - changed).total_seconds()
        except (LookupError, OverflowError, TypeError, ValueError):
            # Missing or malformed dates: the age is unknown.
            return
        self.age = age if self.age is None else min(age, self.age)


class SimplestreamsSource:
    """The image that ``request`` names at an image server, for the store ``target``.

    ``architecture`` is LXD's name for the wanted one, None for the target's own.
    """

    def __init__(
        self, server: ImageServer, target: Store, request: CopyRequest, architecture: str | None
    ) -> None:
        self._server = server
        self._target = target
        self._request = request
        self._architecture = architecture
        self._listing: Listing | None = None
        self.aliases: tuple[Alias, ...] = ()

    def find(self, view: StoreView) -> Image | Offer:
        """The image in the target, or an offer. Raises ImageNotFound, and OptionError if no route is possible."""
        present = None if self._request.always_ask else self._find_in_target(view)
        if present:
            return present
        try:
            listing = self._list()
        except ConnectionFailed as error:
            raise with_fingerprint_hint(error, self._request, view) from error
        found = listing.find(self._request.name, self._request.type)
        if self._request.copy_aliases:
            self.aliases = tuple(map(Alias, listing.aliases_of(found)))
        held = view.by_fingerprint(found.fingerprint)
        if held and not held.cached:
            return held
        offer = self._offer(found, held)
        offer.size = found.image.size
        return offer

    def _list(self) -> Listing:
        """The images of the server. It is asked once in a task, so that all decisions are about the same state."""
        if self._listing is None:
            reader = self._target.server.dialect.reader
            self._listing = self._server.listing(reader, self._native)
        return self._listing

    @property
    def _native(self) -> str:
        """LXD's name of the requested architecture."""
        if self._architecture:
            return self._architecture
        return self._target.server.architectures[0]

    def _find_in_target(self, view: StoreView) -> Image | None:
        """The requested image if the target has it, as far as can be told without asking the image server."""
        name = self._request.name.lower()
        if is_fingerprint(name):
            held = view.by_fingerprint(name)
            fits = held and not held.cached and self._request.type in (None, held.type)
            return held if fits else None
        return view.by_origin(
            self._server.address, "simplestreams", self._has_requested_origin, self._request.alias
        )

    def _has_requested_origin(self, origin: Origin, image: Image) -> bool:
        """Whether an image was pulled by the requested name; ``x`` and ``x/amd64`` are the same."""
        if image.type != (self._request.type or CONTAINER):
            return False
        requested, recorded = (_split(name) for name in (self._request.name, origin.alias))
        architecture = requested[1] or self._native
        return requested[0] == recorded[0] and architecture_name(image.architecture) == architecture

    def _offer(self, found: PublishedImage, held: Image | None) -> Offer:
        request = self._request
        fault = self._why_no_pull(found)
        if fault and request.auto_update:
            raise OptionError(
                f"auto_update does not work with {self._server.address}: {fault}",
                "Use state: latest instead.",
            )
        # The target may have cached an index from before a change within the last hour.
        age = self._server.age
        may_be_cached = request.latest and age is not None and age < INDEX_CACHE_SECONDS
        obstacles = {
            PULL: lambda: fault,
            PUSH: _why_no_push,
            RELAY: always_possible,
        }
        if (
            choose_route(
                request.mode, obstacles, prefer_relay=may_be_cached and not request.auto_update
            )
            == RELAY
        ):
            return Relay(
                found.fingerprint,
                found.type,
                lambda retries: self._stream(found, retries),
                held,
                request.retries,
                source_image=found.image,
                filename=found.files[-1].path.rpartition("/")[2],
            )
        by_alias = not is_prefix(request.name.lower())
        source = {
            "server": self._server.address,
            "protocol": "simplestreams",
            "certificate": self._server.certificate,
            "image_type": found.type,
            **({"alias": self._alias} if by_alias else {"fingerprint": found.fingerprint}),
        }

        def require_newest(image: Image | None) -> None:
            serial = image.properties.get("serial", "") if image else ""
            if serial < found.serial:
                older = (
                    f"the older image {short_fingerprint(image.fingerprint)}"
                    if image
                    else "an older image"
                )
                raise ImageStoreError(
                    f"{self._target.server.address} still sees {older}"
                    f" instead of the newest image, {short_fingerprint(found.fingerprint)}",
                    "A server caches the index of an image server for an hour. Until then use mode: relay.",
                )

        return Pull(
            found.fingerprint,
            found.type,
            source,
            held,
            by_alias,
            found.image,
            check=require_newest if request.latest else None,
        )

    @property
    def _alias(self) -> str:
        """The name by which the target finds the image of the requested architecture, too."""
        stem, architecture = _split(self._request.name)
        own = self._target.server.architectures[0]
        if architecture or not self._architecture or self._architecture == own:
            return self._request.name
        return f"{stem}/{self._list().find(self._request.name, self._request.type).product.arch}"

    def _why_no_pull(self, found: PublishedImage) -> str:
        if self._server.is_private:
            return "the image server wants credentials that only this task has"
        target = self._target.server
        is_unified_machine = found.is_unified and found.type != CONTAINER
        fault = target.dialect.why_no_pull_from_index(found.reader, is_unified_machine)
        return f"{target.address} {fault}" if fault else ""

    def _stream(self, found: PublishedImage, retries: Retries) -> Stream:
        """The body of an upload with the files."""
        downloads = [self._download(file, retries) for file in found.files]
        if len(downloads) == 1:
            return Stream(downloads[0], "application/octet-stream", found.image.size)
        form = UploadForm(found.type, *(file.path.rpartition("/")[2] for file in found.files))
        return form.stream(downloads, found.image.size)

    def _download(self, file: File, retries: Retries) -> Iterator[bytes]:
        """The file, once it is its turn to be downloaded. Raises FileError if it cannot be the one of the index."""
        download = Download(lambda headers: self._server.open(file, headers), retries)
        if download.length not in (None, file.size):
            download.opened.response.close()
            raise FileError(
                f"{file.path} has {download.length} bytes, not the {file.size} that the index gives",
                "Run the task again; if that does not help, fix this on the image server.",
            )
        yield from download


def all_images(server: ImageServer, native: str) -> list[Image]:
    """All images of a server: as LXD reads them, and those that are for Incus only."""
    return server.listing(EVERY_FAMILY, native).images()


def _why_no_push() -> str:
    return "an image server cannot send images"


def _split(name: str) -> tuple[str, str | None]:
    """A name without the architecture at its end, and LXD's name of that architecture, or None."""
    stem, _slash, last = name.rpartition("/")
    architecture = architecture_name(last)
    return (stem, architecture) if stem and architecture else (name, None)

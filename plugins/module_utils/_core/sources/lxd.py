# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images of another LXD or Incus server, or of another project of the same one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator, Mapping

from ..errors import ConflictError, ConnectionFailed, ImageNotFound, OperationFailed
from ..images import (
    CONTAINER,
    VIRTUAL_MACHINE,
    Alias,
    Image,
    Origin,
    is_fingerprint,
    is_prefix,
)
from . import Offer, TransferResult
from .copy_request import CopyRequest, with_fingerprint_hint
from .routes import PULL, PUSH, RELAY, always_possible, choose_route

if TYPE_CHECKING:
    from ..downloads import OpenResponse, Retries
    from ..store import Store
    from ..store_view import StoreView
    from ..transport.body import Stream
    from ..transport.response import Response


class LxdSource:
    """The image that ``request`` names in the store ``source``, for the store ``target``."""

    def __init__(self, source: Store, target: Store, request: CopyRequest) -> None:
        self._source = source
        self._target = target
        self._request = request
        self.aliases: tuple[Alias, ...] = ()

    def find(self, view: StoreView) -> Image | Offer:
        """The image in the target, or an offer. Raises ImageNotFound, and OptionError if the mode is not possible."""
        known = None if self._request.always_ask else self._known(view)
        if known:
            return known
        try:
            fingerprint, image = self._resolve()
            held = view.by_fingerprint(fingerprint)
            if held and not held.cached and not self._request.copy_aliases:
                return held
            image = image or self._source.get_image(fingerprint)
        except ConnectionFailed as error:
            raise with_fingerprint_hint(error, self._request, view) from error
        if self._request.copy_aliases:
            self.aliases = tuple(sorted(image.aliases, key=lambda alias: alias.name))
        if held and not held.cached:
            return held
        offer = self._offer(image, held)
        offer.size = image.size
        return offer

    def _known(self, view: StoreView) -> Image | None:
        """The image in the target, if that can be told without asking the source."""
        name = self._request.name.lower()
        if is_fingerprint(name):
            held = view.by_fingerprint(name)
            return held if held and not held.cached and self._fits(held.type) else None
        if self._source.project != "default" or self._is_behind_a_socket:
            # Servers do not record the project of an origin, and images that came over a socket have no origin.
            return None
        return view.by_origin(self._address, "lxd", self._is_meant, self._request.alias)

    def _is_meant(self, origin: Origin, image: Image) -> bool:
        return origin.alias == self._request.name and image.type == (
            self._request.type or CONTAINER
        )

    def _fits(self, image_type: str) -> bool:
        return self._request.type in (None, image_type)

    def _resolve(self) -> tuple[str, Image | None]:
        """The full fingerprint of the image with that name at the source, and the image if it was read for that."""
        name, image = self._request.name, None
        found = self._source.get_alias(name)
        if not found and is_prefix(name.lower()):
            image = self._source.get_image(name.lower())
            found = image.fingerprint, image.type
        if not found:
            raise self._source.image_not_found(name)
        fingerprint, image_type = found
        require_type(self._request.type, image_type, name, self._source)
        return fingerprint, image

    @property
    def _is_same_server(self) -> bool:
        return self._source.server is self._target.server

    @property
    def _is_behind_a_socket(self) -> bool:
        return self._source.server.transport.is_local and not self._is_same_server

    @property
    def _address(self) -> str:
        """The https address of the source; empty if it has none."""
        return _https(self._source)

    def _offer(self, image: Image, held: Image | None) -> Offer:
        route = choose_route(
            self._request.mode,
            {
                PULL: lambda: self._why_no_pull(image),
                PUSH: lambda: self._why_no_push(image),
                RELAY: always_possible,
            },
            prefer_relay=self._is_behind_a_socket,
        )
        if route == PULL:
            return self._pull(image, held)
        if route == PUSH:
            return Push(image, self._source, self._target, held)
        return self._relay(image, held)

    def _relay(self, image: Image, held: Image | None) -> Offer:
        from .relay import Relay

        image.require_verifiable_files()
        return Relay(
            image.fingerprint,
            image.type,
            lambda retries: self._stream(image, retries),
            held,
            self._request.retries,
            source_image=image,
            filename=image.filename,
        )

    def _pull(self, image: Image, held: Image | None) -> Offer:
        """A pull by alias if the target then records the origin, else by fingerprint."""
        server = self._source.server
        target = self._target.server.dialect
        by_alias = (
            image.public
            and self._source.project == "default"
            and not is_prefix(self._request.name.lower())
            and target.records_origin(server.dialect)
        )
        named = {"alias": self._request.name} if by_alias else {"fingerprint": image.fingerprint}
        source = {
            "server": self._address,
            "protocol": target.protocol_for(server.dialect),
            "certificate": _certificate(self._source),
            "project": self._source.project,
            "image_type": image.type,
            **named,
        }
        secret = None if image.public else lambda: export_secret(self._source, image.fingerprint)
        # Not every server tells beforehand that it will refuse the secret.
        is_free = self._request.mode == "auto"
        fallback = (lambda: self._relay(image, held)) if is_free else None
        from ..store_secrets import export_secret
        from .pull import Pull

        return Pull(
            image.fingerprint,
            image.type,
            source,
            held,
            by_alias,
            image,
            secret,
            fallback=fallback,
        )

    def _why_no_pull(self, image: Image) -> str:
        target = self._target.server
        fault = target.dialect.why_no_pull(self._source.project)
        if fault:
            return f"{target.address} {fault}"
        if not self._address:
            return _not_listening(self._source)
        if image.public:
            return ""
        from ..store_secrets import why_no_export_secret

        return why_no_export_secret(self._source, image.fingerprint)

    def _why_no_push(self, image: Image) -> str:
        source, target = self._source.server, self._target.server
        if not source.is_trusted:
            return f"{source.address} does not trust this client, which has to start the push"
        fault = target.dialect.why_no_push(source.dialect, self._target.project)
        if fault:
            return f"{target.address} {fault}"
        if not _https(self._target):
            return _not_listening(self._target)
        if image.type == VIRTUAL_MACHINE and _exports_form(
            self._source.export(image.fingerprint, {})
        ):
            # Every known server names the second part "rootfs" (lxd/images.go, imageExportPost).
            return "a split virtual machine image would arrive as a container's"
        return ""

    def _stream(self, image: Image, retries: Retries) -> Stream:
        """The export as the body of an upload, bounded by the size of the image.

        A form is composed anew, since the server records the file name that it gives for the second part.
        """
        from ..downloads import Download, OpenResponse
        from ..transport.body import Stream
        from .export_form import ExportForm, file_name, is_form
        from .upload_form import UploadForm

        transport = self._source.server.transport

        def open_at(headers: Mapping[str, str]) -> OpenResponse:
            plain = {"Accept-Encoding": "identity", **headers}
            return OpenResponse(transport, self._source.export(image.fingerprint, plain))

        download = Download(open_at, retries)
        content_type = download.opened.response.headers.get("Content-Type", "")
        if not is_form(content_type):
            return Stream(download, content_type, image.size)
        export = ExportForm(content_type, download)
        metadata_name = file_name(export.next_part())

        def rootfs() -> Iterator[bytes]:
            export.next_part()
            yield from export.content()

        form = UploadForm(image.type, metadata_name, image.filename)
        return form.stream([export.content(), rootfs()], image.size)


def require_type(wanted: str | None, image_type: str, name: str, store: Store) -> None:
    """Raises ImageNotFound unless an image of this type is what was asked for; None is any."""
    if wanted not in (None, image_type):
        raise ImageNotFound(
            f"{name} in {store} is a {image_type} image, not a {wanted}",
            "Correct or remove image_type.",
        )


class Push(Offer):
    """An image that its source sends to the target."""

    route = PUSH

    def __init__(self, image: Image, source: Store, target: Store, replaces: Image | None) -> None:
        self.fingerprint = image.fingerprint
        self.type = image.type
        self.replaces = replaces
        self._image = image
        self._source = source
        self._invitation = {
            "target": _https(target),
            "certificate": _certificate(target),
            "project": target.project,
        }

    def _transfer(self, store: Store) -> TransferResult:
        from ..store_secrets import push, upload_token

        with upload_token(store, self._image) as secret:
            try:
                push(self._source, self._image.fingerprint, {**self._invitation, "secret": secret})
            except OperationFailed as error:
                if store.server.dialect.is_already_exists(error.err):
                    raise ConflictError(
                        f"{store} received the image from another client"
                    ) from error
                raise OperationFailed(
                    f"{error.message} (while it was sending the image to {self._invitation['target']})",
                    error.err,
                    "If it cannot connect to that address, use mode: relay.",
                ) from error
        return TransferResult(self._image.fingerprint, self._image.size)


def _not_listening(store: Store) -> str:
    advice = store.server.dialect.listen_advice
    return f"{store.server.address} does not listen on the network ({advice} would change that)"


def _https(store: Store) -> str:
    """The https address of a server; empty if it has none."""
    transport = store.server.transport
    if not transport.is_local:
        return transport.address
    # If the server listens on all of its addresses, the first is the one that it would advertise.
    addresses = store.server.addresses
    return f"https://{addresses[0]}" if addresses else ""


def _certificate(store: Store) -> str:
    """The certificate by which another server can verify this one; empty if the system authorities suffice."""
    transport = store.server.transport
    if transport.is_local:
        return store.server.certificate
    return transport.trust.certificate_for_peer(transport.peer_certificate) or ""


def _exports_form(response: Response) -> bool:
    """Whether the response to an export is a form. Closes it."""
    response.close()
    from .export_form import is_form

    return is_form(response.headers.get("Content-Type", ""))

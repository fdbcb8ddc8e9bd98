# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images of plain web servers, by their address."""

from __future__ import annotations

from typing import Any

from ..archives.file_kinds import ARCHIVES, WORDS, file_kind
from ..downloads import Download, Retries, WebClient, mask_credentials
from ..errors import ConflictError, FileError
from ..images import CONTAINER, VIRTUAL_MACHINE, Alias, Image
from ..store import Store
from ..store_view import StoreView
from ..transport import Stream
from . import Offer
from .allowed_hosts import AllowedHosts
from .image_headers import ImageHeaders, parse_image_headers
from .pull import Pull
from .relay import Relay
from .routes import PULL, PUSH, RELAY, always_possible, choose_route
from .upload_form import UploadForm

HEAD_BYTES = 512


class UrlSource:
    """The unified image at ``url``, for the store ``target``. With ``expected``, it has to have that fingerprint.

    ``obstacle`` is what keeps the target from fetching it by itself, as far as the task's options tell, or empty;
    ``hosts`` are those where the image may be.
    """

    def __init__(
        self,
        web: WebClient,
        url: str,
        target: Store,
        mode: str,
        retries: int,
        expected: str | None,
        obstacle: str,
        hosts: AllowedHosts,
    ) -> None:
        self._web = web
        self._url = url
        self._target = target
        self._mode = mode
        self._retries = retries
        self._expected = expected
        self._obstacle = obstacle
        self._hosts = hosts
        self.aliases: tuple[Alias, ...] = ()

    def find(self, view: StoreView) -> Image | Offer:
        """The image in the target, or an offer. Raises FileError where the web server's answer is not fit."""
        held = view.by_fingerprint(self._expected)
        if held and not held.cached:
            return held
        landing = self._ask()
        held = view.by_fingerprint(landing.fingerprint)
        if held and not held.cached:
            return held
        image_type = held.type if held else None
        obstacles = {
            PULL: lambda: self._why_no_pull(landing),
            PUSH: _no_push,
            RELAY: always_possible,
        }
        if choose_route(self._mode, obstacles) == PULL:
            source = {"type": "url", "protocol": "direct", "url": self._url}
            return Pull(
                landing.fingerprint,
                image_type,
                source,
                held,
                check=lambda image: self._require(image, landing),
            )
        _require_archive(self._web, landing.location)
        return Relay(
            landing.fingerprint, image_type, self._open_streams(landing), held, self._retries
        )

    def _ask(self) -> ImageHeaders:
        """What the web server says of the image."""
        dialect = self._target.server.dialect
        headers = self._target.server.identification_headers
        opened = self._web.get(self._url, headers, "HEAD")
        if opened.response.status_code in _NO_HEAD:
            opened.response.close()
            opened = self._web.get(self._url, headers)
        opened.response.close()
        raw: Any = opened.response.raw.headers
        landing = parse_image_headers(
            self._url, opened.response.status_code, raw.getlist, dialect.name
        )
        if landing is None:
            return self._plain()
        if self._expected and landing.fingerprint != self._expected:
            raise FileError(
                f"{mask_credentials(self._url)} has the image {landing.fingerprint}, not {self._expected}",
                "Correct the option fingerprint, or the address.",
            )
        self._hosts.require(self._url, landing.location)
        return landing

    def _plain(self) -> ImageHeaders:
        """A file of a web server that says nothing of images."""
        if not self._expected:
            raise FileError(
                f"{mask_credentials(self._url)} sends no header LXD-Image-Hash or Incus-Image-Hash",
                "Give the image's fingerprint, then a plain web server will do.",
            )
        return ImageHeaders(self._expected, self._url, "the web server sends none of the headers")

    def _why_no_pull(self, landing: ImageHeaders) -> str:
        if not self._target.server.dialect.fetches_urls:
            return f"{self._target.server.address} fetches no images by their address"
        if self._target.is_in_another_project(landing.fingerprint):
            return (
                "another project of the server has the image, and a pull would take its attributes"
            )
        return self._obstacle or landing.obstacle

    def _require(self, image: Image | None, landing: ImageHeaders) -> None:
        """Raises FileError unless the server got what the web server told us of."""
        if image and image.fingerprint != landing.fingerprint:
            raise FileError(
                f"{mask_credentials(self._url)} gave the server the image {image.fingerprint},"
                f" not {landing.fingerprint}",
                "Does it answer everybody alike?",
            )

    def _open_streams(self, landing: ImageHeaders) -> Any:
        """Opens the image, each time that it is called."""
        asked = False

        def stream(retries: Retries) -> Stream:
            nonlocal asked
            if asked and self._ask() != landing:
                raise ConflictError(f"the image at {mask_credentials(self._url)} has changed")
            asked = True
            download = _download(self._web, landing.location, retries)
            return Stream(download, "application/octet-stream", download.length)

        return stream


class SplitUrlSource:
    """The split image whose two files are at these addresses, with the fingerprint ``expected``."""

    def __init__(self, web: WebClient, urls: tuple[str, str], retries: int, expected: str) -> None:
        self._web = web
        self._urls = urls
        self._retries = retries
        self._expected = expected
        self.aliases: tuple[Alias, ...] = ()

    def find(self, view: StoreView) -> Image | Offer:
        """The image in the target, or an offer. Raises FileError if the files cannot be an image's."""
        held = view.by_fingerprint(self._expected)
        if held and not held.cached:
            return held
        _require_archive(self._web, self._urls[0])
        image_type = VIRTUAL_MACHINE if _kind_at(self._web, self._urls[1]) == "qcow2" else CONTAINER

        def stream(retries: Retries) -> Stream:
            downloads = [_download(self._web, url, retries) for url in self._urls]
            form = UploadForm(image_type, "metadata", "rootfs")
            lengths = [download.length for download in downloads]
            known = [length for length in lengths if length is not None]
            return form.stream(downloads, sum(known) if len(known) == len(lengths) else None)

        return Relay(self._expected, image_type, stream, held, self._retries)


_NO_HEAD = (403, 405, 501)


def _no_push() -> str:
    return "a web server only answers"


def _download(web: WebClient, url: str, retries: Retries) -> Download:
    return Download(lambda headers: web.open(url, headers), retries)


def _require_archive(web: WebClient, url: str) -> None:
    """Raises FileError unless an image, or the metadata of one, can be at this address."""
    kind = _kind_at(web, url)
    if kind not in ARCHIVES:
        raise FileError(
            f"{mask_credentials(url)} is {WORDS[kind]}, not an image", "Open it to see."
        )


def _kind_at(web: WebClient, url: str) -> str:
    """What is at an address, by its first bytes."""
    opened = web.open(url, {"Range": f"bytes=0-{HEAD_BYTES - 1}"})
    head = next(opened.transport.blocks(opened.response), b"")[:HEAD_BYTES]
    opened.response.close()
    if not head:
        raise FileError(f"{mask_credentials(url)} is empty", "Is the address right?")
    return file_kind(head)

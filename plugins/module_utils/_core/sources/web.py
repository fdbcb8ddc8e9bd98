# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images of web servers, by URL."""

from __future__ import annotations

from typing import Any

from ..all_projects import is_in_another_project
from ..archives.file_kinds import ARCHIVES, WORDS, file_kind
from ..downloads import Download, Retries, WebClient
from ..errors import ConflictError, FileError
from ..images import CONTAINER, VIRTUAL_MACHINE, Alias, Image
from ..store import Store
from ..store_view import StoreView
from ..transport.body import Stream
from ..urls import mask_credentials
from . import Offer
from .allowed_hosts import AllowedHosts
from .image_headers import ImageHeaders, parse_image_headers
from .pull import Pull
from .relay import Relay
from .routes import PULL, PUSH, RELAY, always_possible, choose_route
from .upload_form import UploadForm

HEAD_BYTES = 512


class UrlSource:
    """The unified image at ``url``, for the store ``target``. If ``expected`` is set, it must have that fingerprint.

    ``obstacle`` is why the options prevent the target from downloading it by itself, or empty; ``hosts`` are those that
    the web server may refer to.
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
        """The image in the target, or an offer. Raises FileError if the web server's response is not acceptable."""
        held = view.by_fingerprint(self._expected)
        if held and not held.cached:
            return held
        found = self._request_headers()
        held = view.by_fingerprint(found.fingerprint)
        if held and not held.cached:
            return held
        image_type = held.type if held else None
        obstacles = {
            PULL: lambda: self._why_no_pull(found),
            PUSH: _no_push,
            RELAY: always_possible,
        }
        if choose_route(self._mode, obstacles) == PULL:
            source = {"type": "url", "protocol": "direct", "url": self._url}
            return Pull(
                found.fingerprint,
                image_type,
                source,
                held,
                check=lambda image: self._require(image, found),
            )
        _require_archive(self._web, found.location)
        return Relay(found.fingerprint, image_type, self._open_streams(found), held, self._retries)

    def _request_headers(self) -> ImageHeaders:
        """The image headers of the web server."""
        dialect = self._target.server.dialect
        headers = self._target.server.identification_headers
        opened = self._web.get(self._url, headers, "HEAD")
        if opened.response.status_code in _NO_HEAD:
            opened.response.close()
            opened = self._web.get(self._url, headers)
        opened.response.close()
        found = parse_image_headers(
            self._url, opened.response.status_code, opened.response.headers.values, dialect.name
        )
        if found is None:
            return self._plain()
        if self._expected and found.fingerprint != self._expected:
            raise FileError(
                f"{mask_credentials(self._url)} has the image {found.fingerprint}, not {self._expected}",
                "Correct the option fingerprint or the URL.",
            )
        self._hosts.require(self._url, found.location)
        return found

    def _plain(self) -> ImageHeaders:
        """Headers for a plain file, which takes an expected fingerprint."""
        if not self._expected:
            raise FileError(
                f"{mask_credentials(self._url)} sends no header LXD-Image-Hash or Incus-Image-Hash",
                "To import a file from a web server without these headers, set fingerprint.",
            )
        return ImageHeaders(self._expected, self._url, "the web server sends no image headers")

    def _why_no_pull(self, found: ImageHeaders) -> str:
        if not self._target.server.dialect.fetches_urls:
            return f"{self._target.server.address} does not import images from web servers"
        if is_in_another_project(self._target, found.fingerprint):
            return (
                "another project of the server has the image, and a pull would use its attributes"
            )
        return self._obstacle or found.obstacle

    def _require(self, image: Image | None, found: ImageHeaders) -> None:
        """Raises FileError unless the server got the image that the web server described to this task."""
        if image and image.fingerprint != found.fingerprint:
            raise FileError(
                f"{mask_credentials(self._url)} gave the target the image {image.fingerprint},"
                f" not {found.fingerprint}",
                "Check that the web server sends the same headers to every client.",
            )

    def _open_streams(self, found: ImageHeaders) -> Any:
        """A function that opens the image each time it is called."""
        requested = False

        def stream(retries: Retries) -> Stream:
            nonlocal requested
            if requested and self._request_headers() != found:
                raise ConflictError(f"the image at {mask_credentials(self._url)} has changed")
            requested = True
            download = _download(self._web, found.location, retries)
            return Stream(download, "application/octet-stream", download.length)

        return stream


class SplitUrlSource:
    """The split image whose two files are at these URLs, with the fingerprint ``expected``."""

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
    return "a web server cannot send by itself"


def _download(web: WebClient, url: str, retries: Retries) -> Download:
    return Download(lambda headers: web.open(url, headers), retries)


def _require_archive(web: WebClient, url: str) -> None:
    """Raises FileError unless the file at this URL can be an image, or the metadata of one."""
    kind = _kind_at(web, url)
    if kind not in ARCHIVES:
        raise FileError(f"{mask_credentials(url)} is {WORDS[kind]}, not an image", "Check the URL.")


def _kind_at(web: WebClient, url: str) -> str:
    """The kind of the file at a URL, by its first bytes."""
    opened = web.open(url, {"Range": f"bytes=0-{HEAD_BYTES - 1}"})
    head = next(opened.transport.blocks(opened.response), b"")[:HEAD_BYTES]
    opened.response.close()
    if not head:
        raise FileError(f"{mask_credentials(url)} is empty", "Check the URL.")
    return file_kind(head)

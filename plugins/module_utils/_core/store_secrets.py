# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets with which other servers may fetch an image from a store, or send one to it."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, ContextManager, Iterator, Mapping

from .access import edit_image, entitlement_query
from .errors import ApiError, AuthenticationError, ImageStoreError, OptionError
from .images import Image, format_time
from .store_access import require_project
from .transport import url_path

if TYPE_CHECKING:
    from .store import Store


def export_secret(store: Store, fingerprint: str) -> ContextManager[str]:
    """A secret with which another server can download a private image while the context lasts."""
    path = url_path("/1.0/images/{}/secret", fingerprint)
    return _secret_of(store, store.server.call("POST", path, store.query).metadata)


def why_no_export_secret(store: Store, fingerprint: str) -> str:
    """Why this client gets no such key, as far as the server tells beforehand; else an empty text."""
    needed = (edit_image(fingerprint),)
    if entitlement_query(store.server, needed):
        try:
            require_project(store, needed)
        except AuthenticationError as error:
            return error.message
        except OptionError:
            pass
    return ""


def takes_upload_tokens(store: Store) -> bool:
    """Whether an upload with a token is safe.

    In a cluster, another member than the one that issued the token may receive the upload. It then crashes on the
    token's attributes, which it expects to be in its own memory (``lxd/images.go``, getImgPostInfo).
    """
    clustered = store.server.environment.get("server_clustered")
    return store.server.dialect.supports("pushes") and not clustered


def upload_token(store: Store, image: Image) -> ContextManager[str]:
    """A secret with which this image can be uploaded to the store while the context lasts.

    The new image has the properties and expiry of ``image`` as soon as it exists, whatever its metadata says.
    """
    asked = {
        "source": {"type": "image", "mode": "push", "fingerprint": image.fingerprint},
        "properties": dict(image.properties),
        # As the source writes it: LXD and Incus have different values for no expiry.
        "expires_at": image.raw.get("expires_at") or format_time(image.expires_at),
    }
    return _secret_of(store, store.server.call("POST", "/1.0/images", store.query, asked).metadata)


def push(store: Store, fingerprint: str, target: Mapping[str, Any]) -> None:
    """Have this server send an image to the ``target`` (``shared/api/image.go``, ImageExportPost)."""
    path = url_path("/1.0/images/{}/export", fingerprint)
    store.server.operations.run("POST", path, store.query, dict(target))


@contextmanager
def _secret_of(store: Store, operation: Mapping[str, Any]) -> Iterator[str]:
    """The secret of a token operation, which is canceled afterwards: it would never end by itself."""
    path = f"/1.0/operations/{store.server.operations.operation_id(operation)}"
    with store.server.validating_response("a secret"):
        secret = str(operation["metadata"]["secret"])
    try:
        yield secret
    except BaseException:
        with suppress(ImageStoreError):
            # The first error is the one to report.
            store.server.operations.cancel(path, store.query)
        raise
    with suppress(ApiError):
        # It has ended, since the secret was used.
        store.server.operations.cancel(path, store.query)

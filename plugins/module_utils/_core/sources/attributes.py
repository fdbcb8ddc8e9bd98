# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sets the attributes that an image has at its source on a copy of it."""

from __future__ import annotations

from typing import Any

from ..errors import ConflictError, ImageStoreError
from ..images import Image, short_fingerprint
from ..store import Store
from . import update_with_retry


def set_source_attributes(store: Store, image: Image, source_image: Image) -> None:
    """Give ``image``, which is new in the store, the attributes that it has at its source.

    Changes that other clients make meanwhile are kept. If the attributes cannot be set, the image is deleted again:
    otherwise the next run would consider it complete.
    """

    def changes_for(current: Image) -> dict[str, Any]:
        theirs = {
            name: value
            for name, value in current.properties.items()
            if image.properties.get(name) != value
        }
        changes: dict[str, Any] = {"properties": {**source_image.properties, **theirs}}
        if current.expires_at == image.expires_at:
            changes["expires_at"] = source_image.expires_at
        if current.auto_update == image.auto_update:
            changes["auto_update"] = False
        return changes

    if all(image.attributes[name] == value for name, value in changes_for(image).items()):
        return
    try:
        update_with_retry(store, image.fingerprint, changes_for)
    except ConflictError:
        raise
    except ImageStoreError as error:
        try:
            store.writer.delete_if_unaliased(image.fingerprint)
        except ImageStoreError:
            raise ImageStoreError(
                f"{error.message}; the image {short_fingerprint(image.fingerprint)} is in the store,"
                " without the properties and expiry that it has at its source",
                "Delete it before the next run, which would consider it complete.",
            ) from error
        raise

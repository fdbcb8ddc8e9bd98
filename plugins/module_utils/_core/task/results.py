# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task returns of an image, of an alias, and as its diff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping

if TYPE_CHECKING:
    from ..convergence import Result
    from . import Task


def image_values(task: Task, result: Result) -> dict[str, Any]:
    """The values to return of an image that a task was about."""
    values = {
        "changed": bool(result.actions),
        "fingerprint": result.fingerprint,
        "image": None if result.image is None else shown_image(result.image),
        "actions": result.actions,
        "transferred": result.transferred,
    }
    if task.check_mode:
        values["would_transfer"] = result.would_transfer
    return {**values, **_diff(task, result)}


def alias_values(task: Task, result: Result) -> dict[str, Any]:
    """The values to return of an alias: in check mode as it is, else as it is afterwards, or None."""
    alias = (result.before if task.check_mode else result.after) or None
    values = {"changed": bool(result.actions), "actions": result.actions, "alias": alias}
    return {**values, **_diff(task, result)}


def shown_image(raw: Mapping[str, Any]) -> dict[str, Any]:
    """An image as its server describes it, but with the SHA-256 of the origin's certificate in its place.

    The credentials that Incus keeps in the address of a registry are masked.
    """
    image, origin = dict(raw), raw.get("update_source")
    if not isinstance(origin, dict):
        return image
    shown = dict(origin)
    if origin.get("certificate"):
        shown["certificate"] = _digest(str(origin["certificate"]))
    if "@" in str(origin.get("server")):
        from ..urls import mask_credentials

        shown["server"] = mask_credentials(str(origin["server"]))
    return {**image, "update_source": shown}


def _digest(certificate: str) -> str:
    """The SHA-256 of a certificate in PEM form, in hex."""
    import hashlib
    import ssl

    try:
        content = ssl.PEM_cert_to_DER_cert(certificate.strip())
    except ValueError:
        content = certificate.encode()
    return hashlib.sha256(content).hexdigest()


def _diff(task: Task, result: Result) -> dict[str, Any]:
    if not task.module._diff:
        return {}
    return {"diff": readable_diff(result.before, result.after)}


def readable_diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """A diff as people read it."""
    return {"before": _readable(before), "after": _readable(after)}


def _readable(side: Mapping[str, Any]) -> dict[str, Any]:
    """One side of a diff, with sizes as people read them."""
    from ansible.module_utils.common.text.formatters import bytes_to_human

    shown = dict(side)
    if "images" in shown:
        shown["images"] = {
            name: {
                key: bytes_to_human(value) if key == "size" else value
                for key, value in image.items()
            }
            for name, image in shown["images"].items()
        }
    return shown

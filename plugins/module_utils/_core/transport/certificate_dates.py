# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From when and until when a certificate is valid, whoever has signed it and whether it was checked or not.

Python tells the dates of a certificate only if it has verified it, and it has not where a fingerprint pins the server.
"""

from __future__ import annotations

from datetime import datetime, timezone

_SEQUENCE, _UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x30, 0x17, 0x18, 0xA0
_TIME_FORMATS = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}


def why_not_valid_now(certificate: bytes, now: datetime | None = None) -> str:
    """What the dates of a certificate (DER) say against it, as in "expired on 2024-05-01 12:00 UTC".

    Empty if it is valid, and if its dates cannot be read.
    """
    now = now or datetime.now(timezone.utc)
    try:
        begin, end = _validity(certificate)
    except (ValueError, IndexError):
        return ""
    if now > end:
        return f"expired on {end:%Y-%m-%d %H:%M} UTC"
    if now < begin:
        return f"is not valid before {begin:%Y-%m-%d %H:%M} UTC"
    return ""


def _validity(certificate: bytes) -> tuple[datetime, datetime]:
    """The dates of a certificate (RFC 5280, section 4.1). Raises ValueError and IndexError if it is none."""
    signed = _fields(_elements(certificate)[0])
    fields = _fields(signed[0])
    if fields[0][0] == _VERSION:
        fields = fields[1:]
    _serial_number, _signature, _issuer, validity = fields[:4]
    begin, end = _fields(validity)
    return _time(begin), _time(end)


def _fields(element: tuple[int, bytes]) -> list[tuple[int, bytes]]:
    tag, content = element
    if tag != _SEQUENCE:
        raise ValueError(f"the tag {tag} is not one of a sequence")
    return _elements(content)


def _elements(data: bytes) -> list[tuple[int, bytes]]:
    """The elements in DER that follow each other: tag and content (ITU-T X.690)."""
    elements = []
    at = 0
    while at < len(data):
        tag, size, start = data[at], data[at + 1], at + 2
        if size & 0x80:
            digits = size & 0x7F
            size = int.from_bytes(data[start : start + digits], "big")
            start += digits
        at = start + size
        if at > len(data):
            raise ValueError("an element is longer than the data")
        elements.append((tag, data[start:at]))
    return elements


def _time(element: tuple[int, bytes]) -> datetime:
    tag, text = element
    if tag not in _TIME_FORMATS:
        raise ValueError(f"the tag {tag} is not one of a time")
    moment = datetime.strptime(text.decode("ascii"), _TIME_FORMATS[tag])
    return moment.replace(tzinfo=timezone.utc)

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plain facts about images: what one is, and how LXD writes fingerprints, times and properties.

No requests are made here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Mapping
from urllib.parse import urlsplit

from .errors import OptionError

CONTAINER = "container"
VIRTUAL_MACHINE = "virtual-machine"

NEVER = datetime(1970, 1, 1, tzinfo=timezone.utc)
"""An image without an expiry has this one. (LXD also sends year 1; ``parse_time`` folds both into it.)"""

MIN_PREFIX_DIGITS = 12
"""LXD 5.21.4, 6.5 and later refuse shorter abbreviations of a fingerprint (``lxd/images.go``)."""

_HEX = re.compile(r"[0-9a-f]+\Z")
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?"
    r"\s*(Z|z|[+-]\d\d(?::?\d\d)?)?)?\Z"
)


def is_fingerprint(text: str) -> bool:
    """Whether ``text`` is a whole fingerprint in LXD's spelling: 64 lower-case hex digits."""
    return len(text) == 64 and bool(_HEX.match(text))


def is_prefix(text: str) -> bool:
    """Whether ``text`` can abbreviate a fingerprint: 12 to 64 lower-case hex digits."""
    return MIN_PREFIX_DIGITS <= len(text) <= 64 and bool(_HEX.match(text))


def parse_fingerprint(text: str, option: str) -> str:
    """The whole fingerprint that ``option`` was given, in lower case. Raises OptionError."""
    lowered = text.strip().lower()
    if not is_fingerprint(lowered):
        raise OptionError(
            f"{option} is {text!r}, which is not a fingerprint",
            "A fingerprint is the SHA-256 of the image: 64 hex digits.",
        )
    return lowered


def short_fingerprint(fingerprint: str) -> str:
    """The first twelve digits, for messages."""
    return fingerprint[:12]


def parse_time(text: str) -> datetime:
    """The time in an ISO 8601 text, as LXD writes it (with nanoseconds) or as people do.

    A date alone is midnight, a time without a zone is in UTC. Parts of a second below the microsecond are dropped.
    Raises ValueError.
    """
    match = _TIME.match(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a time in ISO 8601")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    moment = datetime(
        int(year),
        int(month),
        int(day),
        int(hour or 0),
        int(minute or 0),
        int(second or 0),
        int((fraction or "0")[:6].ljust(6, "0")),
        tzinfo=timezone.utc,
    )
    if moment <= NEVER:
        return NEVER
    if zone and zone not in "Zz":
        digits = zone[1:].replace(":", "").ljust(4, "0")
        offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
        try:
            moment = moment - offset if zone[0] == "+" else moment + offset
        except OverflowError:
            raise ValueError(f"{text!r} is after the year 9999") from None
    return max(moment, NEVER)


def format_time(moment: datetime) -> str:
    """The time as the LXD API takes it (RFC 3339); 1970 means never."""
    return moment.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


ARCHIVE = "imagestore.archive"
"""The property with the SHA-256 of the directory that an image was made of, packed but not compressed."""

ROOTFS = "imagestore.rootfs"
"""The property with the keys of the bare disk or root file system that an image was made of.

A key is a digest of the file's digest and of the options that went into the metadata (see ``disks.rootfs_key``). There
is one for each algorithm that the file's digest is known by, separated by a comma and a space.
"""

INSTANCE = "imagestore.instance"
"""The property with the instances or snapshots that a published image was made of.

Each is as in ``site c1/snap0 CREATED SINCE``: project, name, when the instance was created, and when the snapshot was
taken or the instance last started. They are separated by a comma and a space, which no name can contain.
"""


@dataclass(frozen=True)
class Alias:
    """A name for an image, unique in its project."""

    name: str
    description: str = ""


@dataclass(frozen=True)
class Origin:
    """Where a server has fetched an image from, and would look for a newer one. It records no project.

    ``alias`` is the text that was asked for, byte by byte, which may also be a fingerprint.
    """

    server: str
    protocol: str
    alias: str

    def is_at(self, server: str, protocol: str) -> bool:
        """Whether this is that server. LXD and Incus talk to each other under either name."""
        simple = {"incus": "lxd"}
        same = simple.get(self.protocol, self.protocol) == simple.get(protocol, protocol)
        return same and normalized_address(self.server) == normalized_address(server)

    @property
    def can_change(self) -> bool:
        """Whether it can ever name another image, as a fingerprint cannot, nor a digest in a registry."""
        return not is_prefix(self.alias) and not (self.protocol == "oci" and "@" in self.alias)


def normalized_address(server: str) -> str:
    """An address with lower-case host, explicit port, and without a slash at its end.

    A server keeps what it was once given, so it may be no address at all: then it is left as it is.
    """
    try:
        parts = urlsplit(server.strip())
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    except ValueError:
        return server
    return f"{parts.scheme}://{parts.hostname}:{port}{parts.path.rstrip('/')}"


@dataclass(frozen=True)
class Image:
    """One image of a store, as its server describes it.

    ``size`` is the bytes of its file or files, ``cached`` that LXD fetched it by itself and will prune it,
    ``profiles`` are sorted, since LXD keeps no order of them, ``expires_at`` is ``NEVER`` where there is no expiry, and
    ``raw`` has the server's own words.
    """

    fingerprint: str
    type: str
    architecture: str
    size: int
    aliases: tuple[Alias, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    public: bool = False
    auto_update: bool = False
    profiles: tuple[str, ...] = ()
    expires_at: datetime = NEVER
    cached: bool = False
    uploaded_at: datetime = NEVER
    filename: str = ""
    origin: Origin | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Image:
        """From one element of ``GET /1.0/images?recursion=1`` (``shared/api/image.go``).

        Raises ValueError, TypeError and the like if it is no description of an image.
        """
        source = raw.get("update_source")
        return cls(
            fingerprint=_text(raw["fingerprint"]),
            # LXD before 3.19 knew no types: all its images were containers.
            type=_text(raw.get("type")) or CONTAINER,
            architecture=_text(raw.get("architecture")),
            size=int(raw.get("size") or 0),
            aliases=tuple(
                Alias(_text(alias["name"]), _text(alias.get("description")))
                for alias in raw.get("aliases") or ()
            ),
            properties={
                _text(name): _text(value) for name, value in (raw.get("properties") or {}).items()
            },
            public=bool(raw.get("public")),
            auto_update=bool(raw.get("auto_update")),
            profiles=tuple(sorted(map(_text, raw.get("profiles") or ()))),
            expires_at=parse_time(raw["expires_at"]) if raw.get("expires_at") else NEVER,
            cached=bool(raw.get("cached")),
            uploaded_at=parse_time(raw["uploaded_at"]) if raw.get("uploaded_at") else NEVER,
            filename=_text(raw.get("filename")),
            origin=Origin(*(_text(source[name]) for name in ("server", "protocol", "alias")))
            if source
            else None,
            raw=raw,
        )

    @property
    def attributes(self) -> dict[str, Any]:
        """What a client may set of it."""
        return {
            "public": self.public,
            "properties": dict(self.properties),
            "profiles": self.profiles,
            "expires_at": self.expires_at,
            "auto_update": self.auto_update,
        }

    @property
    def alias_names(self) -> frozenset[str]:
        """The names of its aliases."""
        return frozenset(alias.name for alias in self.aliases)

    @property
    def instances(self) -> tuple[str, ...]:
        """What it was made of, if it was published; see ``INSTANCE``."""
        return tuple(filter(None, self.properties.get(INSTANCE, "").split(", ")))

    @property
    def rootfs_keys(self) -> tuple[str, ...]:
        """What it was made of, if that was a bare disk or root file system; see ``ROOTFS``."""
        return tuple(filter(None, self.properties.get(ROOTFS, "").split(", ")))

    def require_verifiable_files(self) -> None:
        """Raises OptionError if the fingerprint is not that of the files, as of an image that Incus made of OCI layers.

        (``client/incus_images.go``, GetImageFile.)
        """
        if self.properties.get("type") == "oci":
            raise OptionError(
                f"the image {short_fingerprint(self.fingerprint)} came from an OCI registry, and its files cannot be"
                " verified by its fingerprint",
                "Copy it from the registry, or with mode: pull.",
            )

    def require_not_cached(self) -> None:
        """Raises OptionError if its server will remove it by itself, and its aliases with it."""
        if self.cached:
            raise OptionError(
                f"the server only caches the image {short_fingerprint(self.fingerprint)}, and will delete it",
                "Copy or import it to keep it.",
            )


def _text(value: str | None) -> str:
    """A text of an answer; null is an empty one. Raises TypeError if it is none."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} instead of a string")
    return value or ""


def parse_properties(properties: Mapping[str, Any]) -> dict[str, str]:
    """Properties as LXD keeps them, which is as texts. Raises OptionError.

    A number such as 3.20 has lost a digit before it reaches us, so it is refused.
    """
    texts: dict[str, str] = {}
    for name, value in properties.items():
        if isinstance(value, float):
            raise OptionError(
                f"the property {name} is a number with a decimal point, which YAML may have shortened",
                'Quote it, for example "3.20".',
            )
        if not isinstance(value, (str, int, type(None))):
            raise OptionError(
                f"the property {name} is a {type(value).__name__}", "Properties must be strings."
            )
        is_bool = isinstance(value, bool)
        texts[str(name)] = str(value).lower() if is_bool else "" if value is None else str(value)
    return texts

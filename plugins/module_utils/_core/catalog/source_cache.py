# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a catalog remembers of the image files that it has read, so that it reads them once.

It is a cache: where it is damaged, or anything in it is not as it has to be, nothing is remembered.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any, Mapping

from ..architectures import architecture_name
from ..archives.image_info import PART_ENDINGS, ImageInfo
from ..images import CONTAINER, VIRTUAL_MACHINE, is_fingerprint
from ..json_reader import parse_json

MAX_CACHE_BYTES = 8 << 20
MAX_VALUES = 200_000


def cache_text(known: Mapping[str, ImageInfo]) -> str:
    """The content of the cache: what files contain, by their stamps."""
    images = json.dumps({stamp: one.plain for stamp, one in sorted(known.items())})
    return json.dumps({"sha256": sha256(images.encode()).hexdigest(), "images": images}) + "\n"


def parse_cache(content: bytes) -> dict[str, ImageInfo]:
    """What a cache remembers."""
    try:
        cache = parse_json(content, MAX_VALUES)
        images = cache["images"].encode()
        if sha256(images).hexdigest() != cache["sha256"]:
            return {}
        return {stamp: _facts(raw) for stamp, raw in parse_json(images, MAX_VALUES).items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}


def _facts(raw: Mapping[str, Any]) -> ImageInfo:
    """Raises KeyError, TypeError, ValueError if they are none."""
    facts = ImageInfo.parse(raw)
    texts = (facts.os, facts.release, facts.variant)
    if (
        isinstance(facts.created, int)
        and len(facts.parts) in (1, 2)
        and all(size >= 0 and ending in PART_ENDINGS for _digest, size, ending in facts.parts)
        and all(map(is_fingerprint, (facts.fingerprint, *(part[0] for part in facts.parts))))
        and facts.type in (CONTAINER, VIRTUAL_MACHINE)
        and architecture_name(facts.architecture) == facts.architecture
        and all(isinstance(text, str) for text in texts)
    ):
        return facts
    raise ValueError("not what a reader of image files has found")

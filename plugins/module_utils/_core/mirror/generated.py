# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the documents of a tree are those that would be generated from its record: known without generating them.

To generate the documents of a thousand images takes most of the time of a run in which nothing changes.
"""

from __future__ import annotations

import json
import os
from hashlib import sha256
from typing import Any, Mapping

from ..catalog import client_commands, documents, header_map, mirrored, page, page_template, record
from ..catalog.publishing import CatalogLocation
from ..catalog.web_root import WebRoot
from ..json_reader import parse_json
from ..simplestreams import writing

_MAX_BYTES = 64 << 10
_GENERATORS = (
    client_commands,
    documents,
    header_map,
    mirrored,
    page,
    page_template,
    record,
    writing,
)


class GeneratedDocuments:
    """The documents of the tree at ``location``, and what is remembered of how they were generated.

    It is a cache: where it is damaged, or anything is not as it was, they are generated again.
    """

    def __init__(self, tree: WebRoot, location: CatalogLocation) -> None:
        self._location = location
        self._path = os.path.join(tree.root, ".catalog", "generated.json")

    def are_current(self) -> bool:
        """Whether all documents are as they were generated, by this version, from the record that is there."""
        try:
            with open(self._path, "rb") as file:
                known = parse_json(file.read(_MAX_BYTES), 1000)
            return bool(known["generator"] == self._generator()) and all(
                self._digest(path) == digest for path, digest in known["documents"].items()
            )
        except (AttributeError, KeyError, OSError, TypeError, ValueError):
            return False

    def remember(self, texts: Mapping[str, str]) -> None:
        """Remember that these documents, which are all of the tree, have just been generated."""
        known = {
            "generator": self._generator(),
            "documents": {path: sha256(text.encode()).hexdigest() for path, text in texts.items()},
        }
        try:
            with open(f"{self._path}.new", "w") as file:
                json.dump(known, file)
            os.rename(file.name, self._path)
        except OSError:
            # They are generated again the next time.
            return

    def _generator(self) -> str:
        """A digest of all that the documents depend on besides the record: where they are, and the code."""
        digest = sha256(repr(self._location).encode())
        for module in _GENERATORS:
            loader: Any = module.__loader__
            digest.update(loader.get_data(module.__file__))
        return digest.hexdigest()

    def _digest(self, path: str) -> str:
        with open(os.path.join(self._location.root, path), "rb") as file:
            return sha256(file.read()).hexdigest()

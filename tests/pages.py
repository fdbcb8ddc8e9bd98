# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The code that the documentation shows: in the examples of modules, in guides and README."""

from __future__ import annotations

import ast
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "plugins/modules").glob("lxd_*.py"))
PAGES = [
    ROOT / "README.md",
    ROOT / "docs/site/index.rst",
    *sorted((ROOT / "docs/docsite/rst").glob("*.rst")),
]
#: What they show, the guides show, too.
ROLE_PAGES = sorted((ROOT / "roles").glob("*/README.md"))

_IN_MARKDOWN = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S)
_IN_RST = re.compile(
    r"^\.\. code-block:: (?P<language>\S+)\n\n(?P<code>(?:(?: +.*)?\n)+)", re.MULTILINE
)


@dataclass(frozen=True)
class Block:
    """Some code of a page: its language, and the line on which it begins."""

    language: str
    text: str
    line: int

    @property
    def is_yaml(self) -> bool:
        return self.language in ("yaml", "yaml+jinja")

    @property
    def file(self) -> str:
        """The name of the file that this is, by the comment on its first line; empty if it is none."""
        match = re.match(r"# ([\w./-]+\.(?:cfg|yml))\n", self.text)
        return match[1] if match else ""

    @property
    def is_plays_or_tasks(self) -> bool:
        return self.is_yaml and isinstance(yaml.safe_load(self.text), list)


def blocks(page: Path) -> list[Block]:
    """The code on a page, in order."""
    text = page.read_text()
    pattern = _IN_MARKDOWN if page.suffix == ".md" else _IN_RST
    return [
        Block(
            match["language"], textwrap.dedent(match["code"]), text[: match.start()].count("\n") + 1
        )
        for match in pattern.finditer(text)
    ]


def constant(module: Path, name: str) -> str:
    """A text constant of a module, which is not imported for that."""
    tree = ast.parse(module.read_text())
    found = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name
    )
    return str(ast.literal_eval(next(found)))


def examples(module: Path) -> Block:
    """The examples of a module."""
    return Block("yaml", constant(module, "EXAMPLES"), 0)

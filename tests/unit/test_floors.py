# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The house has floors: a room of the library imports only from floors below its own (see CONTRIBUTING)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils.core.dialect import RULES

CORE = Path(__file__).parents[2] / "plugins/module_utils/core"

# From the ground up. Rooms of one floor do not know each other.
FLOORS = (
    ("errors",),
    ("images",),
    ("transport", "archives", "streams"),
    ("remotes", "downloads", "dialect"),
    ("server",),
    ("store",),
    ("sources",),
    ("planning",),
    ("converge",),
    ("exporting", "catalog"),
    ("options", "task"),
)
ONLY_ROOMS_THAT_KNOW_ANSIBLE = {"options", "task"}

FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(path for path in CORE.rglob("*.py") if path != CORE / "__init__.py")


def room_of(path):
    return path.relative_to(CORE).with_suffix("").parts[0]


def imports(path):
    """What a file imports, late or early, as (room or None, name of a package of others or None).

    What it imports for its types only is not counted: those are words, not wiring.
    """
    package = path.relative_to(CORE).parent.parts
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            base = [part for part in base if part]
            for name in [base[0]] if base else [alias.name for alias in node.names]:
                yield name, None
        elif isinstance(node, ast.ImportFrom):
            yield None, node.module
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield None, alias.name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORE)))
def test_imports_go_down(path):
    room = room_of(path)
    assert room in FLOOR_OF, (
        f"{room} has no floor yet: give it one in this file and in CONTRIBUTING"
    )
    for other, _package in imports(path):
        if other in (None, room):
            continue
        assert FLOOR_OF[other] < FLOOR_OF[room], f"{room} imports {other}, which is not below it"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORE)))
def test_only_the_top_floor_knows_ansible(path):
    known = {package.split(".")[0] for _room, package in imports(path) if package}
    assert room_of(path) in ONLY_ROOMS_THAT_KNOW_ANSIBLE or "ansible" not in known


ASKED = {
    ast.literal_eval(node.args[0])
    for path in FILES
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "does"
}


def test_a_rule_of_the_dialect_is_asked_for_unless_it_is_met_for_all_servers_alike():
    assert {name for name, rule in RULES.items() if not rule.met_by} == ASKED


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORE)))
def test_only_the_dialect_knows_versions_and_families_of_servers(path):
    tree = ast.parse(path.read_text())
    read = {
        f"{getattr(node.value, 'id', '…')}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("family", "version")
    }
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    if room_of(path) != "dialect":
        assert not texts & {"server_version", "api_extensions"}
        # A reader of simplestreams documents has a family as well, that of the names in them, and images have versions.
        assert room_of(path) in ("streams", "catalog") or read <= {"reader.family"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORE)))
def test_nobody_below_the_top_floor_ends_the_module(path):
    called = {
        getattr(node.func, "attr", getattr(node.func, "id", ""))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    }
    assert room_of(path) == "task" or not called & {"fail_json", "exit_json", "exit", "print"}

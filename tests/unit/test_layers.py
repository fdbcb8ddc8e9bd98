# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The library has layers: a package imports only from layers below its own (see CONTRIBUTING)."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.dialect import RULES

CORE = Path(__file__).parents[2] / "plugins/module_utils/_core"

# From the bottom up: the name of a layer, and its packages. Packages in one tuple do not import each other; those of a
# later tuple may import those of the tuples before it, in their own layer too.
LAYERS = {
    "errors": (("errors",),),
    "ground": (
        (
            "images",
            "architectures",
            "deadline",
            "urls",
            "masking",
            "regular_files",
            "json_reader",
            "yaml_reader",
            "watchdog",
        ),
        ("contents",),
        ("transport", "archives", "simplestreams", "tokens"),
        ("disks",),
    ),
    "servers": (
        ("remotes", "downloads", "dialect", "transfer_progress"),
        ("client_config",),
        ("oci_registry",),
        ("envelope", "checksums"),
        ("operations", "access"),
        ("server",),
        ("store_access", "store_writer"),
        ("store",),
        ("store_view", "store_secrets", "all_projects", "instances"),
    ),
    "sources": (("sources",),),
    "decisions": (("planning",),),
    "loop": (("convergence",),),
    "use cases": (("exporting", "catalog", "store_sync"), ("server_check", "mirror")),
    "task": (("options",), ("connections",), ("refresh",), ("task",)),
}
PACKAGES_THAT_KNOW_ANSIBLE = {"options", "task"}
READERS_OF_PARAMETERS = {"task/__init__.py", "task/module.py", "task/work.py"}
"""Besides the options themselves: what takes them from AnsibleModule, masks them there, or gives them back to it."""

LEVEL_OF = {
    package: number
    for number, packages in enumerate(group for layer in LAYERS.values() for group in layer)
    for package in packages
}
FILES = sorted(path for path in CORE.rglob("*.py") if path != CORE / "__init__.py")


def package_of(path):
    return path.relative_to(CORE).with_suffix("").parts[0]


def imports(path):
    """What a file imports, early or late, as (package of the library or None, package of others or None).

    Imports for type checking only do not count: nothing is imported when the code runs.
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
    package = package_of(path)
    assert package in LEVEL_OF, (
        f"{package} has no layer yet: add it to LAYERS here and to the table in CONTRIBUTING"
    )
    for other, _foreign in imports(path):
        if other in (None, package):
            continue
        assert LEVEL_OF[other] < LEVEL_OF[package], (
            f"{package} imports {other}, which is not in a layer below it (CONTRIBUTING, Architecture)"
        )


def test_contributing_lists_the_same_packages_in_the_same_layers():
    text = (CORE.parents[2] / "CONTRIBUTING.md").read_text()
    listed = re.findall(r"^\| \d (\S[^|]*?) \| `(\w+)` \|", text, re.MULTILINE)
    assert sorted(listed) == sorted(
        (layer, package)
        for layer, packages in LAYERS.items()
        for group in packages
        for package in group
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORE)))
def test_only_the_task_layer_knows_ansible(path):
    known = {package.split(".")[0] for _own, package in imports(path) if package}
    assert package_of(path) in PACKAGES_THAT_KNOW_ANSIBLE or "ansible" not in known


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORE)))
def test_below_the_options_nothing_reads_a_mapping_of_parameters(path):
    if package_of(path) == "options" or str(path.relative_to(CORE)) in READERS_OF_PARAMETERS:
        return
    tree = ast.parse(path.read_text())
    names = {
        getattr(node, field, None)
        for node in ast.walk(tree)
        for field in ("id", "attr", "arg")
        if isinstance(node, (ast.Name, ast.Attribute, ast.arg))
    }
    mappings = [
        node.arg
        for node in ast.walk(tree)
        if isinstance(node, ast.arg) and node.annotation and node.arg == "options"
        if {"Mapping", "dict", "Dict"}
        & {getattr(one, "id", "") for one in ast.walk(node.annotation)}
    ]
    assert "params" not in names, "parameters are read by the dataclasses in _core/options only"
    assert not mappings, "options are a dataclass of _core/options"


USED = {
    ast.literal_eval(node.args[0])
    for path in FILES
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "supports"
}


def test_every_rule_of_the_dialect_is_used_or_has_met_by():
    assert {name for name, rule in RULES.items() if not rule.met_by} == USED


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORE)))
def test_only_the_dialect_knows_versions_and_families_of_servers(path):
    tree = ast.parse(path.read_text())
    read = {
        f"{getattr(node.value, 'id', '…')}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("family", "version")
    }
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    if package_of(path) != "dialect":
        assert not texts & {"server_version", "api_extensions"}
        # A reader of simplestreams documents has a family as well, and images and TLS have versions.
        assert package_of(path) in ("simplestreams", "catalog", "server_check") or read <= {
            "reader.family",
            "sock.version",
        }


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORE)))
def test_nothing_below_the_task_layer_ends_the_module(path):
    called = {
        getattr(node.func, "attr", getattr(node.func, "id", ""))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    }
    assert package_of(path) == "task" or not called & {"fail_json", "exit_json", "exit", "print"}

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The code of the documentation uses modules and options that exist. ``tests/system/test_documentation.py`` runs it."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex

import pytest
import yaml
from ansible.module_utils.basic import FILE_COMMON_ARGUMENTS, AnsibleModule
from ansible.module_utils.common.arg_spec import ModuleArgumentSpecValidator
from pages import MODULES, PAGES, ROLE_PAGES, ROOT, blocks, constant, examples

COLLECTION = "imagestore.lxd"
GROUP = f"group/{COLLECTION}.lxd"
CORE = ROOT / "plugins/module_utils/_core"
MODULES_BY_NAME = {path.stem: path for path in MODULES}
MODULES_HERE = list(MODULES_BY_NAME)

#: Keywords of tasks in the documentation.
KEYWORDS = {
    "async", "become", "block", "changed_when", "check_mode", "delegate_to", "diff", "environment", "loop",
    "module_defaults", "name", "notify", "poll", "register", "run_once", "vars", "when",
}  # fmt: skip


class Caught(Exception):
    """The arguments that a module passes to AnsibleModule."""


def arguments(name):
    """The declaration of a module's options."""
    module = importlib.import_module(f"ansible_collections.imagestore.lxd.plugins.modules.{name}")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Caught) as caught:

        def catch(_self, **keys):
            raise Caught(keys)

        patch.setattr(AnsibleModule, "__init__", catch)
        module.main()
    declared = caught.value.args[0]
    del declared["supports_check_mode"]
    if declared.pop("add_file_common_args", False):
        declared["argument_spec"].update(FILE_COMMON_ARGUMENTS)
    return declared


def fill_templates(spec, options):
    """The options, with a valid value instead of each template."""
    names = {alias: name for name, own in spec.items() for alias in own.get("aliases", [])}
    filled = {}
    for name, value in options.items():
        own = spec.get(names.get(name, name), {})
        if isinstance(value, str) and "{{" in value:
            stand_in = STAND_INS[own.get("type", "str")]
            filled[name] = own["choices"][0] if "choices" in own else stand_in
        else:
            filled[name] = value
    return filled


STAND_INS = {"str": "x", "path": "/x", "list": ["x"], "dict": {}, "int": 1, "bool": True}


def faults(name, options):
    """The validation errors of Ansible for these options of a module."""
    return validation_errors(options, **arguments(name))


def validation_errors(options, argument_spec, **declared):
    filled = fill_templates(argument_spec, options)
    return ModuleArgumentSpecValidator(argument_spec, **declared).validate(filled).error_messages


def variables(role):
    """The declaration of a role's variables."""
    specs = yaml.safe_load((ROOT / "roles" / role / "meta/argument_specs.yml").read_text())
    return specs["argument_specs"]["main"]["options"]


def tasks(items, defaults=None):
    """The tasks of plays, blocks or lists of tasks, each with its module defaults."""
    for item in items:
        own = {**(defaults or {}), **item.get("module_defaults", {}).get(GROUP, {})}
        inner = [
            item[key] for key in ("tasks", "pre_tasks", "block", "always", "rescue") if key in item
        ]
        for listed in inner:
            yield from tasks(listed, own)
        if not inner and "roles" not in item:
            yield item, own


def shown():
    """All code of the documentation, by its location."""
    for path in MODULES:
        yield path.stem, examples(path)
    for path in (*PAGES, *ROLE_PAGES):
        for block in blocks(path):
            yield f"{path.relative_to(ROOT)}:{block.line}", block


SHOWN = dict(shown())
PLAYS_AND_TASKS = {where: block for where, block in SHOWN.items() if block.is_plays_or_tasks}
COMMANDS = {where: block for where, block in SHOWN.items() if block.language in ("bash", "console")}


@pytest.mark.parametrize("where", PLAYS_AND_TASKS)
def test_tasks_use_existing_modules_and_options(where):
    for task, defaults in tasks(yaml.safe_load(PLAYS_AND_TASKS[where].text)):
        assert task.get("name"), task
        (module,) = set(task) - KEYWORDS
        prefix, _dot, name = module.rpartition(".")
        assert prefix in (COLLECTION, "ansible.builtin"), f"{module} is no full name"
        if prefix == COLLECTION:
            assert name in MODULES_HERE, task["name"]
            assert faults(name, {**defaults, **(task[module] or {})}) == [], task["name"]


def variables_for_all(where):
    """The variables that the page of a play sets for all hosts, in a file of their own."""
    page = where.partition(":")[0]
    files = (block for place, block in SHOWN.items() if place.partition(":")[0] == page)
    texts = [block.text for block in files if block.file == "group_vars/all.yml"]
    return yaml.safe_load(texts[0]) if texts else {}


ROLES = [
    pytest.param(entry["role"], {**variables_for_all(where), **entry.get("vars", {})}, id=where)
    for where, block in PLAYS_AND_TASKS.items()
    for play in yaml.safe_load(block.text)
    for entry in play.get("roles", [])
]


@pytest.mark.parametrize(("role", "given"), ROLES)
def test_roles_get_existing_variables(role, given):
    prefix, _dot, name = role.rpartition(".")
    assert prefix == COLLECTION
    declared = variables(name)
    assert set(given) <= set(declared)
    assert validation_errors(given, declared) == []


def compared(options):
    """A specification without descriptions, and without aliases, which the schema of role arguments does not have."""
    return {
        name: {key: value for key, value in own.items() if key not in ("description", "aliases")}
        for name, own in options.items()
    }


def test_the_role_has_the_same_image_options_as_the_module():
    documented = yaml.safe_load(constant(MODULES_BY_NAME["lxd_image_catalog"], "DOCUMENTATION"))
    ours, theirs = (
        variables("image_server")["image_server_images"]["options"],
        documented["options"]["images"]["suboptions"],
    )
    assert compared(ours) == compared(theirs)


def test_the_role_has_the_same_mirror_options_as_the_module():
    specification = arguments("lxd_image_mirror")["argument_spec"]
    keys = ("type", "elements", "choices", "no_log")
    module = {
        name: {key: own[key] for key in keys if key in own}
        for name, own in specification.items()
        if name not in ("root", "base_url", "header_map", "access") and not name.startswith("_")
    }
    role = variables("image_server")["image_server_mirrors"]["options"]
    assert {
        name: {key: own[key] for key in keys if key in own} for name, own in role.items()
    } == module
    tasks_of_role = yaml.safe_load((ROOT / "roles/image_server/tasks/mirrors.yml").read_text())
    assert set(tasks_of_role[0][f"{COLLECTION}.lxd_image_mirror"]) == {
        name for name in specification if not name.startswith("_")
    }


@pytest.mark.parametrize("role", ["image_server", "image_store"])
def test_the_role_has_its_documented_defaults(role):
    text = (ROOT / f"roles/{role}/defaults/main.yml").read_text()
    documented = {name: own["default"] for name, own in variables(role).items() if "default" in own}
    defaults = yaml.safe_load(text)
    if role == "image_server":
        assert defaults.pop("image_server_name")  # from facts, which the documentation describes
    assert defaults == documented


def test_the_role_has_all_options_of_the_module_that_manages_a_store():
    keys = ("type", "elements", "choices", "no_log")
    role = {
        name[len("image_store_") :]: {key: own[key] for key in keys if key in own}
        for name, own in variables("image_store").items()
    }
    module = {
        name: {key: own[key] for key in keys if key in own}
        for name, own in arguments("lxd_image_store")["argument_spec"].items()
        if not name.startswith("_")
    }
    assert role.pop("wait") == {"type": "int"}
    assert role.pop("images") == {"type": "raw"}
    del module["images"]
    assert role == module


@pytest.mark.parametrize("where", COMMANDS)
def test_commands_use_existing_modules_and_options(where):
    text = COMMANDS[where].text.replace("\\\n", " ")
    for line in text.splitlines():
        words = shlex.split(line.lstrip("$# "), comments=True)
        if words[:1] != ["ansible"] or not {"-m", "-a"} <= set(words):
            continue
        name = words[words.index("-m") + 1].rpartition(".")[2]
        given = words[words.index("-a") + 1]
        options = (
            json.loads(given)
            if given.startswith("{")
            else dict(word.split("=", 1) for word in shlex.split(given))
        )
        assert faults(name, options) == [], line


def test_all_modules_document_the_same_fields_of_an_image():
    fields = {}
    for name, path in MODULES_BY_NAME.items():
        returned = yaml.safe_load(constant(path, "RETURN"))
        of_entries = returned.get("images", {}).get("contains", {}).get("image")
        for value in (returned.get("image"), of_entries or returned.get("images")):
            if value and "contains" in value:
                fields[name] = value["contains"]
    of_other_projects = fields["lxd_image_info"].pop("project")
    assert of_other_projects["returned"] != "success"
    assert list(fields) == [
        name
        for name in MODULES_HERE
        if name
        not in (
            "lxd_image_alias",
            "lxd_image_catalog",
            "lxd_image_mirror",
            "lxd_image_server_check",
        )
    ]
    assert all(own == fields["lxd_image"] for own in fields.values())


def own_tasks(name):
    """The examples of a module that use it, as their options and the rest of the task."""
    for task, _defaults in tasks(yaml.safe_load(SHOWN[name].text)):
        if f"{COLLECTION}.{name}" in task:
            yield task[f"{COLLECTION}.{name}"] or {}, task


@pytest.mark.parametrize("name", MODULES_HERE)
def test_the_first_example_has_the_required_options_and_one_more(name):
    declared = arguments(name)
    options, _task = next(own_tasks(name))
    needed = {key for key, own in declared["argument_spec"].items() if own.get("required")}
    for group in declared.get("required_one_of", ()):
        needed |= set(group) & set(options)
    assert needed <= set(options)
    assert len(set(options) - needed) <= 1


@pytest.mark.parametrize("name", MODULES_HERE)
def test_examples_use_what_they_register(name):
    text = SHOWN[name].text
    for _options, task in own_tasks(name):
        if "register" in task:
            assert re.search(rf"\{{\{{.*\b{task['register']}\.", text), task["name"]


#: The values and fields that the interface promises, by module: of an image, and of the rest.
OF_AN_IMAGE = {
    "fingerprint", "type", "architecture", "size", "aliases", "properties", "public", "auto_update", "profiles",
    "expires_at", "update_source",
}  # fmt: skip
OF_A_CHANGE = {"fingerprint", "image", "actions", "transferred", "would_transfer", "diff"}
OF_AN_ENTRY = {
    "label", "changed", "fingerprint", "image", "actions", "transferred", "would_transfer", "failed", "msg",
}  # fmt: skip
PROMISED = {
    "lxd_image": {"": OF_A_CHANGE, "image": OF_AN_IMAGE},
    "lxd_image_alias": {"": {"alias", "actions"}, "alias": {"name", "description", "target"}},
    "lxd_image_catalog": {"": {"actions", "versions"}},
    "lxd_image_copy": {"": OF_A_CHANGE, "image": OF_AN_IMAGE},
    "lxd_image_export": {"": {"files"}, "files": {"src", "metadata", "rootfs"}},
    "lxd_image_import": {"": OF_A_CHANGE, "image": OF_AN_IMAGE},
    "lxd_image_info": {"": {"images"}, "images": OF_AN_IMAGE},
    "lxd_image_mirror": {
        "": {"actions", "versions", "transferred", "would_transfer", "would_drop"}
    },
    "lxd_image_publish": {"": OF_A_CHANGE, "image": OF_AN_IMAGE},
    "lxd_image_server_check": {
        "": {"findings", "images", "files", "requests"},
        "findings": {"subject", "problem", "hint"},
    },
    "lxd_image_store": {
        "": {"images", "deleted", "actions", "transferred", "would_transfer", "diff"},
        "images": OF_AN_ENTRY,
        "images.image": OF_AN_IMAGE,
        "deleted": {"fingerprint", "aliases", "size"},
    },
}


@pytest.mark.parametrize("name", MODULES_HERE)
def test_modules_document_all_values_that_the_interface_promises(name):
    returned = yaml.safe_load(constant(MODULES_BY_NAME[name], "RETURN"))
    for path, promised in PROMISED[name].items():
        fields = returned
        for key in filter(None, path.split(".")):
            fields = fields[key]["contains"]
        assert promised <= set(fields), path or name
        # Whatever has fields of its own says which.
        for key, value in fields.items():
            assert (
                value.get("type") != "list" or value.get("elements") != "dict" or value["contains"]
            ), key


def test_defaults_are_set_for_existing_action_groups():
    groups = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["action_groups"]
    assert set(groups) == {"lxd", "source"}
    used = {
        key
        for block in PLAYS_AND_TASKS.values()
        for item in yaml.safe_load(block.text)
        for key in item.get("module_defaults", {})
    }
    assert used <= {f"group/{COLLECTION}.{name}" for name in groups}
    assert GROUP in used


def test_the_source_group_has_all_modules_with_a_source():
    groups = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["action_groups"]
    with_source = [
        name for name in MODULES_HERE if "source_server" in arguments(name)["argument_spec"]
    ]
    assert groups["source"] == with_source


def test_the_readme_has_all_modules():
    named = re.findall(r"^\| module `(\w+)`", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(named) == MODULES_HERE


def test_contributing_has_the_actual_layers():
    tree = ast.parse((ROOT / "tests/unit/test_layers.py").read_text())
    layers = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "LAYERS"
    )
    rows = re.findall(
        r"^\| (\d) ([\w ]+) \| `(\w+)` \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE
    )
    assert {package: (int(number), name) for number, name, package in rows} == {
        package: (number, name)
        for number, (name, groups) in enumerate(layers.items())
        for packages in groups
        for package in packages
    }


@pytest.mark.parametrize("role", ["image_server", "image_store"])
def test_no_task_of_a_role_registers_a_result_under_the_name_of_a_variable(role):
    folder = ROOT / "roles" / role
    texts = [path.read_text() for path in (folder / "tasks").glob("*.yml")]
    registered = {name for text in texts for name in re.findall(r"register: (\w+)", text)}
    named: set[str] = set()
    for path in folder.glob("*/main.yml"):
        if path.parent.name in ("defaults", "vars"):
            named.update(yaml.safe_load(path.read_text()) or {})
    assert len(registered) > 1
    assert registered & named == set()

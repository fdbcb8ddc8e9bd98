# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``metadata.yaml`` is read as servers read it: what they accept is accepted, and what they reject is an error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from lab import LabError, Server
from lab.packing import Member, tar
from runner import Modules

BASE = "architecture: x86_64\ncreation_date: 1700000000\n"
PROPERTIES = {
    "a": "3.20",
    "b": "22.10",
    "c": "on",
    "d": "012",
    "e": "0x1F",
    "f": "1_000",
    "g": "2024-02-30",
    "i": "=",
    "j": "1e400",
    "3": "x",
    "on": "y",
}
DATE = "2024-02-03"
NOTHING = {"k": "", "l": "~", "m": "null"}
WRITTEN = ", ".join(f"{name}: {text}" for name, text in {**PROPERTIES, **NOTHING}.items())


def lenient(*values: object) -> ParameterSet:
    """A case for servers that read YAML leniently: Incus 7 takes no date for text and no fraction for a number."""
    return pytest.param(*values, marks=pytest.mark.families("lxd", "incus6"))


def unified(folder: Path, metadata: Member) -> Path:
    path = folder / "image.tar"
    path.write_bytes(tar([metadata, Member("rootfs"), Member("rootfs/etc")]))
    return path


def image_with(folder: Path, metadata: str) -> Path:
    return unified(folder, Member("metadata.yaml", metadata.encode()))


@pytest.mark.parametrize(
    ("metadata", "properties"),
    [
        (f"{BASE}properties: {{{WRITTEN}}}\n", {**PROPERTIES, **dict.fromkeys(NOTHING, "")}),
        lenient(f"{BASE}properties: {{h: {DATE}}}\n", {"h": DATE}),
        lenient("architecture: x86_64\ncreation_date: 1700000000.25\n", {}),
        ("architecture: x86_64\ncreation_date: 17e8\n---\nsecond: [\n", {}),
        (f"{BASE}foo: !own x\nseparator: =\nbuild: !!timestamp x\nproperties: {{a: !own b}}\n", {"a": "b"}),
        (f"base: &base {{a: b}}\n{BASE}properties: {{<<: *base, c: d}}\n---\n", {"a": "b", "c": "d"}),
        ("architecture: x86_64\ncreation_date: -5\n", {}),
    ],
)  # fmt: skip
def test_metadata_that_a_server_accepts_is_accepted(
    modules: Modules, tmp_path: Path, metadata: str, properties: dict[str, str]
) -> None:
    outcome = modules.import_image(image_with(tmp_path, metadata))
    assert outcome["image"]["properties"] == properties


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ("architecture: x86_64\ncreation_date: '1700000000'\n", "'1700000000', which is not a number"),
        ("architecture: x86_64\ncreation_date: 0.5\n", "has no creation_date"),
        (f"{BASE}properties: {{a: [1]}}\n", "the property a must be text"),
        (f"{BASE}properties: {{a: !!int ''}}\n", "which is not a !!int"),
        (f"{BASE}templates: x\n", "templates must be a mapping"),
        (f"{BASE}foo: *x\n", "is not valid YAML"),
    ],
)  # fmt: skip
def test_metadata_that_a_server_rejects_is_an_error(
    lxd: Server, modules: Modules, tmp_path: Path, metadata: str, said: str
) -> None:
    path = image_with(tmp_path, metadata)
    with pytest.raises(LabError):
        lxd.run("image", "import", str(path))
    assert said in modules.import_fails(path)
    assert lxd.images() == {}


def test_a_date_that_breaks_the_image_list_of_a_server_is_an_error(
    lxd: Server, modules: Modules, tmp_path: Path
) -> None:
    path = image_with(tmp_path, "architecture: x86_64\ncreation_date: 253402300800\n")
    assert "outside of the years 0 to 9999" in modules.import_fails(path)
    assert lxd.images() == {}


def test_a_link_in_its_place(lxd: Server, modules: Modules, tmp_path: Path) -> None:
    path = unified(tmp_path, Member("metadata.yaml", link="other.yaml"))
    with pytest.raises(LabError):
        lxd.run("image", "import", str(path))
    assert (
        f"metadata.yaml in {path} is a symbolic link, not a regular file"
        in modules.import_fails(path)
    )


def test_a_catalog_has_the_properties_as_they_are_written(tmp_path: Path) -> None:
    path = image_with(tmp_path, f"{BASE}properties: {{os: on, release: 3.20, variant: }}\n")
    root = tmp_path / "root"
    images = [{"name": "alpine", "src": str(path)}]
    options = {"root": str(root), "base_url": "https://images.example.com", "images": images}
    Modules().done("lxd_image_catalog", **options, remote_src=True)
    (product,) = json.loads((root / "streams/v1/images.json").read_text())["products"].values()
    assert (product["os"], product["release"]) == ("on", "3.20")
    assert "variant" not in product

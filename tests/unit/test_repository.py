# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documents of the repository have the same addresses, and links that lead somewhere."""

from __future__ import annotations

import re
import runpy

import pytest
import yaml
from pages import ROOT

GALAXY = yaml.safe_load((ROOT / "galaxy.yml").read_text())

#: What is not searched for addresses: generated directories.
_PATTERNS = ("*.md", "*.yml", "*.cfg", "*.html", "*.svg", "*.rst", "*.py")
_PLACES = (".", ".github", ".github/*", "docs/**", "meta", "plugins/**", "roles/**")
FILES = sorted(
    {
        path
        for place in _PLACES
        for pattern in _PATTERNS
        for path in ROOT.glob(f"{place}/{pattern}")
        if path.is_file()
    }
)
MARKDOWN = [path for path in FILES if path.suffix == ".md"]


def test_all_addresses_of_the_repository_are_the_one_of_the_collection():
    texts = {path: path.read_text() for path in FILES}
    found = {
        f"https://{host}/{name}"
        for text in texts.values()
        for host, name in re.findall(
            r"(github\.com|raw\.githubusercontent\.com|imagestore\.github\.io)/"
            r"((?<=io/)[\w.-]+\w|imagestore/[\w.-]+\w)",
            text,
        )
    }
    own = GALAXY["repository"]
    assert own in found
    assert found <= {
        own,
        own.replace("//github.com", "//raw.githubusercontent.com"),
        GALAXY["documentation"].rstrip("/"),
    }


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_to_files_lead_to_files(page):
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [name for name in targets if not (page.parent / name).exists()] == []


def test_links_of_the_readme_also_work_on_galaxy():
    site = GALAXY["documentation"]
    targets = re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    assert [target for target in targets if not target.startswith("https://")] == []
    pages = {
        *(f"docsite/{path.stem}.html" for path in ROOT.glob("docs/docsite/rst/*.rst")),
        *(f"{path.name}_role.html" for path in ROOT.glob("roles/*")),
    }
    own = {target[len(site) :] for target in targets if target.startswith(site)}
    assert own - {""} <= pages


def test_everything_was_added_with_the_first_release_or_a_later_one():
    places = [*ROOT.glob("plugins/*/*.py"), *ROOT.glob("roles/*/meta/argument_specs.yml")]
    found = {
        version
        for path in places
        for version in re.findall(r"version_added: ['\"]?([\d.]+)", path.read_text())
    }
    assert found
    assert all(int(version.split(".")[0]) >= 1 for version in found)


def test_the_site_and_the_readme_have_all_guides():
    guides = sorted(path.stem for path in ROOT.glob("docs/docsite/rst/*.rst"))
    listed = yaml.safe_load((ROOT / "docs/docsite/extra-docs.yml").read_text())["sections"]
    assert sorted(name for section in listed for name in section["toctree"]) == guides
    for page, form in (
        ("docs/site/index.rst", r"^  docsite/(\w+)$"),
        ("README.md", r"^- \[.*\]\(https:.*/docsite/(\w+)\.html\)"),
    ):
        assert sorted(re.findall(form, (ROOT / page).read_text(), re.M)) == guides, page


def test_solutions_for_error_messages_are_on_one_page():
    pages = ROOT.glob("docs/docsite/rst/*.rst")
    assert [path.name for path in pages if "* - Error message" in path.read_text()] == [
        "guide_troubleshooting.rst"
    ]


def test_the_changelog_of_the_site_has_the_versions_below_its_title():
    site = runpy.run_path(str(ROOT / "tests/tools/build_site.py"))
    page = site["changelog_page"]((ROOT / "CHANGELOG.rst").read_text())
    assert re.findall(r"^(.+)\n=+$", page, flags=re.MULTILINE) == ["Changelog"]
    assert "v1.0.0\n------\n" in page

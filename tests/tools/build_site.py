# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Build the documentation as a site (``make docs``): .cache/docs/build/html.

antsibull-docs makes the pages of modules and roles and collects the guides. The landing page, the order of the pages,
the theme and the changelog of what is not released yet come from here and from docs/site.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / ".cache/docs"
SOURCE = PLACE / "rst"
HTML = PLACE / "build/html"
SITE = ROOT / "docs/site"
COLLECTION = "imagestore.lxd"

#: What Sphinx cannot know here, and does not have to: parts of Ansible's own documentation.
_ELSEWHERE = re.compile(
    r"undefined label: '(action_plugins|common_return_values|ansible_collections\.ansible\.builtin\.)"
)


class SiteError(Exception):
    """Why there is no site."""


def run(*words: str) -> str:
    """Run a program of this environment; what it said on standard error."""
    program = str(Path(sys.executable).with_name(words[0]))
    done = subprocess.run(
        [program, *words[1:]], cwd=PLACE, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SiteError(f"{' '.join(words)} failed:\n{done.stdout}{done.stderr}")
    return done.stderr


def collect() -> None:
    """Have antsibull-docs write its pages, and add those of docs/site."""
    shutil.rmtree(PLACE, ignore_errors=True)
    SOURCE.mkdir(parents=True)
    for folder in (PLACE, SOURCE):
        folder.chmod(0o755)  # antsibull-docs refuses folders that others may write to
    options = ("--use-current", "--squash-hierarchy", "--cleanup", "everything")
    run("antsibull-docs", "collection", *options, "--dest-dir", str(SOURCE), COLLECTION)
    reference = SOURCE / "reference.rst"
    reference.write_text(reference_page((SOURCE / "index.rst").read_text()))
    (
        SOURCE / "environment_variables.rst"
    ).unlink()  # only those of plugins, of which there are none
    for page in SOURCE.glob("*_*.rst"):
        page.write_text(short_title(page.read_text()))
    for page in SOURCE.rglob("*.rst"):
        page.write_text(without_contents(page.read_text()))
    changelog = SOURCE / "changelog.rst"
    changelog.write_text(changelog_page(changelog.read_text()))
    shutil.copy(SITE / "index.rst", SOURCE)
    shutil.copytree(ROOT / "docs/docsite/rst/images", SOURCE / "docsite/images")


def reference_page(index: str) -> str:
    """The page of all modules and roles, from the one that antsibull-docs makes of the whole collection."""
    _before, found, after = index.partition(f".. _module_plugins_in_{COLLECTION}:")
    if not found:
        raise SiteError("the index of antsibull-docs has no list of modules any more")
    labels = "".join(f".. _{name}_{COLLECTION}:\n" for name in ("plugins_in", "plugin_index_for"))
    lists = re.sub(
        r"^\* :ansplugin:`(\w+) (?:module|role) <", r"* :ansplugin:`\1 <", after, flags=re.M
    )
    lists = lists.replace("Role Index\n----------", "Roles\n~~~~~").replace("~", "-")
    lists = re.sub(r"^These are the .*\n\n", "", lists, flags=re.M)
    return f"{labels}\nModules and roles\n=================\n\n{found}{lists}"


def short_title(page: str) -> str:
    """The page of a module or role with a title that fits: the name, and what it does below."""
    title = re.compile(rf"^{re.escape(COLLECTION)}\.(\w+) (?:module|role) -- (.*)\n\++\n", re.M)
    return title.sub(lambda match: f"{match[1]}\n{'+' * len(match[1])}\n\n{match[2]}.\n", page)


def without_contents(page: str) -> str:
    """A page without its own table of contents: the theme shows one at the side."""
    return re.sub(r"^\.\. contents::.*\n(?: +:.*\n)*\n", "", page, flags=re.M)


def changelog_page(released: str) -> str:
    """The changelog, with the fragments of what is not released yet on top."""
    sections = dict(yaml.safe_load((ROOT / "changelogs/config.yaml").read_text())["sections"])
    fragments = [
        yaml.safe_load(path.read_text())
        for path in sorted((ROOT / "changelogs/fragments").glob("*.yml"))
    ]
    lines = [f".. _changelog_for_{COLLECTION}:", "", "Changelog", "=========", ""]
    if fragments:
        lines += ["Not released yet", "----------------", ""]
        lines += [one["release_summary"].strip() for one in fragments if "release_summary" in one]
    for name, title in sections.items():
        entries = [entry.strip() for one in fragments for entry in one.get(name, [])]
        if entries:
            lines += ["", title, "~" * len(title), "", *(f"- {entry}" for entry in sorted(entries))]
    body = released.partition("\n\n")[2]
    if "is empty" not in body:
        # Its own title is that of this page, below which the versions are.
        versions = re.sub(r"\A.*?(?=^v\d)", "", body, count=1, flags=re.M | re.S)
        below = str.maketrans("=-", "-~")
        lines += [
            "",
            re.sub(r"^(=+|-+)$", lambda line: line[1].translate(below), versions, flags=re.M),
        ]
    return "\n".join(lines) + "\n"


def build() -> list[str]:
    """Have Sphinx make the site; its warnings."""
    words = ("sphinx-build", "-q", "-c", str(SITE), "-d", str(PLACE / "doctrees"))
    said = run(*words, str(SOURCE), str(HTML))
    return [line for line in said.splitlines() if line.strip() and not _ELSEWHERE.search(line)]


def main() -> int:
    """Build it."""
    try:
        collect()
        warnings = build()
    except SiteError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(warnings), file=sys.stderr, end="\n" if warnings else "")
    print(f"the site is in {HTML.relative_to(ROOT)}")
    return 1 if warnings else 0


if __name__ == "__main__":
    sys.exit(main())

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The generated Python of the image server's web page matches its sources."""

from __future__ import annotations

import runpy

from pages import ROOT

GENERATOR = runpy.run_path(str(ROOT / "tests/tools/page.py"))


def test_the_generated_python_is_up_to_date():
    assert GENERATOR["TARGET"].read_text(encoding="utf-8") == GENERATOR["generated"](), (
        "run make format"
    )


def test_every_template_is_shipped():
    names = {path.stem for path in GENERATOR["SOURCES"].glob("*.html")}
    assert names == set(GENERATOR["TEMPLATES"])


def test_special_characters_of_python_survive():
    text = 'a \\s+ b """quoted""" $name\n'
    namespace: dict[str, str] = {}
    exec(f"text = {GENERATOR['literal'](text)}", namespace)
    assert namespace["text"] == text

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page of an image server is shipped as its sources have it."""

from __future__ import annotations

import runpy

from pages import ROOT

GENERATOR = runpy.run_path(str(ROOT / "tests/tools/page.py"))


def test_the_python_that_ships_is_what_the_sources_generate():
    assert GENERATOR["TARGET"].read_text(encoding="utf-8") == GENERATOR["generated"](), (
        "run make format"
    )


def test_every_template_is_shipped():
    names = {path.stem for path in GENERATOR["SOURCES"].glob("*.html")}
    assert names == set(GENERATOR["TEMPLATES"])


def test_texts_that_python_would_read_otherwise_survive():
    text = 'a \\s+ b """quoted""" $name\n'
    namespace: dict[str, str] = {}
    exec(f"text = {GENERATOR['literal'](text)}", namespace)
    assert namespace["text"] == text

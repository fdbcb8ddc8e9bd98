# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write the sources of an image server's page (docs/page) to the Python module in which they are shipped."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "docs/page"
TARGET = ROOT / "plugins/module_utils/_core/catalog/page_template.py"

TEMPLATES = [
    "frame",
    "summary",
    "add_remote",
    "password",
    "certificate",
    "hint",
    "main",
    "tool",
    "group",
    "image",
    "version",
    "command",
    "empty",
]

#: The words of Biome that check the sources, from their own directory: its configuration is there.
LINT = ("lint", "--colors=off", "--error-on-warnings", ".")

#: In the place of style and script, frame.html refers to their files, as in any page.
INLINE = {
    '<link rel="stylesheet" href="style.css">': "<style>$style</style>",
    '<script src="script.js"></script>': "<script>$script</script>",
}

HEADER = '''\
# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Style, script and templates of the page. Generated from docs/page: edit the files there and run ``make format``."""

from __future__ import annotations

from string import Template
'''


def literal(text: str) -> str:
    """A text as a Python literal that shows its lines."""
    escaped = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'"""\\\n{escaped}"""'


def template(name: str) -> str:
    """The content of a template, without the newline at the end of its file."""
    text = (SOURCES / f"{name}.html").read_text(encoding="utf-8").rstrip("\n")
    if name == "frame":
        for reference, inserted in INLINE.items():
            before, found, after = text.partition(reference)
            if not found:
                raise ValueError(f"frame.html lacks {reference}")
            text = before + inserted + after
        text += "\n"
    return text


def generated() -> str:
    """The content of the Python module."""
    style, script = (
        (SOURCES / name).read_text(encoding="utf-8") for name in ("style.css", "script.js")
    )
    constants = [f"STYLE = {literal(style)}", f"SCRIPT = {literal(script)}"]
    constants += [f"{name.upper()} = Template({literal(template(name))})" for name in TEMPLATES]
    return "\n".join([HEADER, "\n\n".join(constants), ""])


def main() -> None:
    """Write it."""
    TARGET.write_text(generated(), encoding="utf-8")


if __name__ == "__main__":
    main()

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Draw the pictures of the README (``make pictures``, as root): a run of the demo, and the page of an image server.

A system test compares the text of the first one with what a run prints.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from html import escape
from pathlib import Path
from xml.etree import ElementTree

import yaml

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs/pictures"
DEMO = ROOT / "playbooks/quickstart.yml"

#: The task that is shown as it is written, and those whose output is shown.
WRITTEN = "Replace the image with the next version"
RUN = ("Import the image again", WRITTEN, "Show its output")

#: What the demo is run with, so that its output is the one of the picture.
ENVIRONMENT = {"ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml"}

_ANSI = re.compile(r"\x1b\[([\d;]*)m")
_KINDS = {"0;31": "removed", "0;32": "ok", "0;33": "changed", "0;36": "note"}

#: Colors of each kind of text, and of the window.
PALETTES = {
    "light": {
        "window": "#ffffff", "frame": "#d0d7de", "bar": "#f6f8fa", "text": "#1f2328", "ok": "#116329",
        "changed": "#7d4e00", "removed": "#b3261e", "note": "#0a6375", "key": "#0550ae", "title": "#57606a",
    },
    "dark": {
        "window": "#0d1117", "frame": "#30363d", "bar": "#161b22", "text": "#e6edf3", "ok": "#56d364",
        "changed": "#e3b341", "removed": "#ff7b72", "note": "#56d4dd", "key": "#79c0ff", "title": "#8b949e",
    },
}  # fmt: skip

#: In pixels.
WIDTH, LINE, FONT, MARGIN, BAR = 480, 19, 13, 18, 30

Line = list[tuple[str, str]]  # pieces of text, each with its kind


def written() -> list[str]:
    """The lines of a task of the demo, up to what only the demo needs."""
    text = DEMO.read_text(encoding="utf-8")
    match = re.search(rf"^ *- name: {WRITTEN}\n.*?(?=^ *vars:)", text, re.M | re.S)
    if not match:
        raise ValueError(f"{DEMO.name} has no task {WRITTEN!r} with vars at its end")
    return textwrap.dedent(match[0]).splitlines()


def printed(output: str) -> list[str]:
    """The lines of a run that the picture shows, with their colors."""
    tasks = re.findall(r"^TASK \[(.*?)\] \*+\n(.*?)\n\n(?=TASK|PLAY)", output, re.M | re.S)
    last = dict(tasks)
    lines: list[str] = []
    for name in RUN:
        # The line of a diff for the end of the text says nothing.
        told = [line for line in last[name].splitlines() if _ANSI.sub("", line).strip()]
        lines += [f"TASK [{name}]", *told, ""]
    return lines[:-1]


def plain(lines: list[str]) -> list[str]:
    """The words of lines, without colors, indentation, empty lines, and what depends on the machine."""
    words = [_ANSI.sub("", line).strip() for line in lines]
    words = [re.sub(r"\b[0-9a-f]{12}\b", "FINGERPRINT", line) for line in words if line]
    return [re.sub(r"\d+\.\d+ KB|v\d+\.\d+\.\d+", "NUMBER", line) for line in words]


def text_of(picture: Path) -> list[str]:
    """The words of a picture, to compare with ``plain``."""
    root = ElementTree.parse(picture).getroot()
    found = root.iter("{http://www.w3.org/2000/svg}text")
    return plain(["".join(line.itertext()) for line in found if line.get("class") != "title"])


def _colored(line: str) -> Line:
    """The pieces of a line with ANSI colors."""
    pieces: Line = []
    kind = "text"
    for number, piece in enumerate(_ANSI.split(line)):
        if number % 2:
            kind = _KINDS.get(piece, "text")
        elif piece:
            pieces.append((piece, kind))
    return pieces


def _highlighted(line: str) -> Line:
    """The pieces of a line of YAML: its key, and the rest."""
    match = re.match(r"( *(?:- )?)([\w.]+:)(.*)", line)
    return (
        [(match[1], "text"), (match[2], "key"), (match[3], "text")] if match else [(line, "text")]
    )


def _window(title: str, lines: list[Line], top: int) -> tuple[str, int]:
    """A window with lines of text, and its height."""
    height = BAR + len(lines) * LINE + MARGIN
    parts = [
        f'<rect class="window" x="1" y="{top}" width="{WIDTH - 2}" height="{height}" rx="8"/>',
        f'<path class="bar" d="M1 {top + BAR}v-{BAR - 8}a8 8 0 0 1 8-8h{WIDTH - 18}a8 8 0 0 1 8 8v{BAR - 8}z"/>',
        f'<text class="title" x="{MARGIN}" y="{top + 20}">{escape(title)}</text>',
    ]
    for number, line in enumerate(lines):
        text = "".join(piece for piece, _kind in line)
        indented = len(text) - len(text.lstrip())
        x = MARGIN + indented * FONT * 0.6
        y = top + BAR + (number + 1) * LINE
        spans, skip = [], indented
        for piece, kind in line:
            shown, skip = piece[skip:], max(0, skip - len(piece))
            if shown:
                spans.append(f'<tspan class="{kind}">{escape(shown)}</tspan>')
        if spans:
            parts.append(f'<text x="{x:g}" y="{y}">{"".join(spans)}</text>')
    return "\n".join(parts), height


def drawing(output: str, palette: dict[str, str]) -> str:
    """The picture of a run."""
    play, first = _window("a task of the demo", [_highlighted(line) for line in written()], 1)
    shown = [_colored(line) for line in printed(output)]
    run, second = _window("make demo", shown, first + 13)
    height = first + second + 14
    colors = "\n".join(
        f".{name} {{ fill: {color} }}" for name, color in palette.items() if name != "frame"
    )
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">
<title>A task and what it prints: the alias moves to the new image, and the old image is deleted</title>
<style>
text {{ font: {FONT}px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; white-space: pre }}
text.title {{ font-family: system-ui, "DejaVu Sans", sans-serif }}
{colors}
rect.window {{ stroke: {palette["frame"]} }}
</style>
{play}
{run}
</svg>
"""


def run_demo() -> str:
    """What the demo prints, in color."""
    command = [str(Path(sys.executable).with_name("ansible-playbook")), str(DEMO)]
    environment = {**os.environ, **ENVIRONMENT, "ANSIBLE_FORCE_COLOR": "1"}
    return subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


#: The images on the page of the other picture: name, operating system, release, description, and the kind that the lab
#: builds.
IMAGES = (
    ("alpine/3.23", "Alpine", "3.23", "Small and simple", "split-xz"),
    ("debian/13", "Debian", "13", "Without recommended packages", "split"),
    ("debian/13/desktop", "Debian", "13", "GNOME", "vm"),
    ("web", "Debian", "13", "nginx and PHP", "tar.xz"),
)


def publish(folder: Path) -> Path:
    """Publish images of the lab under these names; the page."""
    sys.path.insert(0, str(ROOT / "tests"))
    from lab import build_image

    images = []
    for number, (name, system, release, description, kind) in enumerate(IMAGES):
        properties = {"description": description}
        made = build_image(kind, folder / str(number), version=name, properties=properties)
        files = dict(
            zip(("src",) if kind == "tar.xz" else ("metadata", "rootfs"), made.paths, strict=True)
        )
        images.append({
            "name": name, "os": system, "release": release, "variant": "default",
            **{key: str(path) for key, path in files.items()},
        })  # fmt: skip
    options = {
        "root": str(folder / "www"),
        "base_url": "https://images.example.com",
        "images": images,
    }
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "tasks": [{"imagestore.lxd.lxd_image_catalog": {**options, "remote_src": True}}],
    }
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    command = [str(Path(sys.executable).with_name("ansible-playbook")), str(folder / "play.yml")]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return folder / "www/index.html"


def photographs() -> Iterator[tuple[str, bytes]]:
    """The page of an image server, in each color scheme."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        page_file = publish(Path(name))
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        for scheme in PALETTES:
            page = browser.new_page(viewport={"width": 900, "height": 760}, device_scale_factor=2)
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            page.goto(page_file.as_uri())
            page.locator("summary").first.click()
            page.mouse.move(0, 0)
            yield scheme, page.screenshot()
        browser.close()


def main() -> None:
    """Draw them."""
    PICTURES.mkdir(exist_ok=True)
    output = run_demo()
    for name, palette in PALETTES.items():
        (PICTURES / f"demo-{name}.svg").write_text(drawing(output, palette), encoding="utf-8")
    for scheme, content in photographs():
        (PICTURES / f"page-{scheme}.png").write_bytes(content)


if __name__ == "__main__":
    main()

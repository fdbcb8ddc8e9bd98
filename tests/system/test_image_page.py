# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The web page of a catalog, in a real browser."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from ansible_collections.imagestore.lxd.plugins.module_utils._core.catalog.page import page
from ansible_collections.imagestore.lxd.plugins.module_utils._core.catalog.record import (
    Catalog,
    Part,
    Product,
    Version,
    sorted_products,
)
from playwright.sync_api import Browser, Page, sync_playwright

from lab import Authority, WebServer
from lab.packages import install

pytestmark = pytest.mark.families("lxd")  # independent of the family

SITE = "https://images.example.com"
NOW = int(time.time())
HOUR, DAY = 3600, 86400
CONTAINER, VM = "container", "virtual-machine"

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)

# The parts of a page that overflow its window, even if they are hidden.
STICKING_OUT = """() => {
    return [...document.querySelectorAll("body *:not(.visually-hidden, .visually-hidden *, thead, thead *)")]
        .filter((one) => one.getBoundingClientRect().right > document.documentElement.clientWidth)
        .map((one) => one.outerHTML);
}"""

# What a finger cannot hit: less than 44 pixels wide or high, without the links within a sentence.
SMALL = """() => [...document.querySelectorAll("a, button, summary, input, label")]
    .filter((one) => one.checkVisibility() && !one.matches("p a, .visually-hidden, label input"))
    .map((one) => [one.outerHTML.slice(0, 99), one.getBoundingClientRect()])
    .filter(([_html, { width, height }]) => width < 43.9 || height < 43.9)
    .map(([html, { width, height }]) => [html, width, height])"""

OPEN_ALL = "document.querySelectorAll('details').forEach((one) => { one.open = true; })"

# Texts with less contrast to their background than WCAG AA requires, each with that contrast.
FAINT = """() => {
    const channels = (color) => color.match(/[\\d.]+/g).map(Number);
    const light = (color) => channels(color).slice(0, 3)
        .map((value) => value / 255)
        .map((value) => value <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4)
        .reduce((sum, value, at) => sum + value * [.2126, .7152, .0722][at], 0);
    const behind = (one) => {
        const color = getComputedStyle(one).backgroundColor;
        return channels(color)[3] === 0 ? behind(one.parentElement) : color;
    };
    const contrast = (one) => {
        const both = [light(getComputedStyle(one).color), light(behind(one))].sort();
        return (Math.max(...both) + .05) / (Math.min(...both) + .05);
    };
    return [...document.querySelectorAll("body *")]
        .filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
        .filter((one) => contrast(one) < 4.5)
        .map((one) => [one.outerHTML, contrast(one)]);
}"""


def version(seed: str, name: str, age: int, *endings: str) -> Version:
    """A version of an image without files."""
    parts = [
        Part(hashlib.sha256(f"{seed} {name} {ending}".encode()).hexdigest(), 98_264_512, ending)
        for ending in endings
    ]
    fingerprint = hashlib.sha256(f"{seed} {name}".encode()).hexdigest()
    return Version(name, fingerprint, NOW - age, tuple(parts))


ALPINE = version("alpine", "20261123_1300", DAY, "tar.xz", "squashfs")
DEBIAN = version("debian", "20261120", 4 * DAY, "tar.xz")
DEBIAN_VM = version("debian-vm", "20261120", 2 * HOUR, "tar.xz")
LONG = "windows-server-2025-datacenter-core-with-a-long-name"
CATALOG = Catalog(
    sorted_products(
        [
            Product(
                *("alpine/3.22", CONTAINER, "x86_64", "Alpine", "3.22", "default"),
                description="Without <i>anything</i> but busybox",
                aliases=("alpine", "small"),
                versions=(ALPINE, version("old", "20261116", 8 * DAY, "tar.xz", "squashfs")),
            ),
            Product(
                *("alpine/3.22", CONTAINER, "aarch64", "Alpine", "3.22", "default"),
                aliases=("alpine", "small"),
                versions=(version("arm", "20261123_1300", DAY, "tar.xz", "squashfs"),),
            ),
            Product(
                *("alpine/3.22", VM, "x86_64", "Alpine", "3.22", "default"),
                requirements={"secureboot": "false"},
                versions=(version("vm", "20261123_1300", DAY, "tar.xz", "qcow2"),),
            ),
            Product("debian", CONTAINER, "x86_64", "Debian", "bookworm", versions=(DEBIAN,)),
            Product(
                *("debian", VM, "x86_64", "Debian", "bookworm"),
                versions=(DEBIAN_VM,),
            ),
            Product(
                *(LONG, VM, "x86_64", "Windows <Server>", "2025"),
                requirements={"cdrom_agent": "true", "secureboot": "true"},
                versions=(version("windows", "20260901", 90 * DAY, "tar.xz"),),
            ),
        ]
    )
)


def many(number: int) -> Catalog:
    """A catalog with so many images, of ten releases."""
    return Catalog(
        sorted_products(
            Product(
                *(f"system/{count % 10}/image{count}", CONTAINER, architecture, "System"),
                str(count % 10),
                aliases=(f"alias{count}",),
                versions=tuple(
                    version(f"{count} {architecture}", f"202611{day}", (24 - day) * DAY, "tar.xz")
                    for day in (12, 11, 10)
                ),
            )
            for count in range(number)
            for architecture in ("x86_64", "aarch64")
        )
    )


@pytest.fixture(scope="module")
def site(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    root = tmp_path_factory.mktemp("site")
    (root / "index.html").write_text(page(CATALOG, SITE))
    (root / "empty.html").write_text(page(Catalog(), SITE))
    (root / "many.html").write_text(page(many(500), SITE))
    with WebServer(authority, root) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    install(["chromium"])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        with browser:
            yield browser


class Visitors:
    """Browser windows that show the page, with their requests and console messages."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self.url = url
        self.asked: set[str] = set()
        self.complaints: list[str] = []

    def new(self, **options: Any) -> Page:
        """The page in a new browser context."""
        context = self._browser.new_context(
            viewport={"width": 1280, "height": 800}, ignore_https_errors=True, **options
        )
        context.set_default_timeout(120_000)
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=self.url)
        view = context.new_page()
        view.on("console", lambda message: self.complaints.append(message.text))
        view.on("pageerror", lambda error: self.complaints.append(str(error)))
        view.on("request", lambda request: self.asked.add(re.split("[?#]", request.url)[0]))
        view.goto(self.url)
        return view


@pytest.fixture(scope="module")
def all_visitors(browser: Browser, site: WebServer) -> Visitors:
    return Visitors(browser, f"{site.url}/")


@pytest.fixture
def visitors(all_visitors: Visitors) -> Iterator[Visitors]:
    """Checks at the end that the page has sent no requests to other servers, and that there are no console messages."""
    yield all_visitors
    asked, complaints = set(all_visitors.asked), list(all_visitors.complaints)
    all_visitors.asked.clear()
    all_visitors.complaints.clear()
    assert complaints == []
    assert asked <= {all_visitors.url + name for name in ("", "empty.html", "many.html")}


@pytest.fixture(scope="module")
def window(all_visitors: Visitors) -> Page:
    return all_visitors.new()


@pytest.fixture
def view(window: Page, visitors: Visitors) -> Page:
    """The reloaded page. (A new window for each test would be slow.)"""
    window.evaluate("localStorage.clear()")
    window.goto("about:blank")
    window.goto(visitors.url)
    return window


def clicked(view: Page, button: str) -> str:
    """The content of the clipboard after a click."""
    view.evaluate("navigator.clipboard.writeText('nothing')")
    view.get_by_role("button", name=button).click()
    view.get_by_role("status").get_by_text("Copied", exact=True).wait_for(state="attached")
    return str(view.evaluate("navigator.clipboard.readText()"))


def shown(view: Page) -> list[str]:
    """Name and type of each visible image."""
    images: list[str] = view.locator(".image:visible").evaluate_all(
        """(bodies) => bodies.map((body) => [
            body.querySelector("th a").textContent, body.querySelector(".type").textContent,
        ].join(" "))"""
    )
    return images


def open_image(view: Page, name: str, kind: str = "Container") -> None:
    """Open what belongs to one image."""
    view.get_by_text(f"Use {name} ({kind})").click()


class TestFilter:
    @pytest.mark.parametrize(
        ("typed", "images"),
        [
            ("small", ["alpine/3.22 Container"]),
            ("BOOKWORM vm", ["debian Virtual machine"]),
            ("alpine virtual", ["alpine/3.22 Virtual machine"]),
            ("arm64", ["alpine/3.22 Container"]),
            ("but busybox", ["alpine/3.22 Container"]),
            (ALPINE.fingerprint[:7], ["alpine/3.22 Container"]),
            (ALPINE.fingerprint, ["alpine/3.22 Container"]),
            ("<server>", [f"{LONG} Virtual machine"]),
        ],
        ids=[
            *("alias", "release", "type", "architecture", "description", "digits", "fingerprint"),
            "os",
        ],
    )
    def test_shows_matching_images(self, view: Page, typed: str, images: list[str]) -> None:
        view.get_by_label("Filter by").fill(typed)
        assert shown(view) == images
        assert view.locator("output").text_content() == f"{len(images)} of 5 images"

    def test_updates_on_every_key(self, view: Page) -> None:
        view.keyboard.press("/")  # focuses the field
        counts = []
        for key in ("w", "i", "Backspace", "Escape"):
            view.keyboard.press(key)
            counts.append(view.locator("output").text_content())
        assert counts == ["4 of 5 images", "2 of 5 images", "4 of 5 images", "5 images"]

    def test_hides_systems_without_matching_images(self, view: Page) -> None:
        view.get_by_label("Filter by").fill("debian")
        assert view.get_by_role("heading", level=2).all_text_contents() == [
            "Add this server as a remote",
            "Debian bookworm",
        ]

    def test_is_kept_in_the_address(self, view: Page, visitors: Visitors) -> None:
        view.get_by_label("Filter by").fill("Debian & more")
        view.get_by_label("Filter by").fill("debian vm")
        # Playwright itself hears of a changed address a moment later.
        assert view.evaluate("location.href") == f"{visitors.url}?filter=debian+vm"
        view.reload()
        assert shown(view) == ["debian Virtual machine"]
        view.keyboard.press("/")
        view.keyboard.press("Escape")
        assert view.evaluate("location.href") == visitors.url

    def test_reports_when_nothing_matches(self, view: Page) -> None:
        view.get_by_label("Filter by").fill("<i>plan9")
        assert shown(view) == []
        assert "No image has \u201c<i>plan9\u201d in its name" in view.locator("main").inner_text()
        view.get_by_role("button", name="Show all images").click()
        assert len(shown(view)) == 5
        assert not view.get_by_text("No matching images").is_visible()


class TestCopying:
    @pytest.mark.parametrize(
        ("tool", "button", "text"),
        [
            (
                "LXD",
                "Copy (LXD, Add this server as a remote)",
                f"lxc remote add images.example.com {SITE} --protocol=simplestreams",
            ),
            (
                "LXD",
                "Copy (debian, LXD, From the remote)",
                "lxc image copy images.example.com:debian local: --alias debian",
            ),
            (
                "LXD",
                "Copy (debian, LXD, Launch an instance)",
                "lxc launch images.example.com:debian",
            ),
            (
                "Incus",
                "Copy (debian, Incus, By URL)",
                f"incus image import {SITE}/images/debian --alias debian",
            ),
            (
                "Ansible",
                "Copy (debian, Ansible, From the remote)",
                "- name: Copy debian\n"
                "  imagestore.lxd.lxd_image_copy:\n"
                "    image: debian\n"
                f"    source_server: {SITE}\n"
                "    source_protocol: simplestreams\n"
                "    aliases:\n"
                "      - debian",
            ),
            (
                "LXD",
                "Copy (debian, LXD, As a file)",
                f"curl -fO {SITE}/{DEBIAN_VM.parts[0].path}\n"
                f"lxc image import {DEBIAN_VM.parts[0].path[6:]} --alias debian",
            ),
            ("LXD", DEBIAN.fingerprint[:12], DEBIAN.fingerprint),
        ],
        ids=["remote", "copy", "launch", "import", "task", "lines", "fingerprint"],
    )
    def test_copies_the_exact_text_to_the_clipboard(
        self, view: Page, tool: str, button: str, text: str
    ) -> None:
        view.locator(f"label:has(input[value={tool}])").click()
        open_image(view, "debian")
        open_image(view, "debian", "Virtual machine")
        assert clicked(view, button) == text

    def test_works_without_access_to_the_clipboard(self, view: Page) -> None:
        view.evaluate(
            """() => {
                const write = navigator.clipboard.writeText.bind(navigator.clipboard);
                navigator.clipboard.writeText = async (text) => {
                    if (text !== "nothing") throw new Error("not allowed");
                    return write(text);
                };
            }"""
        )
        text = "lxc image copy images.example.com:debian local: --alias debian"
        open_image(view, "debian")
        assert clicked(view, "Copy (debian, LXD, From the remote)") == text


def test_the_selected_tool_is_shown_and_remembered(view: Page) -> None:
    view.locator("label:has(input[value=Incus])").click()
    view.reload()
    assert view.locator("input[value=Incus]").is_checked()
    open_image(view, "debian")
    tools = view.locator(".command:visible").evaluate_all(
        "(all) => all.map((one) => one.dataset.tool)"
    )
    assert set(tools) == {"Incus"}


def test_without_images_there_is_a_task_to_copy(view: Page, visitors: Visitors) -> None:
    view.goto(f"{visitors.url}empty.html")
    task = clicked(view, "Copy (Ansible, On the server)")
    assert task.startswith("- name: Publish an image\n  imagestore.lxd.lxd_image_catalog:\n")
    assert task in view.locator("main").inner_text()


class TestWithoutScripts:
    def test_everything_that_needs_no_scripts_is_shown(self, visitors: Visitors) -> None:
        plain = visitors.new(java_script_enabled=False)
        assert plain.locator(".image:visible").count() == 5
        assert plain.locator("input:visible, button:visible").count() == 0
        open_image(plain, "debian")
        text = plain.locator("body").inner_text()
        for command in (
            *("lxc launch ", "incus launch ", "lxc image copy ", "incus image copy "),
            "imagestore.lxd.lxd_image_copy:",
        ):
            assert command in text
        assert "No matching images" not in text


class TestSorting:
    def names(self, view: Page) -> list[str]:
        """The titles of groups and the names of images, in order."""
        return view.locator("#page\\:images > tbody h2, .image th a").all_text_contents()

    def test_orders_images_within_their_systems(self, view: Page) -> None:
        alpine = ["Alpine 3.22", "alpine/3.22", "alpine/3.22"]
        rest = ["Debian bookworm", "debian", "debian", "Windows <Server> 2025", LONG]
        view.get_by_role("button", name="Type").click()
        assert self.names(view) == [*alpine, *rest]
        assert shown(view)[0] == "alpine/3.22 Container"
        view.get_by_role("button", name="Type").click()
        assert self.names(view) == [*alpine, *rest]
        assert shown(view)[0] == "alpine/3.22 Virtual machine"
        sorted_by = view.locator("th[aria-sort]")
        assert sorted_by.all_text_contents() == ["Type"]
        assert sorted_by.get_attribute("aria-sort") == "descending"

    def test_compares_sizes_and_numbers_by_their_value(
        self, view: Page, visitors: Visitors
    ) -> None:
        view.goto(f"{visitors.url}many.html?filter=system/3/")
        view.get_by_role("button", name="Name").click()
        assert shown(view)[:3] == [f"system/3/image{count} Container" for count in (3, 13, 23)]


class TestManyImages:
    def test_are_usable_at_once(self, view: Page, visitors: Visitors) -> None:
        view.goto(f"{visitors.url}many.html")
        view.get_by_label("Filter by").fill("alias499")
        assert shown(view) == ["system/9/image499 Container"]
        assert view.locator("output").text_content() == "1 of 500 images"

    def test_are_prepared_in_short_time(self, view: Page, visitors: Visitors) -> None:
        def taken() -> float:
            """What the script takes when the page is loaded, in milliseconds: some 20."""
            view.goto("about:blank")
            view.goto(f"{visitors.url}many.html")
            milliseconds: float = view.evaluate(
                """() => {
                    const [loaded] = performance.getEntriesByType("navigation");
                    return loaded.domContentLoadedEventEnd - loaded.domContentLoadedEventStart;
                }"""
            )
            return milliseconds

        assert any(taken() < 1000 for _attempt in range(20))

    def test_have_one_row_each(self, view: Page, visitors: Visitors) -> None:
        view.goto(f"{visitors.url}many.html?filter=image123")
        row = view.locator(".image:visible > tr").first
        assert row.inner_text().split("\t")[:5] == [
            *("system/3/image123", "Container", "aarch64, x86_64", "20261112", "93.7 MiB")
        ]
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW - 12 * DAY))
        assert row.locator("time").get_attribute("title") == moment


class TestAnchors:
    def test_link_to_an_image(self, view: Page, visitors: Visitors) -> None:
        view.goto(f"{visitors.url}#debian")
        assert view.evaluate("document.querySelector(':target').id") == "debian"
        top = "document.getElementById('debian').getBoundingClientRect().top"
        assert 0 <= view.evaluate(top) < 200
        assert view.get_by_text("lxc launch images.example.com:debian").first.is_visible()

    def test_link_to_an_image_despite_a_filter(self, view: Page) -> None:
        view.get_by_label("Filter by").fill("windows")
        view.evaluate("location.hash = '#alpine/3.22'")
        view.locator("[id='alpine/3.22']").wait_for()
        assert len(shown(view)) == 5


class TestLayout:
    @pytest.mark.parametrize("path", ["", "empty.html"])
    def test_nothing_overflows_at_any_width(
        self, view: Page, visitors: Visitors, path: str
    ) -> None:
        view.goto(f"{visitors.url}{path}")
        view.evaluate(OPEN_ALL)
        for width in (360, 560, 860, 1130, 1280):
            view.set_viewport_size({"width": width, "height": 800})
            assert (width, view.evaluate(STICKING_OUT)) == (width, [])
            assert view.evaluate("document.documentElement.scrollWidth") == width

    @pytest.mark.parametrize("width", [400, 1280])
    def test_everything_is_large_enough_to_touch(self, view: Page, width: int) -> None:
        view.set_viewport_size({"width": width, "height": 800})
        view.evaluate(OPEN_ALL)
        view.get_by_role("button", name="copy the whole fingerprint").first.wait_for()
        assert view.evaluate(SMALL) == []

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_has_sufficient_contrast_in_both_color_schemes(
        self, view: Page, scheme: Literal["light", "dark"]
    ) -> None:
        view.emulate_media(color_scheme=scheme)
        view.evaluate(OPEN_ALL)
        assert view.evaluate(FAINT) == []
        ground = view.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert (sum(map(int, ground[4:-1].split(","))) > 382) == (scheme == "light")


def test_the_content_security_policy_blocks_foreign_content(view: Page, visitors: Visitors) -> None:
    with view.expect_console_message(lambda message: "Content Security Policy" in message.text):
        view.evaluate(
            """() => {
                const script = document.createElement("script");
                script.textContent = "window.entered = true";
                document.body.append(script);
            }"""
        )
    assert view.evaluate("window.entered === undefined")
    visitors.complaints.clear()

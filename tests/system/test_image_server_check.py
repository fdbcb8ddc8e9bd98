# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the check of the role image_server finds, on a real web server whose tree or settings are wrong in one thing."""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pages import ROOT, blocks

from lab import Authority, WebServer, build_image
from runner import Modules

PROGRAM = ROOT / "roles/image_server/files/check.py"
GUIDE = ROOT / "docs/docsite/rst/guide_serve.rst"

pytestmark = pytest.mark.families("lxd")  # no server of any family takes part


class Site:
    """A web server as the guide has it, with a tree that has an image of each kind."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        (settings,) = (block.text for block in blocks(GUIDE) if block.language == "text")
        folder.chmod(0o755)
        self.folder = folder
        self.root = folder / "www"
        self.map = folder / "map"
        self.authority = authority
        self.root.mkdir()
        self.server = WebServer(authority, self.root, settings, f"include {self.map};")
        files = {
            kind: build_image(kind, folder) for kind in ("tar.xz", "split", "vm", "vm-unified")
        }
        other = build_image("tar.xz", folder / "other", architecture="aarch64")
        self.container = files["tar.xz"]
        self.split = files["split"]
        Modules().done(
            "lxd_image_catalog",
            root=str(self.root),
            base_url=self.server.url,
            header_map=str(self.map),
            remote_src=True,
            images=[
                {"name": "busybox", "src": str(self.container.metadata), "aliases": ["bb"]},
                {"name": "busybox", "src": str(other.metadata), "aliases": ["bb"]},
                {"name": "one/file", "src": str(files["vm-unified"].metadata)},
                *(
                    {"name": kind, "metadata": str(image.metadata), "rootfs": str(image.rootfs)}
                    for kind, image in files.items()
                    if image.rootfs
                ),
            ],
        )
        shutil.copytree(self.root, folder / "right")
        shutil.copy(self.map, folder / "right-map")

    def restore(self) -> None:
        """Make everything right again."""
        shutil.rmtree(self.root)
        shutil.copytree(self.folder / "right", self.root)
        shutil.copy(self.folder / "right-map", self.map)

    def file(self, fingerprint: str) -> Path:
        (path,) = (self.root / "files").glob(f"{fingerprint}.*")
        return path

    def replace(self, path: str, old: str, new: str) -> None:
        """Change a text of the tree."""
        text = (self.root / path).read_text()
        assert old in text
        (self.root / path).write_text(text.replace(old, new))

    def check(self, *options: str) -> subprocess.CompletedProcess[str]:
        certificate = str(self.authority.certificate)
        return run(self.server.url, "--certificate", certificate, *options)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROGRAM), *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("check"), authority)
    with site.server:
        yield site


@pytest.fixture
def site(whole: Site) -> Iterator[Site]:
    yield whole
    whole.restore()


def test_nothing_is_wrong_with_the_guide_s_web_server(site: Site) -> None:
    done = site.check()
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("5 images in 6 files and ")


def test_plain_http_is_checked_where_it_is_on(site: Site) -> None:
    done = site.check("--connect-http", f"{site.server.host}:80")
    assert done.returncode == 1
    assert done.stdout == f"http://{site.server.host}/: it does not lead to {site.server.url}/\n"


def damage(site: Site) -> str:
    with site.file(site.container.fingerprint).open("r+b") as file:
        file.write(b"XXXX")
    return "the content has the SHA-256"


def truncate(site: Site) -> str:
    path = site.file(site.container.fingerprint)
    path.write_bytes(path.read_bytes()[:-1])
    return f"{site.container.size - 1} bytes, not {site.container.size}"


def lengthen(site: Site) -> str:
    path = site.file(site.container.fingerprint)
    path.write_bytes(path.read_bytes() + b"X")
    return f"more than the {site.container.size} bytes expected"


def lose(site: Site) -> str:
    site.file(site.container.fingerprint).unlink()
    return "status 404"


def name_another_fingerprint(site: Site) -> str:
    for path in ("streams/v1/images.json", "catalog.json"):
        site.replace(path, site.split.fingerprint, "0" * 64)
    return f"its files have the fingerprint {site.split.fingerprint}, not {'0' * 64}"


def name_another_fingerprint_in_the_index(site: Site) -> str:
    site.replace("streams/v1/images.json", site.split.fingerprint, "0" * 64)
    return "Incus does not find it in the index as in the record"


def forget_a_fingerprint(site: Site) -> str:
    site.replace(
        "streams/v1/images.json", "combined_squashfs_sha256", "combined_sha256_of_squashfs"
    )
    return "there is no combined_squashfs_sha256"


def misname_a_version(site: Site) -> str:
    site.replace("streams/v1/images.json", '"20231114_2213"', '"newest"')
    return "passes over the version 'newest'"


def forget_an_alias(site: Site) -> str:
    site.replace("streams/v1/images.json", '"busybox,bb"', '"busybox"')
    return "the index calls it busybox, the record bb, busybox"


def leave_a_product_out_of_the_index(site: Site) -> str:
    site.replace("streams/v1/index.json", '"split:container:', '"other:container:')
    return "which the index lists"


def spoil_the_index(site: Site) -> str:
    (site.root / "streams/v1/index.json").write_text("<html>")
    return "streams/v1/index.json: Expecting value"


def lose_the_page(site: Site) -> str:
    (site.root / "index.html").unlink()
    return "there is no page"


def leave_an_image_out_of_the_page(site: Site) -> str:
    site.replace("index.html", 'id="split"', 'id="splat"')
    return "the page does not show split"


SPOILERS = (
    damage,
    truncate,
    lengthen,
    lose,
    name_another_fingerprint,
    name_another_fingerprint_in_the_index,
    forget_a_fingerprint,
    misname_a_version,
    forget_an_alias,
    leave_a_product_out_of_the_index,
    spoil_the_index,
    lose_the_page,
    leave_an_image_out_of_the_page,
)


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda spoil: spoil.__name__)
def test_it_says_what_is_wrong_with_a_tree(site: Site, spoil: Callable[[Site], str]) -> None:
    message = spoil(site)
    done = site.check()
    assert done.returncode == 1
    assert message in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("busybox", "busybux", "busybox for LXD on x86_64: status 404"),
        ("x86_64=split", "x86_64=" + "0" * 64 + ".tar.xz", "though there is no such image"),
        ("/files/$lxd_image_file", "/file/$lxd_image_file", "Incus-Image-URL"),
    ],
)
def test_it_says_which_answer_with_headers_is_wrong(
    site: Site, right: str, wrong: str, message: str
) -> None:
    text = site.map.read_text()
    assert right in text
    site.map.write_text(text.replace(right, wrong))
    site.server.reload()
    done = site.check()
    left_out = site.check("--without", "headers")
    site.restore()
    site.server.reload()
    assert done.returncode == 1
    assert message in done.stdout
    assert left_out.returncode == 0


def test_a_certificate_that_is_not_the_one_expected_is_a_fault(site: Site, tmp_path: Path) -> None:
    other = Authority(tmp_path)
    done = run(site.server.url, "--certificate", str(other.certificate))
    assert done.returncode == 1
    assert "certificate verify failed" in done.stdout


def test_a_server_that_never_answers_is_given_up() -> None:
    begun = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}"
        done = run("https://images.example.com", "--connect", place, "--timeout", "1")
    assert done.returncode == 1
    assert "timed out" in done.stdout
    assert time.monotonic() - begun < 20


def test_a_long_list_of_architectures_is_refused_as_fast_as_a_short_one_is_answered(
    site: Site,
) -> None:
    """The shortest of several times: others use this machine, too."""
    short, long = ("x86_64, i686", 200), (",".join(["x"] * 3900), 404)
    fastest = {}
    for architectures, expected in (short, long):
        begun = time.monotonic()
        times = []
        for _attempt in range(8):
            assert asked(site, architectures) == expected
            times.append(time.monotonic() - begun)
            begun = time.monotonic()
        fastest[architectures] = min(times)
    assert fastest[long[0]] < fastest[short[0]] + 0.03
    assert asked(site, f"{'vax, ' * 40}x86_64") == 200


def asked(site: Site, architectures: str) -> int:
    """The status for a client with these architectures that asks for an image by its address."""
    context = ssl.create_default_context(cafile=str(site.authority.certificate))
    line = http.client.HTTPSConnection(site.server.host, context=context, timeout=30)
    line.request("GET", "/images/busybox", headers={"LXD-Server-Architectures": architectures})
    status = line.getresponse().status
    line.close()
    return status

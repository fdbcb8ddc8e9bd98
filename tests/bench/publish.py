# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``lxd_image_catalog`` with a thousand images."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from lab import Authority, WebServer
from lab.packages import install

from .measure import Cost, Unexpected, by_turns
from .setting import Row, Setting

IMAGES = 1000
VERSIONS = ("20260101", "20260102")
ANSWER = 170
"""About so many bytes say where an image is."""


def unchanged(setting: Setting) -> Iterator[Row]:
    """A thousand images with two versions each, all of them published."""
    catalogs = {size: _catalog(setting, size) for size in (10_000, 20_000)}
    for options in catalogs.values():
        setting.modules.run("lxd_image_catalog", **options)

    def again(size: int) -> Cost:
        cost = setting.modules.run("lxd_image_catalog", **catalogs[size])
        if cost.outcome["changed"] or len(cost.outcome["versions"]) != IMAGES * len(VERSIONS):
            raise Unexpected(f"the catalog has changed: {cost.outcome['actions']}")
        return cost

    taken = by_turns(setting.rounds, small=lambda: [again(10_000)], large=lambda: [again(20_000)])
    (small,), (large,) = taken["small"], taken["large"]
    yield Row("publication of what is published", 1000 * large.seconds, 2000, "ms")
    # If any file were read, this value would be larger by at least its size.
    yield Row("read more than with files of half the size", large.read - small.read, 1000, "bytes")


def endpoint(setting: Setting) -> Iterator[Row]:
    """The URLs of a thousand images, as configured by the role, compared with files of the same size."""
    install(("wrk",))
    options = _catalog(setting, 1000)
    setting.modules.run("lxd_image_catalog", **options)
    root = Path(options["root"])
    authority = Authority(setting.folder / "authority")
    (root / "files" / f"{'0' * 64}.txt").write_text("x" * ANSWER)
    site = setting.folder / "site"
    site.touch()
    with WebServer(authority, root, maps=f"include {site};") as web:
        url = f"https://{web.host}:8443"
        _write_site(site, web, options)
        web.reload()
        paths = {"file": f"/files/{'0' * 64}.txt", "address": f"/images/image{IMAGES // 2:04d}"}
        taken = by_turns(
            setting.rounds,
            **{name: lambda path=path: [_load(url + path)] for name, path in paths.items()},
        )
    (file,), (address,) = taken["file"], taken["address"]
    remark = f"{1 / address.seconds:.0f} a second, files {1 / file.seconds:.0f}"
    yield Row("time for a request", address.seconds / file.seconds, 2, "of a file", remark)


def _write_site(path: Path, web: WebServer, options: dict[str, Any]) -> None:
    """Write the configuration of the role for a separate nginx."""
    role = Path(__file__).parents[2] / "roles/image_server"
    variables = {
        "image_server_name": web.host,
        "image_server_listen": [web.host],
        "image_server_https_port": 8443,
        "image_server_http_port": 8080,
        "image_server_root": options["root"],
        "image_server__map": options["header_map"],
        "image_server_tls_certificate": str(web.pair.certificate),
        "image_server_tls_key": str(web.pair.key),
        "image_server__digest": "of the settings",
    }
    command = [
        *(str(Path(sys.executable).with_name("ansible")), "localhost", "-c", "local"),
        *("-m", "ansible.builtin.template"),
        *("-a", f"src={role}/templates/site.conf.j2 dest={path}"),
        *("-e", f"@{role}/vars/main.yml", "-e", json.dumps(variables)),
    ]
    subprocess.run(command, check=True, capture_output=True)


def _load(url: str) -> Cost:
    """Request a URL repeatedly for some seconds. Returns the time of one request."""
    words = ["wrk", "-t1", "-c16", "-d3s", "-H", "LXD-Server-Architectures: x86_64, i686", url]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    rate = re.search(r"Requests/sec: +([0-9.]+)", said)
    if not rate or "Non-2xx" in said:
        raise Unexpected(f"not all requests for {url} were answered: {said}")
    return Cost(1 / float(rate[1]))


def _catalog(setting: Setting, size: int) -> dict[str, Any]:
    """The options of a task that publishes images with files of a given size."""
    folder = setting.folder / f"catalog-{size}"
    folder.mkdir()
    images = [
        {
            "name": f"image{number:04d}",
            "version": version,
            "src": str(_image(folder / f"{number:04d}-{version}.tar", size)),
        }
        for number in range(IMAGES)
        for version in VERSIONS
    ]
    root = {"root": str(folder / "www"), "header_map": str(folder / "map")}
    return {**root, "base_url": "https://images.example.com", "remote_src": True, "images": images}


def _image(path: Path, size: int) -> Path:
    """Write an image with random bytes."""
    text = f"architecture: {platform.machine()}\ncreation_date: 1700000000\n".encode()
    with tarfile.TarFile(path, "w") as archive:
        for name, content in (("metadata.yaml", text), ("rootfs/init", os.urandom(size))):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, BytesIO(content))
    return path

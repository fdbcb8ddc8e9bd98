# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program with which an image server renews its mirrors by itself, without Ansible."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jinja2 import Template
from mirrors import MirrorSite
from pages import ROOT

from lab import Authority
from lab.packages import install

pytestmark = pytest.mark.families("lxd")  # independent of the family


@pytest.fixture
def site(tmp_path: Path, authority: Authority) -> Iterator[MirrorSite]:
    site = MirrorSite(tmp_path, authority)
    site.upstream.publish("alpine/3.23", "20260101")
    with site.server:
        yield site


def pack(folder: Path) -> Path:
    """The program, as the role packs it."""
    command = [sys.executable, str(ROOT / "roles/image_server/files/pack_refresh.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Path(done.stdout)


def write_units(folder: Path, program: Path, config: Path) -> list[Path]:
    """The units, as the role writes them."""
    units = []
    for template in sorted((ROOT / "roles/image_server/templates").glob("image-server-refresh.*")):
        unit = folder / template.stem
        text = Template(template.read_text()).render(
            image_server__refresh_program=program,
            image_server__refresh_file=config,
            image_server_refresh="Mon..Fri 04:30",
        )
        unit.write_text(f"{text}\n")
        units.append(unit)
    return units


class Refresh:
    """The installed program, and the configuration that it is run with."""

    def __init__(self, site: MirrorSite) -> None:
        self.site = site
        self.file = site.folder / "mirrors.json"
        self.program = pack(site.folder)
        self.map = site.folder / "map"
        service, _timer = write_units(site.folder, self.program, self.file)
        (line,) = (
            line for line in service.read_text().splitlines() if line.startswith("ExecStart=")
        )
        self.command = shlex.split(line.partition("=")[2])

    def run(self, **mirror: object) -> subprocess.CompletedProcess[str]:
        common = {name: self.site.params.pop(name) for name in ("root", "base_url")}
        self.site.params.update(common)
        config = {
            "defaults": {**common, "header_map": str(self.map), "grace": "7200", "verify": "no"},
            "mirrors": [{**self.site.params, **mirror}],
            "reload": ["touch", str(self.site.folder / "reloaded")],
        }
        self.file.write_text(json.dumps(config))
        return subprocess.run(
            self.command,
            # So that nothing of these tests can be imported.
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )


def test_the_program_mirrors_without_ansible(site: MirrorSite) -> None:
    refresh = Refresh(site)
    done = refresh.run(keep="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"{site.url}: publish alpine/3.23 (container, x86_64) 20260101",
        f"{site.url}: 1200 bytes downloaded",
    ]
    assert site.faults() == []
    reloaded = site.folder / "reloaded"
    assert reloaded.exists()
    reloaded.unlink()
    again = refresh.run(keep="1")
    assert again.stdout == f"{site.url}: 0 bytes downloaded\n"
    assert not reloaded.exists(), "the header map is as it was"


def test_a_failed_run_exits_with_an_error_that_has_no_secret(site: MirrorSite) -> None:
    refresh = Refresh(site)
    site.server.stop()
    secret = {"source_username": "user", "source_password": "wanted", "retries": 0}
    done = refresh.run(**secret)
    site.server.start()
    assert done.returncode == 1
    assert done.stderr.startswith(f"{site.url}: cannot connect to {site.url}: ")
    done = refresh.run(select=["wanted"], **secret)
    assert done.returncode == 1
    assert "has no images for alias=********" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_credentials_of_a_remote_are_masked(site: MirrorSite) -> None:
    remote = {"addr": site.url.replace("//", "//user:wanted@"), "protocol": "simplestreams"}
    config = site.folder / "config.yml"
    config.write_text(json.dumps({"remotes": {"private": remote}}))
    source = {"source_server": None, "source_remote": "private", "config_dir": str(site.folder)}
    done = Refresh(site).run(**source, select=["wanted"])
    assert done.returncode == 1
    assert "has no images for alias=********" in done.stderr


@pytest.mark.parametrize(
    ("mirror", "said"),
    [
        ({"keep": "many"}, "keep is 'many', which is not a number"),
        ({"verify": "perhaps"}, "verify is 'perhaps', which is neither true nor false"),
        ({"selection": []}, "selection: there is no such option"),
        ({"state": "gone"}, "state is 'gone', which is none of present, absent"),
        ({"select": None}, "select is empty"),
    ],
)
def test_an_invalid_mirror_is_named(site: MirrorSite, mirror: dict[str, object], said: str) -> None:
    done = Refresh(site).run(**mirror)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_an_invalid_configuration_is_an_error(tmp_path: Path) -> None:
    program = pack(tmp_path)
    for content in (b"", b"[]", b"{}", b'{"defaults": {}, "mirrors": [7]}', b"[" * 100_000):
        (tmp_path / "mirrors.json").write_bytes(content)
        done = subprocess.run(
            ["/usr/bin/python3", "-I", str(program), str(tmp_path / "mirrors.json")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert "mirrors.json" in done.stderr


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    install(("systemd",))
    units = write_units(tmp_path, tmp_path / "refresh.pyz", tmp_path / "mirrors.json")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, units)],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_same_library_makes_the_same_program(tmp_path: Path) -> None:
    first = pack(tmp_path).read_bytes()
    assert pack(tmp_path).read_bytes() == first

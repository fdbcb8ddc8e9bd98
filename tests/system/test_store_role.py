# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role image_store does on hosts that are not ready. The target image_store_role applies it to others."""

from __future__ import annotations

import socket
import sys
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lab import Image, Server
from playbooks import Played, play
from runner import files


def apply(folder: Path, lxd: Server, check: bool = False, python: str = "", **more: Any) -> Played:
    """Apply the role to this machine."""
    host = {
        "ansible_connection": "local",
        "ansible_python_interpreter": python or sys.executable,
    }
    variables = {"image_store_server": f"unix://{lxd.socket}", **more}
    role = {"role": "imagestore.lxd.image_store", "vars": variables}
    return play(folder, check=check, host=host, roles=[role])


def test_it_waits_for_a_server_that_starts(lxd: Server, image: Image, tmp_path: Path) -> None:
    path = tmp_path / "unix.socket"
    with socket.socket(socket.AF_UNIX) as starting, ThreadPoolExecutor(1) as pool:
        starting.bind(str(path))
        starting.listen()
        applied = pool.submit(
            apply,
            tmp_path,
            lxd,
            image_store_server=f"unix://{path}",
            image_store_images=[{**files(image), "aliases": ["web"]}],
        )
        # It closes the connection that it is asked over, and is ready when it is asked again.
        starting.settimeout(300)
        starting.accept()[0].close()
        path.unlink()
        path.symlink_to(lxd.socket)
        played = applied.result()
    assert not played.failed, played.output
    assert "FAILED - RETRYING" in played.output
    assert lxd.aliases() == {"web": image.fingerprint}


def test_it_does_not_wait_for_a_server_that_rejects_the_client(lxd: Server, tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "image_store_server": lxd.url,
        "image_store_server_cert": str(lxd.certificate),
    }
    played = apply(tmp_path, lxd, image_store_images=[], **given)
    assert played.failed
    assert "FAILED - RETRYING" not in played.output
    assert "trusts only clients with a certificate" in played.output, played.output


@pytest.mark.parametrize("images", [[], ["none"]])
def test_check_mode_tells_that_requests_is_missing(
    lxd: Server, tmp_path: Path, images: list[Any]
) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    python = str(tmp_path / "bare/bin/python")
    played = apply(tmp_path, lxd, check=True, python=python, image_store_images=images)
    assert not played.failed, played.output
    assert "Missing package: python3-requests" in played.output
    assert ("changed=2" in played.output) == bool(images)

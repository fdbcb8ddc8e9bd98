# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real OCI registry over TLS, and small images that are pushed to it."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from .addresses import free_host, is_free
from .certificates import Authority, KeyPair
from .errors import LabError
from .packages import install
from .packing import Member, tar
from .processes import PATIENCE
from .requestlog import Request

PACKAGES = ("docker-registry", "skopeo")
PASSWORD_PACKAGES = ("apache2-utils",)
PORT = 5000

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True)
class OciImage:
    """An image for containers with one file in its root file system: another ``content`` is another image.

    An image with the same content and another ``command`` has the same layers, and another digest.
    """

    content: str
    command: str = "/bin/sh"
    architecture: str = "amd64"
    blobs: dict[str, bytes] = field(default_factory=dict, init=False, compare=False, repr=False)
    layer: str = field(init=False)  #: the digest of its one layer, as in ``sha256:…``
    digest: str = field(init=False)  #: the digest of its manifest

    def __post_init__(self) -> None:
        members = [Member("etc"), Member("etc/content", self.content.encode())]
        archive = tar(members)
        layer = gzip.compress(archive, mtime=0)
        diff = f"sha256:{hashlib.sha256(archive).hexdigest()}"
        config = {
            "created": "2025-01-02T03:04:05Z",
            "architecture": self.architecture,
            "os": "linux",
            "config": {"Cmd": [self.command]},
            "rootfs": {"type": "layers", "diff_ids": [diff]},
        }
        object.__setattr__(self, "layer", self._add(layer))
        described = {
            "config": _descriptor("config.v1+json", json.dumps(config).encode()),
            "layers": [_descriptor("layer.v1.tar+gzip", layer)],
        }
        self._add(json.dumps(config).encode())
        manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, **described}
        object.__setattr__(self, "digest", self._add(json.dumps(manifest).encode()))

    @property
    def fingerprint(self) -> str:
        """What Incus 6.19 and later call it (``client/oci_images.go``, computeFingerprint)."""
        return hashlib.sha256(self.layer.encode()).hexdigest()

    def write(self, folder: Path, *others: OciImage) -> None:
        """Write an OCI layout with this image as ``latest``; with ``others``, one name for several architectures."""
        every = (self, *others)
        blobs = folder / "blobs/sha256"
        blobs.mkdir(parents=True)
        entries = [image._entry for image in every]
        if others:
            index = json.dumps({"schemaVersion": 2, "mediaType": _INDEX, "manifests": entries})
            entries = [{"mediaType": _INDEX, **_sized(index.encode())}]
            (blobs / hashlib.sha256(index.encode()).hexdigest()).write_text(index)
        entries[0]["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
        for image in every:
            for digest, blob in image.blobs.items():
                (blobs / digest.partition(":")[2]).write_bytes(blob)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))

    @property
    def _entry(self) -> dict[str, Any]:
        platform = {"architecture": self.architecture, "os": "linux"}
        return {"mediaType": _MANIFEST, **_sized(self.blobs[self.digest]), "platform": platform}

    def _add(self, blob: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
        self.blobs[digest] = blob
        return digest


def _descriptor(kind: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": f"application/vnd.oci.image.{kind}", **_sized(blob)}


def _sized(blob: bytes) -> dict[str, Any]:
    return {"digest": f"sha256:{hashlib.sha256(blob).hexdigest()}", "size": len(blob)}


class Registry:
    """Debian's ``docker-registry`` on a loopback address of its own. It works while used as a context manager.

    Its certificate is signed by ``authority``. With a ``user`` it asks for that name and ``password``.
    """

    def __init__(
        self, authority: Authority, user: str = "", password: str = "", port: int = PORT
    ) -> None:
        self.host = free_host()
        self.port = port
        self.user = user
        self.password = password
        self._authority = authority

    @property
    def address(self) -> str:
        """``HOST:PORT``, with which the names of its images begin."""
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Its address over https."""
        return f"https://{self.address}"

    @property
    def pair(self) -> KeyPair:
        """Its certificate and key."""
        return self._pair

    def __enter__(self) -> Registry:
        install((*PACKAGES, *(PASSWORD_PACKAGES if self.user else ())))
        self._folder = Path(tempfile.mkdtemp(prefix="lab-registry-", dir="/tmp"))
        self._pair = self._authority.issue(f"registry-{self.host}", self.host)
        (self._folder / "config.yml").write_text(json.dumps(self._configuration))
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        """Start it, for the first time or again."""
        with (self._folder / "log").open("ab") as log:
            command = ["docker-registry", "serve", str(self._folder / "config.yml")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        end = time.monotonic() + PATIENCE
        while is_free(self.host, self.port):
            if self._process.poll() is not None or time.monotonic() > end:
                raise LabError(f"docker-registry did not start: {self._log[-500:]}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop it. Who asks then is refused."""
        self._process.terminate()
        self._process.wait()

    def push(self, name: str, image: OciImage, *others: OciImage) -> OciImage:
        """Push an image under a name, as in ``library/nginx:1.27``; with ``others``, for several architectures."""
        with tempfile.TemporaryDirectory(prefix="lab-oci-") as folder:
            image.write(Path(folder), *others)
            command = ["skopeo", "--insecure-policy", "copy", "--all", "--quiet"]
            if self.user:
                command += ["--dest-creds", f"{self.user}:{self.password}"]
            command += [f"oci:{folder}:latest", f"docker://{self.address}/{name}"]
            trusted = {"SSL_CERT_FILE": str(self._authority.certificate)}
            done = subprocess.run(command, env=trusted, capture_output=True, check=False)
        if done.returncode:
            raise LabError(f"skopeo: {done.stderr.decode().strip()}")
        return image

    def set_password(self, password: str) -> None:
        """Ask for another password from now on."""
        self.password = password
        self._write_passwords()

    @property
    def requests(self) -> list[Request]:
        """The requests that it has answered, in order."""
        accesses = (line for line in self._log.splitlines() if '] "' in line)
        quoted = (line.split('"')[1].split() for line in accesses)
        return [Request(words[0], words[1]) for words in quoted if len(words) == 3]

    @property
    def _log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    @property
    def _configuration(self) -> dict[str, Any]:
        tls = {"certificate": str(self._pair.certificate), "key": str(self._pair.key)}
        settings: dict[str, Any] = {
            "version": 0.1,
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": str(self._folder / "images")}},
            "http": {"addr": self.address, "tls": tls},
        }
        if self.user:
            self._write_passwords()
            settings["auth"] = {"htpasswd": {"realm": "lab", "path": str(self._passwords)}}
        return settings

    @property
    def _passwords(self) -> Path:
        return self._folder / "htpasswd"

    def _write_passwords(self) -> None:
        command = ["htpasswd", "-cbB", "-C", "4", str(self._passwords), self.user, self.password]
        subprocess.run(command, check=True, capture_output=True)

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Key pairs: of clients, and of an authority and the servers it vouches for."""

from __future__ import annotations

import hashlib
import ipaddress
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .errors import LabError


@dataclass(frozen=True)
class KeyPair:
    """The files of a certificate and its key, in PEM."""

    certificate: Path
    key: Path

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate in DER: the name a server has for it in its trust store."""
        return fingerprint(self.certificate)


class Authority:
    """An authority of its own, with its files in a folder. Servers trust it by ``ca_file``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        usage = "keyUsage=critical,keyCertSign,cRLSign"  # Python 3.13 wants it said
        self._pair = _make(folder, "authority", "basicConstraints=critical,CA:TRUE", usage)

    @property
    def certificate(self) -> Path:
        """The PEM file of its certificate."""
        return self._pair.certificate

    def issue(self, name: str, *hosts: str) -> KeyPair:
        """A key pair for an https server with these names and IP addresses: ``NAME.crt``, ``.key``.

        The certificate file holds nothing else: there is no chain to send.
        """
        names = f"subjectAltName={','.join(map(_alternative, hosts))}"
        return _make(self._folder, name, names, "basicConstraints=CA:FALSE", issuer=self._pair)

    def expire(self, pair: KeyPair) -> None:
        """Give a key pair a certificate, in place of its own and for the same hosts, whose time is over."""
        shown = _openssl(["x509", "-in", str(pair.certificate), "-noout", "-ext", "subjectAltName"])
        names = pair.key.with_suffix(".ext")
        names.write_text(
            f"subjectAltName={shown.splitlines()[1].strip().replace('IP Address', 'IP')}"
        )
        request = str(pair.key.with_suffix(".csr"))
        subject = ["-subj", f"/O=imagestore-lab/CN={pair.key.stem}"]
        _openssl(["req", "-new", "-key", str(pair.key), *subject, "-out", request])
        signer = ["-CA", str(self._pair.certificate), "-CAkey", str(self._pair.key)]
        signed = ["-in", request, "-out", str(pair.certificate), "-days", "-1"]
        _openssl(["x509", "-req", *signer, *signed, "-extfile", str(names)])


def client_certificate(folder: Path, name: str = "client") -> KeyPair:
    """Make a key pair for a client: ``NAME.crt`` and ``NAME.key`` in a folder."""
    return _make(folder, name)


def fingerprint(certificate: Path) -> str:
    """SHA-256 of a certificate in DER, in lower-case hexadecimal digits, from its PEM file."""
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    return hashlib.sha256(der).hexdigest()


def _make(folder: Path, name: str, *extensions: str, issuer: KeyPair | None = None) -> KeyPair:
    folder = Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    pair = KeyPair(folder / f"{name}.crt", folder / f"{name}.key")
    command = ["req", "-x509", "-sha384", "-nodes", "-days", "3650"]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp384r1"]
    command += ["-subj", f"/O=imagestore-lab/CN={name}"]
    command += ["-keyout", str(pair.key), "-out", str(pair.certificate)]
    for extension in extensions:
        command += ["-addext", extension]
    if issuer is not None:
        command += ["-CA", str(issuer.certificate), "-CAkey", str(issuer.key)]
    _openssl(command)
    return pair


def _openssl(command: list[str]) -> str:
    try:
        done = subprocess.run(["openssl", *command], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise LabError("openssl is not installed; run: python3 tests/lab install") from None
    if done.returncode != 0:
        raise LabError(f"openssl: {done.stderr.strip()}")
    return done.stdout


def _alternative(host: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(host)}"
    except ValueError:
        return f"DNS:{host}"

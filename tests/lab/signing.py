# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""OpenPGP keys, and signatures of files."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

from .packages import install

PACKAGES = ("gpg", "gpg-agent", "gpgv")


class SigningKey:
    """A key without a passphrase. It works while used as a context manager; ``keyring`` stays.

    With ``expired`` it was valid for the first days of 2020, when it made its signatures.
    """

    def __init__(self, keyring: Path, expired: bool = False) -> None:
        self.keyring = keyring
        self._clock = ["--faked-system-time", "20200102T000000!"] if expired else []
        self._expires = "7d" if expired else "never"

    def __enter__(self) -> SigningKey:
        install(PACKAGES)
        self._home = tempfile.TemporaryDirectory(prefix="lab-gpg-", dir="/tmp")
        name = self.keyring.stem
        self._gpg(
            "--passphrase", "", "--quick-generate-key", name, "ed25519", "sign", self._expires
        )
        self._gpg("--export", "--output", str(self.keyring))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        subprocess.run(["gpgconf", "--homedir", self._home.name, "--kill", "all"], check=True)
        self._home.cleanup()

    def export_armored(self, file: Path) -> Path:
        """Write the public key as text."""
        self._gpg("--export", "--armor", "--output", str(file))
        return file

    def sign(self, file: Path, suffix: str, armored: bool = False) -> Path:
        """Write a signature beside a file."""
        signature = file.with_name(file.name + suffix)
        armor = ["--armor"] if armored else []
        self._gpg(*armor, "--output", str(signature), "--detach-sign", str(file))
        return signature

    def sign_inside(self, file: Path) -> None:
        """Put the signature into the file itself, around its text."""
        signed = file.with_name(f".{file.name}.signed")
        self._gpg("--output", str(signed), "--clearsign", str(file))
        signed.rename(file)

    def _gpg(self, *arguments: str) -> None:
        options = ["--homedir", self._home.name, "--batch", "--quiet", "--yes", *self._clock]
        subprocess.run(["gpg", *options, *arguments], check=True, stderr=subprocess.DEVNULL)

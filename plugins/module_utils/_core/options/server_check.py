# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of ``lxd_image_server_check``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Mapping

from ..errors import OptionError
from ..server_check import ASPECTS, CheckRequest
from ..transport.verification import ClientCertificate
from ..urls import mask_credentials
from .specification import at_least, credentials_of


def image_server_check() -> dict[str, Any]:
    """The specification of ``lxd_image_server_check``."""
    return {
        "argument_spec": {
            "url": {"type": "str", "required": True},
            "ca_path": {"type": "path"},
            "server_name": {"type": "str"},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "client_cert": {"type": "path"},
            "client_key": {"type": "path"},
            "connect": {"type": "list", "elements": "str", "default": []},
            "connect_http": {"type": "str"},
            "full": {"type": "bool", "default": False},
            "without": {
                "type": "list",
                "elements": "str",
                "choices": list(ASPECTS),
                "default": [],
            },
            "expect_revision": {"type": "str"},
            "wait": {"type": "int", "default": 0},
            "timeout": {"type": "int", "default": 1800},
        },
        "required_together": [("username", "password"), ("client_cert", "client_key")],
        "supports_check_mode": True,
    }


@dataclass(frozen=True)
class ServerCheckOptions:
    """The options of ``lxd_image_server_check``: what to check, and how many seconds it may take."""

    request: CheckRequest
    timeout: int

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> ServerCheckOptions:
        """From the options of the task. Raises OptionError."""
        if params["wait"] and params["expect_revision"] is None:
            raise OptionError("wait is set without expect_revision", "Set both, or remove wait.")
        url = params["url"].strip()
        url = url[:-1] if url.endswith("/") else url
        if not _SERVER_URL.match(url):
            raise OptionError(
                f"invalid url {mask_credentials(params['url'])!r}",
                "Expected https://HOST or https://HOST:PORT.",
            )
        http, certificate = params["connect_http"], params["client_cert"]
        request = CheckRequest(
            url=url,
            connect=tuple(_address("connect", address) for address in params["connect"]),
            connect_http=None if http is None else _address("connect_http", http),
            ca_path=params["ca_path"],
            server_name=params["server_name"],
            credentials=credentials_of(params),
            identity=ClientCertificate(certificate, params["client_key"]) if certificate else None,
            full=params["full"],
            without=frozenset(params["without"]),
            revision=params["expect_revision"],
            wait=at_least("wait", params["wait"], 0),
        )
        return cls(request, at_least("timeout", params["timeout"], 1))


def _address(option: str, value: str) -> str:
    """An address to connect to. Raises OptionError."""
    if not _HOST_AND_PORT.match(value.strip()):
        raise OptionError(
            f"invalid {option} {value!r}", "Expected HOST:PORT, with an IPv6 address in brackets."
        )
    return value.strip()


_HOST = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)"
_PORT = r":([1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])"
_SERVER_URL = re.compile(f"https://{_HOST}({_PORT})?\\Z")
_HOST_AND_PORT = re.compile(f"{_HOST}{_PORT}\\Z")

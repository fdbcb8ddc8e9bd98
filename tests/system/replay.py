# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server that answers as LXD 5.21.7 or 6.9 did, for what the servers of the lab do not have.

That is identities: their tokens, and the entitlements that they have on the project ``default``. What takes which
entitlement is as in ``lxd/images.go`` of LXD 6.9.
"""

from __future__ import annotations

import hashlib
import json
import re
import ssl
import threading
from base64 import b64encode
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from recorded import server_info
from replay_http import Refusal, Request, base64url, files_of, is_for, read_chunks, sync
from replay_instances import INSTANCE_ROUTES, Route

from lab import Image, KeyPair

UUID = "01a20f8c-6baa-7e79-af3f-7c9d44bf725e"

NEVER = "0001-01-01T00:00:00Z"

FORBIDDEN = (403, "Forbidden")


class Replay:
    """A server with one project. It works while used as a context manager.

    ``entitlements`` are those of every identity here, on the project; None is a client that may do everything.
    ``trusted`` has the fingerprints of the clients' certificates, ``bearer`` the bearer tokens that are valid.
    ``requests`` notes all requests as (method, path with query, headers).
    """

    def __init__(
        self,
        version: str,
        pair: KeyPair,
        clients: Iterable[KeyPair] = (),
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.info = server_info(f"lxd-{version}")
        self.entitlements: set[str] | None = None
        self.entity_entitlements: dict[str, set[str]] = {}
        """Those on single images and aliases, by path."""
        self.is_restricted = False
        """Whether its clients have certificates that are restricted to projects."""
        self.trusted: set[str] = set()
        self.bearer: set[str] = set()
        self.images: dict[str, dict[str, Any]] = {}
        self.instances: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.elsewhere: dict[str, bytes] = {}
        """The images that other servers have, for pulls."""
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.host = host
        self._port = port
        self._pair = pair
        self._clients = list(clients)
        self._secrets: dict[str, str] = {}
        self._ended: dict[str, Any] = {}

    def __enter__(self) -> Replay:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                owner._serve(self)

            def do_POST(self) -> None:
                owner._serve(self)

            def do_PUT(self) -> None:
                owner._serve(self)

            def do_PATCH(self) -> None:
                owner._serve(self)

            def do_DELETE(self) -> None:
                owner._serve(self)

            def log_message(self, format: str, *args: object) -> None:
                """Log nothing."""

        class QuietServer(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that goes away, or does not like the certificate, is nothing to speak of."""

        self._server = QuietServer((self.host, self._port), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._pair.certificate, self._pair.key)
        context.verify_mode = ssl.CERT_OPTIONAL
        for client in self._clients:
            context.load_verify_locations(client.certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Its address."""
        return f"https://{self.host}:{self._server.server_port}"

    @property
    def certificate(self) -> Path:
        """The PEM file of its certificate."""
        return self._pair.certificate

    @property
    def writes(self) -> list[str]:
        """The requests that may have changed something, as "PUT /1.0/images/…"."""
        return [
            f"{method} {urlsplit(path).path}"
            for method, path, _headers in self.requests
            if method != "GET"
        ]

    def trust_token(self, for_identity: bool = True, **fields: Any) -> str:
        """What ``lxc auth identity create tls/NAME`` prints; or else ``lxc config trust add --name NAME``."""
        kind = "Client certificate" if for_identity else ""
        content = {
            "client_name": "me",
            "fingerprint": self._pair.fingerprint,
            "addresses": [urlsplit(self.url).netloc],
            "secret": f"secret-{len(self._secrets)}",
            "expires_at": "2099-01-01T00:00:00.123456789Z",
            "type": kind,
            **fields,
        }
        token = b64encode(json.dumps(content).encode()).decode()
        self._secrets[token] = kind
        return token

    def bearer_token(self, valid: bool = True, **claims: Any) -> str:
        """What ``lxc auth identity token issue bearer/NAME`` prints. A claim that is None is left out."""
        known: dict[str, Any] = {
            "iss": f"lxd:{UUID}",
            "sub": "11111111-2222-3333-4444-555555555555",
            "aud": [f"lxd:{UUID}"],
            "exp": 4_070_908_800,
            "nbf": 1_700_000_000,
            "iat": 1_700_000_000,
            "server_cert_fingerprint": self._pair.fingerprint,
        }
        content = {k: v for k, v in {**known, **claims}.items() if v is not None}
        parts = ({"alg": "HS512", "typ": "JWT"}, content)
        encoded = [base64url(json.dumps(part).encode()) for part in parts]
        signed = hashlib.sha256(f"{encoded}{len(self.bearer)}".encode()).digest()
        token = ".".join((*encoded, base64url(signed)))
        if valid:
            self.bearer.add(token)
        return token

    def add(self, image: Image, *aliases: str, public: bool = False) -> str:
        """Put a unified image into the store; its fingerprint."""
        return self._add(Path(image.metadata).read_bytes(), aliases, public)

    def _add(self, content: bytes, aliases: Iterable[str] = (), public: bool = False) -> str:
        fingerprint = hashlib.sha256(content).hexdigest()
        self.files[fingerprint] = content
        self.images[fingerprint] = {
            "fingerprint": fingerprint,
            "aliases": [{"name": name, "description": ""} for name in aliases],
            "architecture": "x86_64",
            "type": "container",
            "size": len(content),
            "filename": "image.tar.gz",
            "properties": {},
            "profiles": ["default"],
            "public": public,
            "auto_update": False,
            "cached": False,
            "created_at": "2026-01-01T00:00:00Z",
            "expires_at": NEVER,
            "last_used_at": NEVER,
            "uploaded_at": "2026-01-01T00:00:00.123456789Z",
            "project": "default",
        }
        return fingerprint

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length) if length else read_chunks(handler)
        self.requests.append((handler.command, handler.path, dict(handler.headers)))
        parts = urlsplit(handler.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        try:
            request = Request(handler, parts.path, query, body)
            answer = self._answer(request)
        except Refusal as refusal:
            status, reason = refusal.args
            answer = (
                status,
                {"type": "error", "error_code": status, "error": reason, "metadata": {}},
            )
        status, content = answer
        sent = content if isinstance(content, bytes) else json.dumps(content).encode()
        kind = "application/octet-stream" if isinstance(content, bytes) else "application/json"
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(sent)))
        if isinstance(content, bytes):
            fingerprint = parts.path.split("/")[3]
            named = f"inline;filename={fingerprint}.tar.gz"
            handler.send_header("Content-Disposition", named)
        handler.end_headers()
        handler.wfile.write(sent)

    def _answer(self, request: Request) -> tuple[int, Any]:
        trusted = self._is_trusted(request)
        for method, pattern, answer in _ROUTES:
            found = re.fullmatch(pattern, request.path)
            if method == request.method and found:
                if not trusted and answer not in _FOR_STRANGERS:
                    raise Refusal(*FORBIDDEN)
                return answer(self, request, trusted, *map(unquote, found.groups()))
        raise Refusal(404, "Not Found")

    def _is_trusted(self, request: Request) -> bool:
        authorization = request.headers.get("Authorization", "")
        token = authorization.partition("Bearer ")[2]
        if token and "auth_bearer" in self.info["api_extensions"]:
            if token in self.bearer:
                return True
            if is_for(token, f"lxd:{UUID}"):
                raise Refusal(
                    403,
                    "Failed verifying bearer token: Failed authenticating bearer token: Token is not valid:"
                    " token signature is invalid: signature is invalid",
                )
        return request.certificate in self.trusted

    def _require(self, name: str, path: str = "") -> None:
        """An entitlement on the project, or on the image or alias with this path."""
        on_entity = "_".join(name.split("_")[:2])
        if self.entitlements is None or name in self.entitlements:
            return
        if on_entity not in self.entity_entitlements.get(path, ()):
            raise Refusal(*FORBIDDEN)

    def _may(self, name: str, path: str = "") -> bool:
        try:
            self._require(name, path)
        except Refusal:
            return False
        return True

    def _told(self, request: Request, path: str = "") -> dict[str, Any]:
        """The entitlements that a request asks for, and this client has; none are told to who may do everything."""
        asked = request.query.get("with-access-entitlements", "").split(",")
        if self.entitlements is None:
            return {}
        plural = f"{'image_aliases' if '/aliases/' in path else 'images'}"
        held = [one for one in asked if self._may(f"{one}_{plural}" if path else one, path)]
        return {"access_entitlements": held} if held and asked != [""] else {}

    def _sees(self, fingerprint: str, trusted: bool) -> bool:
        path = f"/1.0/images/{fingerprint}"
        names = ("can_view_images", "can_edit_images", "can_delete_images")
        image = self.images.get(fingerprint)
        return image is not None and bool(
            image["public"] or (trusted and any(self._may(name, path) for name in names))
        )

    def _image(self, fingerprint: str, trusted: bool) -> dict[str, Any]:
        if not self._sees(fingerprint, trusted):
            raise Refusal(404, "Not Found")
        return self.images[fingerprint]

    def _holder(self, alias: str) -> dict[str, Any]:
        for image in self.images.values():
            if alias in (own["name"] for own in image["aliases"]):
                return image
        raise Refusal(404, "Not Found")

    def _drop(self, alias: str) -> None:
        for image in self.images.values():
            image["aliases"] = [own for own in image["aliases"] if own["name"] != alias]

    def get_server(self, request: Request, trusted: bool) -> tuple[int, Any]:
        if trusted:
            told: dict[str, Any] = {
                "auth": "trusted",
                "config": None if self.entitlements is not None else {},
            }
            return sync({**self.info, **told})
        known = ("api_extensions", "api_status", "api_version", "auth_methods", "public")
        return sync({**{name: self.info[name] for name in known}, "auth": "untrusted"})

    def post_identity(self, request: Request, trusted: bool) -> tuple[int, Any]:
        kind = self._secrets.pop(str(request.json.get("trust_token")), None)
        if not kind or not request.certificate:
            raise Refusal(*FORBIDDEN)
        self.trusted.add(request.certificate)
        return sync(None, 201)

    def post_certificate(self, request: Request, trusted: bool) -> tuple[int, Any]:
        token = str(request.json.get("trust_token"))
        if self._secrets.get(token):
            raise Refusal(
                400,
                "Failed during search for certificate add token operation: TLS Identity token detected (you must update"
                " your client)",
            )
        if self._secrets.pop(token, None) is None or not request.certificate:
            raise Refusal(403, "not authorized")
        self.trusted.add(request.certificate)
        return sync(None, 201)

    def get_identity(self, request: Request, trusted: bool) -> tuple[int, Any]:
        return sync({"name": "me", "groups": [], "fine_grained": self.entitlements is not None})

    def get_projects(self, request: Request, trusted: bool) -> tuple[int, Any]:
        seen = ["default"] if self._may("can_view") else []
        if "recursion" in request.query:
            return sync([self._described(name) for name in seen])
        return sync([f"/1.0/projects/{name}" for name in seen])

    def _described(self, project: str) -> dict[str, Any]:
        return {"name": project, "description": "", "config": {"features.images": "true"}}

    def get_project(self, request: Request, trusted: bool, name: str) -> tuple[int, Any]:
        if name != "default" or not self._may("can_view"):
            raise Refusal(404, "Not Found")
        return sync({**self._described(name), **self._told(request)})

    def get_profiles(self, request: Request, trusted: bool) -> tuple[int, Any]:
        seen = self._may("can_view_profiles")
        return sync([{"name": "default"}, {"name": "web"}] if seen else [])

    def get_images(self, request: Request, trusted: bool) -> tuple[int, Any]:
        if self.is_restricted and "all-projects" in request.query:
            raise Refusal(403, "Certificate is restricted")
        return sync([image for name, image in self.images.items() if self._sees(name, trusted)])

    def get_image(self, request: Request, trusted: bool, name: str) -> tuple[int, Any]:
        return sync({**self._image(name, trusted), **self._told(request, request.path)})

    def put_image(self, request: Request, trusted: bool, name: str) -> tuple[int, Any]:
        self._require("can_edit_images", request.path)
        self.images[name].update(request.json)
        return sync(None)

    def delete_image(self, request: Request, trusted: bool, name: str) -> tuple[int, Any]:
        self._require("can_delete_images", request.path)
        del self.images[name]
        return self.operation({})

    def post_image(self, request: Request, trusted: bool) -> tuple[int, Any]:
        invited = request.headers.get("X-LXD-secret") == "once"
        if not invited:
            self._require("can_create_images")
        if request.headers.get("Content-Type") != "application/json":
            return self.operation({"fingerprint": self._add(files_of(request))})
        source = request.json["source"]
        if source["type"] in ("instance", "snapshot"):
            content = f"image of {source['name']}".encode()
            return self.operation({"fingerprint": self._add(content), "size": str(len(content))})
        if source["mode"] == "push":
            return self.operation({"secret": "once"})
        content = self.elsewhere[source["fingerprint"]]
        return self.operation({"fingerprint": self._add(content)})

    def post_secret(self, request: Request, trusted: bool, name: str) -> tuple[int, Any]:
        self._require("can_edit_images", f"/1.0/images/{name}")
        return self.operation({"secret": "once"})

    def get_export(self, request: Request, trusted: bool, name: str) -> tuple[int, Any]:
        self._image(name, trusted)
        return 200, self.files[name]

    def get_alias(self, request: Request, trusted: bool, name: str) -> tuple[int, Any]:
        holder = self._holder(name)
        kinds = ("can_view_image_aliases", "can_edit_image_aliases", "can_delete_image_aliases")
        if not holder["public"] and not any(self._may(kind, request.path) for kind in kinds):
            raise Refusal(404, "Not Found")
        described = {"name": name, "description": "", "target": holder["fingerprint"]}
        return sync({**described, "type": "container", **self._told(request, request.path)})

    def post_alias(self, request: Request, trusted: bool) -> tuple[int, Any]:
        self._require("can_create_image_aliases")
        alias = {"name": request.json["name"], "description": ""}
        self.images[request.json["target"]]["aliases"].append(alias)
        return sync(None, 201)

    def put_alias(self, request: Request, trusted: bool, name: str) -> tuple[int, Any]:
        self._require("can_edit_image_aliases", request.path)
        self._drop(name)
        self.images[request.json["target"]]["aliases"].append({"name": name, "description": ""})
        return sync(None)

    def delete_alias(self, request: Request, trusted: bool, name: str) -> tuple[int, Any]:
        self._require("can_delete_image_aliases", request.path)
        self._drop(name)
        return sync(None)

    def get_operation(self, request: Request, trusted: bool, name: str) -> tuple[int, Any]:
        return sync(self._ended[name])

    def delete_operation(self, request: Request, trusted: bool, name: str) -> tuple[int, Any]:
        return sync(None)

    def operation(self, metadata: dict[str, Any]) -> tuple[int, Any]:
        name = f"{len(self._ended):08x}-0000-0000-0000-000000000000"
        ended = {
            "id": name,
            "status_code": 200,
            "created_at": "2026-01-01T00:00:00Z",
            "err": "",
            "metadata": metadata,
        }
        self._ended[name] = ended
        return 202, {"type": "async", "status_code": 100, "metadata": ended}


_IMAGE, _ALIAS = "/1.0/images/([0-9a-f]{64})", "/1.0/images/aliases/([^/]+)"

_ROUTES: list[tuple[str, str, Route]] = [
    ("GET", "/1.0", Replay.get_server),
    ("POST", "/1.0/auth/identities/tls", Replay.post_identity),
    ("GET", "/1.0/auth/identities/current", Replay.get_identity),
    ("POST", "/1.0/certificates", Replay.post_certificate),
    ("GET", "/1.0/projects", Replay.get_projects),
    ("GET", "/1.0/projects/([^/]+)", Replay.get_project),
    ("GET", "/1.0/profiles", Replay.get_profiles),
    ("GET", "/1.0/images", Replay.get_images),
    ("POST", "/1.0/images", Replay.post_image),
    ("POST", "/1.0/images/aliases", Replay.post_alias),
    ("GET", _ALIAS, Replay.get_alias),
    ("PUT", _ALIAS, Replay.put_alias),
    ("DELETE", _ALIAS, Replay.delete_alias),
    ("GET", _IMAGE, Replay.get_image),
    ("PUT", _IMAGE, Replay.put_image),
    ("DELETE", _IMAGE, Replay.delete_image),
    ("POST", f"{_IMAGE}/secret", Replay.post_secret),
    ("GET", f"{_IMAGE}/export", Replay.get_export),
    ("GET", "/1.0/operations/([^/]+)(?:/wait)?", Replay.get_operation),
    ("DELETE", "/1.0/operations/([^/]+)", Replay.delete_operation),
    *INSTANCE_ROUTES,
]

_FOR_STRANGERS = (
    Replay.get_server,
    Replay.post_identity,
    Replay.post_certificate,
    Replay.get_images,
    Replay.get_image,
    Replay.get_alias,
    Replay.get_export,
)

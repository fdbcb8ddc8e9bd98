# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What differs between the versions of LXD, and between LXD and Incus. All of it is here, and nothing of it elsewhere.

A rule goes by the API extensions that a server announces, and by its version only where no extension tells.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Iterable, Mapping, Tuple

if TYPE_CHECKING:
    from .simplestreams import Reader

LXD = "lxd"
INCUS = "incus"

Version = Tuple[int, ...]

ANY: Version = ()


@dataclass(frozen=True)
class Rule:
    """Which servers do something. ``source`` is where that is known from.

    ``extension`` is an API extension that tells it. Otherwise (or besides) it is so for the versions of ``lxd`` and
    of ``incus`` in these spans, each from the first version that does it to the first that does not; () is open.

    Where one way of ours is right with all servers, nobody asks for the rule: ``met_by`` is then what does it so, as
    a name in this package, and the rule is here to say why.
    """

    source: str
    extension: str | None = None
    lxd: tuple[tuple[Version, Version], ...] = ()
    incus: tuple[tuple[Version, Version], ...] = ()
    met_by: str = ""


ALWAYS = ((ANY, ANY),)

RULES: Mapping[str, Rule] = {
    "lists_all_projects": Rule("doc/api-extensions.md", extension="images_all_projects"),
    "pulls_from_projects": Rule("doc/api-extensions.md", extension="image_source_project"),
    "pushes": Rule("doc/api-extensions.md", extension="images_push_relay"),
    "pushes_into_projects": Rule("doc/api-extensions.md", extension="images_target_project"),
    "takes_aliases_with_an_upload": Rule(
        "doc/api-extensions.md: X-Incus-aliases, whose conflicts fail an upload that was stored",
        extension="image_import_alias",
        met_by="store_writer.StoreWriter.add_alias",
    ),
    "takes_trust_token": Rule(
        "lxd/certificates.go: until then the password is the token",
        extension="explicit_trust_token",
        incus=ALWAYS,
    ),
    "tells_entitlements": Rule("doc/api-extensions.md", extension="entities_with_entitlements"),
    "takes_bearer_tokens": Rule("doc/api-extensions.md", extension="auth_bearer"),
    "publishes_formats": Rule("doc/api-extensions.md", extension="instance_publish_split"),
    "has_image_registries": Rule(
        "shared/api/image.go: such a server fetches from its registries only, and takes part in no push",
        extension="image_registries",
    ),
    "imports_by_url": Rule(
        "lxd/images.go: from 6.9 on the answer is 400", lxd=((ANY, (6, 9)),), incus=ALWAYS
    ),
    "pulls_oci": Rule(
        "doc/api-extensions.md: images of OCI registries, which the program skopeo fetches (from Incus 6.3 on)",
        extension="instance_oci",
    ),
    "fingerprints_oci_layers": Rule(
        "client/oci_images.go, computeFingerprint: the fingerprint of an OCI image is the digest of its layers'"
        " digests; before, that of the document behind its name",
        incus=(((6, 19), ANY),),
    ),
    "clears_cached_mark": Rule(
        "lxd/daemon_images.go, UserRequested: a pull of what is merely cached makes it an image to keep",
        lxd=(((5, 21, 2), (6,)), ((6, 1), ANY)),
    ),
    "public_in_default_only": Rule(
        "lxd/images.go, imagesGetAccessHandler: strangers see nothing of other projects; from 6.8 on,"
        " validateImagePublicSetting refuses to make images there public",
        lxd=(((5, 21, 4), (6,)), ((6, 3), ANY)),
    ),
    "records_origin_of_lxd": Rule(
        "cmd/incusd/images.go: Incus takes an image of a LXD by its whole fingerprint only",
        lxd=ALWAYS,
    ),
    "limits_alias_names": Rule(
        "shared/validate/validate.go, IsAPIName", incus=(((6, 0, 6), (6, 1)), ((6, 16), ANY))
    ),
    "cleans_paths": Rule(
        "lxd/api.go: what a path has of . and .. is folded away, so such an alias can be made and never reached",
        lxd=(((5, 21), ANY),),
    ),
    "limits_project_names": Rule("lxd/project/project.go, ValidName", lxd=(((6, 7), ANY),)),
    "describes_briefly": Rule(
        "shared/simplestreams/products.go: no architecture and no date in a description",
        lxd=(((6, 9), ANY),),
    ),
    "reads_combined_type": Rule(
        "shared/simplestreams/products.go, CombinedType: until then a unified image in an index is a container's",
        incus=(((7, 0, 1), ANY),),
    ),
    "takes_profiles_of_a_copy": Rule(
        "lxd/images.go, imgPostRemoteInfo, from 5.21 on: a copy sets profiles, default where it names none, and so a"
        " second copy resets all attributes that it leaves out",
        extension="image_copy_profile",
        met_by="store_writer.StoreWriter.update_image",
    ),
    "wants_twelve_digits": Rule(
        "lxd/images.go: fewer digits of a fingerprint are refused with 400",
        lxd=(((5, 21, 4), (6,)), ((6, 5), ANY)),
        met_by="images.is_prefix",
    ),
    "words_errors_anew": Rule(
        'lxd/images.go: "does not" and "Cannot" instead of "doesn\'t" and "Unable to"',
        lxd=(((6, 9), ANY),),
        met_by="dialect.Dialect.is_already_exists",
    ),
    "fails_in_the_wait": Rule(
        "cmd/incusd/operations.go, and lxd/operations.go after 6.9: an operation that failed, and a wait that timed"
        " out, are errors of the call that waits",
        lxd=(((6, 10), ANY),),
        incus=ALWAYS,
        met_by="operations.Operations.wait",
    ),
}
"""What not all servers do."""

_ONLY_INCUS = "dev_incus_images"
"""An extension that every Incus since 6.0 has, and no LXD."""


@dataclass(frozen=True)
class Dialect:
    """How one server speaks: which of the two it is, its version (5.0.2 is ``(5, 0, 2)``), what it announces."""

    family: str = LXD
    version: Version = ()
    extensions: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, info: Mapping[str, Any]) -> Dialect:
        """From the answer to ``GET /1.0``. A client that is not trusted is told neither the version nor which it is.

        Then the extensions tell: one of them is Incus' alone, and from 7 on Incus tells a stranger none at all.
        """
        environment = info.get("environment") or {}
        extensions = frozenset(info.get("api_extensions") or ())
        guess = INCUS if _ONLY_INCUS in extensions or not extensions else LXD
        return cls(
            family=INCUS if environment.get("server", guess) == INCUS else LXD,
            version=tuple(
                int(part)
                for part in re.findall(r"\d{1,6}", environment.get("server_version") or "")[:3]
            ),
            extensions=extensions,
        )

    def supports(self, what: str) -> bool:
        """Whether this server does what the rule of that name says."""
        rule = RULES[what]
        spans = rule.lxd if self.family == LXD else rule.incus
        return rule.extension in self.extensions or any(
            self.version >= since and (before == ANY or self.version < before)
            for since, before in spans
        )

    @property
    def name(self) -> str:
        """The family, as people write it."""
        return "Incus" if self.family == INCUS else "LXD"

    @property
    def client(self) -> str:
        """The family's command-line client."""
        return "incus" if self.family == INCUS else "lxc"

    def header(self, name: str) -> str:
        """The family's own form of a header: ``fingerprint`` is ``X-LXD-fingerprint`` (``doc/rest-api.yaml``)."""
        return f"X-{self.name}-{name}"

    def identification_headers(
        self, architectures: Iterable[str], environment: Mapping[str, Any]
    ) -> dict[str, str]:
        """The headers with which such a server asks a web server for an image (``lxd/images.go``, imgPostURLInfo).

        ``environment`` is that of the answer to ``GET /1.0``.
        """
        return {
            f"{self.name}-Server-Architectures": ", ".join(architectures),
            f"{self.name}-Server-Version": str(environment.get("server_version") or ""),
        }

    @property
    def token_field(self) -> str:
        """Under which name ``POST /1.0/certificates`` takes a trust token."""
        return "trust_token" if self.supports("takes_trust_token") else "password"

    def trust_advice(self, certificate: str) -> str:
        """How an administrator makes such a server trust a client certificate, as a sentence's end with its stop."""
        if self.family == INCUS:
            by_file, by_token = "incus config trust add-certificate", "incus config trust add NAME"
        else:
            by_file, by_token = "lxc config trust add", "lxc config trust add --name NAME"
        return f"on the server, {by_file} {certificate} does that; or set trust_token to what {by_token} prints."

    @property
    def listen_advice(self) -> str:
        """How an administrator makes such a server listen on the network, as the beginning of a clause."""
        return f"{self.client} config set core.https_address :8443 on its host"

    def protocol_for(self, source: Dialect) -> str:
        """What this server calls the protocol of one that it pulls from. LXD refuses the word ``incus``."""
        return INCUS if self.family == source.family == INCUS else LXD

    def records_origin(self, source: Dialect) -> bool:
        """Whether this server takes an image by alias from that one, and then knows where it came from."""
        return self.family == source.family or self.supports("records_origin_of_lxd")

    def why_no_pull(self, project: str = "default") -> str:
        """What keeps this server from fetching an image from a project of another; empty if nothing."""
        if self.supports("has_image_registries"):
            return "fetches images only from its image registries"
        if project != "default" and not self.supports("pulls_from_projects"):
            return "knows no projects of other servers"
        return ""

    def why_no_pull_from_index(self, reader: Reader, is_unified_machine: bool) -> str:
        """What keeps this server from fetching an image for ``reader`` from an image server; empty if nothing."""
        if reader.family != self.family:
            return f"fetches images for {self.name} only, and the image server has this one for LXD only"
        if is_unified_machine and not self.supports("reads_combined_type"):
            return "takes virtual machine images in one file for those of containers"
        return self.why_no_pull()

    def why_no_oci(self) -> str:
        """What keeps this server from fetching images of OCI registries; empty if nothing."""
        if self.supports("pulls_oci"):
            return ""
        if self.family == LXD:
            return "is LXD, which has no images of OCI registries"
        return "is too old for images of OCI registries, which come with Incus 6.3 (API extension instance_oci)"

    def oci_fingerprint(self, digest: str, layers: Iterable[str]) -> str:
        """The fingerprint that this server gives an OCI image: see ``oci_registry.OciImage``."""
        if self.supports("fingerprints_oci_layers"):
            return hashlib.sha256("".join(layers).encode()).hexdigest()
        return digest.rpartition(":")[2]

    @staticmethod
    def missing_oci_tool(err: str) -> str:
        """The program that a server lacks for OCI images, if that is what an error says. There is no code for it."""
        found = re.search(r'requires "(skopeo|umoci)"', err)
        return found[1] if found else ""

    def why_no_push(self, source: Dialect, project: str) -> str:
        """What keeps this server from taking an image that that one sends into a project; empty if nothing.

        Across families the receiver does not know the header by which the sender says that it was invited.
        """
        if self.supports("has_image_registries"):
            return "takes images only from its image registries"
        if self.family != source.family:
            return f"is {self.name}, and {source.name} and {self.name} refuse each other's images"
        if not self.supports("pushes") or not source.supports("pushes"):
            return "or the source is too old for that"
        if project != "default" and not source.supports("pushes_into_projects"):
            return (
                f"would not get it into its project {project}, since the source knows default only"
            )
        return ""

    @property
    def fetches_urls(self) -> bool:
        """Whether this server imports an image from a web server by itself."""
        return self.supports("imports_by_url") and not self.supports("has_image_registries")

    @property
    def reader(self) -> Reader:
        """How this server reads the documents of a simplestreams server.

        Incus takes an image for LXD that it is sent, although it does not fetch one.
        """
        from .simplestreams import Reader

        if self.family == INCUS:
            return Reader(INCUS, "incus", fallback=Reader(LXD, "incus"))
        return Reader(LXD, "short" if self.supports("describes_briefly") else "classic")

    def why_invalid_alias(self, name: str) -> str:
        """What this server would object to in the name of an alias; empty if nothing."""
        if self.supports("cleans_paths") and name in (".", ".."):
            return "it could not be asked for or deleted again"
        if not self.supports("limits_alias_names"):
            return ""
        if len(name.encode()) > 64:
            return "it is longer than 64 bytes"
        if re.search(r"\s", name):
            return "it contains white space"
        odd = re.search(r"[$?&+\"'`*]", name)
        if odd:
            return f"it contains the character {odd[0]}"
        if not re.match(r"[a-zA-Z0-9](.*[a-zA-Z0-9])?\Z", name, re.ASCII | re.DOTALL):
            return "it does not begin and end with a letter or digit of ASCII"
        return ""

    def why_invalid_project(self, name: str) -> str:
        """Why this server has no project of this name; empty if it could have one."""
        if self.supports("limits_project_names") and not name.isascii():
            return "names of projects are ASCII"
        return ""

    @staticmethod
    def is_ambiguous_prefix(reason: str) -> bool:
        """Whether a server refused the beginning of a fingerprint because it fits several images."""
        return "more than one" in reason.lower()

    @staticmethod
    def is_disk_full(reason: str) -> bool:
        """Whether a server's error is the operating system's ENOSPC. There is no code for it."""
        return "no space left on device" in reason.lower()

    @staticmethod
    def is_already_exists(err: str) -> bool:
        """Whether an upload failed because the store has the image. There is no code for it (``lxd/images.go``).

        Of uploads at the same moment, one may instead meet the database's own constraint.
        """
        lowered = err.lower()
        return (
            "already exists" in lowered or "unique constraint failed: images.project_id" in lowered
        )

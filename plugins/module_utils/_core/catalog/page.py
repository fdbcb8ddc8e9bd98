# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page of a catalog for people: its images, and the commands to get them."""

from __future__ import annotations

import re
from base64 import b64encode
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from html import escape
from itertools import groupby
from typing import Iterable, Match, Sequence

from ..architectures import common_architecture
from ..images import CONTAINER, VIRTUAL_MACHINE, format_time, short_fingerprint
from . import page_template
from .client_commands import (
    ANSIBLE,
    CERTIFICATE,
    PASSWORD,
    PUBLIC,
    TOOLS,
    ClientCommands,
    Command,
)
from .record import Catalog, Product, Version
from .sizes import readable_size

_TITLES = {CONTAINER: "Container", VIRTUAL_MACHINE: "Virtual machine"}
_SHORT_TYPES = {CONTAINER: "ct", VIRTUAL_MACHINE: "vm"}
_LONG_OPTION = re.compile(r"(?<= )--[a-z-]+(=simplestreams)?")


_ACCESS_HINTS = {
    PUBLIC: "",
    PASSWORD: page_template.PASSWORD.substitute(),
    CERTIFICATE: page_template.CERTIFICATE.substitute(),
}


def page(catalog: Catalog, base_url: str, access: str = PUBLIC) -> str:
    """The content of ``index.html``, which depends on nothing but the catalog, the address and the kind of access.

    The page loads nothing else, and its content security policy makes browsers enforce that.
    """
    commands = ClientCommands(base_url.rstrip("/"), access)
    products = catalog.products
    address = commands.base_url.partition("://")[2] or commands.base_url
    return page_template.FRAME.substitute(
        policy=_policy(),
        style=page_template.STYLE,
        script=page_template.SCRIPT,
        address=escape(address),
        summary=_summary(products, commands) if products else "",
        main=_main(products, commands) if products else _empty(commands),
    )


def _policy() -> str:
    hashes = {
        kind: b64encode(sha256(text.encode()).digest()).decode()
        for kind, text in (("style", page_template.STYLE), ("script", page_template.SCRIPT))
    }
    sources = [f"{kind}-src 'sha256-{digest}'" for kind, digest in hashes.items()]
    return "; ".join(
        ["default-src 'none'", *sources, "img-src data:", "base-uri 'none'", "form-action 'none'"]
    )


def _summary(products: Sequence[Product], commands: ClientCommands) -> str:
    versions = [version for product in products for version in product.versions]
    files = {part.path: part.size for version in versions for part in version.parts}
    words = [_counted(len(_images(products)), "image"), _counted(len(versions), "version")]
    architectures = {product.architecture for product in products}
    return page_template.SUMMARY.substitute(
        totals=f"{' in '.join(words)}, {readable_size(sum(files.values()))}",
        add_remote=_add_remote(commands.add_remote()),
        access=_ACCESS_HINTS[commands.access],
        hint=_architecture_hint(products) if len(architectures) > 1 else "",
    )


def _add_remote(commands: Sequence[Command]) -> str:
    if not commands:
        return ""
    return page_template.ADD_REMOTE.substitute(commands=_render_commands(commands))


def _architecture_hint(products: Sequence[Product]) -> str:
    """How to get an image for another architecture, with the image that has the most of them as the example."""
    product = max(_images(products), key=len)[0]
    architecture = common_architecture(product.architecture)
    return page_template.HINT.substitute(
        name=f"{escape(product.name)}/{architecture}", architecture=architecture
    )


def _images(products: Iterable[Product]) -> list[list[Product]]:
    """The products of each name and type, which differ in their architectures."""
    return [list(image) for _key, image in groupby(products, key=lambda product: product.key[:2])]


def _main(products: Sequence[Product], commands: ClientCommands) -> str:
    groups: dict[str, list[list[Product]]] = {}
    images = sorted(_images(products), key=lambda image: _natural_order(image[0].name))
    for image in images:
        system = next(filter(None, map(_system, image)), "")
        groups.setdefault(system, []).append(image)
    same_name: dict[str, list[Product]] = {}
    for product in products:
        same_name.setdefault(product.name, []).append(product)
    anchored: set[str] = set()
    rendered = [
        page_template.GROUP.substitute(
            title=escape(title or "Other images"),
            images="\n".join(
                _image(image, same_name[image[0].name], anchored, commands) for image in group
            ),
        )
        # Those of no system come last.
        for title, group in sorted(
            groups.items(), key=lambda group: (not group[0], _natural_order(group[0]))
        )
    ]
    return page_template.MAIN.substitute(
        count=_counted(len(images), "image"),
        tools="\n".join(page_template.TOOL.substitute(tool=tool) for tool in TOOLS),
        groups="\n".join(rendered),
    )


def _system(product: Product) -> str:
    return " ".join(filter(None, [product.os, product.release]))


def _natural_order(text: str) -> list[tuple[int, str]]:
    """A key by which texts are sorted as people do: numbers in them by their value."""
    words = re.findall(r"[0-9]+|[^0-9]+", text.lower())
    return [(int(word[:18]) if word[0] in "0123456789" else -1, word) for word in words]


def _empty(commands: ClientCommands) -> str:
    return page_template.EMPTY.substitute(example=_render_commands([commands.publish_example()]))


def _image(
    products: Sequence[Product],
    same_name: Sequence[Product],
    anchored: set[str],
    commands: ClientCommands,
) -> str:
    """The rows of one image. The first of a name has it as its id; ``anchored`` are the names that have theirs."""
    first = products[0]
    name = escape(first.name)
    identified = "" if first.name in anchored else f' id="{name}"'
    anchored.add(first.name)
    facts = [_facts(product) for product in products]
    common = [fact for fact in facts[0] if all(fact in other for other in facts)]
    newest = max((product.newest for product in products), key=lambda version: version.name)
    largest = max(product.newest.size for product in products)
    description = next(filter(None, (product.description for product in products)), "")
    return page_template.IMAGE.substitute(
        id=identified,
        name=name,
        search=escape(_search_text(products)),
        description=f"<p>{escape(description)}</p>" if description else "",
        type=_TITLES[first.type],
        architectures=", ".join(product.architecture for product in products),
        version=_version_name(newest),
        bytes=largest,
        size=readable_size(largest),
        facts=_render_facts(common),
        commands=_render_commands(commands.get_image(products, same_name)),
        products="\n".join(_product(product, common) for product in products),
    )


def _search_text(products: Sequence[Product]) -> str:
    words: dict[str, None] = {}
    for product in products:
        for word in (
            *product.names,
            _system(product),
            product.variant,
            product.type,
            _SHORT_TYPES[product.type],
            product.architecture,
            common_architecture(product.architecture),
            product.description,
            *(version.name for version in product.versions),
        ):
            words[word.lower()] = None
    return " ".join(filter(None, words))


def _product(product: Product, common: Sequence[tuple[str, str]]) -> str:
    specific = [fact for fact in _facts(product) if fact not in common]
    head = f'<th scope="rowgroup" rowspan="{len(product.versions)}">{product.architecture}</th>'
    rows = [
        _version(version, "" if number else head) for number, version in enumerate(product.versions)
    ]
    if specific:
        rows.append(f'<tr class="facts-row"><td colspan="5">{_render_facts(specific)}</td></tr>')
    return "<tbody>\n" + "\n".join(rows) + "\n</tbody>"


def _version(version: Version, head: str) -> str:
    return page_template.VERSION.substitute(
        head=head,
        name=_version_name(version),
        size=readable_size(version.size),
        files=" ".join(
            f'<a href="{escape(part.path)}">{escape(part.ending)}</a>' for part in version.parts
        ),
        fingerprint=escape(version.fingerprint),
        short=escape(short_fingerprint(version.fingerprint)),
    )


def _facts(product: Product) -> list[tuple[str, str]]:
    """What is known about a product beside its key: pairs of a label and HTML."""
    aliases = ", ".join(f"<code>{escape(alias)}</code>" for alias in product.aliases)
    requirements = ", ".join(
        f"<code>{escape(name)}={escape(value)}</code>"
        for name, value in sorted(product.requirements.items())
    )
    facts = [
        ("variant", escape(product.variant)),
        ("aliases", aliases),
        ("requires", requirements),
    ]
    return [fact for fact in facts if fact[1]]


def _render_facts(facts: Iterable[tuple[str, str]]) -> str:
    pairs = "".join(f"<div><dt>{label}</dt><dd>{value}</dd></div>\n" for label, value in facts)
    return f'<dl class="facts">\n{pairs}</dl>\n' if pairs else ""


def _render_commands(commands: Iterable[Command]) -> str:
    return "\n".join(map(_render_command, commands))


def _render_command(command: Command) -> str:
    text = escape(command.text, quote=False)
    if command.tool != ANSIBLE:  # each line is a command and gets a prompt
        text = "".join(
            f'<span class="line">{_LONG_OPTION.sub(_unbreakable, line)}</span>'
            for line in text.splitlines(keepends=True)
        )
    return page_template.COMMAND.substitute(tool=command.tool, caption=command.caption, text=text)


def _unbreakable(match: Match[str]) -> str:
    return f"<b>{match[0]}</b>"


def _version_name(version: Version) -> str:
    """The name of a version, whose title is when the image was created, unless that is unknown or absurd."""
    name = escape(version.name)
    try:
        moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=version.created)
    except OverflowError:
        return name
    if version.created <= 0:
        return name
    timestamp = format_time(moment)
    return f'<time datetime="{timestamp}" title="{timestamp}">{name}</time>'


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

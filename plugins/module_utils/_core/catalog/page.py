# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page of a catalogue for people: its images, and the commands with which one gets them."""

from __future__ import annotations

import re
from base64 import b64encode
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from html import escape
from itertools import groupby
from typing import Iterable, Match, Sequence

from ..images import CONTAINER, VIRTUAL_MACHINE, common_architecture, format_time, short_fingerprint
from . import page_template
from .client_commands import ANSIBLE, TOOLS, ClientCommands, Command
from .record import Catalog, Product, Version

_TITLES = {CONTAINER: "Container", VIRTUAL_MACHINE: "Virtual machine"}
_SHORT_TYPES = {CONTAINER: "ct", VIRTUAL_MACHINE: "vm"}
_OPTION = re.compile(r"(?<= )--[a-z-]+(=simplestreams)?")


def page(catalog: Catalog, base_url: str) -> str:
    """The content of ``index.html``: the same for the same catalogue, whenever it is made.

    Nothing on it comes from elsewhere, and a policy in its head has browsers hold it to that.
    """
    shop = ClientCommands(base_url.rstrip("/"))
    products = catalog.products
    place = shop.base_url.partition("://")[2] or shop.base_url
    return page_template.FRAME.substitute(
        policy=_policy(),
        style=page_template.STYLE,
        script=page_template.SCRIPT,
        place=escape(place),
        summary=_summary(products, shop) if products else "",
        main=_main(products, shop) if products else _empty(shop),
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


def _summary(products: Sequence[Product], shop: ClientCommands) -> str:
    versions = [version for product in products for version in product.versions]
    files = {part.path: part.size for version in versions for part in version.parts}
    words = [_counted(len(products), "image"), _counted(len(versions), "version")]
    architectures = {product.architecture for product in products}
    return page_template.SUMMARY.substitute(
        sum=f"{' in '.join(words)}, {_size(sum(files.values()))}",
        first=_rendered(shop.first()),
        hint=_hint(products) if len(architectures) > 1 else "",
    )


def _hint(products: Sequence[Product]) -> str:
    """How to ask for another architecture, with the image that has most of them."""
    groups = [list(group) for _key, group in groupby(products, key=lambda product: product.key[:2])]
    product = max(groups, key=len)[0]
    architecture = common_architecture(product.architecture)
    return page_template.HINT.substitute(
        name=f"{escape(product.name)}/{architecture}", architecture=architecture
    )


def _main(products: Sequence[Product], shop: ClientCommands) -> str:
    images = groupby(products, key=lambda product: product.name)
    return page_template.MAIN.substitute(
        count=_counted(len(products), "image"),
        tools="\n".join(page_template.TOOL.substitute(tool=tool) for tool in TOOLS),
        images="\n".join(_image(name, list(group), shop) for name, group in images),
    )


def _empty(shop: ClientCommands) -> str:
    return page_template.EMPTY.substitute(example=_rendered([shop.publishing()]))


def _image(name: str, products: Sequence[Product], shop: ClientCommands) -> str:
    """All that one name stands for."""
    facts = [_facts(product) for product in products]
    common = [fact for fact in facts[0] if all(fact in others for others in facts)]
    kinds = groupby(products, key=lambda product: product.type)
    return page_template.IMAGE.substitute(
        name=escape(name),
        facts=_listed(common),
        kinds="\n".join(_kind(kind, list(group), products, common, shop) for kind, group in kinds),
    )


def _kind(
    kind: str,
    products: Sequence[Product],
    others: Sequence[Product],
    common: Sequence[tuple[str, str]],
    shop: ClientCommands,
) -> str:
    return page_template.KIND.substitute(
        title=_TITLES[kind],
        products="\n".join(_product(product, common) for product in products),
        commands=_rendered(shop.commands(products, others)),
    )


def _product(product: Product, common: Sequence[tuple[str, str]]) -> str:
    own = [fact for fact in _facts(product) if fact not in common]
    head = f'<th scope="rowgroup" rowspan="{len(product.versions)}">{product.architecture}</th>'
    rows = [
        _version(version, "" if number else head) for number, version in enumerate(product.versions)
    ]
    if own:
        rows.append(f'<tr class="own"><td colspan="6">{_listed(own)}</td></tr>')
    words = " ".join(
        [
            *product.names,
            product.os,
            product.release,
            product.variant,
            product.type,
            _SHORT_TYPES[product.type],
            product.architecture,
            common_architecture(product.architecture),
            *(version.name for version in product.versions),
        ]
    ).lower()
    return f'<tbody data-words="{escape(words)}">\n' + "\n".join(rows) + "\n</tbody>"


def _version(version: Version, head: str) -> str:
    return page_template.VERSION.substitute(
        head=head,
        name=escape(version.name),
        made=_made(version.created),
        size=_size(version.size),
        files=" ".join(
            f'<a href="{escape(part.path)}">{escape(part.ending)}</a>' for part in version.parts
        ),
        fingerprint=escape(version.fingerprint),
        short=escape(short_fingerprint(version.fingerprint)),
    )


def _facts(product: Product) -> list[tuple[str, str]]:
    """What is known of a product, beside its key, each with a label."""
    system = " ".join(filter(None, [product.os, product.release]))
    aliases = ", ".join(f"<code>{escape(alias)}</code>" for alias in product.aliases)
    requirements = ", ".join(
        f"<code>{escape(name)}={escape(value)}</code>"
        for name, value in sorted(product.requirements.items())
    )
    facts = [
        ("system", escape(system)),
        ("variant", escape(product.variant)),
        ("also", aliases),
        ("needs", requirements),
    ]
    return [fact for fact in facts if fact[1]]


def _listed(facts: Iterable[tuple[str, str]]) -> str:
    pairs = "".join(f"<div><dt>{label}</dt><dd>{value}</dd></div>\n" for label, value in facts)
    return f'<dl class="facts">\n{pairs}</dl>\n' if pairs else ""


def _rendered(commands: Iterable[Command]) -> str:
    return "\n".join(_command(command) for command in commands)


def _command(command: Command) -> str:
    text = escape(command.text, quote=False)
    if command.tool != ANSIBLE:  # each line is a command of its own, with a prompt
        text = "".join(
            f'<span class="line">{_OPTION.sub(_unbroken, line)}</span>'
            for line in text.splitlines(keepends=True)
        )
    return page_template.COMMAND.substitute(tool=command.tool, way=command.way, text=text)


def _unbroken(match: Match[str]) -> str:
    return f"<b>{match[0]}</b>"


def _made(seconds: int) -> str:
    """The day on which an image was made, if that is known."""
    try:
        moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)
    except OverflowError:
        return ""
    if seconds <= 0:
        return ""
    exactly = format_time(moment)
    return f'<time datetime="{exactly}" title="{exactly}">{moment:%Y-%m-%d}</time>'


def _size(size: int) -> str:
    """Bytes as ``lxc image list`` shows them, in MiB and the like."""
    if size < 1000:
        return f"{size} B"
    number, units = size / 1024, ["KiB", "MiB", "GiB", "TiB"]
    while number >= 1000 and len(units) > 1:
        number /= 1024
        del units[0]
    digits = 0 if number >= 100 else 1 if number >= 10 else 2
    return f"{number:.{digits}f} {units[0]}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

# Copyright: Contributors to the imagestore.lxd project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Style, script and templates of the page. Generated from docs/page: edit the files there and run ``make format``."""

from __future__ import annotations

from string import Template

STYLE = """\
:root {
  color-scheme: light dark;
  --paper: #fcfbf9; --ink: #1d1c1a; --quiet: #67635c; --line: #e5e1da; --wash: #f4f1eb; --accent: #0a6b5c;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", Cantarell, "DejaVu Sans", sans-serif;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", "JetBrains Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #141517; --ink: #e9e7e2; --quiet: #a09c94; --line: #2d2f32; --wash: #1d1f22; --accent: #6fcdb9;
  }
}
* { box-sizing: border-box; }
[hidden], html:not(.js) .js-only { display: none !important; }
html { font: 16px/1.55 var(--sans); color: var(--ink); background: var(--paper); -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 76rem; padding: 0 clamp(1rem, 4vw, 3rem); overflow-wrap: anywhere; }
h1, h2, h3, p, dl, dd, figure, pre { margin: 0; }
h1, h2, h3 { font-weight: 600; line-height: 1.25; text-wrap: balance; }
a { color: var(--accent); text-decoration-thickness: 1px; text-underline-offset: .2em; }
code, pre { font: .875em/1.6 var(--mono); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 3px; }
.quiet { color: var(--quiet); }
.visually-hidden {
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap;
}

.masthead { padding: clamp(2rem, 6vw, 4.5rem) 0 2rem; }
.masthead .kicker { color: var(--accent); font-size: .8125rem; font-weight: 600; letter-spacing: .02em; }
.masthead h1 { font-size: clamp(1.6rem, 4.5vw, 2.5rem); letter-spacing: -.02em; margin: .2rem 0 .5rem; }
.masthead .totals { font-size: 1.0625rem; color: var(--quiet); }
.masthead .add-remote { margin-top: 2rem; max-width: 56rem; }
.masthead .hint { margin-top: 1rem; max-width: 40rem; font-size: .9375rem; color: var(--quiet); }
.masthead .hint code { color: var(--ink); }

.bar {
  position: sticky; top: 0; z-index: 1; display: flex; flex-wrap: wrap; gap: .6rem 1.25rem; align-items: center;
  margin: 0 -.4rem; padding: .75rem .4rem; background: var(--paper); border-bottom: 1px solid var(--line);
}
.bar .field { position: relative; flex: 1 1 16rem; max-width: 27rem; }
.bar input[type=search] {
  width: 100%; height: 2.75rem; padding: 0 2.25rem 0 .8rem; font: inherit; color: inherit;
  background: var(--wash); border: 1px solid var(--line); border-radius: 8px; appearance: none;
}
.bar input[type=search]::placeholder { color: var(--quiet); opacity: 1; }
.bar input[type=search]:focus { outline: 2px solid var(--accent); outline-offset: -1px; }
.bar kbd {
  position: absolute; right: .6rem; top: .7rem; min-width: 1.3rem; text-align: center; pointer-events: none;
  font: .75rem/1.3rem var(--mono); color: var(--quiet); border: 1px solid var(--line); border-radius: 4px;
}
.bar input:focus + kbd, .bar input:not(:placeholder-shown) + kbd { display: none; }
.bar output { color: var(--quiet); font-size: .9375rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
.tools { display: flex; margin: 0 0 0 auto; padding: 0; border: 0; border-radius: 9px; background: var(--wash); }
.tools label { position: relative; }
.tools input { position: absolute; inset: 0; opacity: 0; margin: 0; cursor: pointer; }
.tools span {
  display: block; padding: .625rem .95rem; line-height: 1.5rem; border-radius: 6px; font-size: .9375rem;
  color: var(--quiet);
}
.tools input:hover + span { color: var(--ink); }
.tools input:checked + span { background: var(--paper); color: var(--ink); box-shadow: 0 0 0 1px var(--line); }
.tools input:focus-visible + span { outline: 2px solid var(--accent); outline-offset: 1px; }
@media (hover: none) { .bar kbd { display: none; } }

table { width: 100%; border-collapse: collapse; font-size: .9375rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0 1.25rem 0 0; text-align: left; vertical-align: baseline; font-weight: 400; }

.images { margin-bottom: 3rem; }
.images > thead > tr > * { border-bottom: 1px solid var(--line); }
.images > thead th { padding-block: .35rem; color: var(--quiet); line-height: 2.75rem; }
.images > thead button {
  min-height: 2.75rem; margin: 0 -.5rem; padding: 0 .5rem; font: inherit; color: inherit; background: none; border: 0;
  border-radius: 6px; cursor: pointer;
}
.images > thead button:hover { color: var(--ink); }
.images > thead th[aria-sort] { color: var(--ink); }
.images > thead th[aria-sort=ascending] button::after { content: " \\2191"; }
.images > thead th[aria-sort=descending] button::after { content: " \\2193"; }
.group h2 { padding: 2rem 0 .4rem; font-size: 1rem; }
.image { scroll-margin-top: 5rem; }
.image > tr > * { border: 0 solid var(--line); }
.image > tr:first-child > * { height: 2.75rem; padding-top: .6rem; border-top-width: 1px; }
.image .name a {
  display: inline-block; min-width: 2.75rem; margin-block: -.65rem; padding-block: .65rem;
  font: 600 1em/1.6 var(--mono); color: inherit; text-decoration: none;
}
.image .name a:hover { text-decoration: underline; }
.image:target .name a { color: var(--accent); }
.image .name p { padding-bottom: .5rem; color: var(--quiet); line-height: 1.4; }
.image > tr > :is(.type, .architectures, .version, .size) { color: var(--quiet); }
.images .type, .images .version, .size { white-space: nowrap; }
.size { text-align: right; }
.images > thead .size button { margin-right: -.5rem; }
.images > thead > tr > td, .image > tr:first-child > td:last-child { width: 5rem; padding-right: 0; }

details > summary {
  position: relative; display: flow-root; float: right; width: 5rem; min-height: 2.75rem; margin-top: -2.75rem;
  padding-right: 1rem; line-height: 2.75rem; text-align: right; color: var(--accent); cursor: pointer; list-style: none;
}
summary::-webkit-details-marker { display: none; }
summary::after { content: "\\25be"; position: absolute; right: 0; }
details[open] > summary::after { content: "\\25b4"; }
summary:hover { text-decoration: underline; text-underline-offset: .2em; }
.image > tr + tr > td { padding: 0; }
.panel { clear: both; padding: .25rem 0 1.5rem; }
.facts { display: flex; flex-wrap: wrap; gap: .15rem 1.5rem; font-size: .9375rem; }
.facts > div { display: flex; flex-wrap: wrap; gap: 0 .45rem; }
.facts dt { color: var(--quiet); }
.panel > .commands { margin-top: .6rem; }
.versions { width: auto; margin-top: .6rem; }
.versions > thead {
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap;
}
.versions td { white-space: nowrap; }
.versions tbody + tbody tr:first-child > * { padding-top: .4rem; }
.versions tbody tr ~ tr:not(.facts-row) td { color: var(--quiet); }
.files a { display: inline-block; min-width: 2.75rem; padding-block: .65rem; }
.files a + a { margin-left: .75rem; }
.fingerprint button {
  min-height: 2.75rem; margin-left: -.3rem; padding: 0 .3rem; font: .875em/1.6 var(--mono); color: inherit;
  background: none; border: 0; border-radius: 6px; cursor: copy;
}
.fingerprint button:hover { background: var(--wash); color: var(--ink); }

.commands { display: grid; gap: .5rem; margin-top: .8rem; }
.command {
  display: grid; grid-template-columns: minmax(0, 1fr) auto; align-items: start; gap: 0 .5rem;
  padding: .5rem .5rem .55rem .9rem; background: var(--wash); border-radius: 8px;
}
.command i { font-style: normal; }
.command figcaption { grid-column: 1; font-size: .8125rem; line-height: 1.6; color: var(--quiet); }
.command pre { grid-column: 1; white-space: pre-wrap; }
.command .line { display: block; padding-left: 2ch; text-indent: -2ch; }
.command .line::before { content: "$ "; color: var(--quiet); }
.command b { white-space: nowrap; font-weight: inherit; }
.command[data-tool=Ansible] pre { word-break: break-all; }
.command button {
  grid-area: 1 / 2 / 3; min-width: 5rem; min-height: 2.75rem; padding: .15rem .6rem; font: .8125rem/1.6 var(--sans);
  color: var(--accent); background: var(--paper); border: 1px solid var(--line); border-radius: 6px; cursor: pointer;
}
.command button:hover { border-color: var(--accent); }
html[data-tool=LXD] :is(.add-remote, .panel) .command:not([data-tool=LXD]),
html[data-tool=Incus] :is(.add-remote, .panel) .command:not([data-tool=Incus]),
html[data-tool=Ansible] :is(.add-remote, .panel) .command:not([data-tool=Ansible]),
html.js :is(.add-remote, .panel) figcaption b { display: none; }
html[data-tool=Ansible] .masthead .add-remote { display: none; }
.command figcaption b { font-weight: 600; color: var(--ink); }

.message { padding: 1.5rem 0 4rem; max-width: 42rem; }
.message h2 { font-size: 1.25rem; margin-bottom: .5rem; }
.message p + figure { margin-top: 1.25rem; }
.message > button {
  margin-top: 1rem; min-height: 2.75rem; padding: .4rem .9rem; font: inherit; color: var(--accent); background: none;
  border: 1px solid var(--line); border-radius: 6px; cursor: pointer;
}
.message > button:hover { border-color: var(--accent); }
footer {
  margin: 1rem -.4rem 0; padding: 1.5rem .4rem 3rem; border-top: 1px solid var(--line);
  font-size: .875rem; color: var(--quiet);
}

@media (min-width: 53.001rem) { .images .architectures { min-width: 9.5rem; } }
@media (max-width: 53rem) {
  .images, .images > tbody { display: block; }
  .images > thead { display: block; }
  .images > thead > tr {
    display: flex; justify-content: space-between; gap: .75rem; border-bottom: 1px solid var(--line);
  }
  .images > thead th { padding: 0; border: 0; font-size: .875rem; }
  .images > thead td, .image > tr:first-child > td:last-child { display: none; }
  html:not(.js) .images > thead {
    position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap;
  }
  .group > tr, .group > tr > th { display: block; }
  .image > tr:first-child {
    display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 .5rem; padding: .6rem 5.5rem .6rem 0;
    border-top: 1px solid var(--line);
  }
  .image > tr:first-child > * { height: auto; padding: 0; border: 0; font-size: .875rem; }
  .image > tr:first-child > .name { flex: 1 0 100%; font-size: .9375rem; }
  .image .name p { padding-bottom: .2rem; }
  .image > tr:first-child > :is(.type, .architectures, .version)::after { content: "\\00b7"; margin-left: .5rem; }
  .image > tr + tr, .image > tr + tr > td { display: block; }
  details > summary { margin-top: -3.4rem; }
  .versions, .versions > tbody, .versions .facts-row, .versions .facts-row > td { display: block; }
  .versions tr { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 1rem; }
  .versions tr > * { padding: 0; }
  .versions th[scope=rowgroup] { flex: 1 0 100%; font-weight: 600; }
  .command pre { grid-column: 1 / 3; }
  .command button { grid-row: 1; }
}
@media (max-width: 40rem) {
  .bar { gap: .5rem; }
  .bar .field { flex-basis: 100%; max-width: none; }
  .bar output { font-size: .8125rem; }
  .tools span { padding-inline: .7rem; }
  .image { scroll-margin-top: 8rem; }
}
@media print { .bar, .command button, summary { display: none; } .image { break-inside: avoid; } }
"""

SCRIPT = """\
(() => {
  "use strict";
  const root = document.documentElement;
  const tools = ["LXD", "Incus", "Ansible"];
  const storageKey = "imagestore.tool";
  const loadTool = () => { try { return localStorage.getItem(storageKey); } catch { return null; } };
  const saveTool = (tool) => { try { localStorage.setItem(storageKey, tool); } catch { /* not remembered */ } };
  root.classList.add("js");
  root.dataset.tool = tools.includes(loadTool()) ? loadTool() : tools[0];

  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {  // not available over plain http
      const area = Object.assign(document.createElement("textarea"), { value: text, className: "visually-hidden" });
      const focused = document.activeElement;
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      focused?.focus();
      if (!done) throw new Error("the browser does not let this page copy");
    }
  };

  document.addEventListener("DOMContentLoaded", () => {
    const status = document.getElementById("page:status");
    const addCopyHandler = (button, description, read) => {
      const label = button.textContent;
      let timer;
      button.type = "button";
      button.setAttribute("aria-label", description);
      button.addEventListener("click", async () => {
        try {
          await copy(read());
          button.textContent = status.textContent = "Copied";
        } catch {
          button.textContent = status.textContent = "Not copied";
        }
        clearTimeout(timer);
        timer = setTimeout(() => { button.textContent = label; status.textContent = ""; }, 1600);
      });
    };
    const addCopyButtons = (part, name) => {
      for (const command of part.querySelectorAll(".command:not(:has(button))")) {
        const button = Object.assign(document.createElement("button"), { textContent: "Copy" });
        const what = [name, command.dataset.tool, command.querySelector("i")?.textContent].filter(Boolean).join(", ");
        addCopyHandler(button, `Copy (${what})`, () => command.querySelector("code").textContent);
        command.append(button);
      }
      for (const code of part.querySelectorAll("td.fingerprint code")) {
        const { textContent, title } = code;
        const button = Object.assign(document.createElement("button"), { textContent, title });
        addCopyHandler(button, `${textContent}: copy the whole fingerprint`, () => title);
        code.replaceWith(button);
      }
    };
    for (const part of document.querySelectorAll(".masthead, main.message")) addCopyButtons(part, "");

    for (const radio of document.querySelectorAll(".tools input")) {
      radio.checked = radio.value === root.dataset.tool;
      radio.addEventListener("change", () => { root.dataset.tool = radio.value; saveTool(radio.value); });
    }

    const table = document.getElementById("page:images");
    if (!table) return;
    const nameOf = (image) => image.querySelector("th a").textContent;
    // Hundreds of images have thousands of buttons: each image gets its own when it is opened.
    table.addEventListener("toggle", (event) => {
      if (event.target.open) addCopyButtons(event.target, nameOf(event.target.closest("tbody")));
    }, true);

    const groups = [];
    for (const body of table.tBodies) {
      if (body.className === "group") groups.push({ head: body, images: [] });
      else {
        groups[groups.length - 1].images.push({
          body,
          search: body.dataset.search,
          fingerprints: [...body.querySelectorAll("td.fingerprint code")].map((code) => code.title),
        });
      }
    }

    const collator = new Intl.Collator("en", { numeric: true });
    const sort = (head) => {
      const isAscending = head.ariaSort !== "ascending";
      const { cellIndex } = head;
      for (const other of table.tHead.rows[0].cells) other.ariaSort = null;
      head.ariaSort = isAscending ? "ascending" : "descending";
      const key = ({ body }) => {
        const cell = body.rows[0].cells[cellIndex];
        return cell.dataset.value || (cell.querySelector("a") || cell).textContent;
      };
      for (const { head: group, images } of groups) {
        images.sort((one, other) => collator.compare(key(one), key(other)) * (isAscending ? 1 : -1));
        group.after(...images.map(({ body }) => body));
      }
    };
    for (const head of table.tHead.querySelectorAll("th")) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: head.textContent });
      button.addEventListener("click", () => sort(head));
      head.replaceChildren(button);
    }

    const field = document.getElementById("page:filter");
    const count = document.getElementById("page:count");
    const noMatch = document.getElementById("page:no-match");
    const query = document.getElementById("page:query");
    const filter = () => {
      const words = field.value.toLowerCase().split(/\\s+/).filter(Boolean);
      let shown = 0;
      for (const { head, images } of groups) {
        let inGroup = 0;
        for (const { body, search, fingerprints } of images) {
          const matches = words.every(
            (word) => search.includes(word) || fingerprints.some((one) => one.startsWith(word)),
          );
          body.hidden = !matches;
          inGroup += matches;
        }
        head.hidden = !inGroup;
        shown += inGroup;
      }
      table.tHead.hidden = !shown;
      count.textContent = words.length ? `${shown} of ${count.dataset.all}` : count.dataset.all;
      query.textContent = field.value.trim();
      noMatch.hidden = shown > 0;
    };
    const readAddress = () => { field.value = new URL(location.href).searchParams.get("filter") || ""; };
    const writeAddress = () => {
      const url = new URL(location.href);
      if (field.value.trim()) url.searchParams.set("filter", field.value.trim());
      else url.searchParams.delete("filter");
      if (url.href !== location.href) history.replaceState(null, "", url);
    };
    const change = () => { filter(); writeAddress(); };
    const clear = () => { field.value = ""; change(); };
    const showTarget = () => {
      const target = document.getElementById(location.hash.slice(1));
      if (!target?.matches(".image")) return;
      if (target.hidden) clear();
      target.querySelector("details").open = true;
      target.scrollIntoView();
    };
    field.addEventListener("input", change);
    field.addEventListener("keydown", (event) => { if (event.key === "Escape") clear(); });
    document.getElementById("page:clear").addEventListener("click", () => { clear(); field.focus(); });
    document.addEventListener("keydown", (event) => {
      const isTyping = event.target.matches("input[type=search], textarea");
      if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        field.focus();
      }
    });
    addEventListener("hashchange", showTarget);
    addEventListener("pageshow", () => { readAddress(); filter(); });  // browsers may restore the field
    readAddress();
    filter();
    showTarget();
  });
})();
"""

FRAME = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="$policy">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<title>Images of $address</title>
<link rel="icon" href="data:,">
<style>$style</style>
<script>$script</script>
</head>
<body>
<header class="masthead">
<p class="kicker">Images for LXD and Incus</p>
<h1>$address</h1>
$summary
</header>
$main
<footer>
<p>Generated by imagestore.lxd. Machine-readable:
<a href="streams/v1/index.json">streams/v1/index.json</a> (simplestreams) and
<a href="catalog.json">catalog.json</a>.</p>
</footer>
<div id="page:status" class="visually-hidden" role="status"></div>
</body>
</html>
""")

SUMMARY = Template("""\
<p class="totals">$totals</p>
$add_remote
$access
$hint""")

ADD_REMOTE = Template("""\
<section class="add-remote" aria-labelledby="page:add-remote">
<h2 id="page:add-remote" class="visually-hidden">Add this server as a remote</h2>
<div class="commands">
$commands
</div>
</section>""")

PASSWORD = Template("""\
<p class="hint">This server asks for a password: replace <code>USER</code> and <code>PASSWORD</code>, and percent-encode
special characters (<code>%40</code> for <code>@</code>). A server that copies an image keeps both in the image&rsquo;s
origin, where all of its clients can read them. The tasks for Ansible avoid that.</p>""")

CERTIFICATE = Template("""\
<p class="hint">This server asks for a client certificate, which <code>lxc</code> and <code>incus</code> cannot show
to an image server. Use the tasks for Ansible.</p>""")

HINT = Template("""\
<p class="hint">A name refers to the image for your own architecture. To get another, append it: <code>$name</code>, or
<code>architecture: $architecture</code> in a task.</p>""")

MAIN = Template("""\
<div class="bar js-only" role="search" aria-label="Images">
<div class="field">
<label for="page:filter" class="visually-hidden">
Filter by name, alias, system, type, architecture, description or fingerprint</label>
<input id="page:filter" type="search" placeholder="Filter" autocomplete="off" autocapitalize="none" spellcheck="false">
<kbd aria-hidden="true">/</kbd>
</div>
<output id="page:count" for="page:filter" aria-live="polite" data-all="$count">$count</output>
<fieldset class="tools">
<legend class="visually-hidden">Show commands for</legend>
$tools
</fieldset>
</div>
<main>
<table id="page:images" class="images">
<thead><tr>
<th scope="col" class="name">Name</th>
<th scope="col" class="type">Type</th>
<th scope="col" class="architectures">Architectures</th>
<th scope="col" class="version">Version</th>
<th scope="col" class="size">Size</th>
<td></td>
</tr></thead>
$groups
</table>
<section id="page:no-match" class="message" hidden>
<h2>No matching images</h2>
<p class="quiet">No image has &ldquo;<span id="page:query"></span>&rdquo; in its name, aliases, system, type,
architectures or description, and no fingerprint starts with it.</p>
<button id="page:clear" type="button">Show all images</button>
</section>
</main>""")

TOOL = Template("""\
<label><input type="radio" name="tool" value="$tool"><span>$tool</span></label>""")

GROUP = Template("""\
<tbody class="group"><tr><th scope="rowgroup" colspan="6"><h2>$title</h2></th></tr></tbody>
$images""")

IMAGE = Template("""\
<tbody$id class="image" data-search="$search">
<tr>
<th scope="row" class="name"><a href="#$name">$name</a>$description</th>
<td class="type">$type</td>
<td class="architectures">$architectures</td>
<td class="version">$version</td>
<td class="size" data-value="$bytes">$size</td>
<td></td>
</tr>
<tr><td colspan="6"><details>
<summary>Use<span class="visually-hidden"> $name ($type)</span></summary>
<div class="panel">
$facts<div class="commands">
$commands
</div>
<table class="versions">
<thead><tr>
<th scope="col">Architecture</th>
<th scope="col">Version</th>
<th scope="col">Size</th>
<th scope="col">Files</th>
<th scope="col">Fingerprint</th>
</tr></thead>
$products
</table>
</div>
</details></td></tr>
</tbody>""")

VERSION = Template("""\
<tr>$head
<td class="version">$name</td>
<td class="size">$size</td>
<td class="files">$files</td>
<td class="fingerprint"><code title="$fingerprint">$short</code></td>
</tr>""")

COMMAND = Template("""\
<figure class="command" data-tool="$tool">
<figcaption><b>$tool</b> <i>$caption</i></figcaption>
<pre><code>$text</code></pre>
</figure>""")

EMPTY = Template("""\
<main class="message">
<h2>No images yet</h2>
<p class="quiet">To publish an image, run a task like this one. Properties that it omits are read from the image.</p>
<div class="commands">
$example
</div>
</main>""")

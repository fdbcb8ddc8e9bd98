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
  width: 100%; height: 2.5rem; padding: 0 2.25rem 0 .8rem; font: inherit; color: inherit;
  background: var(--wash); border: 1px solid var(--line); border-radius: 8px; appearance: none;
}
.bar input[type=search]::placeholder { color: var(--quiet); opacity: 1; }
.bar input[type=search]:focus { outline: 2px solid var(--accent); outline-offset: -1px; }
.bar kbd {
  position: absolute; right: .6rem; top: .6rem; min-width: 1.3rem; text-align: center; pointer-events: none;
  font: .75rem/1.3rem var(--mono); color: var(--quiet); border: 1px solid var(--line); border-radius: 4px;
}
.bar input:focus + kbd, .bar input:not(:placeholder-shown) + kbd { display: none; }
.bar output { color: var(--quiet); font-size: .9375rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
.tools { display: flex; margin: 0 0 0 auto; padding: 3px; border: 0; border-radius: 9px; background: var(--wash); }
.tools label { position: relative; }
.tools input { position: absolute; inset: 0; opacity: 0; margin: 0; cursor: pointer; }
.tools span { display: block; padding: .2rem .85rem; border-radius: 6px; font-size: .9375rem; color: var(--quiet); }
.tools input:hover + span { color: var(--ink); }
.tools input:checked + span { background: var(--paper); color: var(--ink); box-shadow: 0 0 0 1px var(--line); }
.tools input:focus-visible + span { outline: 2px solid var(--accent); outline-offset: 1px; }
@media (hover: none) { .bar kbd { display: none; } }

.image {
  display: grid; grid-template-columns: minmax(0, 15rem) minmax(0, 1fr); gap: 1.25rem 3rem;
  margin: 0 -.4rem; padding: 2.25rem .4rem; scroll-margin-top: 3.5rem;
  content-visibility: auto; contain-intrinsic-size: auto 16rem;
}
.image + .image { border-top: 1px solid var(--line); }
.image > header { align-self: start; position: sticky; top: 5rem; }
.image h2 { font: 600 1.25rem/1.3 var(--mono); letter-spacing: -.01em; }
.image h2 a { color: inherit; text-decoration: none; }
.image h2 a:hover { text-decoration: underline; }
.image:target h2 a { color: var(--accent); }
.facts { display: grid; gap: .15rem; font-size: .9375rem; }
.facts > div { display: flex; flex-wrap: wrap; gap: 0 .45rem; }
.facts dt { color: var(--quiet); }
.image > header .facts { margin-top: .4rem; }
.kind + .kind { margin-top: 2rem; }
.kind h3 { font-size: 1rem; margin-bottom: .35rem; }

table { width: 100%; border-collapse: collapse; font-size: .9375rem; font-variant-numeric: tabular-nums; }
thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
th, td { padding: .3rem 1.25rem .3rem 0; text-align: left; vertical-align: baseline; font-weight: 400; }
tbody tr > :last-child { padding-right: 0; }
tbody + tbody tr:first-child > * { padding-top: .8rem; }
tbody tr ~ tr:not(.facts-row) td { color: var(--quiet); }
td { white-space: nowrap; }
td.size, td.fingerprint { text-align: right; }
td.files a + a { margin-left: .6rem; }
.fingerprint button {
  font: .875em/1.6 var(--mono); color: inherit; background: none; border: 0; border-radius: 4px; cursor: copy;
  padding: 0 .3rem; margin-right: -.3rem;
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
  grid-area: 1 / 2 / 3; min-width: 4.5rem; padding: .15rem .6rem; font: .8125rem/1.6 var(--sans);
  color: var(--accent); background: var(--paper); border: 1px solid var(--line); border-radius: 6px; cursor: pointer;
}
.command button:hover { border-color: var(--accent); }
html[data-tool=LXD] :is(.add-remote, .image) .command:not([data-tool=LXD]),
html[data-tool=Incus] :is(.add-remote, .image) .command:not([data-tool=Incus]),
html[data-tool=Ansible] :is(.add-remote, .image) .command:not([data-tool=Ansible]),
html.js :is(.add-remote, .image) figcaption b { display: none; }
html[data-tool=Ansible] .masthead .add-remote { display: none; }
.command figcaption b { font-weight: 600; color: var(--ink); }

.message { padding: 1.5rem 0 4rem; max-width: 42rem; }
.image ~ .message { padding-top: 3rem; }
.message h2 { font-size: 1.25rem; margin-bottom: .5rem; }
.message p + figure { margin-top: 1.25rem; }
.message > button {
  margin-top: 1rem; padding: .4rem .9rem; font: inherit; color: var(--accent); background: none;
  border: 1px solid var(--line); border-radius: 6px; cursor: pointer;
}
.message > button:hover { border-color: var(--accent); }
footer {
  margin: 1rem -.4rem 0; padding: 1.5rem .4rem 3rem; border-top: 1px solid var(--line);
  font-size: .875rem; color: var(--quiet);
}

@media (max-width: 70rem) {
  .image { grid-template-columns: minmax(0, 1fr); gap: 1.1rem; padding-block: 1.75rem; }
  .image > header { position: static; }
}
@media (min-width: 53rem) {
  th[scope=rowgroup] { width: 6.25rem; }
  td.version { width: 8.75rem; }
  td.created { width: 14rem; }
  td.size { width: 6rem; }
  td.fingerprint { width: 6.5rem; }
}
@media (max-width: 53rem) {
  table, tbody { display: block; }
  tbody tr { display: grid; grid-template-columns: 1fr auto; gap: 0 1rem; padding: .35rem 0; }
  tbody tr > *, tbody + tbody tr:first-child > * { padding: 0; }
  tbody + tbody { margin-top: .75rem; }
  th[scope=rowgroup] { grid-area: 1 / 1 / 2 / 3; font-weight: 600; }
  td.version { grid-area: 2 / 1; }
  td.size { grid-area: 2 / 2; }
  td.created { grid-area: 3 / 1; }
  td.files { grid-area: 3 / 2; text-align: right; }
  td.fingerprint { grid-area: 4 / 1; text-align: left; }
  .fingerprint button { margin-left: -.3rem; }
  .command pre { grid-column: 1 / 3; }
  .command button { grid-row: 1; }
}
@media (max-width: 40rem) {
  .bar .field { flex-basis: 100%; max-width: none; }
  .image { scroll-margin-top: 7rem; }
}
@media print { .bar, .command button { display: none; } .image { break-inside: avoid; } }
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

  const steps = [["year", 31556952], ["month", 2629746], ["day", 86400], ["hour", 3600], ["minute", 60]];
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "always" });
  const age = (seconds) => {
    const [unit, size] = steps.find(([, size]) => Math.abs(seconds) >= size) || ["", 0];
    return size ? relative.format(-Math.trunc(seconds / size), unit) : "just now";
  };

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
    const now = Date.now() / 1000;
    for (const time of document.querySelectorAll("td.created time")) {
      const seconds = now - Date.parse(time.dateTime) / 1000;
      time.after(Object.assign(document.createElement("span"), {
        className: "quiet", textContent: ` · ${age(seconds)}`,
      }));
    }

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
    for (const command of document.querySelectorAll(".command")) {
      const button = Object.assign(document.createElement("button"), { textContent: "Copy" });
      const name = command.closest("article")?.id;
      const what = [name, command.dataset.tool, command.querySelector("i")?.textContent].filter(Boolean).join(", ");
      addCopyHandler(button, `Copy (${what})`, () => command.querySelector("code").textContent);
      command.append(button);
    }
    for (const code of document.querySelectorAll("td.fingerprint code")) {
      const { textContent, title } = code;
      const button = Object.assign(document.createElement("button"), { textContent, title });
      addCopyHandler(button, `${textContent}: copy the whole fingerprint`, () => title);
      code.replaceWith(button);
    }

    for (const radio of document.querySelectorAll(".tools input")) {
      radio.checked = radio.value === root.dataset.tool;
      radio.addEventListener("change", () => { root.dataset.tool = radio.value; saveTool(radio.value); });
    }

    const field = document.getElementById("page:filter");
    if (!field) return;
    const count = document.getElementById("page:count");
    const noMatch = document.getElementById("page:no-match");
    const query = document.getElementById("page:query");
    const images = [...document.querySelectorAll("tbody")].map((body) => ({
      body,
      search: body.dataset.search,
      fingerprints: [...body.querySelectorAll(".fingerprint button")].map((button) => button.title),
    }));
    const kinds = [...document.querySelectorAll(".kind")];
    const articles = [...document.querySelectorAll("article")];
    const isEmpty = (part, inner) => !part.querySelector(`${inner}:not([hidden])`);
    const filter = () => {
      const words = field.value.toLowerCase().split(/\\s+/).filter(Boolean);
      let shown = 0;
      for (const { body, search, fingerprints } of images) {
        const matches = words.every(
          (word) => search.includes(word) || fingerprints.some((one) => one.startsWith(word)),
        );
        body.hidden = !matches;
        shown += matches;
      }
      for (const kind of kinds) kind.hidden = isEmpty(kind, "tbody");
      for (const article of articles) article.hidden = isEmpty(article, ".kind");
      count.textContent = words.length ? `${shown} of ${count.dataset.all}` : count.dataset.all;
      query.textContent = field.value.trim();
      noMatch.hidden = shown > 0;
    };
    const clear = () => { field.value = ""; filter(); };
    const showTarget = () => {
      const target = document.querySelector(":target");
      if (target?.hidden) { clear(); target.scrollIntoView(); }
    };
    field.addEventListener("input", filter);
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
    filter();  // browsers may restore the field
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
<section class="add-remote" aria-labelledby="page:add-remote">
<h2 id="page:add-remote" class="visually-hidden">Add this server as a remote</h2>
<div class="commands">
$add_remote
</div>
</section>
$hint""")

HINT = Template("""\
<p class="hint">A name refers to the image for your own architecture. To get another, append it: <code>$name</code>, or
<code>architecture: $architecture</code> in a task.</p>""")

MAIN = Template("""\
<div class="bar js-only" role="search" aria-label="Images">
<div class="field">
<label for="page:filter" class="visually-hidden">
Filter by name, alias, system, type, architecture or fingerprint</label>
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
$images
<section id="page:no-match" class="message" hidden>
<h2>No matching images</h2>
<p class="quiet">No image has &ldquo;<span id="page:query"></span>&rdquo; in its name, aliases, system, type or
architecture, and no fingerprint starts with it.</p>
<button id="page:clear" type="button">Show all images</button>
</section>
</main>""")

TOOL = Template("""\
<label><input type="radio" name="tool" value="$tool"><span>$tool</span></label>""")

IMAGE = Template("""\
<article id="$name" class="image">
<header>
<h2><a href="#$name">$name</a></h2>
$facts</header>
<div>
$kinds
</div>
</article>""")

KIND = Template("""\
<section class="kind">
<h3>$title</h3>
<table>
<thead><tr>
<th scope="col">Architecture</th>
<th scope="col">Version</th>
<th scope="col">Created</th>
<th scope="col">Size</th>
<th scope="col">Files</th>
<th scope="col">Fingerprint</th>
</tr></thead>
$products
</table>
<div class="commands">
$commands
</div>
</section>""")

VERSION = Template("""\
<tr>$head
<td class="version"><code>$name</code></td>
<td class="created">$created</td>
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

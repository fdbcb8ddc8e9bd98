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
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
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

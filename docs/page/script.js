(() => {
  "use strict";
  const root = document.documentElement;
  const tools = ["LXD", "Incus", "Ansible"];
  const memory = "imagestore.tool";
  const recall = () => { try { return localStorage.getItem(memory); } catch { return null; } };
  const keep = (tool) => { try { localStorage.setItem(memory, tool); } catch { /* then not */ } };
  root.classList.add("js");
  root.dataset.tool = tools.includes(recall()) ? recall() : tools[0];

  const steps = [["year", 31556952], ["month", 2629746], ["day", 86400], ["hour", 3600], ["minute", 60]];
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "always" });
  const age = (seconds) => {
    const [unit, size] = steps.find(([, size]) => Math.abs(seconds) >= size) || ["", 0];
    return size ? relative.format(-Math.trunc(seconds / size), unit) : "just now";
  };

  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {  // not over plain http
      const area = Object.assign(document.createElement("textarea"), { value: text, className: "unseen" });
      const before = document.activeElement;
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      before?.focus();
      if (!done) throw new Error("the browser does not let this page copy");
    }
  };

  document.addEventListener("DOMContentLoaded", () => {
    const now = Date.now() / 1000;
    for (const time of document.querySelectorAll("td.age time")) {
      const seconds = now - Date.parse(time.dateTime) / 1000;
      time.after(Object.assign(document.createElement("span"), {
        className: "quiet", textContent: ` · ${age(seconds)}`,
      }));
    }

    const heard = document.getElementById("page:heard");
    const offer = (button, label, read) => {
      const own = button.textContent;
      let timer;
      button.type = "button";
      button.setAttribute("aria-label", label);
      button.addEventListener("click", async () => {
        try {
          await copy(read());
          button.textContent = heard.textContent = "Copied";
        } catch {
          button.textContent = heard.textContent = "Not copied";
        }
        clearTimeout(timer);
        timer = setTimeout(() => { button.textContent = own; heard.textContent = ""; }, 1600);
      });
    };
    for (const command of document.querySelectorAll(".command")) {
      const button = Object.assign(document.createElement("button"), { textContent: "Copy" });
      const name = command.closest("article")?.id;
      const what = [name, command.dataset.tool, command.querySelector("i")?.textContent].filter(Boolean).join(", ");
      offer(button, `Copy (${what})`, () => command.querySelector("code").textContent);
      command.append(button);
    }
    for (const mark of document.querySelectorAll("td.mark code")) {
      const { textContent, title } = mark;
      const button = Object.assign(document.createElement("button"), { textContent, title });
      offer(button, `${textContent}: copy the whole fingerprint`, () => title);
      mark.replaceWith(button);
    }

    for (const radio of document.querySelectorAll(".tools input")) {
      radio.checked = radio.value === root.dataset.tool;
      radio.addEventListener("change", () => { root.dataset.tool = radio.value; keep(radio.value); });
    }

    const field = document.getElementById("page:filter");
    if (!field) return;
    const count = document.getElementById("page:count");
    const nothing = document.getElementById("page:nothing");
    const sought = document.getElementById("page:sought");
    const images = [...document.querySelectorAll("tbody")].map((body) => ({
      body,
      words: body.dataset.words,
      marks: [...body.querySelectorAll(".mark button")].map((mark) => mark.title),
    }));
    const kinds = [...document.querySelectorAll(".kind")];
    const articles = [...document.querySelectorAll("article")];
    const isEmpty = (part, inner) => !part.querySelector(`${inner}:not([hidden])`);
    const filter = () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const { body, words: have, marks } of images) {
        const fits = words.every((word) => have.includes(word) || marks.some((mark) => mark.startsWith(word)));
        body.hidden = !fits;
        shown += fits;
      }
      for (const kind of kinds) kind.hidden = isEmpty(kind, "tbody");
      for (const article of articles) article.hidden = isEmpty(article, ".kind");
      count.textContent = words.length ? `${shown} of ${count.dataset.all}` : count.dataset.all;
      sought.textContent = field.value.trim();
      nothing.hidden = shown > 0;
    };
    const clear = () => { field.value = ""; filter(); };
    const goThere = () => {
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
    addEventListener("hashchange", goThere);
    filter();  // what the browser has kept in the field from the last visit
    goThere();
  });
})();

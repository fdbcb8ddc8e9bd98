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
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
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

// The two dialogs: a command palette that finds pages and views, and the sharing of a view.
import { get, post, sitePath, softly } from "./api.js";
import { h, readable } from "./dom.js";
import { moment } from "./format.js";
import { snippetBox } from "./snippet.js";

/** Pages that the palette searches: those with most page views. */
const FOUND_MAX = 12;
const PAGES = 500;

/** Opens a dialog; it leaves the page when it is closed. */
export function openDialog(label, ...content) {
  const dialog = h("dialog", { class: "dialog", "aria-label": label, onclose: () => dialog.remove() }, content);
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Opens the palette over `commands`, each `{ text, hint, run }`; the pages of a site join them when they are read. */
export async function openPalette(commands, site, query, toPage) {
  if (document.querySelector("dialog[open]") !== null) return;
  let all = commands;
  let chosen = 0;
  const list = h("ul", { id: "found", role: "listbox", "aria-label": "Found" });
  const input = h("input", {
    type: "text", role: "combobox", "aria-expanded": "true", "aria-controls": "found", "aria-autocomplete": "list",
    "aria-label": "Find a page or a view", placeholder: "Find a page or a view", autocomplete: "off", spellcheck: "false",
  });
  const found = () => {
    const words = input.value.toLowerCase().split(/\s+/);
    return all.filter(({ text, hint }) => words.every((word) => `${text} ${hint}`.toLowerCase().includes(word))).slice(0, FOUND_MAX);
  };
  const draw = () => {
    const items = found();
    chosen = Math.max(0, Math.min(chosen, items.length - 1));
    list.replaceChildren(...items.map((item, place) =>
      h("li", { id: `found-${place}`, role: "option", "aria-selected": String(place === chosen), onclick: () => run(item) },
        h("bdi", { dir: "ltr" }, readable(item.text)), h("span", { class: "soft small" }, item.hint))));
    if (items.length === 0) list.replaceChildren(h("li", { class: "soft", role: "option", "aria-selected": "false" }, "Nothing found."));
    input.setAttribute("aria-activedescendant", items.length > 0 ? `found-${chosen}` : "");
  };
  const run = (item) => {
    dialog.close();
    item.run();
  };
  const dialog = openDialog("Find", input, list);
  input.addEventListener("input", () => {
    chosen = 0;
    draw();
  });
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined) {
      chosen += step;
      draw();
    } else if (event.key === "Enter") {
      const item = found()[chosen];
      if (item !== undefined) run(item);
    } else {
      return;
    }
    event.preventDefault();
  });
  draw();
  if (site === null) return;
  const pages = await softly(get(sitePath(site, "pages"), { ...query, sort: "views", limit: PAGES, metrics: "LCP" }));
  if (pages instanceof Error) return;
  all = [...commands, ...pages.pages.map(({ route }) => ({ text: route, hint: "page", run: () => toPage(route) }))];
  draw();
}

/** Opens the sharing of the current view. */
export function openSharing(site, isLink) {
  const address = location.origin + location.pathname + location.search;
  const made = h("div", { "aria-live": "polite" });
  const make = async (event) => {
    event.preventDefault();
    const days = Number(new FormData(event.currentTarget).get("days"));
    const answer = await softly(post(sitePath(site, "links"), { days })).catch((error) => error);
    made.replaceChildren(...(answer instanceof Error
      ? [h("p", { class: "error" }, `${answer.message} ${answer.hint ?? ""}`)]
      : [snippetBox(`${address}#link=${answer.link}`), h("p", { class: "soft small" }, `Reads this site only, until ${moment(answer.until)}. It ends sooner if the token or password behind your session is revoked.`)]));
  };
  openDialog("Share",
    h("h2", {}, "Share this view"),
    h("p", { class: "soft" }, "With people who can sign in: the address has the view and every filter."),
    snippetBox(address),
    isLink ? null : [
      h("p", { class: "soft" }, "With anybody: a link that reads this site and nothing else."),
      h("form", { class: "range", onsubmit: make },
        h("label", {}, h("span", {}, "Expires after"),
          h("select", { name: "days" }, [[1, "1 day"], [7, "7 days"], [30, "30 days"], [365, "1 year"]].map(([days, text]) => h("option", { value: days, selected: days === 7 }, text)))),
        h("button", { class: "secondary", type: "submit" }, "Make a link")),
      made],
    h("form", { method: "dialog" }, h("button", { class: "primary", type: "submit" }, "Close")));
}

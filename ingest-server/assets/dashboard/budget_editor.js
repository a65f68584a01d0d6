// Changes the budget file that is kept on the server, and shows what a limit would have done.
import { ApiError, ask, change, get, sitePath } from "./api.js";
import { METRICS, counted, moment } from "./format.js";
import { changeForm, confirmChange, field } from "./forms.js";
import { failed, h, quoted, readable } from "./dom.js";
import { openDialog } from "./dialogs.js";

const DAY_MS = 86_400_000;
/** Time without a key press until a limit is tried. */
const TRIED_MS = 500;
/** Pages that are offered for a budget. */
const OFFERED = 100;
const LIMITS = { LCP: 2500, INP: 200, CLS: 0.1, FCP: 1800, TTFB: 800, FID: 100, TTI: 3800 };

/** The name of a budget: `LCP p75, phone`. */
export function budgetName({ metric, percentile, device, filters }) {
  const of = [device, ...Object.entries(filters ?? {}).map(([name, text]) => `${name.replaceAll("_", " ")} ${text}`)].filter(Boolean);
  return [`${metric} p${percentile}`, ...of].join(", ");
}

/** The days on which a budget would have been broken, as a strip and in words. */
export function strip({ alerts, n }, { from, to }) {
  const [start, end] = [Date.parse(from), Date.parse(to)];
  const days = Math.max(1, Math.round((end - start) / DAY_MS));
  const isBroken = (day) => {
    const [first, last] = [end - (days - day) * DAY_MS, end - (days - day - 1) * DAY_MS];
    return alerts.some((alert) => Date.parse(alert.from) < last && (alert.to === null ? end : Date.parse(alert.to)) > first);
  };
  const broken = Array.from({ length: days }, (_, day) => isBroken(day));
  const failing = broken.filter(Boolean).length;
  const says = `Would have failed on ${failing} of ${counted(days, "day")}${alerts.length === 0 ? "" : `, with ${counted(alerts.length, "alert")}`}.`;
  return h("figure", { class: "strip" },
    h("div", { role: "img", "aria-label": says }, broken.map((is, day) =>
      h("span", { class: is ? "broken" : "", title: `${moment(new Date(end - (days - day) * DAY_MS).toISOString())}: ${is ? "broken" : "kept"}` }))),
    h("figcaption", { class: "small" }, n === 0 ? "No page view in this time." : says,
      alerts.length === 0 ? null : h("span", { class: "soft" }, ` ${alerts.map((alert) => `${moment(alert.from)} – ${alert.to === null ? "now" : moment(alert.to)}`).slice(-3).join(", ")}`)));
}

/** The lines of a budget in a file: `[first, end)`; `null` in a file of another tool. */
function blockOf(text, line) {
  const all = text.split("\n");
  if (!/^\s*\[\[budget\]\]/.test(all[line - 1] ?? "")) return null;
  const next = all.findIndex((content, place) => place >= line && /^\s*\[/.test(content));
  let end = next < 0 ? all.length : next;
  // Comments above the next budget belong to that one.
  while (next >= 0 && /^\s*(#|$)/.test(all[end - 1])) end -= 1;
  return [line - 1, end];
}

/** A file with another limit in one budget; `null` if the budget has no line `max`. */
function withLimit(text, block, max) {
  const all = text.split("\n");
  const place = all.findIndex((content, at) => at >= block[0] && at < block[1] && /^\s*max\s*=/.test(content));
  if (place < 0) return null;
  const comment = /(\s*#[^"']*)$/.exec(all[place])?.[1] ?? "";
  all[place] = `max = ${max}${comment}`;
  return all.join("\n");
}

/** A budget as TOML, whose strings are those of JSON. */
function toml(budget) {
  const entries = Object.entries(budget).filter(([, text]) => text !== null && text !== "");
  return `[[budget]]\n${entries.map(([name, text]) => `${name} = ${typeof text === "number" ? text : JSON.stringify(text)}`).join("\n")}\n`;
}

/** Keeps a file that was made from the kept one, unless another one is kept by now. */
function keep(site, kept, file) {
  return change("PUT", `${sitePath(site, "budgets")}?replaces=${kept.version ?? 0}`, file);
}

/** Number of budgets in a file of ours. A file needs one. */
function blocks(text) {
  return text.split("\n").filter((content) => /^\s*\[\[budget\]\]/.test(content)).length;
}

/** Adds a budget, or changes the limit of one. What it would have done is shown as it is typed. */
export function budgetDialog({ site, kept, actions }, budget) {
  const text = kept.text ?? "";
  const block = budget === null ? null : blockOf(text, budget.line);
  if (budget !== null && (block === null || withLimit(text, block, 1) === null)) {
    openDialog("Change a budget", h("h2", {}, "This budget is of another tool’s file"), h("p", {}, "Change its limit in the file, below."),
      h("form", { method: "dialog" }, h("button", { class: "primary", type: "submit" }, "Close")));
    return;
  }
  const preview = h("div", { class: "preview", "aria-live": "polite" });
  const max = h("input", { type: "number", name: "max", min: 0, step: "any", required: true, value: budget?.max ?? LIMITS.LCP, "data-key": "budget-max" });
  const chosen = budget === null ? newFields() : null;
  const unit = h("span", {});
  const result = () => {
    const limit = Number(max.value);
    if (budget !== null) {
      const changed = withLimit(text, block, limit);
      return { file: changed, tried: changed.split("\n").slice(...blockOf(changed, budget.line)).join("\n") };
    }
    const added = toml({ route: chosen.value("route"), metric: chosen.value("metric"), max: limit, percentile: Number(chosen.value("percentile")), device: chosen.value("device"), severity: chosen.value("severity") });
    return { file: `${text.trimEnd()}${text.trim() === "" ? "" : "\n\n"}${added}`, tried: added };
  };
  let typed = null;
  let asked = 0;
  const look = async () => {
    asked += 1;
    const mine = asked;
    preview.setAttribute("aria-busy", "true");
    const answer = await ask(sitePath(site, "budgets/what-if"), result().tried).catch((error) => error);
    if (mine !== asked) return;
    if (answer instanceof Error && !(answer instanceof ApiError)) throw answer;
    preview.removeAttribute("aria-busy");
    preview.replaceChildren(answer instanceof Error ? failed(answer) : strip(answer.budgets[0], answer.period));
  };
  const again = () => {
    unit.textContent = (budget?.metric ?? chosen.value("metric")) === "CLS" ? "A score" : "Milliseconds";
    clearTimeout(typed);
    typed = setTimeout(look, TRIED_MS);
  };
  const put = (file, says) => keep(site, kept, file).then(() => {
    dialog.close();
    return actions.changed(says);
  });
  const title = budget === null ? "Add a budget" : "Change the limit";
  const form = changeForm({ button: budget === null ? "Keep this budget" : "Keep this limit", kind: "primary", send: () => put(result().file, "The budgets are kept; the server judges them within a minute.") },
    budget === null ? h("div", { class: "fields" }, chosen.nodes) : h("p", {}, h("strong", {}, budgetName(budget)), " ", quoted(budget.route, "route")),
    field("Limit", max, unit), preview);
  form.addEventListener("input", (event) => {
    if (event.target.name === "metric") max.value = LIMITS[event.target.value];
    again();
  });
  const dialog = openDialog(title, h("h2", {}, title), form,
    h("form", { method: "dialog", class: "line" }, h("button", { class: "secondary", type: "submit" }, "Cancel"),
      budget === null || blocks(text) === 1 ? null : h("button", { class: "secondary danger", type: "button", onclick: () => {
        dialog.close();
        const all = text.split("\n");
        confirmChange({ title: "Remove this budget", button: "Remove", says: "The server judges it no more, and its violation and alert end.",
          send: () => put([...all.slice(0, block[0]), ...all.slice(block[1])].join("\n"), "The budget is removed.") });
      } }, "Remove this budget…")));
  again();
  if (budget === null) chosen.offer(site);
}

/** The fields of a new budget. */
function newFields() {
  const pages = h("datalist", { id: "budget-pages" });
  const inputs = {
    metric: h("select", { name: "metric" }, METRICS.map(({ name, title }) => h("option", { value: name }, `${name}: ${title}`))),
    route: h("input", { type: "text", name: "route", value: "*", list: "budget-pages", required: true, autocomplete: "off", spellcheck: "false" }),
    percentile: h("input", { type: "number", name: "percentile", min: 1, max: 99, value: 75, required: true }),
    device: h("select", { name: "device" }, [["", "All"], ["phone", "Phone"], ["tablet", "Tablet"], ["desktop", "Desktop"]].map(([value, text]) => h("option", { value }, text))),
    severity: h("select", { name: "severity" }, [["", "Error"], ["warn", "Warning only"]].map(([value, text]) => h("option", { value }, text))),
  };
  return {
    value: (name) => inputs[name].value,
    nodes: [field("Metric", inputs.metric), field("Page", inputs.route, "* stands for any text: /product/*"), field("Percentile", inputs.percentile), field("Device", inputs.device), field("Severity", inputs.severity), pages],
    async offer(site) {
      const found = await get(sitePath(site, "pages"), { sort: "views", limit: OFFERED, metrics: "LCP" }).catch(() => null);
      pages.append(...(found?.pages ?? []).map(({ route }) => h("option", { value: route })));
    },
  };
}

/** The whole file, its versions, and what it would have done. */
export function filePanel({ site, kept, mayWrite, actions }) {
  const box = h("textarea", { name: "text", rows: Math.min(30, Math.max(6, kept.text.split("\n").length + 1)), spellcheck: "false", class: "code", "data-key": "budget-text", "aria-label": "The budget file" });
  box.defaultValue = kept.text;
  const tried = h("div", { "aria-live": "polite" });
  const look = async (event) => {
    const button = event.currentTarget;
    button.disabled = true;
    const answer = await ask(sitePath(site, "budgets/what-if"), box.value).catch((error) => error);
    button.disabled = false;
    if (answer instanceof Error && !(answer instanceof ApiError)) throw answer;
    tried.replaceChildren(answer instanceof Error ? failed(answer) : h("ul", { class: "budget-list" }, answer.budgets.map((budget) =>
      h("li", {}, h("strong", {}, `${budget.metric} p${budget.percentile} `), quoted(budget.route, "route"), strip(budget, answer.period)))));
  };
  const show = async (version) => {
    const old = await get(sitePath(site, "budgets"), { version }).catch((error) => error);
    if (old instanceof Error) tried.replaceChildren(failed(old));
    else box.value = old.text;
  };
  return h("details", { class: "panel file", "data-open": "budget-file", open: false },
    h("summary", { "data-key": "budget-file" }, h("h2", {}, "The file"), h("span", { class: "soft small" }, kept.version === null ? " empty" : ` version ${kept.version}, by ${readable(kept.by)}, ${moment(kept.applied)}`)),
    changeForm({ button: "Keep this file", disabled: !mayWrite, send: (form) => keep(site, kept, form.get("text")).then(() => actions.changed("The budgets are kept; the server judges them within a minute.")) },
      box, h("p", { class: "buttons" }, h("button", { class: "secondary", type: "button", onclick: look, "data-key": "try-file" }, "Try it over the last 28 days")), tried),
    kept.versions.length < 2 ? null : h("details", { class: "counts", "data-open": "budget-versions" }, h("summary", { "data-key": "budget-versions" }, "Earlier versions"),
      h("ul", {}, kept.versions.map(({ version, applied, by }) => h("li", { class: "line" }, `${version}, ${moment(applied)}, by ${readable(by)}`,
        h("button", { class: "plain", type: "button", onclick: () => show(version) }, "Show it above"))))),
    h("p", { class: "soft small" }, "The same file in a pipeline: ", h("code", {}, "fieldvitals check --release 1.4.2"), " judges the kept budgets; ", h("code", {}, "fieldvitals budget apply budgets.toml"), " keeps a file."));
}

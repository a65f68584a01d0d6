// The budgets that are kept on the server: how near each is to its limit, its history, and violations.
import { budgetDialog, budgetName, filePanel, strip } from "./budget_editor.js";
import { changeButton } from "./forms.js";
import { boundary, count, counted, interval, moment, share, value } from "./format.js";
import { ask, get, post, sitePath, softly } from "./api.js";
import { chip } from "./chart.js";
import { failedPanel, h, quoted } from "./dom.js";
import { violationLine } from "./violations.js";
import { segmented } from "./controls.js";

const VIOLATIONS_MAX = 200;
/** A verdict that takes longer is not promised: a sequence of looks lasts a week. */
const NEEDED_HOURS_MAX = 14 * 24;
/** The end of a bar, as a share of the limit. */
const BAR_END = 1.25;

export const budgetsView = {
  still: true,
  /** The server judges every minute. */
  again: 15_000,

  async read(state, site, { signal }) {
    const of = (resource, query) => softly(get(sitePath(site.name, resource), query, signal));
    const [states, kept, violations] = await Promise.all([of("budgets/state"), of("budgets"), of("violations", { status: state.status, limit: VIOLATIONS_MAX })]);
    return { states, kept, violations };
  },

  title: () => "Budgets",

  draw(state, answers, link, actions) {
    const { states, kept, violations, site } = answers;
    const mayWrite = answers.scope !== "read" && !answers.isLink;
    const context = { site: site.name, kept, mayWrite, actions };
    return [
      h("div", { class: "heading" }, h("h1", { tabindex: "-1" }, "Budgets of ", quoted(state.site)),
        h("p", { class: "subtitle" }, "A budget is a limit on a percentile of a metric. The server judges the budgets that it keeps every minute, and opens an alert when one is broken.")),
      states instanceof Error ? failedPanel("State", states) : statePanel(states, context, link),
      h("div", { class: "controls" }, segmented("status", "Violations", [["open", "Open violations"], ["all", "All violations"]], state, link)),
      violations instanceof Error ? failedPanel("Violations", violations) : violationsPanel(state, violations, context, link),
      kept instanceof Error ? failedPanel("The file", kept) : filePanel(context),
    ];
  },
};

const BUDGET_STATES = { kept: ["good", "Kept"], broken: ["poor", "Broken"], undecided: ["undecided", "Undecided"] };

function statePanel({ budgets, judged }, context, link) {
  const add = context.mayWrite ? h("button", { class: "primary", type: "button", onclick: () => budgetDialog(context, null), "data-key": "add-budget" }, "Add a budget…") : null;
  if (budgets.length === 0) {
    return h("section", { class: "panel empty", "aria-labelledby": "states" }, h("h2", { id: "states" }, "No budgets are kept here yet"),
      h("p", { class: "soft" }, "A budget says how fast a page must be: the 75th percentile of LCP of /checkout is at most 2.5 s. The server tells your channels when it is broken, and a check in the pipeline can stop a release."),
      h("p", { class: "buttons" }, add));
  }
  const broken = budgets.filter(({ state }) => state === "broken").length;
  const strips = new Map(budgets.map(({ line }) => [line, h("div", { class: "history" })]));
  return h("section", { class: "panel", "aria-labelledby": "states" },
    h("div", { class: "panel-head flush" },
      h("h2", { id: "states" }, broken > 0 ? `${count(broken)} of ${counted(budgets.length, "budget")} broken` : `${counted(budgets.length, "budget")}, none broken`),
      h("div", { class: "line" }, historyButton(context, strips), add)),
    h("ul", { class: "budget-list" }, budgets.map((budget) => budgetRow(budget, context, link, strips.get(budget.line)))),
    h("p", { class: "soft small" }, judged === null ? "Not judged yet." : `Last judged ${moment(judged)}.`));
}

/** Budgets that the server replays at once (`limits::WHAT_IF_BUDGETS_MAX`). */
const REPLAYED_MAX = 20;

/** The last replay, of a site's version. */
let replayed = { key: null, answer: null };

/** A button that replays the kept budgets into the strips of their rows. */
function historyButton({ site, kept }, strips) {
  if (kept instanceof Error || strips.size > REPLAYED_MAX) return null;
  const key = `${site} ${kept.version}`;
  const fill = ({ budgets, period }) => {
    for (const replay of budgets) strips.get(replay.line)?.replaceChildren(strip(replay, period));
  };
  // What was asked for stays if the page is drawn anew.
  if (replayed.key === key) fill(replayed.answer);
  return changeButton({ text: "Show the last 28 days", "data-key": "budget-history", send: async () => {
    replayed = { key, answer: await ask(sitePath(site, "budgets/what-if"), kept.text) };
    fill(replayed.answer);
  } });
}

function budgetRow(budget, context, link, history) {
  const { state, since, from, no_views_since: silent, used, evidence, max, unit, route, reason, n, severity } = budget;
  const [known, text] = BUDGET_STATES[state] ?? [state, state];
  // A budget that was kept weeks ago is not green today.
  const rating = silent && state === "kept" ? BUDGET_STATES.undecided[0] : known;
  const views = silent ? `no page view since ${moment(silent)}` : `${counted(n, "page view")} since ${from === evidence.to ? "then" : moment(from)}`;
  const words = quoted(route, "route");
  const numbers = evidence.measured === null ? "no page views yet"
    : `${value(unit, evidence.measured, [max])} of ${boundary(unit, max)}`;
  return h("li", {},
    h("div", { class: "line" },
      h("span", {}, chip(rating, silent ? `${text}, no data` : text), " ", h("strong", {}, budgetName(budget)), ` ≤ ${boundary(unit, max)} `, route.includes("*") ? words : link({ view: "overview", route }, { "data-key": `budget-${budget.line}` }, words),
        severity === "warn" ? [" ", h("span", { class: "severity" }, "warning only")] : null),
      context.mayWrite ? h("button", { class: "plain", type: "button", onclick: () => budgetDialog(context, budget), "data-key": `change-budget-${budget.line}`, "aria-label": `Change ${budgetName(budget)} of ${route}` }, "Change…") : null),
    usedBar(used, state),
    h("p", { class: "soft small facts" },
      h("span", {}, used === null ? numbers : `${Math.round(used * 100)} % used: ${numbers}`, evidence.interval === null ? "" : `, 90 % CI ${interval(unit, evidence.interval, [max])}`),
      h("span", {}, `${share(evidence.within, evidence.n)} of ${counted(evidence.n, "page view")} within`),
      h("span", {}, `${text.toLowerCase()} since ${moment(since)}`)),
    h("p", { class: "soft small" }, evidence.of_verdict ? `Decided ${moment(evidence.to)}; ${views}.` : quoted([reason, needs(budget)].filter(Boolean).join(" · "))),
    history);
}

/** How many page views decide a budget, unless that takes too long to be worth telling. */
function needs({ samples_needed: needed, n, hours_needed: hours, evidence }) {
  if (needed === null || hours === null || evidence.of_verdict || needed <= n || hours > NEEDED_HOURS_MAX) return null;
  const time = hours < 1 ? counted(Math.max(1, Math.ceil(60 * hours)), "minute") : hours < 48 ? counted(Math.ceil(hours), "hour") : counted(Math.ceil(hours / 24), "day");
  return `about ${counted(needed - n, "more page view")} decide it, ${time} at this traffic`;
}

/** The used part of a limit: the mark is the limit. Pale before a verdict, because chance may explain it. */
function usedBar(used, state) {
  const bar = h("span", { class: used === null ? "" : used > 1 ? "over" : used > 0.9 ? "near" : "under" });
  bar.style.width = `${100 * Math.min(used ?? 0, BAR_END) / BAR_END}%`;
  const limit = h("span", { class: "limit" });
  limit.style.left = `${100 / BAR_END}%`;
  return h("div", { class: state === "undecided" ? "used unsure" : "used", role: "img", "aria-label": used === null ? "Not measured" : `${Math.round(used * 100)} % of the limit` }, bar, limit);
}

function violationsPanel(state, { violations, next_cursor: more }, { site, mayWrite, actions }, link) {
  const isOpen = state.status === "open";
  if (violations.length === 0) {
    return h("section", { class: "panel waiting arrived" }, h("p", {}, h("span", { class: "lamp", "aria-hidden": "true" }), h("strong", {}, isOpen ? "No budget is broken." : "No budget was ever broken.")));
  }
  const dismiss = (id) => post(sitePath(site, `violations/${id}`), { action: "dismiss" }).then(() => actions.changed("The violation is dismissed, until its budget has been kept once."));
  return h("section", { class: isOpen ? "panel violations" : "panel violations all", "aria-labelledby": "violations" },
    h("h2", { id: "violations" }, counted(violations.length, isOpen ? "open budget violation" : "budget violation")),
    h("ul", {}, violations.map((violation) => h("li", { class: violation.resolved ?? violation.dismissed ? "resolved" : null },
      violationLine(violation, link),
      mayWrite && violation.resolved === null && violation.dismissed === null
        ? h("span", { class: "act" }, changeButton({ text: "Dismiss", "data-key": `dismiss-${violation.id}`, "aria-label": `Dismiss ${budgetName(violation)} of ${violation.route}`, send: () => dismiss(violation.id) })) : null))),
    more === null ? null : h("p", { class: "soft" }, `The latest ${VIOLATIONS_MAX} are shown.`));
}

// The controls of a view: period, device and the other filters; each choice is a link or a form of the address.
import { CONTEXT_FILTERS, FILTERS, UNFILTERED, filtersOf } from "./address.js";
import { h, readable } from "./dom.js";
import { clock, count, counted, period, zoneName } from "./format.js";

const PERIODS = [["24h", "24 hours"], ["7d", "7 days"], ["28d", "28 days"], ["90d", "90 days"]];

/** The page views of an answer: how many, of when, as of when. */
export function subtitle(report, answers, actions) {
  return h("p", { class: "subtitle" },
    h("span", {}, counted(report.views, "page view"), sampled(report)),
    h("span", {}, period(report.period)),
    report.period.limited === undefined ? null : h("span", { class: "limited" }, `Not all of the period: ${report.period.limited}.`),
    h("span", { class: "read" }, `Read at ${clock(answers.read)} `,
      h("button", { class: "refresh", type: "button", onclick: actions.refresh, "data-key": "refresh" }, "Refresh")));
}

/** Of how many page views, where only some are sent. */
export function sampled({ views, views_estimated }) {
  return views_estimated === undefined || views_estimated === views ? "" : ` of about ${count(views_estimated)}`;
}

/** A group of links of which one is current. */
export function segmented(name, label, options, state, link, className = "segmented") {
  return h("div", { class: className, role: "group", "aria-label": label }, options.map(([option, text, title]) =>
    link({ [name]: option }, { "aria-current": state[name] === option ? "true" : null, title, "data-key": `${name}-${option}` }, text)));
}

/** A choice of one of many options, each `[value, text]`, as a list that opens. */
export function picker(name, label, options, chosen, actions, change = (value) => ({ [name]: value })) {
  return h("label", { class: "picker" }, h("span", {}, label),
    h("select", { "data-key": name, onchange: (event) => actions.go(change(event.currentTarget.value)) },
      options.map(([value, text]) => h("option", { value, selected: value === chosen }, text))));
}

/** Links to more page views: without filters, and over more time. */
export function widen(state, link) {
  const wider = [];
  if (filtersOf(state).length > 0) wider.push(link(UNFILTERED, { class: "secondary" }, "Look without filters"));
  if (state.period !== "90d" || state.from !== null) wider.push(link({ period: "90d", from: null, to: null }, { class: "secondary" }, "Look at the last 90 days"));
  return wider.length > 0 ? h("p", { class: "buttons" }, wider) : null;
}

/** Period, device, and the filters. */
export function controls(state, answers, link, actions) {
  const isRange = state.from !== null || state.to !== null;
  return h("div", { class: "controls" },
    h("div", { class: "segmented", role: "group", "aria-label": "Period" },
      PERIODS.map(([option, text]) => link({ period: option, from: null, to: null },
        { "aria-current": !isRange && state.period === option ? "true" : null, "data-key": `period-${option}` }, text))),
    segmented("device", "Device", [[null, "All"], ["phone", "Phone"], ["tablet", "Tablet"], ["desktop", "Desktop"]], state, link),
    more(state, answers, actions),
    chips(state, link, isRange));
}

/** The filters that are set, each with a link that removes it. */
function chips(state, link, isRange) {
  const set = filtersOf(state).filter(([name]) => name !== "device").map(([name, value, title]) => remove({ [name]: null }, `${title}: ${readable(value)}`));
  if (isRange) set.unshift(remove({ from: null, to: null }, `${state.from ?? "…"} to ${state.to ?? "now"}`));
  function remove(change, text) {
    return h("li", {}, link(change, { class: "filter-chip", "aria-label": `Remove the filter ${text}`, "data-key": `remove-${text}` },
      h("bdi", {}, text), h("span", { "aria-hidden": "true" }, " ×")));
  }
  return set.length > 0 ? h("ul", { class: "filter-chips", "aria-label": "Filters" }, set) : null;
}

/** The filters that have no control of their own, and a range of days. Values are read when it opens. */
function more(state, answers, actions) {
  const others = FILTERS.filter(({ name }) => name !== "device");
  const field = ({ name, title, values = answers.values?.[name] ?? [] }) => {
    const known = state[name] === null || values.includes(state[name]) ? values : [state[name], ...values];
    return h("label", {}, h("span", {}, title),
      h("select", { name, "data-key": `filter-${name}`, onchange: (event) => actions.go({ [name]: event.currentTarget.value || null }) },
        h("option", { value: "" }, "All"),
        known.map((value) => h("option", { value, selected: value === state[name] }, readable(value)))));
  };
  const range = (event) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    actions.go({ from: form.get("from") || null, to: form.get("to") || null });
  };
  const texts = CONTEXT_FILTERS.filter(({ values }) => values === undefined);
  const byText = (event) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    actions.go(Object.fromEntries(texts.map(({ name }) => [name, String(form.get(name)).trim() || null])));
  };
  const date = (text) => (text ?? "").slice(0, 10);
  const panel = h("details", { class: "more-filters", "data-open": "filters" },
    h("summary", { "data-key": "filters" }, "Filters"),
    h("div", { class: "filter-panel" },
      answers.values instanceof Error ? h("p", { class: "soft small" }, answers.values.message) : null,
      h("div", { class: "filter-fields" }, others.map(field)),
      h("details", { "data-open": "context-filters", open: CONTEXT_FILTERS.some(({ name }) => state[name] !== null) },
        h("summary", { "data-key": "context-filters" }, "Window, connection, device class, tags"),
        h("p", { class: "soft small" }, "These read single page views, within their retention."),
        h("div", { class: "filter-fields" }, CONTEXT_FILTERS.filter(({ values }) => values !== undefined).map(field)),
        h("form", { class: "range", onsubmit: byText },
          texts.map(({ name, title, example }) => h("label", {}, h("span", {}, title),
            h("input", { type: "text", name, value: state[name] ?? "", placeholder: example, autocomplete: "off", spellcheck: "false", "data-key": `filter-${name}` }))),
          h("button", { class: "secondary", type: "submit" }, "Filter"))),
      h("form", { class: "range", onsubmit: range },
        h("label", {}, h("span", {}, `From (${zoneName()})`), h("input", { type: "date", name: "from", value: date(state.from) })),
        h("label", {}, h("span", {}, "To, excluded"), h("input", { type: "date", name: "to", value: date(state.to) })),
        h("button", { class: "secondary", type: "submit" }, "Show"))));
  panel.addEventListener("toggle", () => {
    if (panel.open) actions.values();
  });
  return panel;
}

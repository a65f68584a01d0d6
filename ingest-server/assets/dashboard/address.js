// The state of the dashboard is its address, so that every view can be shared and the back button works.
import { METRICS, dayStart } from "./format.js";

/** The filters of the API that choose page views by one value. */
export const FILTERS = [
  { name: "device", title: "Device" },
  { name: "browser", title: "Browser" },
  { name: "os", title: "Operating system" },
  { name: "country", title: "Country" },
  { name: "connection", title: "Connection" },
  { name: "navigation_type", title: "Navigation" },
  { name: "release", title: "Release" },
];

/** The filters by the context of page views, which page views within retention have. Those without values take any text. */
export const CONTEXT_FILTERS = [
  { name: "viewport", title: "Window width", values: ["small", "medium", "large"] },
  { name: "protocol", title: "Protocol", values: ["http/1.1", "h2", "h3", "other"] },
  { name: "delivery", title: "Document from", values: ["network", "cache", "navigational-prefetch"] },
  { name: "rtt", title: "Round trip", values: ["under-100", "under-200", "under-400", "under-800", "from-800"] },
  { name: "memory", title: "Memory", values: ["low", "medium", "high"] },
  { name: "cpu", title: "Processor", values: ["low", "medium", "high"] },
  { name: "engaged", title: "Engaged", values: ["yes", "no"] },
  { name: "tag", title: "Tag", example: "plan:pro" },
  { name: "mark", title: "Mark", example: "order" },
  { name: "server_timing", title: "Server-Timing", example: "cdn-cache:HIT" },
];

/** The properties by which a page is broken down. */
export const PROPERTIES = [...FILTERS, ...CONTEXT_FILTERS.filter(({ values }) => values !== undefined)];

const ALL_FILTERS = [...FILTERS, ...CONTEXT_FILTERS];

/** The state without filters. */
export const UNFILTERED = Object.fromEntries(ALL_FILTERS.map(({ name }) => [name, null]));

export const VIEWS = ["overview", "compare", "budgets", "alerts", "setup", "settings", "server"];

const DEFAULTS = {
  site: null, view: "overview", route: null, period: "7d", from: null, to: null,
  ...UNFILTERED,
  metric: null, sort: "impact", order: "desc", search: null, min_n: null, group: null, around: null, by: "device", status: "open",
  sides: "period", current: null, baseline: null, against_from: null, against_to: null, part: "site",
};

const CHOICES = {
  view: VIEWS,
  device: ["phone", "tablet", "desktop"],
  metric: METRICS.map(({ name }) => name),
  sort: ["impact", "views", "p75", "route", "poor"],
  order: ["asc", "desc"],
  by: PROPERTIES.map(({ name }) => name),
  status: ["open", "all"],
  group: ["section"],
  around: ["worst"],
  part: ["site", "routes", "tokens", "channels", "log"],
  sides: ["period", "dates", ...FILTERS.map(({ name }) => name)],
  ...Object.fromEntries(CONTEXT_FILTERS.filter(({ values }) => values).map(({ name, values }) => [name, values])),
};

/** Parameters that choose page views: a change of view keeps them. */
const SCOPE = ["site", "period", "from", "to", ...Object.keys(UNFILTERED)];

/** Reads the state of the address, and says what in it is not understood. */
export function readAddress() {
  const query = new URLSearchParams(location.search);
  const state = { ...DEFAULTS };
  const problems = [];
  for (const [name, given] of query) {
    if (!(name in DEFAULTS)) {
      problems.push(`The address has a parameter “${name}”, which the dashboard does not know. It takes ${Object.keys(DEFAULTS).join(", ")}.`);
    } else if (given === "") {
      continue;
    } else if (CHOICES[name] !== undefined && !CHOICES[name].includes(given)) {
      problems.push(`“${given}” is no ${name} here: expected ${CHOICES[name].join(", ")}.`);
    } else {
      state[name] = given;
    }
  }
  if (state.from !== null && query.has("period")) {
    problems.push("The address has both a period and a start; the start counts.");
  }
  return { state, problems };
}

/** The address of a state: only what differs from the defaults, and slashes and colons left readable. */
export function address(target) {
  const query = new URLSearchParams();
  for (const [name, standard] of Object.entries(DEFAULTS)) {
    if (name === "period" && target.from !== null) continue;
    if (target[name] !== standard && target[name] !== null) query.set(name, target[name]);
  }
  const text = query.toString().replaceAll("%2F", "/").replaceAll("%3A", ":");
  return text === "" ? "./" : `./?${text}`;
}

/** Another view of the same page views. */
export function elsewhere(state, change) {
  const kept = Object.fromEntries(SCOPE.map((name) => [name, state[name]]));
  return { ...DEFAULTS, ...kept, ...change };
}

/** The same view of all page views of a site. */
export function ofSite(state, site) {
  return { ...DEFAULTS, site, view: state.view, period: state.period, from: state.from, to: state.to };
}

/** The parameters of the API that choose the state's page views. */
export function scope(state) {
  const { from, to } = state;
  const chosen = from === null && to === null ? { period: state.period } : { from: from === null ? null : startOf(from), to: to === null ? null : startOf(to) };
  return { ...chosen, ...Object.fromEntries(Object.keys(UNFILTERED).map((name) => [name, state[name]])) };
}

/** A day of the site's time zone as the API has times; a time stays as it is. */
export function startOf(text) {
  return /^\d{4}-\d\d-\d\d$/.test(text) ? dayStart(text) : text;
}

/** The filters that are set, as `[name, value, title]`. */
export function filtersOf(state) {
  return ALL_FILTERS.filter(({ name }) => state[name] !== null).map(({ name, title }) => [name, state[name], title]);
}

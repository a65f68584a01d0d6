// What the dashboard shows, built from the API's answers. `link(change, props, …)` makes a link to the
// same dashboard with part of its state changed; it comes from dashboard.js, which owns the state.
import { causePanels } from "./causes.js";
import { chip, fewMark, figure, histogram, shareBar } from "./chart.js";
import { h, quoted, readable } from "./dom.js";
import {
  FEW_SAMPLES, METRICS, boundary, clock, count, counted, interval, moment, period, share, value,
} from "./format.js";

const DEVICES = { phone: "phones", tablet: "tablets", desktop: "desktop computers" };

/** The form that asks for a token. */
export function signIn(message, onToken) {
  const error = h("p", { class: "error", id: "token-error", role: "alert" }, message ?? "");
  const input = h("input", {
    id: "token", name: "token", type: "password", autocomplete: "off", autocapitalize: "none", spellcheck: "false",
    required: true, placeholder: "fvt_…", "aria-describedby": "token-help token-error",
  });
  const submit = (event) => {
    event.preventDefault();
    if (!onToken(input.value)) {
      error.textContent = "That cannot be a token: it has spaces or letters that tokens never have. Copy it again, whole.";
      input.focus();
    }
  };
  return h("section", { class: "sign-in panel" },
    h("h1", {}, "Sign in"),
    h("p", { class: "soft" }, "The dashboard reads this server's API, and the API asks for a token."),
    error,
    h("form", { onsubmit: submit },
      h("label", { for: "token" }, "API token"),
      input,
      h("button", { class: "primary", type: "submit" }, "Open the dashboard")),
    h("div", { class: "soft", id: "token-help" },
      h("p", {}, "The first start of the server prints one. To make another, run this where the server's data is:"),
      snippetBox("fieldvitals token add NAME --scope read"),
      h("p", {}, "The token stays in this tab and is forgotten when you close it.")));
}

/** A request failed: what, and what to do. */
export function failure(error, onRetry) {
  return h("section", { class: "panel failure", role: "alert" },
    h("h1", {}, error.message),
    error.hint ? h("p", {}, error.hint) : null,
    h("p", { class: "soft" }, "Error ", h("code", {}, error.code), error.status > 0 ? `, status ${error.status}` : ""),
    h("button", { class: "primary", type: "button", onclick: onRetry }, "Try again"));
}

/** No site exists, or none that the token may read. */
export function noSites() {
  return h("section", { class: "panel" },
    h("h1", {}, "No site yet"),
    h("p", {}, "A site has a key that its pages carry, and the origins that may send beacons with it. Add one where the server's data is:"),
    snippetBox("fieldvitals site add NAME --origin https://www.example.com"),
    h("p", { class: "soft" }, "Then reload this page."));
}

/** The controls: period and device. */
export function controls(state, link) {
  const choice = (name, label, options) =>
    h("div", { class: "segmented", role: "group", "aria-label": label }, options.map(([option, text]) =>
      link({ [name]: option }, { "aria-current": state[name] === option ? "true" : null, "data-key": `${name}-${option}` }, text)));
  return h("div", { class: "controls" },
    choice("period", "Period", [["24h", "24 hours"], ["7d", "7 days"], ["28d", "28 days"], ["90d", "90 days"]]),
    choice("device", "Device", [[null, "All"], ["phone", "Phone"], ["tablet", "Tablet"], ["desktop", "Desktop"]]));
}

function subtitle(report, refreshed, onRefresh) {
  return h("p", { class: "subtitle" },
    h("span", {}, counted(report.views, "page view"), sampled(report), report.device ? ` on ${DEVICES[report.device] ?? report.device}` : ""),
    h("span", {}, period(report.period)),
    h("span", {}, `Read at ${clock(refreshed)} `,
      h("button", { class: "refresh", type: "button", onclick: onRefresh, "data-key": "refresh" }, "Refresh")));
}

/** Of how many page views, where only some are sent. */
function sampled({ views, views_estimated }) {
  return views_estimated === undefined || views_estimated === views ? "" : ` of about ${count(views_estimated)}`;
}

/** The whole site: the seven metrics, open violations, the ranking. */
export function overview(state, answers, link, actions) {
  const { report, violations } = answers;
  return [
    h("div", { class: "heading" }, h("h1", { tabindex: "-1" }, quoted(state.site)), subtitle(report, answers.read, actions.refresh)),
    controls(state, link),
    report.views === 0
      ? empty(state, answers, link)
      : [
          h("section", { "aria-labelledby": "vitals" },
            h("h2", { class: "hidden", id: "vitals" }, "Web Vitals of the whole site"),
            h("div", { class: "tiles" }, METRICS.map((metric) => tile(metric, report.metrics[metric.name], state, link)))),
          violationList(violations, answers.violationsError, link),
          crowdedNotice(answers.crowded),
          ranking(state, answers, link, actions),
        ],
    rejectionPanel(report.views === 0, answers.rejections, actions),
  ];
}

function tile({ name, title, says }, metric, state, link) {
  const current = state.metric === name;
  const heading = h("h3", {}, link({ metric: name },
    { "aria-current": current ? "true" : null, "data-key": `tile-${name}`, title: `${says}. Rank the pages by ${name}.` }, name),
    h("span", { class: "title" }, title));
  if (metric === undefined) {
    return h("article", { class: "tile none" }, heading, h("p", { class: "big" }, "–"),
      h("p", { class: "soft small" }, "No values in this period."));
  }
  const few = metric.n < FEW_SAMPLES;
  return h("article", { class: few ? "tile few" : "tile" }, heading,
    h("p", { class: "big" }, figure(metric.unit, metric.p75, metric.thresholds), chip(metric.rating)),
    shareBar(metric),
    shareText(metric),
    h("p", { class: "soft small facts" }, h("span", {}, `p75 of ${count(metric.n)} `, fewMark(metric)), uncertainty(metric)));
}

function uncertainty(metric) {
  if (!metric.p75_interval) return h("span", {}, "Too few values for an interval");
  return h("span", { title: "The 90 % confidence interval of the p75: where the true value lies, as far as this many samples can tell." },
    `90 % CI ${interval(metric.unit, metric.p75_interval, metric.thresholds)}`);
}

function shareText(metric) {
  return h("p", { class: "share-text", "aria-hidden": "true" },
    [["good", metric.good], ["needs-improvement", metric.needs_improvement], ["poor", metric.poor]].map(([rating, n]) =>
      h("span", { class: rating }, share(n, metric.n))));
}

/** Open violations of budgets. */
function violationList(violations, error, link) {
  if (error) {
    return h("section", { class: "panel notice" }, h("p", {}, `Open violations could not be read: ${error.message} ${error.hint}`));
  }
  if (violations.length === 0) return null;
  return h("section", { class: "panel violations", "aria-labelledby": "violations" },
    h("h2", { id: "violations" }, counted(violations.length, "open budget violation")),
    h("ul", {}, violations.map((violation) => {
      const { route, metric, percentile, unit, n, within, measured } = violation;
      const exact = !route.includes("*");
      const words = [quoted(route, "route")];
      return h("li", {},
        h("span", { class: "where" }, exact ? link({ route }, {}, words) : words),
        h("span", { class: "what" }, h("strong", {}, `${metric} p${percentile} ${measured === null ? "" : value(unit, measured, [violation.max])}`),
          ` over its budget of ${boundary(unit, violation.max)}`),
        h("span", { class: "soft small" },
          [`${count(within)} of ${counted(n, "visit")} within the budget`, violation.device, violation.release && `release ${violation.release}`,
            `since ${moment(violation.opened)}`].filter(Boolean).join(" · ")));
    })));
}

/** Names beyond the site's places. */
function crowdedNotice(kinds) {
  if (kinds.length === 0) return null;
  return h("section", { class: "panel notice" },
    h("p", {}, `This site has more ${kinds.join(" and ")} than it has places. Page views of further ones count under `, h("code", {}, "(other)"), "."),
    h("p", { class: "soft" }, "If names are made up, ", h("code", {}, "fieldvitals site erase"), " removes their page views and frees their places. If URLs have ids in them, route rules join them."));
}

const COLUMNS = [
  { key: "route", text: "Page", first: "asc", kind: "route-cell" },
  { key: "views", text: "Views", first: "desc", kind: "number" },
  { key: "p75", text: "p75", first: "desc", kind: "number p75" },
  { key: "poor", text: "Poor", first: "desc", kind: "share-cell" },
];

/** The pages, ranked; every header sorts, a second time the other way round. */
function ranking(state, answers, link, actions) {
  const head = COLUMNS.map(({ key, text, first, kind }) => {
    const active = state.sort === key;
    const order = active ? (state.order === "asc" ? "desc" : "asc") : first;
    const aria = active ? (state.order === "asc" ? "ascending" : "descending") : null;
    const label = key === "p75" || key === "poor" ? `${text} ${state.metric}` : text;
    return h("th", { scope: "col", role: "columnheader", class: kind, "aria-sort": aria },
      link({ sort: key, order }, { class: "sort", "data-key": `sort-${key}` }, label,
        h("span", { class: "arrow", "aria-hidden": "true" }, active ? (state.order === "asc" ? "↑" : "↓") : "")));
  });
  const picker = h("div", { class: "segmented small", role: "group", "aria-label": "Metric of the ranking" },
    METRICS.map(({ name, title }) =>
      link({ metric: name }, { "aria-current": state.metric === name ? "true" : null, title, "data-key": `metric-${name}` }, name)));
  const chosen = METRICS.find(({ name }) => name === state.metric);
  return h("section", { class: "panel ranking", "aria-labelledby": "ranking" },
    h("div", { class: "panel-head" },
      h("div", {}, h("h2", { id: "ranking" }, "Pages"), h("p", { class: "soft small" }, `${chosen.title}: ${lower(chosen.says)}`)),
      picker),
    h("table", { role: "table", "aria-labelledby": "ranking" },
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)),
      h("tbody", { role: "rowgroup" }, answers.pages.map((page) => row(page, state, link)))),
    answers.hidden === 0
      ? null
      : h("p", { class: "soft small" }, `${count(answers.hidden)} pages with fewer than ${count(answers.minViews)} views are hidden. Sorted by views or by page, the list has them.`),
    answers.nextCursor === null
      ? null
      : h("p", { class: "more" }, h("button", { type: "button", class: "secondary", onclick: actions.more, "data-key": "more" }, "Show more pages")));
}

function lower(text) {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

function row(page, state, link) {
  const metric = page.metrics[state.metric];
  const name = h("td", { role: "cell", class: "route-cell" },
    link({ route: page.route }, { title: readable(page.route), "data-key": `route-${page.route}` }, quoted(page.route, "route")));
  const views = h("td", { role: "cell", class: "number views" }, count(page.views), h("span", { class: "unit" }, page.views === 1 ? " view" : " views"),
    page.views_estimated === page.views ? null : h("span", { class: "soft small estimated" }, sampled(page)));
  if (metric === undefined) {
    return h("tr", { role: "row", class: "none" }, name, views,
      h("td", { role: "cell", class: "number p75" }, h("span", { class: "value" }, "–", h("span", { class: "slot" }))),
      h("td", { role: "cell", class: "share-cell soft small" }, `No ${state.metric} values`));
  }
  return h("tr", { role: "row", class: metric.n < FEW_SAMPLES ? "few" : null }, name, views,
    h("td", { role: "cell", class: "number p75" }, h("span", { class: "value" }, figure(metric.unit, metric.p75, metric.thresholds), h("span", { class: "slot" }, chip(metric.rating)))),
    h("td", { role: "cell", class: "share-cell" },
      shareBar(metric),
      h("span", { class: "soft small facts" },
        h("span", {}, `n = ${count(metric.n)} `, fewMark(metric)), h("span", {}, `${share(metric.poor, metric.n)} poor`))));
}

/** One page: every metric with its distribution. */
export function detail(state, answers, link, actions) {
  const { report } = answers;
  const violations = answers.violations.filter(({ route }) => matches(route, state.route));
  return [
    h("div", { class: "heading" },
      h("p", { class: "back" }, link({ route: null }, { "data-key": "back" }, "← All pages of ", quoted(state.site))),
      h("h1", { tabindex: "-1", class: "route-title" }, quoted(state.route, "route")),
      subtitle(report, answers.read, actions.refresh)),
    controls(state, link),
    violationList(violations, answers.violationsError, link),
    report.views === 0
      ? h("section", { class: "panel" },
          h("h2", {}, "No page views of this page here"),
          h("p", {}, `Nothing was measured on this page ${narrowed(state)}.`),
          widen(state, link))
      : [
          h("div", { class: "details" }, METRICS.map((metric) => card(metric, report.metrics[metric.name]))),
          causePanels(answers.causes),
        ],
  ];
}

function card({ name, title, says }, metric) {
  const heading = h("h2", {}, name, h("span", { class: "title" }, title));
  if (metric === undefined) {
    return h("section", { class: "panel card none", "aria-label": title }, heading,
      h("p", { class: "soft small" }, says, "."), h("p", { class: "soft" }, "No values in this period."));
  }
  const percentiles = [["p50", metric.p50], ["p75", metric.p75], ["p90", metric.p90], ["p95", metric.p95]];
  return h("section", { class: metric.n < FEW_SAMPLES ? "panel card few" : "panel card", "aria-label": title },
    h("div", { class: "card-head" }, heading,
      h("p", { class: "big" }, figure(metric.unit, metric.p75, metric.thresholds), chip(metric.rating))),
    h("p", { class: "soft small facts" }, h("span", {}, `p75 of ${counted(metric.n, "value")} `, fewMark(metric)), uncertainty(metric)),
    histogram(name, metric),
    h("dl", { class: "percentiles" }, percentiles.map(([term, number]) =>
      h("div", {}, h("dt", {}, term), h("dd", {}, figure(metric.unit, number, metric.thresholds))))),
    shareBar(metric),
    h("ul", { class: "legend" },
      [["good", "Good", metric.good], ["needs-improvement", "Needs improvement", metric.needs_improvement], ["poor", "Poor", metric.poor]].map(
        ([rating, text, n]) => h("li", { class: rating }, h("span", { class: "name" }, text), h("span", {}, `${share(n, metric.n)} (${count(n)})`)))));
}

/** Whether a budget's route pattern covers a route; `*` stands for any text. */
function matches(pattern, route) {
  const parts = pattern.split("*");
  if (parts.length === 1) return pattern === route;
  const [first, last] = [parts.shift(), parts.pop()];
  if (!route.startsWith(first)) return false;
  let at = first.length;
  for (const part of parts) {
    const found = route.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return route.length - last.length >= at && route.endsWith(last);
}

function narrowed(state) {
  const days = { "24h": "the last 24 hours", "7d": "the last 7 days", "28d": "the last 28 days", "90d": "the last 90 days" };
  return `in ${days[state.period]}${state.device ? ` on ${DEVICES[state.device]}` : ""}`;
}

function widen(state, link) {
  const wider = [];
  if (state.device) wider.push(link({ device: null }, { class: "secondary" }, "Look at all devices"));
  if (state.period !== "90d") wider.push(link({ period: "90d" }, { class: "secondary" }, "Look at the last 90 days"));
  return wider.length > 0 ? h("p", { class: "buttons" }, wider) : null;
}

/** Nothing was measured: how to begin, and why it may be. */
function empty(state, answers, link) {
  const key = answers.site.keys.find(({ until }) => until === null)?.key ?? answers.site.keys[0]?.key;
  return h("section", { class: "panel empty", "aria-labelledby": "empty" },
    h("h2", { id: "empty" }, "No data yet"),
    h("p", {}, `No page view was measured ${narrowed(state)}. `,
      "This page looks again every few seconds; a visit arrives shortly after its page is left."),
    h("ol", { class: "steps" },
      h("li", {}, h("h3", {}, "Put the script tag into your pages"),
        key
          ? [h("p", { class: "soft" }, "Anywhere in the head. It is all that a page needs."),
              snippetBox(`<script async src="${location.origin}/v.js" data-site="${key}"></script>`)]
          : h("p", { class: "soft" }, "This site has no key. Make one with ", h("code", {}, "fieldvitals site"), ".")),
      h("li", {}, h("h3", {}, "Allow your pages' origin"),
        h("p", { class: "soft" }, "Beacons are taken from: ", answers.site.origins.length > 0 ? origins(answers.site.origins) : "no origin yet", ".")),
      document.getElementById("demo").hidden ? null : h("li", {}, h("h3", {}, "Or try it at once"),
        h("p", { class: "soft" }, "The ", h("a", { href: "/demo/" }, "demo pages"), " send to this server: to the site ", h("code", {}, "default"), ", or to the first one where none has that name. Open one, then come back here."))),
    widen(state, link));
}

function origins(list) {
  return list.map((origin, index) => [index > 0 ? ", " : "", origin === "*" ? "every origin" : h("code", {}, quoted(origin))]);
}

/** Beacons that were refused; opened by itself where there is no data, since it may say why. */
function rejectionPanel(open, rejections, actions) {
  const body = h("div", {}, rejections === null ? h("p", { class: "soft" }, "Reading…") : rejectionTable(rejections));
  const panel = h("details", { class: "panel rejections", open }, h("summary", {}, h("h2", {}, "Rejected beacons")), body);
  panel.addEventListener("toggle", () => {
    if (panel.open && rejections === null) actions.rejections();
  });
  return panel;
}

function rejectionTable(rejections) {
  if (rejections instanceof Error) return h("p", {}, `They could not be read: ${rejections.message} ${rejections.hint}`);
  if (rejections.length === 0) {
    return h("p", { class: "soft" }, "None since the server started: every beacon that reached it for this site was taken. If you expected some, look at the browser's console with ",
      h("code", {}, "data-debug"), " on the script tag.");
  }
  return h("ul", { class: "rejection-list" }, rejections.map(({ reason, origin, count: n, last_seen: seen, message }) =>
    h("li", {},
      h("p", {}, h("code", {}, reason), origin ? [" from ", quoted(origin, "origin")] : null),
      h("p", {}, message),
      h("p", { class: "soft small" }, `${counted(n, "beacon")}, last at ${moment(seen)}`))));
}

/** Text to copy, with a button for it. */
function snippetBox(text) {
  const button = h("button", { type: "button", class: "secondary copy", onclick: copy }, "Copy");
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      // Browsers refuse the clipboard on plain http: select the text, so that one key press copies it.
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  }
  const code = h("code", {}, text);
  return h("div", { class: "snippet" }, h("pre", { tabindex: "0" }, code), button);
}

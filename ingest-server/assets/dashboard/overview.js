// The whole site: the verdict, the metrics, open violations, and the ranking of its pages.
import { FEW_SAMPLES, METRICS, count, counted, interval, moment, share, value, boundary } from "./format.js";
import { chip, fewMark, figure, shareBar } from "./chart.js";
import { controls, sampled, segmented, subtitle, widen } from "./controls.js";
import { get, sitePath, softly } from "./api.js";
import { h, quoted, readable } from "./dom.js";
import { advicePanel } from "./advice.js";
import { changeMark, rowChange } from "./change.js";
import { filtersOf, scope } from "./address.js";
import { csvButton } from "./export.js";
import { followTrends, trendCell } from "./trends.js";
import { sparkline, trafficPanel, trendPanel } from "./timeline.js";
import { alertTitle, violationLine } from "./violations.js";
import { rejectionPanel, waiting } from "./setup.js";

/** The metrics with a sparkline: all but the retired ones. */
const DRAWN_METRICS = ["LCP", "INP", "CLS", "FCP", "TTFB"];
/** Rows of the ranking that the API gives at most. */
const ROWS_MAX = 500;
/** More rows than this are laid out only in the window. */
const ROWS_MANY = 50;
/** Rows that are drawn in one task. */
const ROWS_PART = 25;

export const overviewView = {
  /** Reads what the view shows. `rows` of the ranking were asked for. */
  async read(state, site, { signal, rows }) {
    const of = (resource, query) => get(sitePath(site.name, resource), query, signal);
    const { metric, sort, order, search, min_n, group } = state;
    const [report, series, open] = await Promise.all([
      of("summary", { ...scope(state), metric, sort, order, search, min_n, group, limit: Math.min(rows, ROWS_MAX) }),
      softly(of("series", { ...scope(state), metric: [...new Set([...DRAWN_METRICS, metric ?? DRAWN_METRICS[0]])].join(",") })),
      softly(of("open")),
    ]);
    const rejections = report.views === 0 ? await softly(of("rejections")) : null;
    return { report, series, open, rejections };
  },

  title: (state) => state.site,

  draw(state, answers, link, actions) {
    const { report, open } = answers;
    return [
      h("div", { class: "heading" }, h("h1", { tabindex: "-1" }, quoted(state.site)), subtitle(report, answers, actions)),
      controls(state, answers, link, actions),
      report.views === 0
        ? filtersOf(state).length > 0
          ? h("section", { class: "panel" }, h("h2", {}, "No page views here"), h("p", {}, "No page view of this period has these filters."), widen(state, link))
          : [waiting(state, answers, link), widen(state, link), rejectionPanel(true, answers, actions)]
        : [
            verdict(report),
            vitals(answers, state, link),
            alertStrip(open, link),
            violationList(open, link),
            h("div", { class: "two trend" }, trendPanel(state.metric ?? DRAWN_METRICS[0], answers.series), trafficPanel(answers.series)),
            advicePanel(report.advice, 3),
            ranking(state, answers, link, actions),
          ],
    ];
  },
};

const ASSESSMENTS = { pass: "passed", fail: "failed", "not-enough-data": "not enough data" };

/** The Core Web Vitals of a report, as the server judges them: passed if the p75 of each is good. */
export function verdict({ quality, metrics }) {
  if (!quality) return null;
  const { core_web_vitals: judged, min_n: least } = quality;
  const isKnown = (name) => metrics[name] !== undefined && metrics[name].n >= least;
  const failing = ["LCP", "INP", "CLS"].filter(isKnown).map((name) => [name, metrics[name]]).filter(([, metric]) => metric.rating !== "good");
  const worst = failing.some(([, metric]) => metric.rating === "poor") ? "poor" : "needs-improvement";
  const rating = judged === "pass" ? "good" : judged === "fail" ? worst : null;
  const reasons = judged === "not-enough-data"
    ? [`LCP and CLS need ${count(least)} values each for a verdict`]
    : failing.map(([name, metric]) => `${name} is ${value(metric.unit, metric.p75, metric.thresholds)}, good is up to ${boundary(metric.unit, metric.thresholds[0])}`);
  if (rating !== null && !isKnown("INP")) reasons.push("too few visits have an INP, so it does not count");
  return h("section", { class: `verdict ${rating ?? ""}`.trim(), "aria-label": "Core Web Vitals" },
    h("p", {}, h("strong", {}, "Core Web Vitals: ", ASSESSMENTS[judged]), rating === null ? null : chip(rating),
      quality.field_score === null ? null : h("span", { class: "score soft", title: "0 to 100: the weighted mean of each metric’s score. Not a Lighthouse score." }, `Field score ${Math.round(quality.field_score)}`)),
    reasons.length > 0 ? h("p", { class: "small" }, `${reasons.join("; ")}.`) : h("p", { class: "small" }, "Three of four page views, and more, are good for LCP, INP and CLS."));
}

/** The metrics as tiles: the three Core Web Vitals large, FID and TTI folded away. */
function vitals({ report, series }, state, link) {
  const tiles = METRICS.map((metric) => tile(metric, report.metrics[metric.name], report.previous?.metrics[metric.name], series.lines?.[0].metrics[metric.name], state, link));
  return h("section", { "aria-labelledby": "vitals" },
    h("h2", { class: "hidden", id: "vitals" }, "Web Vitals of the whole site"),
    h("div", { class: "tiles" }, tiles.slice(0, 5)),
    h("details", { class: "retired", "data-open": "retired", open: ["FID", "TTI"].includes(state.metric) },
      h("summary", { "data-key": "retired" }, "FID and TTI: retired metrics, of some browsers only"),
      h("div", { class: "tiles" }, tiles.slice(5))));
}

function tile({ name, title, says, core = false }, metric, change, points, state, link) {
  const current = state.metric === name;
  const size = core ? "tile core" : "tile";
  const heading = h("h3", {}, link({ metric: name },
    { "aria-current": current ? "true" : null, "data-key": `tile-${name}`, title: `${says}. Rank the pages by ${name}.` }, name),
    h("span", { class: "title" }, title));
  if (metric === undefined) {
    return h("article", { class: `${size} none` }, heading, h("p", { class: "big" }, "–"),
      h("p", { class: "soft small" }, "No values in this period."));
  }
  return h("article", { class: metric.n < FEW_SAMPLES ? `${size} few` : size }, heading,
    h("p", { class: "big" }, figure(metric.unit, metric.p75, metric.thresholds), chip(metric.rating)),
    h("p", { class: "small" }, changeMark(change, "the period before")),
    points === undefined ? null : sparkline(points),
    shareBar(metric),
    shareText(metric),
    h("p", { class: "soft small facts" }, h("span", {}, `p75 of ${count(metric.n)} `, fewMark(metric)), uncertainty(metric)));
}

/** The confidence interval of a p75. */
export function uncertainty(metric) {
  if (!metric.p75_interval) return h("span", {}, "Too few values for an interval");
  return h("span", { title: "The 90 % confidence interval of the p75: where the true value lies, as far as this many samples can tell." },
    `90 % CI ${interval(metric.unit, metric.p75_interval, metric.thresholds)}`);
}

function shareText(metric) {
  return h("p", { class: "share-text", "aria-hidden": "true" },
    [["good", metric.good], ["needs-improvement", metric.needs_improvement], ["poor", metric.poor]].map(([rating, n]) =>
      h("span", { class: rating }, share(n, metric.n))));
}

/** Open alerts, in a line each. */
function alertStrip(answer, link) {
  if (answer instanceof Error || answer.alerts.length === 0) return null;
  return h("section", { class: "panel violations", "aria-labelledby": "open-alerts" },
    h("h2", { id: "open-alerts" }, link({ view: "alerts" }, { "data-key": "to-alerts" }, counted(answer.alerts.length, "open alert"))),
    h("ul", {}, answer.alerts.map((alert) => h("li", {}, h("span", { class: "where" }, h("strong", {}, alertTitle(alert))),
      h("span", { class: "soft small" }, [alert.state === "open" ? null : alert.state, alert.severity === "warning" ? "warning" : null, `since ${moment(alert.since)}`].filter(Boolean).join(" · "))))));
}

/** Open violations of budgets; `answer` may be the error of reading them. */
export function violationList(answer, link) {
  if (answer instanceof Error) {
    return h("section", { class: "panel notice" }, h("p", {}, `Violations could not be read: ${answer.message} ${answer.hint}`));
  }
  const { violations } = answer;
  if (violations.length === 0) return null;
  return h("section", { class: "panel violations", "aria-labelledby": "violations" },
    h("h2", { id: "violations" }, link({ view: "budgets", route: null }, { "data-key": "to-violations" }, counted(violations.length, "open budget violation"))),
    h("ul", {}, violations.map((violation) => h("li", {}, violationLine(violation, link)))));
}

const COLUMNS = [
  { key: "route", text: "Page", first: "asc", kind: "route-cell" },
  { key: "impact", text: "Not good", first: "desc", kind: "number impact" },
  { key: "views", text: "Views", first: "desc", kind: "number" },
  { key: "p75", text: "p75", first: "desc", kind: "number p75" },
  { key: null, text: "Trend", kind: "trend-cell" },
  { key: "poor", text: "Poor", first: "desc", kind: "share-cell" },
];

/** The pages, ranked; every header sorts, a second time the other way round. */
function ranking(state, answers, link, actions) {
  const pages = answers.report;
  const head = COLUMNS.map(({ key, text, first, kind }) => {
    if (key === null) return h("th", { scope: "col", role: "columnheader", class: kind }, h("span", { class: "sort" }, text));
    const active = state.sort === key;
    const order = active ? (state.order === "asc" ? "desc" : "asc") : first;
    const aria = active ? (state.order === "asc" ? "ascending" : "descending") : null;
    const label = key === "p75" || key === "poor" ? `${text} ${state.metric ?? ""}` : text;
    return h("th", { scope: "col", role: "columnheader", class: kind, "aria-sort": aria },
      link({ sort: key, order }, { class: "sort", "data-key": `sort-${key}` }, label,
        h("span", { class: "arrow", "aria-hidden": "true" }, active ? (state.order === "asc" ? "↑" : "↓") : "")));
  });
  const chosen = METRICS.find(({ name }) => name === state.metric);
  const search = (event) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    actions.go({ search: form.get("search") || null, min_n: form.get("min_n") || null });
  };
  const body = h("tbody", { role: "rowgroup" });
  const table = h("table", { id: "rows", class: pages.pages.length > ROWS_MANY ? "many" : null, tabindex: "-1", role: "table", "aria-labelledby": "ranking" },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)), body);
  const { metric, sort, order, search: searched, min_n, group } = state;
  const query = { ...scope(state), metric, sort, order, search: searched, min_n, group, limit: pages.pages.length };
  appendInParts(body, pages.pages, (page) => row(page, state, link), () => followTrends(table, state.site, query));
  const isMore = pages.next_cursor !== null && pages.pages.length < ROWS_MAX;
  return h("section", { class: "panel ranking", "aria-labelledby": "ranking" },
    h("div", { class: "panel-head" },
      h("div", {}, h("h2", { id: "ranking" }, "Pages"), h("p", { class: "soft small" }, chosen === undefined ? "Each page by its worst Core Web Vital" : `${chosen.title}: ${lower(chosen.says)}`)),
      h("form", { class: "range search", role: "search", onsubmit: search },
        h("label", {}, h("span", {}, "Search"), h("input", { type: "search", name: "search", value: state.search ?? "", "data-key": "search" })),
        h("label", {}, h("span", {}, "At least views"), h("input", { type: "number", name: "min_n", min: 1, value: state.min_n ?? "", placeholder: String(pages.min_n), "data-key": "min_n" })),
        h("button", { class: "secondary", type: "submit" }, "Find"), csvButton(`${state.site}-pages`, () => rankingRows(pages))),
      segmented("group", "Rows", [[null, "Pages"], ["section", "Sections", "Pages with the same first part of the path, as one"]], state, link, "segmented small"),
      segmented("metric", "Metric of the ranking", [[null, "Worst"], ...METRICS.map(({ name, title }) => [name, name, title])], state, link, "segmented small")),
    table,
    pages.pages.length === 0 ? h("p", { class: "soft inset" }, "No page is found.") : null,
    pages.routes_hidden > 0
      ? h("p", { class: "soft small inset" }, `${counted(pages.routes_hidden, "page")} with fewer than ${count(pages.min_n)} page views hidden. `, link({ min_n: "1" }, {}, "Show them"))
      : null,
    isMore ? h("p", { class: "more" }, h("button", { type: "button", class: "secondary", onclick: actions.more, "data-key": "more" }, "Show more pages")) : null);
}

/** Adds rows in parts, a task each, so that many of them do not hold up a key press; the first part at once. */
function appendInParts(body, all, draw, done) {
  const next = (from) => {
    // Another ranking has taken its place.
    if (from > 0 && !body.isConnected) return;
    body.append(...all.slice(from, from + ROWS_PART).map(draw));
    if (from + ROWS_PART >= all.length) {
      done();
      body.dispatchEvent(new Event("drawn", { bubbles: true }));
    } else {
      setTimeout(() => next(from + ROWS_PART));
    }
  };
  next(0);
}

/** The ranking as rows of a table: each page with all of its metrics. */
function rankingRows({ pages }) {
  const heads = METRICS.flatMap(({ name }) => ["n", "p75", "good", "needs improvement", "poor", "n before", "p75 before"].map((of) => `${name} ${of}`));
  return [["page", "page views", "estimated page views", "not good", "by", ...heads], ...pages.map(({ route, views, views_estimated: estimated, impact, metrics, previous = {} }) => [
    route, views, estimated, impact === undefined ? null : Math.round(impact.views), impact?.metric,
    ...METRICS.flatMap(({ name }) => {
      const metric = metrics[name];
      const before = [previous[name]?.n, previous[name]?.p75];
      return metric === undefined ? [0, null, 0, 0, 0, ...before] : [metric.n, metric.p75, metric.good, metric.needs_improvement, metric.poor, ...before];
    })])];
}

function lower(text) {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

function row(page, state, link) {
  const shown = state.metric ?? page.impact?.metric ?? "LCP";
  const metric = page.metrics[shown];
  const impact = h("td", { role: "cell", class: "number impact" }, page.impact === undefined ? "–"
    : h("span", { title: `At least ${share(page.impact.share_at_least, 1)} of the page views with ${page.impact.metric} are not good, with 95 % certainty` }, `${count(page.impact.views)} `, h("span", { class: "soft small" }, page.impact.metric)));
  const name = h("td", { role: "cell", class: "route-cell" },
    link(page.routes !== undefined && page.route.endsWith("*") ? { group: null, search: page.route.slice(0, -1) } : { route: page.route },
      { title: readable(page.route), "data-key": `route-${page.route}` }, quoted(page.route, "route")),
    page.routes === undefined ? null : h("span", { class: "soft small" }, counted(page.routes, "page")));
  const views = h("td", { role: "cell", class: "number views" }, count(page.views), h("span", { class: "unit" }, page.views === 1 ? " view" : " views"),
    page.views_estimated === page.views ? null : h("span", { class: "soft small estimated" }, sampled(page)));
  if (metric === undefined) {
    return h("tr", { role: "row", class: "none" }, name, impact, views,
      h("td", { role: "cell", class: "number p75" }, h("span", { class: "value" }, "–", h("span", { class: "slot" }))),
      trendCell(page.route),
      h("td", { role: "cell", class: "share-cell soft small" }, `No ${shown} values`));
  }
  return h("tr", { role: "row", class: metric.n < FEW_SAMPLES ? "few" : null }, name, impact, views,
    h("td", { role: "cell", class: "number p75" }, h("span", { class: "value" }, figure(metric.unit, metric.p75, metric.thresholds), h("span", { class: "slot" }, chip(metric.rating), rowChange(metric.unit, page.previous?.[shown])))),
    trendCell(page.route),
    h("td", { role: "cell", class: "share-cell" },
      shareBar(metric),
      h("span", { class: "soft small facts" },
        h("span", {}, `n = ${count(metric.n)} `, fewMark(metric)), h("span", {}, `${share(metric.poor, metric.n)} poor`))));
}

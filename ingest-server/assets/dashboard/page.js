// One page: every metric with its distribution, the breakdown by a property, what explains the values, open violations.
import { EXPLAINED, causePanels } from "./causes.js";
import { FEW_SAMPLES, METRICS, count, counted, share } from "./format.js";
import { PROPERTIES, scope } from "./address.js";
import { chip, fewMark, figure, histogram, shareBar } from "./chart.js";
import { controls, picker, segmented, subtitle, widen } from "./controls.js";
import { advicePanel } from "./advice.js";
import { csvButton } from "./export.js";
import { changeMark } from "./change.js";
import { engagementPanel, samplesPanel } from "./samples.js";
import { trendPanel } from "./timeline.js";
import { get, sitePath, softly } from "./api.js";
import { failed, h, quoted, readable } from "./dom.js";
import { uncertainty, verdict, violationList } from "./overview.js";

/** Elements of each metric that are shown. */
const CAUSES_LIMIT = 5;
/** Slow page views that are shown. */
const SAMPLES_LIMIT = 5;

export const pageView = {
  async read(state, site, { signal }) {
    const of = (resource, query) => get(sitePath(site.name, resource), query, signal);
    const asked = { ...scope(state), route: state.route };
    const metric = state.metric ?? "LCP";
    const [report, violations, breakdown, series, advice, samples, engagement, ...causes] = await Promise.all([
      of("report", asked),
      softly(of("violations", { status: "open" })),
      softly(of("breakdown", { ...asked, by: state.by })),
      softly(of("series", { ...asked, metric })),
      softly(of("advice", asked)),
      softly(of("samples", { ...asked, metric, around: state.around ?? 75, limit: SAMPLES_LIMIT })),
      softly(of("engagement", { ...asked, metric })),
      ...EXPLAINED.map((explained) => softly(of("attribution", { ...asked, metric: explained, limit: CAUSES_LIMIT }))),
    ]);
    return { report, violations, breakdown, series, advice, samples, engagement, causes };
  },

  title: (state) => state.route,

  draw(state, answers, link, actions) {
    const { report } = answers;
    return [
      h("div", { class: "heading" },
        h("p", { class: "back" }, link({ route: null }, { "data-key": "back" }, "← All pages of ", quoted(state.site))),
        h("h1", { tabindex: "-1", class: "route-title" }, quoted(state.route, "route")),
        subtitle(report, answers, actions)),
      controls(state, answers, link, actions),
      report.views === 0
        ? nothing(state, report, link)
        : [
            verdict(report),
            violationList(covering(answers.violations, state.route), link),
            trendPanel(state.metric ?? "LCP", answers.series,
              segmented("metric", "Metric over time", METRICS.map(({ name, title }) => [name, name, title]), { ...state, metric: state.metric ?? "LCP" }, link, "segmented small")),
            h("div", { class: "details" }, METRICS.map((metric) => card(metric, report.metrics[metric.name], report.previous?.metrics[metric.name]))),
            breakdownPanel({ ...state, metric: state.metric ?? "LCP" }, answers.breakdown, link, actions),
            h("div", { class: "two" }, advicePanel(answers.advice, 3), engagementPanel(answers.engagement)),
            causePanels(answers.causes),
            samplesPanel(state.metric ?? "LCP", answers.samples,
              segmented("around", "Which page views", [[null, "Near the p75"], ["worst", "Slowest"]], state, link, "segmented small")),
          ],
    ];
  },
};

function nothing(state, report, link) {
  return h("section", { class: "panel" },
    h("h2", {}, "No page views of this page here"),
    h("p", {}, "Nothing was measured on this page in this period, with these filters."),
    (report.nearest_routes ?? []).length > 0
      ? [h("p", {}, "Pages of a similar name:"), h("ul", {}, report.nearest_routes.map((route) => h("li", {}, link({ route }, {}, quoted(route, "route")))))]
      : null,
    widen(state, link));
}

function card({ name, title, says }, metric, change) {
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
    change === undefined ? null : h("p", { class: "small" }, changeMark(change, "the period before")),
    histogram(name, metric),
    h("dl", { class: "percentiles" }, percentiles.map(([term, number]) =>
      h("div", {}, h("dt", {}, term), h("dd", {}, figure(metric.unit, number, metric.thresholds))))),
    shareBar(metric),
    h("ul", { class: "legend" },
      [["good", "Good", metric.good], ["needs-improvement", "Needs improvement", metric.needs_improvement], ["poor", "Poor", metric.poor]].map(
        ([rating, text, n]) => h("li", { class: rating }, h("span", { class: "name" }, text), h("span", {}, `${share(n, metric.n)} (${count(n)})`)))));
}

/** The chosen metric by the values of a property; each value is a filter. */
function breakdownPanel(state, answer, link, actions) {
  const head = h("div", { class: "panel-head" },
    h("h2", { id: "breakdown" }, "Breakdown"),
    picker("metric", "Metric", METRICS.map(({ name }) => [name, name]), state.metric, actions),
    picker("by", "By", PROPERTIES.map(({ name, title }) => [name, title]), state.by, actions),
    answer instanceof Error ? null : csvButton(`${state.site}-${state.by}`, () => [
      [state.by, "page views", `${state.metric} n`, "p75", "90 % CI from", "90 % CI to", "good", "needs improvement", "poor"],
      ...answer.values.map(({ value: of, views, metrics }) => {
        const metric = metrics[state.metric];
        return [of ?? "unknown", views, metric?.n ?? 0, metric?.p75, metric?.p75_interval?.[0], metric?.p75_interval?.[1], metric?.good, metric?.needs_improvement, metric?.poor];
      })]));
  const panel = (...content) => h("section", { class: "panel ranking breakdown", "aria-labelledby": "breakdown" }, head, content);
  if (answer instanceof Error) return panel(h("div", { class: "inset" }, failed(answer)));
  const { title } = PROPERTIES.find(({ name }) => name === state.by);
  const rows = answer.values.map((of) => {
    const metric = of.metrics[state.metric];
    const name = of.value === null ? "unknown" : readable(of.value);
    const chosen = of.value === null || of.value === "(other)" ? h("bdi", {}, name)
      : link({ [state.by]: of.value }, { title: `Only ${name}`, "data-key": `value-${of.value}` }, h("bdi", {}, name));
    return h("tr", { role: "row", class: metric === undefined || metric.n < FEW_SAMPLES ? "few" : null },
      h("td", { role: "cell", class: "route-cell" }, chosen),
      h("td", { role: "cell", class: "number views" }, count(of.views), h("span", { class: "unit" }, of.views === 1 ? " view" : " views")),
      h("td", { role: "cell", class: "number p75" }, h("span", { class: "value" },
        metric === undefined ? "–" : figure(metric.unit, metric.p75, metric.thresholds), h("span", { class: "slot" }, metric === undefined ? null : chip(metric.rating)))),
      h("td", { role: "cell", class: "share-cell" }, metric === undefined
        ? h("span", { class: "soft small" }, `No ${state.metric} values`)
        : [shareBar(metric), h("span", { class: "soft small facts" }, h("span", {}, `n = ${count(metric.n)} `, fewMark(metric)), uncertainty(metric))]));
  });
  const heads = [[title, "route-cell"], ["Views", "number"], [`p75 ${state.metric}`, "number p75"], ["Ratings", "share-cell"]];
  return panel(h("table", { role: "table", "aria-labelledby": "breakdown" },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads.map(([text, kind]) => h("th", { scope: "col", role: "columnheader", class: kind }, h("span", { class: "sort" }, text))))),
    h("tbody", { role: "rowgroup" }, rows)));
}

/** The violations of budgets that cover a route. */
function covering(answer, route) {
  return answer instanceof Error ? answer : { violations: answer.violations.filter((violation) => matches(violation.route, route)) };
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

// Two periods, releases or segments, metric by metric, and the routes that moved most.
import { FILTERS, elsewhere, scope, startOf } from "./address.js";
import { METRICS, count, counted, period, zoneName } from "./format.js";
import { figure } from "./chart.js";
import { changeMark, changeRange } from "./change.js";
import { csvButton } from "./export.js";
import { controls, picker } from "./controls.js";
import { get, sitePath, softly } from "./api.js";
import { failed, h, quoted, readable } from "./dom.js";

const ROUTES = 20;
/** Releases whose order is asked for. */
const RELEASES = 100;
/** Changes that have a direction. */
const CLEAR = ["worse", "better"];
/** Comparisons of two periods. */
const TIMES = ["period", "dates"];

export const compareView = {
  async read(state, site, { signal }) {
    const of = (resource, query) => get(sitePath(site.name, resource), query, signal);
    const asked = { ...scope(state), route: state.route, limit: ROUTES };
    if (state.sides === "dates") {
      const { against_from: from, against_to: to } = state;
      if (from === null) return { comparison: null, sides: [] };
      return { comparison: await softly(of("compare", { ...asked, against_from: startOf(from), against_to: to === null ? null : startOf(to) })), sides: [] };
    }
    if (state.sides === "period") return { comparison: await softly(of("compare", { ...asked, against: "previous" })), sides: [] };
    const [found, releases] = await Promise.all([
      softly(of("breakdown", { ...scope(state), [state.sides]: null, by: state.sides, metrics: "LCP" })),
      state.sides === "release" ? softly(of("releases", { limit: RELEASES })) : null,
    ]);
    if (found instanceof Error) return { comparison: found, sides: [] };
    const sides = found.values.map(({ value }) => value).filter((value) => value !== null && value !== "(other)");
    // The newest release is compared with the one before it; of other properties, the two values of most page views.
    const order = (releases?.releases ?? []).map(({ release }) => release);
    if (order.length > 0) sides.sort((one, other) => rank(order, one) - rank(order, other));
    const [value, against] = [state.current ?? sides[0], state.baseline ?? sides.find((side) => side !== (state.current ?? sides[0]))];
    if (value === undefined || against === undefined) return { comparison: null, sides };
    return { comparison: await softly(of("compare", { ...asked, [state.sides]: null, by: state.sides, value, against })), sides };
  },

  title: () => "Compare",

  draw(state, answers, link, actions) {
    const { comparison, sides } = answers;
    const ways = [["period", "The period before"], ["dates", "Another period"], ...FILTERS.map(({ name, title }) => [name, `Another ${title.toLowerCase()}`])];
    return [
      h("div", { class: "heading" }, h("h1", { tabindex: "-1" }, "Compare ", quoted(state.site)), h("p", { class: "subtitle" }, "Each metric of two sides, with the uncertainty of the change.")),
      controls(state, answers, link, actions),
      h("div", { class: "controls" },
        picker("sides", "Compare with", ways, state.sides, actions, (chosen) => ({ sides: chosen, current: null, baseline: null, against_from: null, against_to: null, ...(TIMES.includes(chosen) ? {} : { [chosen]: null }) })),
        state.sides === "dates" ? otherPeriod(state, actions) : null,
        TIMES.includes(state.sides) || sides.length < 2 ? null : [side("baseline", "Baseline", 1), side("current", "Current", 0)]),
      result(comparison, state, link),
    ];
    function side(name, text, place) {
      const chosen = state[name] ?? sides.filter((value) => place === 0 || value !== (state.current ?? sides[0]))[0];
      const known = sides.includes(chosen) ? sides : [chosen, ...sides];
      return picker(name, text, known.map((value) => [value, readable(value)]), chosen, actions);
    }
  },
};

function result(comparison, state, link) {
  if (comparison === null) {
    return h("section", { class: "panel" }, h("p", {}, state.sides === "dates" ? "Choose the days of the other period. The one above is compared with it." : "There are no two values to compare in this period."));
  }
  if (comparison instanceof Error) return h("section", { class: "panel notice" }, failed(comparison));
  const { baseline, current } = comparison;
  const name = (side) => side.value === null ? period(side.period) : readable(side.value);
  const heads = ["Metric", name(baseline), name(current), "Change"];
  const known = METRICS.filter((metric) => comparison.metrics[metric.name] !== undefined);
  return [
    h("section", { class: "panel", "aria-labelledby": "changes" },
      h("div", { class: "panel-head flush" }, h("h2", { id: "changes" }, `The ${comparison.percentile}th percentile`), csvButton(`${comparison.site}-compare`, () => comparedRows(comparison, heads))),
      h("p", { class: "soft small" }, `${counted(baseline.views, "page view")} against ${count(current.views)}. Metrics are judged together, so that many of them do not make false alarms.`),
      changeTable(heads, known.map((metric) => changeRow(metric.name, comparison.metrics[metric.name])))),
    moved(comparison.routes, heads, state, link),
    comparison.reweighted === null ? h("p", { class: "soft small" }, comparison.reweighted_absent ?? "") : reweighted(comparison.reweighted),
  ];
}

/** The days of the other period. */
function otherPeriod(state, actions) {
  const go = (event) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    actions.go({ against_from: form.get("against_from") || null, against_to: form.get("against_to") || null });
  };
  const shown = (text) => (text ?? "").slice(0, 10);
  return h("form", { class: "range", onsubmit: go },
    h("label", {}, h("span", {}, `Against, from (${zoneName()})`), h("input", { type: "date", name: "against_from", required: true, value: shown(state.against_from), "data-key": "against_from" })),
    h("label", {}, h("span", {}, "To, excluded; empty: as long"), h("input", { type: "date", name: "against_to", value: shown(state.against_to), "data-key": "against_to" })),
    h("button", { class: "secondary", type: "submit" }, "Compare"));
}

/**
 * A comparison as rows of a table: the metrics of all page views, then the pages that moved.
 * @param {any} comparison
 * @param {any[]} heads
 */
function comparedRows(comparison, heads) {
  const { metrics, routes } = comparison;
  const [, baseline, current] = heads;
  const of = (page, name, change) => [page, name, change.baseline?.value, change.baseline?.n, change.current?.value, change.current?.n, change.change, change.interval?.[0], change.interval?.[1], change.verdict];
  return [["page", "metric", `p75 of ${baseline}`, "n", `p75 of ${current}`, "n", "change", "90 % CI from", "90 % CI to", "verdict"],
    ...Object.entries(metrics).map(([name, change]) => of("(all)", name, change)), ...routes.map((change) => of(change.route, change.metric, change))];
}

/** The pages whose metrics changed clearly, and the others folded away. */
function moved(routes, heads, state, link) {
  if (routes.length === 0) return null;
  const by = TIMES.includes(state.sides) ? "device" : state.sides;
  const rows = (of) => of.map((change) => changeRow([
    link(elsewhere(state, { route: change.route, metric: change.metric, by }), { "data-key": `moved-${change.metric}-${change.route}` }, quoted(change.route, "route")), ` ${change.metric}`], change));
  const [clear, others] = [true, false].map((isClear) => routes.filter(({ verdict: said }) => CLEAR.includes(said) === isClear));
  const table = (of) => changeTable(["Page", ...heads.slice(1)], rows(of));
  return h("section", { class: "panel", "aria-labelledby": "moved" },
    h("h2", { id: "moved" }, "Pages that moved"),
    clear.length > 0 ? table(clear) : h("p", { class: "soft" }, "No page changed clearly."),
    others.length === 0 ? null : h("details", { class: "counts", "data-open": "moved" },
      h("summary", { "data-key": "moved" }, `${counted(others.length, "change")} that may be chance`), table(others)),
    routes.length < ROUTES ? null : h("p", { class: "soft small" }, `The first ${ROUTES} are shown: clear changes, then the largest.`));
}

/** A table of changes. The roles keep it a table if a narrow window makes blocks of its rows. */
function changeTable(heads, rows) {
  return h("table", { class: "plain-table wide changes", role: "table" },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads.map((text) => h("th", { scope: "col", role: "columnheader" }, h("bdi", {}, text))))),
    h("tbody", { role: "rowgroup" }, rows));
}

function changeRow(name, change) {
  const side = (of) => h("td", { role: "cell" }, of === null ? "–" : [figure(change.unit, of.value), h("span", { class: "soft small" }, ` n = ${count(of.n)}`)]);
  return h("tr", { role: "row" }, h("th", { scope: "row", role: "rowheader" }, name), side(change.baseline), side(change.current),
    h("td", { role: "cell" }, changeMark(change, "the baseline"), changeRange(change)));
}

/** The place of a release among the known ones, newest first. */
function rank(order, release) {
  const place = order.indexOf(release);
  return place < 0 ? order.length : place;
}

/** The same at equal shares of classes: whether the mix of visitors explains the change. */
function reweighted({ metrics, sampled }) {
  return h("section", { class: "panel", "aria-labelledby": "reweighted" },
    h("h2", { id: "reweighted" }, "At equal shares of devices, countries and navigations"),
    h("p", { class: "soft small" }, `If a change is gone here, another mix of visitors explains it. From ${count(sampled[0])} and ${count(sampled[1])} sampled page views.`),
    h("table", { class: "plain-table wide" },
      h("thead", {}, h("tr", {}, ["Metric", "Change"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, METRICS.filter(({ name }) => metrics[name] !== undefined).map(({ name }) =>
        h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, changeMark(metrics[name], "the baseline"), changeRange(metrics[name])))))));
}

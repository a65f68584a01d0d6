// Two periods, releases or segments, metric by metric, and the routes that moved most.
import { FILTERS, scope } from "./address.js";
import { METRICS, count, counted, period } from "./format.js";
import { chip, figure } from "./chart.js";
import { changeMark } from "./change.js";
import { controls, segmented } from "./controls.js";
import { get, sitePath, softly } from "./api.js";
import { h, quoted, readable } from "./dom.js";

const ROUTES = 20;

export const compareView = {
  async read(state, site, { signal }) {
    const of = (resource, query) => get(sitePath(site.name, resource), query, signal);
    const asked = { ...scope(state), route: state.route, limit: ROUTES };
    if (state.sides === "period") return { comparison: await softly(of("compare", { ...asked, against: "previous" })), sides: [] };
    const { values } = await of("breakdown", { ...scope(state), [state.sides]: null, by: state.sides, metrics: "LCP" });
    const sides = values.map(({ value }) => value).filter((value) => value !== null && value !== "(other)");
    const [value, against] = [state.current ?? sides[0], state.baseline ?? sides.find((side) => side !== (state.current ?? sides[0]))];
    if (value === undefined || against === undefined) return { comparison: null, sides };
    return { comparison: await softly(of("compare", { ...asked, [state.sides]: null, by: state.sides, value, against })), sides };
  },

  title: () => "Compare",

  draw(state, answers, link, actions) {
    const { comparison, sides } = answers;
    const ways = [["period", "Period before"], ...FILTERS.map(({ name, title }) => [name, title])];
    return [
      h("div", { class: "heading" }, h("h1", { tabindex: "-1" }, "Compare ", quoted(state.site)), h("p", { class: "subtitle" }, "Each metric of two sides, with the uncertainty of the change.")),
      controls(state, answers, link, actions),
      h("div", { class: "controls" },
        h("div", { class: "segmented", role: "group", "aria-label": "Sides" }, ways.map(([sides_, text]) =>
          link({ sides: sides_, current: null, baseline: null }, { "aria-current": state.sides === sides_ ? "true" : null, "data-key": `sides-${sides_}` }, text))),
        state.sides === "period" ? null : [picker("baseline", "Baseline", 1), picker("current", "Current", 0)]),
      result(comparison, state, link),
    ];
    function picker(name, text, place) {
      const chosen = state[name] ?? sides.filter((side) => place === 0 || side !== (state.current ?? sides[0]))[0];
      return h("label", { class: "picker" }, h("span", {}, text),
        h("select", { "data-key": name, onchange: (event) => actions.go({ [name]: event.currentTarget.value }) },
          sides.map((side) => h("option", { value: side, selected: side === chosen }, readable(side)))));
    }
  },
};

function result(comparison, state, link) {
  if (comparison === null) return h("section", { class: "panel" }, h("p", {}, "There are no two values to compare in this period."));
  if (comparison instanceof Error) return h("section", { class: "panel notice" }, h("p", {}, comparison.message), h("p", { class: "soft" }, comparison.hint));
  const { baseline, current } = comparison;
  const name = (side) => side.value === null ? period(side.period) : readable(side.value);
  const heads = ["Metric", name(baseline), name(current), "Change"];
  const known = METRICS.filter((metric) => comparison.metrics[metric.name] !== undefined);
  return [
    h("section", { class: "panel", "aria-labelledby": "changes" },
      h("h2", { id: "changes" }, `The ${comparison.percentile}th percentile`),
      h("p", { class: "soft small" }, `${counted(baseline.views, "page view")} against ${count(current.views)}. Metrics are judged together, so that many of them do not make false alarms.`),
      h("table", { class: "plain-table wide", tabindex: "0" },
        h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col" }, h("bdi", {}, text))))),
        h("tbody", {}, known.map((metric) => changeRow(metric.name, comparison.metrics[metric.name]))))),
    comparison.routes.length === 0 ? null : h("section", { class: "panel", "aria-labelledby": "moved" },
      h("h2", { id: "moved" }, "Pages that moved most"),
      h("table", { class: "plain-table wide", tabindex: "0" },
        h("thead", {}, h("tr", {}, ["Page", ...heads.slice(1)].map((text) => h("th", { scope: "col" }, h("bdi", {}, text))))),
        h("tbody", {}, comparison.routes.map((change) => changeRow([link({ view: "overview", route: change.route, metric: change.metric }, {}, quoted(change.route, "route")), ` ${change.metric}`], change))))),
    comparison.reweighted === null ? h("p", { class: "soft small" }, comparison.reweighted_absent ?? "") : reweighted(comparison.reweighted),
  ];
}

function changeRow(name, change) {
  const side = (of) => h("td", {}, of === null ? "–" : [figure(change.unit, of.value), h("span", { class: "soft small" }, ` n = ${count(of.n)}`)]);
  return h("tr", {}, h("th", { scope: "row" }, name), side(change.baseline), side(change.current), h("td", {}, changeMark(change, "the baseline")));
}

/** The same at equal shares of classes: whether the mix of visitors explains the change. */
function reweighted({ metrics, sampled }) {
  return h("section", { class: "panel", "aria-labelledby": "reweighted" },
    h("h2", { id: "reweighted" }, "At equal shares of devices, countries and navigations"),
    h("p", { class: "soft small" }, `If a change is gone here, another mix of visitors explains it. From ${count(sampled[0])} and ${count(sampled[1])} sampled page views.`),
    h("table", { class: "plain-table wide", tabindex: "0" },
      h("thead", {}, h("tr", {}, ["Metric", "Change"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, METRICS.filter(({ name }) => metrics[name] !== undefined).map(({ name }) =>
        h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, changeMark(metrics[name], "the baseline")))))));
}

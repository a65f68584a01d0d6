// A metric over time: its percentile as a line, the confidence interval as a band, releases as marks. uPlot draws the large
// chart; a sparkline is SVG, because there are many of them.
import { boundary, count, counted, interval, moment, period, value, zoneName } from "./format.js";
import { csvButton, pngButton } from "./export.js";
import { failed, h, readable, svg } from "./dom.js";

const HEIGHT = 260;
/** Rows of mark names above each other, so that names of releases of one day stay apart. */
const MARK_ROWS = 3;
const MARK_ROW_HEIGHT = 14;
/** Characters of a release's name on the chart; the list below it has the whole name. */
const MARK_NAME_MAX = 24;

/** The least span of a sparkline, as a part of its highest value: a smaller one would make noise look like news. */
const SPARKLINE_SPAN_MIN = 0.3;

let charts = null;

/** The colors of the page's scheme. */
function palette() {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(`--${name}`).trim();
  return { ink: color("ink"), soft: color("soft"), line: color("line"), accent: color("accent"), wash: color("accent-wash"), good: color("good"), poor: color("poor") };
}

/** A panel of one metric over time. `series` may be the error of reading it; `control` chooses the metric. */
export function trendPanel(name, series, control = null) {
  return h("section", { class: "panel", "aria-labelledby": "trend" },
    h("div", { class: "panel-head flush" }, h("h2", { id: "trend" }, `${name} over time`), control, series instanceof Error || series.lines[0].metrics[name] === undefined ? null : exports(name, series)),
    series instanceof Error ? failed(series) : timeline(name, series));
}

/** Buttons that take the chart away. */
function exports(name, series) {
  const { metrics } = series.lines[0];
  const file = [series.site, series.route, name].filter(Boolean).join("-");
  const of = series.route === null ? series.site : `${series.site} ${series.route}`;
  return h("span", { class: "exports" }, pngButton(file, `${of}: ${name} p${series.percentile}, ${period(series.period)}`), csvButton(file, () => [
    ["from", "to", `${name} p${series.percentile}`, "90 % CI from", "90 % CI to", "n", "good", "needs improvement", "poor"],
    ...series.steps.map(({ start, end }, place) => {
      const { value: number, interval: range, n, good, needs_improvement: middle, poor } = metrics[name].points[place];
      return [start, end, number, range?.[0], range?.[1], n, good, middle, poor];
    })]));
}

/** A large chart of one metric of a line of `series`. Its values are in a table below it, for readers. */
function timeline(name, series) {
  const metric = series.lines[0].metrics[name];
  if (metric === undefined) return h("p", { class: "soft" }, `No ${name} values in this period.`);
  if (metric.points.every(({ value: number }) => number === null)) return h("p", { class: "soft" }, `No ${name} values in this period.`);
  const box = h("div", { class: "timeline", role: "img", "aria-label": `${name} p${series.percentile} over time, from ${moment(series.period.from)} to ${moment(series.period.to)}. The values are in the table below.` });
  drawChart(box, name, series, metric);
  return h("figure", {}, box, key(series, metric), marks(series.marks),
    series.timezone_note === undefined ? null : h("p", { class: "small soft" }, `Days begin in UTC here: ${series.timezone_note}.`),
    valueTable(series, metric));
}

/** What the lines of a chart are. */
function key({ percentile, marks: releases }, { unit, thresholds: [good, poor] }) {
  const entries = [["line", `p${percentile}`], ["band", "90 % confidence interval"], ["good", `good up to ${boundary(unit, good)}`], ["poor", `poor over ${boundary(unit, poor)}`],
    releases.length > 0 ? ["release", "a release"] : null];
  return h("ul", { class: "key small soft" }, entries.filter(Boolean).map(([kind, text]) => h("li", { class: kind }, text)));
}

async function drawChart(box, name, series, metric) {
  charts ??= import("./uplot.js");
  const { default: Plot } = await charts;
  if (!box.isConnected) return;
  const colors = palette();
  const at = series.steps.map(({ start }) => Date.parse(start) / 1_000);
  const of = (pick) => metric.points.map((point) => pick(point) ?? null);
  const data = [at, of(({ interval }) => interval?.[1]), of(({ interval }) => interval?.[0]), of((point) => point.value)];
  const axis = { stroke: colors.soft, grid: { stroke: colors.line, width: 1 }, ticks: { stroke: colors.line, width: 1 } };
  const isLong = at.length > 1 && at.at(-1) - at[0] > 4 * 86_400;
  const date = dates(series, isLong);
  const times = (self, points) => points.map((seconds) => date.format(new Date(seconds * 1_000)));
  const label = (self, points) => points.map((point) => (point === 0 ? "0" : boundary(metric.unit, point)));
  const chart = new Plot({
    width: box.clientWidth, height: HEIGHT, tzDate: (seconds) => Plot.tzDate(new Date(seconds * 1_000), zoneOfSteps(series)),
    legend: { show: false },
    cursor: { y: false, points: { size: 7 } },
    scales: { y: { range: (self, low, high) => [0, Math.max(high ?? 0, metric.thresholds[0]) * 1.08] } },
    axes: [{ ...axis, values: times, space: 110, size: 32 }, { ...axis, values: label, size: 64 }],
    series: [
      {},
      { stroke: "transparent", points: { show: false } },
      { stroke: "transparent", points: { show: false } },
      { stroke: colors.accent, width: 2, spanGaps: false, points: { show: at.length < 60, size: 5, fill: colors.accent } },
    ],
    bands: [{ series: [1, 2], fill: colors.wash }],
    hooks: {
      draw: [(self) => {
        for (const [limit, color] of [[metric.thresholds[0], colors.good], [metric.thresholds[1], colors.poor]]) {
          rule(self, color, [4, 4], (scale) => [self.bbox.left, scale(limit, "y"), self.bbox.left + self.bbox.width, scale(limit, "y")]);
        }
        for (const [place, mark] of series.marks.entries()) {
          const x = Date.parse(mark.at) / 1_000;
          rule(self, colors.ink, [2, 3], (scale) => [scale(x, "x"), self.bbox.top, scale(x, "x"), self.bbox.top + self.bbox.height]);
          markName(self, colors.ink, x, readable(mark.release), place % MARK_ROWS);
        }
      }],
      setCursor: [(self) => tell(box, series, metric, self.cursor.idx)],
    },
  }, data, box);
  const observer = new ResizeObserver(() => {
    if (!box.isConnected) {
      observer.disconnect();
      chart.destroy();
    } else if (box.clientWidth > 0) {
      chart.setSize({ width: box.clientWidth, height: HEIGHT });
    }
  });
  observer.observe(box);
}

/** The time zone of the times of a series: days begin in that of the answer, hours in any. */
function zoneOfSteps({ step, timezone }) {
  return step === "hour" ? zoneName() : timezone;
}

/** The format of times of a series; a long axis has days only. */
function dates(series, isLong) {
  return new Intl.DateTimeFormat("en-GB", { timeZone: zoneOfSteps(series), day: "numeric", month: "short", ...(isLong ? {} : { hour: "2-digit", minute: "2-digit" }) });
}

/** A dashed line, if it is within the chart. */
function rule(self, color, dashes, ends) {
  const [x1, y1, x2, y2] = ends((of, axis) => self.valToPos(of, axis, true));
  const { left, top, width, height } = self.bbox;
  if (x1 < left || x2 > left + width + 1 || y1 < top || y2 > top + height + 1) return;
  const { ctx } = self;
  ctx.save();
  ctx.strokeStyle = color;
  ctx.setLineDash(dashes);
  ctx.beginPath();
  ctx.moveTo(x1, y1);
  ctx.lineTo(x2, y2);
  ctx.stroke();
  ctx.restore();
}

/** The name of a release beside its line, at the side that has room. */
function markName(self, color, at, name, row) {
  const x = self.valToPos(at, "x", true);
  const { left, top, width } = self.bbox;
  if (x < left || x > left + width) return;
  const scale = devicePixelRatio;
  const isLeft = x > left + width / 2;
  const shown = name.length > MARK_NAME_MAX ? `${name.slice(0, MARK_NAME_MAX - 1)}…` : name;
  const { ctx } = self;
  ctx.save();
  Object.assign(ctx, { fillStyle: color, font: `${12 * scale}px system-ui, sans-serif`, textAlign: isLeft ? "right" : "left", textBaseline: "top" });
  ctx.fillText(shown, x + (isLeft ? -5 : 5) * scale, top + (2 + row * MARK_ROW_HEIGHT) * scale);
  ctx.restore();
}

/** Page views over time, with the releases of that time, as a panel. */
export function trafficPanel(series) {
  const panel = (...content) => h("section", { class: "panel", "aria-labelledby": "traffic" }, h("h2", { id: "traffic" }, "Traffic and releases"), content);
  if (series instanceof Error) return panel(failed(series));
  const { views } = series.lines[0];
  const { steps } = series;
  const most = Math.max(...views, 0);
  const start = starts(series);
  const [from, to] = [Date.parse(steps[0].start), Date.parse(steps.at(-1).end)];
  const lines = series.marks.map(({ at, release }) => {
    const x = (views.length * (Date.parse(at) - from)) / (to - from);
    return svg("line", { class: "mark", x1: x, x2: x, y1: 0, y2: 40 }, svg("title", {}, readable(release)));
  });
  const bars = svg("svg", { class: "traffic", viewBox: `0 0 ${views.length} 40`, preserveAspectRatio: "none", role: "img",
    "aria-label": `Page views over time, at most ${count(most)} in one ${series.step}. The counts are in the table below.` },
    views.map((n, place) => svg("rect", { x: place + 0.08, width: 0.84, y: 40 - (38 * n) / (most || 1), height: (38 * n) / (most || 1) },
      svg("title", {}, `${start(steps[place])}: ${counted(n, "page view")}`))), lines);
  const rows = views.map((n, place) => [start(steps[place]), count(n)]);
  return panel(h("p", { class: "soft small" }, `At most ${counted(most, "page view")} a ${series.step}`), bars,
    h("p", { class: "ends soft small" }, h("span", {}, start(steps[0])), h("span", {}, start(steps.at(-1)))),
    series.marks.length === 0 ? h("p", { class: "soft small" }, "No release was new in this period.") : marks(series.marks),
    details("traffic", "Counts", [`From (${zoneOfSteps(series)})`, "Page views"], rows));
}

/** The point under the cursor, in words. */
function tell(box, series, metric, place) {
  let tip = box.querySelector(".tip");
  if (tip === null) {
    tip = h("p", { class: "tip small" });
    box.append(tip);
  }
  const point = place === null || place === undefined ? undefined : metric.points[place];
  tip.hidden = point === undefined;
  if (point !== undefined) tip.textContent = `${starts(series)(series.steps[place])}: ${words(metric.unit, point)}`;
}

function words(unit, point) {
  if (point.value === null) return "no values";
  const range = point.interval === null ? "" : `, 90 % CI ${interval(unit, point.interval)}`;
  return `${value(unit, point.value)}${range}, ${counted(point.n, "value")}`;
}

/** The releases of a period. */
function marks(all) {
  if (all.length === 0) return null;
  return h("ul", { class: "marks small soft" }, all.map(({ at, release, kind }) =>
    h("li", {}, h("bdi", {}, release), ` ${kind === "deploy" ? "deployed" : "first seen"} ${moment(at)}`)));
}

function valueTable(series, { unit, points }) {
  const start = starts(series);
  const rows = points.map((point, place) => [point, start(series.steps[place])]).filter(([{ n }]) => n > 0);
  return details("timeline", "Values", [`From (${zoneOfSteps(series)})`, `p${series.percentile}`, "90 % CI", "n"], rows.map(([{ n, value: number, interval: range }, from]) =>
    [from, value(unit, number), range === null ? "too few values" : interval(unit, range), count(n)]));
}

/** Names the steps of a series by their starts; the current one is not complete. */
function starts(series) {
  const date = dates(series, series.step !== "hour");
  return ({ start, incomplete }) => `${date.format(new Date(start))}${incomplete ? " (so far)" : ""}`;
}

/** The table of a chart: the first cell of a row is its step. */
function details(key, title, heads, rows) {
  return h("details", { class: "counts", "data-open": key }, h("summary", { "data-key": key }, title),
    h("table", {}, h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, rows.map(([step, ...cells]) => h("tr", {}, h("th", { scope: "row" }, step), cells.map((cell) => h("td", {}, cell)))))));
}

/** A small line of a metric's points, without axes. */
export function sparkline(metric) {
  const known = metric.points.map(({ value: number }, place) => [place, number]).filter(([, number]) => number !== null);
  if (known.length < 2) return null;
  const last = metric.points.length - 1;
  const [low, high] = [Math.min(...known.map(([, n]) => n)), Math.max(...known.map(([, n]) => n))];
  const span = Math.max(high - low, SPARKLINE_SPAN_MIN * high) || 1;
  const middle = (low + high) / 2;
  const line = known.map(([place, n]) => `${(100 * place / last).toFixed(1)},${(12 - 20 * (n - middle) / span).toFixed(1)}`).join(" ");
  return svg("svg", { class: "sparkline", viewBox: "0 0 100 24", preserveAspectRatio: "none", role: "img",
    "aria-label": `From ${value(metric.unit, known[0][1])} to ${value(metric.unit, known.at(-1)[1])}, between ${value(metric.unit, low)} and ${value(metric.unit, high)}` },
    svg("polyline", { points: line }));
}

// A metric over time: its percentile as a line, the confidence interval as a band, releases as marks. uPlot draws the large
// chart; a sparkline is SVG, because there are many of them.
import { counted, moment, value } from "./format.js";
import { h, svg } from "./dom.js";

const HEIGHT = 260;

let charts = null;

/** The colors of the page's scheme. */
function palette() {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(`--${name}`).trim();
  return { ink: color("ink"), soft: color("soft"), line: color("line"), accent: color("accent"), wash: color("accent-wash"), good: color("good"), poor: color("poor") };
}

/** A large chart of one metric of a line of `series`. Its values are in a table below it, for readers. */
export function timeline(name, series) {
  const metric = series.lines[0].metrics[name];
  if (metric === undefined) return h("p", { class: "soft" }, `No ${name} values in this period.`);
  const box = h("div", { class: "timeline", role: "img", "aria-label": `${name} p${series.percentile} over time, from ${moment(series.period.from)} to ${moment(series.period.to)}. The values are in the table below.` });
  drawChart(box, name, series, metric);
  return h("figure", { class: "timeline-figure" }, box, marks(series.marks), valueTable(series, metric));
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
  const date = new Intl.DateTimeFormat("en-GB", { timeZone: series.timezone, day: "numeric", month: "short", ...(isLong ? {} : { hour: "2-digit", minute: "2-digit" }) });
  const times = (self, points) => points.map((seconds) => date.format(new Date(seconds * 1_000)));
  const label = (self, points) => points.map((point) => value(metric.unit, point));
  const chart = new Plot({
    width: box.clientWidth, height: HEIGHT, tzDate: (seconds) => Plot.tzDate(new Date(seconds * 1_000), series.timezone),
    legend: { show: false },
    cursor: { y: false, points: { size: 7 } },
    scales: { y: { range: (self, low, high) => [0, Math.max(high ?? 0, metric.thresholds[0]) * 1.08] } },
    axes: [{ ...axis, values: times, space: 110 }, { ...axis, values: label, size: 64 }],
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
        for (const mark of series.marks) {
          const x = Date.parse(mark.at) / 1_000;
          rule(self, colors.ink, [2, 3], (scale) => [scale(x, "x"), self.bbox.top, scale(x, "x"), self.bbox.top + self.bbox.height]);
        }
      }],
      setCursor: [(self) => tell(box, series, metric, self.cursor.idx)],
    },
  }, data, box);
  new ResizeObserver(() => {
    if (box.isConnected && box.clientWidth > 0) chart.setSize({ width: box.clientWidth, height: HEIGHT });
  }).observe(box);
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

/** The point under the cursor, in words. */
function tell(box, series, metric, place) {
  let tip = box.querySelector(".tip");
  if (tip === null) {
    tip = h("p", { class: "tip small" });
    box.append(tip);
  }
  const point = place === null || place === undefined ? undefined : metric.points[place];
  tip.hidden = point === undefined;
  if (point !== undefined) tip.textContent = `${moment(series.steps[place].start)}: ${words(metric.unit, point)}`;
}

function words(unit, point) {
  if (point.value === null) return "no values";
  const range = point.interval === null ? "" : `, 90 % CI ${value(unit, point.interval[0])} to ${value(unit, point.interval[1])}`;
  return `${value(unit, point.value)}${range}, ${counted(point.n, "value")}`;
}

/** The releases of a period. */
export function marks(all) {
  if (all.length === 0) return null;
  return h("ul", { class: "marks small soft" }, all.map(({ at, release, kind }) =>
    h("li", {}, h("bdi", {}, release), ` ${kind === "deploy" ? "deployed" : "first seen"} ${moment(at)}`)));
}

function valueTable(series, metric) {
  const rows = metric.points.map((point, place) => [series.steps[place].start, point]).filter(([, { n }]) => n > 0);
  return h("details", { class: "counts", "data-open": "timeline" }, h("summary", { "data-key": "timeline" }, "Values"),
    h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "From"), h("th", { scope: "col" }, "Value"))),
      h("tbody", {}, rows.map(([start, point]) => h("tr", {}, h("th", { scope: "row" }, moment(start)), h("td", {}, words(metric.unit, point)))))));
}

/** A small line of a metric's points, without axes. */
export function sparkline(metric) {
  const known = metric.points.map(({ value: number }, place) => [place, number]).filter(([, number]) => number !== null);
  if (known.length < 2) return null;
  const last = metric.points.length - 1;
  const [low, high] = [Math.min(...known.map(([, n]) => n)), Math.max(...known.map(([, n]) => n))];
  const line = known.map(([place, n]) => `${(100 * place / last).toFixed(1)},${(22 - 20 * (n - low) / (high - low || 1)).toFixed(1)}`).join(" ");
  return svg("svg", { class: "sparkline", viewBox: "0 0 100 24", preserveAspectRatio: "none", role: "img",
    "aria-label": `From ${value(metric.unit, known[0][1])} to ${value(metric.unit, known.at(-1)[1])}, between ${value(metric.unit, low)} and ${value(metric.unit, high)}` },
    svg("polyline", { points: line }));
}

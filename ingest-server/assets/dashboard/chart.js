// Drawings of one metric: the rating chip, the bar of shares, the histogram.
import { h, svg } from "./dom.js";
import { FEW_SAMPLES, FEW_SAMPLES_SAYS, RATINGS, boundary, count, counted, share, value } from "./format.js";

// A shape for each rating, so that colour is never alone in saying it.
const SHAPES = {
  good: () => svg("circle", { cx: 5, cy: 5, r: 4 }),
  "needs-improvement": () => svg("rect", { x: 1.25, y: 1.25, width: 7.5, height: 7.5, rx: 1 }),
  poor: () => svg("path", { d: "M5 .8 9.6 9.2H.4z" }),
};

/** A rating in colour, shape and words; `text` replaces its words. */
export function chip(rating, text = RATINGS[rating] ?? rating) {
  const shape = svg("svg", { viewBox: "0 0 10 10", width: 10, height: 10, "aria-hidden": "true" }, SHAPES[rating]?.());
  return h("span", { class: `chip ${rating}` }, shape, text);
}

/** A mark on a percentile that rests on few samples, or nothing. */
export function fewMark(metric) {
  return metric.n < FEW_SAMPLES ? h("span", { class: "few-mark", title: FEW_SAMPLES_SAYS }, "few samples") : null;
}

/** The shares of the three ratings: exact counts, not read from the histogram. */
export function shareBar(metric) {
  const parts = [
    ["good", metric.good],
    ["needs-improvement", metric.needs_improvement],
    ["poor", metric.poor],
  ];
  const says = parts.map(([rating, n]) => `${RATINGS[rating]} ${share(n, metric.n)} (${count(n)})`).join(", ");
  const bar = h("span", { class: "share", role: "img", "aria-label": says, title: says });
  for (const [rating, n] of parts) {
    if (n <= 0) continue;
    const part = h("span", { class: rating });
    part.style.flexGrow = n;
    bar.append(part);
  }
  return bar;
}

/** The bins that are drawn: empty ones past both the last value and the poor threshold are left out. */
function visible(metric) {
  const bins = metric.distribution;
  const filled = bins.findLastIndex((bin) => bin.n > 0);
  const zone = bins.findIndex((bin) => bin.from >= metric.thresholds[1]);
  const last = zone < 0 ? bins.length - 1 : Math.max(filled, zone);
  return bins.slice(0, last + 1);
}

// The share of the width that is set apart for values past the axis. They have no width of their own, so they are a mark
// with a number, and no bar that could pass for a second peak.
const OVERFLOW_WIDTH = 0.12;

/** A linear axis over bins: maps a value to its place, 0 to 1; past the axis it is the middle of the overflow's mark. */
function axisOf(bins) {
  const overflow = bins.at(-1).to === null ? bins.at(-1) : null;
  const end = overflow?.from ?? bins.at(-1).to;
  const room = overflow === null ? 1 : 1 - OVERFLOW_WIDTH;
  const place = (number) => (number > end ? 1 - (1 - room) / 2 : (room * number) / end);
  return { place, room, overflow, span: ({ from, to }) => [place(from), place(to)] };
}

function range(unit, { from, to }) {
  return to === null ? `over ${boundary(unit, from)}` : `${boundary(unit, from)} to ${boundary(unit, to)}`;
}

/**
 * The distribution of one metric's values, its threshold zones, and its p75. Bins differ in width, so a
 * bar's area, not its height, is its count: otherwise wide bins would look more frequent than they are.
 */
export function histogram(name, metric) {
  const bins = visible(metric);
  if (bins.length === 0) return null;
  const { unit, thresholds } = metric;
  const { place, span, room, overflow } = axisOf(bins);
  const closed = bins.filter((bin) => bin !== overflow);
  const density = (bin) => {
    const [left, right] = span(bin);
    return bin.n / (right - left);
  };
  const most = Math.max(...closed.map(density), Number.MIN_VALUE);
  const edges = [0, place(thresholds[0]), place(thresholds[1]), room];
  const ratings = Object.keys(RATINGS);
  const width = 1000;
  const height = 100;
  const gap = 1.5;
  const picture = svg("svg", {
    class: "bars", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img",
    "aria-label": `Distribution of ${counted(metric.n, "value")} of ${name}. The counts are in the table below.`,
  });
  for (const [index, rating] of ratings.entries()) {
    const x = edges[index] * width;
    picture.append(svg("rect", { class: `zone ${rating}`, x, y: 0, width: edges[index + 1] * width - x, height }));
  }
  for (const bin of closed) {
    const [left, right] = span(bin).map((x) => x * width);
    // A count that is not zero is never invisible.
    const tall = bin.n > 0 ? Math.max(1.5, (92 * density(bin)) / most) : 0;
    const group = svg("g", {}, svg("title", {}, `${range(unit, bin)}: ${counted(bin.n, "value")}, ${share(bin.n, metric.n)}`));
    group.append(svg("rect", { class: "hit", x: left, y: 0, width: right - left, height }));
    for (const [zone, rating] of ratings.entries()) {
      const from = Math.max(left + gap, edges[zone] * width);
      const to = Math.min(right - gap, edges[zone + 1] * width);
      if (tall > 0 && to > from) {
        group.append(svg("rect", { class: `bar ${rating}`, x: from, y: height - tall, width: to - from, height: tall }));
      }
    }
    picture.append(group);
  }
  if (overflow !== null) {
    picture.append(svg("rect", { class: "overflow", x: room * width + 6, y: 1, width: (1 - room) * width - 7, height: height - 2 }));
  }
  const at = place(metric.p75);
  const marker = h("span", { class: at > 0.6 ? "marker left" : "marker", "aria-hidden": "true" }, h("span", {}, "p75"));
  marker.style.left = `${100 * at}%`;
  const past = overflow === null ? null : h("span", { class: "overflow-mark", "aria-hidden": "true", title: `${range(unit, overflow)}: ${counted(overflow.n, "value")}. Not on the axis.` },
    h("strong", {}, share(overflow.n, metric.n)), h("span", {}, `> ${boundary(unit, overflow.from)}`));
  return h("figure", { class: "histogram" }, h("div", { class: "plot" }, picture, past, marker), axis(unit, bins, edges, thresholds), counts(unit, bins, metric));
}

/** The axis: zero, the thresholds, and the end if there is room. */
function axis(unit, bins, edges, thresholds) {
  /** @type {[number, string, string][]} */
  const labels = [[0, "0", "first"]];
  if (edges[1] > 0.08) labels.push([edges[1], boundary(unit, thresholds[0]), "middle"]);
  if (edges[2] - edges[1] > 0.14 && edges[2] < 0.97) labels.push([edges[2], boundary(unit, thresholds[1]), "middle"]);
  const { to } = bins.at(-1);
  if (to !== null && edges[2] < 0.72) labels.push([1, boundary(unit, to), "last"]);
  return h("div", { class: "axis", "aria-hidden": "true" }, labels.map(([at, text, kind]) => {
    const label = h("span", { class: kind }, text);
    label.style.left = `${100 * at}%`;
    return label;
  }));
}

function counts(unit, bins, metric) {
  const rows = bins.filter((bin) => bin.n > 0).map((bin) =>
    h("tr", {}, h("th", { scope: "row" }, range(unit, bin)), h("td", {}, count(bin.n)), h("td", {}, share(bin.n, metric.n))));
  return h("details", { class: "counts" },
    h("summary", {}, "Counts"),
    h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Value"), h("th", { scope: "col" }, "Visits"), h("th", { scope: "col" }, "Share"))),
      h("tbody", {}, rows)));
}

/** A percentile with its exact value in the title. */
export function figure(unit, number, limits = []) {
  const exact = unit === "ms" ? `${Number(number.toFixed(1))} ms` : String(Number(number.toFixed(6)));
  return h("span", { title: exact }, value(unit, number, limits));
}

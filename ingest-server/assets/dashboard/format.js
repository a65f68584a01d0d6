// Names, numbers and dates as the dashboard writes them.

/** The seven metrics in the order in which they are shown; the first three are the Core Web Vitals. */
export const METRICS = [
  { name: "LCP", core: true, title: "Largest Contentful Paint", says: "When the largest element was painted" },
  { name: "INP", core: true, title: "Interaction to Next Paint", says: "How long the slowest interactions waited for a paint" },
  { name: "CLS", core: true, title: "Cumulative Layout Shift", says: "How much the content moved unexpectedly" },
  { name: "FCP", title: "First Contentful Paint", says: "When the first content was painted" },
  { name: "TTFB", title: "Time to First Byte", says: "When the first byte of the document arrived" },
  { name: "FID", title: "First Input Delay", says: "How long the first input waited for its handler; INP took its place in 2024" },
  { name: "TTI", title: "Time to Interactive", says: "When the main thread had become quiet; Chromium-based browsers only" },
];

export const RATINGS = {
  good: "Good",
  "needs-improvement": "Needs improvement",
  poor: "Poor",
};

/**
 * Below this many samples a percentile is marked as uncertain. The 95 % interval of a p75 by the
 * normal approximation of the binomial spans ±1.96·√(0.75·0.25/n) of rank: with 75 samples that is
 * ±10 points, so the true p75 may be anything from the measured p65 to the measured p85.
 */
export const FEW_SAMPLES = 75;
export const FEW_SAMPLES_SAYS =
  `Fewer than ${FEW_SAMPLES} samples: the true p75 may lie below the p65 or above the p85 of what was measured. Read it as a hint.`;

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const DATE_TIME = new Intl.DateTimeFormat("en-GB", {
  timeZone: "UTC", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit",
});
const DATE = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", day: "numeric", month: "short", year: "numeric" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** A count with thousands separators. */
export function count(n) {
  return WHOLE.format(n);
}

/** `1 page view`, `2 page views`. */
export function counted(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/**
 * A metric's value with its unit: `3.2 ms`, `812 ms`, `2.41 s`, or a score such as `0.104`. It has more places if
 * rounding would carry it over one of the limits.
 */
export function value(unit, number, limits = []) {
  if (number === 0) return unit === "score" ? "0" : "0 ms";
  const [scale, places, name] = shape(unit, number);
  const isTrue = (shown) => limits.every((limit) => shown * scale <= limit === number <= limit);
  let digits = places;
  while (digits < places + 4 && !isTrue(Number((number / scale).toFixed(digits)))) digits += 1;
  const shown = digits === 0 ? count(number / scale) : (number / scale).toFixed(digits);
  return name === "" ? shown : `${shown} ${name}`;
}

/**
 * What a value is divided by, its decimal places, and its unit.
 * @returns {[number, number, string]}
 */
function shape(unit, number) {
  if (unit === "score") return [1, number < 1 ? 3 : 2, ""];
  if (number < 9.95) return [1, 1, "ms"];
  if (number < 999.5) return [1, 0, "ms"];
  if (number < 9_995) return [1000, 2, "s"];
  return [1000, number < 99_950 ? 1 : 0, "s"];
}

/** A boundary, which is a round number: `2.5 s`, `800 ms`, `0.1`. */
export function boundary(unit, number) {
  if (unit === "score") return String(Number(number.toFixed(4)));
  return number < 1000 ? `${Number(number.toFixed(2))} ms` : `${Number((number / 1000).toFixed(2))} s`;
}

/** An interval of values: `652 – 671 ms`, `980 ms – 1.04 s`. */
export function interval(unit, [low, high], limits = []) {
  const [from, to] = [value(unit, low, limits), value(unit, high, limits)];
  if (from === to) return to;
  const suffix = / m?s$/.exec(to)?.[0] ?? "";
  return suffix !== "" && from.endsWith(suffix) ? `${from.slice(0, -suffix.length)} – ${to}` : `${from} – ${to}`;
}

/** A share in per cent that never rounds something to nothing, nor almost all to all. */
export function share(part, whole) {
  if (whole <= 0) return "–";
  const percent = (100 * part) / whole;
  if (part > 0 && percent < 1) return "< 1 %";
  if (part < whole && percent > 99) return "> 99 %";
  return `${Math.round(percent)} %`;
}

/** `14 Nov 2026 – 21 Nov 2026`; with times where the period is shorter than two days. */
export function period({ from, to }) {
  const [start, end] = [new Date(from), new Date(to)];
  if (Number.isNaN(start.valueOf()) || Number.isNaN(end.valueOf())) return "";
  const format = end.valueOf() - start.valueOf() < 172_800_000 ? DATE_TIME : DATE;
  return `${format.format(start)} – ${format.format(end)} UTC`;
}

/** A moment in UTC. */
export function moment(text) {
  const at = new Date(text);
  return Number.isNaN(at.valueOf()) ? "" : `${DATE_TIME.format(at)} UTC`;
}

/** The reader's own clock, to the second. */
export function clock(date) {
  return CLOCK.format(date);
}

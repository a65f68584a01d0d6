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

/** The largest error of rounding to the right side of a limit, as a share of the number; percentiles are within 0.55 %. */
const ROUNDING_MAX = 0.001;

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** The formats of times in the time zone of the shown site. */
let zone = zoneOf("UTC");

function zoneOf(timeZone) {
  const of = (options) => new Intl.DateTimeFormat("en-GB", { timeZone, ...options });
  return {
    name: timeZone,
    moment: of({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" }),
    date: of({ day: "numeric", month: "short", year: "numeric" }),
    short: of({ timeZoneName: "short" }),
    parts: of({ hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" }),
  };
}

/** Shows all further times in a time zone; in UTC if the browser does not know it. */
export function useZone(name) {
  if (name === zone.name) return;
  try {
    zone = zoneOf(name);
  } catch {
    zone = zoneOf("UTC");
  }
}

/** The name of the time zone of all shown times. */
export function zoneName() {
  return zone.name;
}

/** The short name of the time zone at a moment, such as `UTC` or `CET`. */
function shortZone(at) {
  return zone.short.formatToParts(at).find(({ type }) => type === "timeZoneName").value;
}

/** The start of a day, such as `2026-11-20`, in the time zone of the site, as the API has times. */
export function dayStart(day) {
  const wanted = Date.parse(`${day}T00:00:00Z`);
  if (Number.isNaN(wanted)) return `${day}T00:00:00Z`;
  let at = wanted;
  // The second step is for a day whose clocks change: the offset of the first guess may be that of the other side.
  for (let step = 0; step < 2; step += 1) at = wanted - offsetAt(at);
  return new Date(at).toISOString().replace(".000Z", "Z");
}

/** How much the clocks of the time zone are ahead of UTC, in milliseconds. */
function offsetAt(ms) {
  const { year, month, day, hour, minute, second } = Object.fromEntries(zone.parts.formatToParts(ms).map(({ type, value: text }) => [type, Number(text)]));
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(ms / 1_000) * 1_000;
}

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
  const [rounded, digits] = roundedWithin(number / scale, places, limits.map((limit) => limit / scale));
  const shown = digits === 0 ? count(rounded) : rounded.toFixed(digits);
  return name === "" ? shown : `${shown} ${name}`;
}

/**
 * A number with at least so many places, and its places. A rounding that crosses a limit becomes the next number on the
 * right side if that is as near as makes no difference, else there is one more place.
 * @returns {[number, number]}
 */
function roundedWithin(number, places, limits) {
  const isTrue = (shown) => limits.every((limit) => shown <= limit === number <= limit);
  for (let digits = places; digits < places + 4; digits += 1) {
    const nearest = Number(number.toFixed(digits));
    const other = Number((nearest + Math.sign(number - nearest) * 10 ** -digits).toFixed(digits));
    if (isTrue(nearest)) return [nearest, digits];
    if (isTrue(other) && Math.abs(other - number) <= ROUNDING_MAX * number) return [other, digits];
  }
  return [number, places + 4];
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

/** `14 Nov 2026 – 21 Nov 2026 UTC`; with times where the period is shorter than two days. */
export function period({ from, to }) {
  const [start, end] = [new Date(from), new Date(to)];
  if (Number.isNaN(start.valueOf()) || Number.isNaN(end.valueOf())) return "";
  const format = end.valueOf() - start.valueOf() < 172_800_000 ? zone.moment : zone.date;
  return `${format.format(start)} – ${format.format(end)} ${shortZone(end)}`;
}

/** A moment, with the short name of the time zone. */
export function moment(text) {
  const at = new Date(text);
  return Number.isNaN(at.valueOf()) ? "" : `${zone.moment.format(at)} ${shortZone(at)}`;
}

/** The reader's own clock, to the second. */
export function clock(date) {
  return CLOCK.format(date);
}

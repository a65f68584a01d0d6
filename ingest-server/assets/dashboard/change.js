// The change of a metric, with its uncertainty.
import { h } from "./dom.js";
import { value } from "./format.js";

const VERDICTS = {
  worse: ["▲", "worse"],
  better: ["▼", "better"],
  "no clear change": ["≈", "no clear change"],
  "not enough data": ["?", "too few values to compare"],
};

/** A difference with its sign: `+120 ms`, `−0.012`. */
export function difference(unit, number) {
  return `${number < 0 ? "−" : "+"}${value(unit, Math.abs(number))}`;
}

/** The interval of a change, for views with room for it. */
export function changeRange({ unit, interval: range, verdict }) {
  if (range === null || verdict === "not enough data") return null;
  return h("span", { class: "soft small range-of-change" }, ` 90 % CI ${difference(unit, range[0])} to ${difference(unit, range[1])}`);
}

/** A change in a few words; `than` names the other side. */
export function changeMark(change, than) {
  if (change === undefined || change === null) return null;
  const [sign, words] = VERDICTS[change.verdict] ?? ["", change.verdict];
  const isKnown = change.change !== null && change.verdict !== "not enough data";
  const title = change.interval === null ? words
    : `${words}: ${difference(change.unit, change.change)} against ${than}; the 90 % confidence interval of the change is ${difference(change.unit, change.interval[0])} to ${difference(change.unit, change.interval[1])}`;
  return h("span", { class: `change ${change.verdict.replaceAll(" ", "-")}`, title },
    h("span", { "aria-hidden": "true" }, `${sign} `), isKnown ? `${difference(change.unit, change.change)} ` : "", words);
}
